using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Storage.IoControl;
using Hypervisor.Tests.Unit.Shell;

namespace Hypervisor.Tests.Unit.Cmdlets;

public sealed class IoControlCommandTests : IDisposable
{
    private readonly ShellHost _shell = new();

    public IoControlCommandTests()
    {
        string one = _shell.Temporary.File("one.img"), two = _shell.Temporary.File("two.img");
        _shell.Run($"New-VM a -DiskPath '{one}','{two}'");
    }

    public void Dispose() => _shell.Dispose();

    [Fact]
    public void What_is_not_given_stays_as_it_is()
    {
        var disk = (DiskIoControl)Assert.Single(_shell.Run("Set-IoControl a 'Hard disk 1' -DiskSharesLevel High -DiskLimitIOPerSecond 300"));
        Assert.Equal((SharesLevel.High, 2000, 300), (disk.DiskSharesLevel, disk.NumDiskShares, disk.DiskLimitIOPerSecond));
        disk = (DiskIoControl)Assert.Single(_shell.Run("Get-VM a | Set-IoControl -Disk 1 -DiskLimitMBPerSecond 1.5 -DiskReservationIOPerSecond 100"));
        Assert.Equal((2000, 300, 1.5m, 100), (disk.NumDiskShares, disk.DiskLimitIOPerSecond, disk.DiskLimitMBPerSecond, disk.DiskReservationIOPerSecond));
        disk = (DiskIoControl)Assert.Single(_shell.Run("Set-IoControl a one* -DiskLimitIOPerSecond $null -DiskLimitMBPerSecond $null -NumDiskShares 700"));
        Assert.Equal((SharesLevel.Custom, 700, -1, -1, 100), (disk.DiskSharesLevel, disk.NumDiskShares, disk.DiskLimitIOPerSecond, disk.DiskLimitMBPerSecond, disk.DiskReservationIOPerSecond));
        Assert.Equal([700, 1000], _shell.Run("Get-IoControl a").Cast<DiskIoControl>().Select(static found => found.NumDiskShares));
        Assert.True(_shell.Succeeded);
    }

    [Fact]
    public void What_Get_gave_can_be_set()
    {
        Assert.Equal([50, 50], _shell.Run("Get-VM a | Get-IoControl | Set-IoControl -DiskLimitIOPerSecond 50").Cast<DiskIoControl>().Select(static disk => disk.DiskLimitIOPerSecond));
        DatastoreIoControl datastore = _shell.Run("Get-IoControl | Set-IoControl -CongestionThresholdMillisecond 15").Cast<DatastoreIoControl>().First();
        Assert.Equal(15, datastore.CongestionThresholdMillisecond);
        Assert.True(_shell.Succeeded);
    }

    [Fact]
    public void PowerCLI_s_command_sets_disks_beside_other_resources()
    {
        var set = (VMResourceConfiguration)Assert.Single(_shell.Run("Set-VMResourceConfiguration a -Disk 'Hard disk 2' -DiskSharesLevel High -DiskLimitIOPerSecond 300 -CpuLimitMhz 500"));
        Assert.Equal(500, set.CpuLimitMhz);
        Assert.Equal([(2000, "Hard disk 1", SharesLevel.Normal, 1000, -1), (2001, "Hard disk 2", SharesLevel.High, 2000, 300)], set.DiskResourceConfiguration
            .Select(static disk => (disk.Key, disk.Disk, disk.DiskSharesLevel, disk.NumDiskShares, disk.DiskLimitIOPerSecond)));
        _shell.Run("Set-IoControl a 2 -DiskReservationIOPerSecond 10");
        set = (VMResourceConfiguration)Assert.Single(_shell.Run("Get-VMResourceConfiguration a | Set-VMResourceConfiguration -DiskSharesLevel Custom -NumDiskShares 77 -DiskLimitIOPerSecond $null"));
        Assert.All(set.DiskResourceConfiguration, static disk => Assert.Equal((SharesLevel.Custom, 77, -1), (disk.DiskSharesLevel, disk.NumDiskShares, disk.DiskLimitIOPerSecond)));
        Assert.Equal([0, 10], _shell.Run("Get-IoControl a").Cast<DiskIoControl>().Select(static disk => disk.DiskReservationIOPerSecond));
        set = (VMResourceConfiguration)Assert.Single(_shell.Run("Set-VMResource a -Disk one*,2 -DiskLimitIOPerSecond -1 -NumDiskShares 500"));
        Assert.All(set.DiskResourceConfiguration, static disk => Assert.Equal(SharesLevel.Low, disk.DiskSharesLevel));
        Assert.Equal(500, set.CpuLimitMhz);
        Assert.True(_shell.Succeeded);
    }

    [Fact]
    public void All_disks_are_set_unless_one_is_named()
    {
        Assert.Equal(2, _shell.Run("Set-IoControl a -DiskLimitIOPerSecond 50").Count);
        Assert.All(_shell.Run("Get-VM | Get-IoControl").Cast<DiskIoControl>(), static disk => Assert.Equal(50, disk.DiskLimitIOPerSecond));
    }

    [Fact]
    public void A_disk_keeps_its_settings_when_another_is_added()
    {
        _shell.Run("Set-IoControl a 2 -DiskLimitIOPerSecond 50");
        string three = _shell.Temporary.File("three.img"), two = Path.Combine(_shell.Temporary.Folder, "two.img");
        _shell.Run($"Set-VM a -DiskPath '{two}','{three}'");
        Assert.Equal([50, -1], _shell.Run("Get-IoControl a").Cast<DiskIoControl>().Select(static disk => disk.DiskLimitIOPerSecond));
    }

    [Fact]
    public void A_datastore_is_named_by_a_path_on_it()
    {
        var datastore = (DatastoreIoControl)Assert.Single(_shell.Run($"Set-IoControl -Datastore '{_shell.Temporary.Folder}' -StorageIOControlEnabled $true -CongestionThresholdMode Automatic -QueueDepth 32 -LimitIOPerSecond 900"));
        Assert.Equal(DatastoreName.Of(_shell.Temporary.Folder), datastore.Datastore);
        Assert.Equal((true, CongestionThresholdMode.Automatic, 32, 900), (datastore.StorageIOControlEnabled, datastore.CongestionThresholdMode, datastore.QueueDepth, datastore.LimitIOPerSecond));
        datastore = (DatastoreIoControl)Assert.Single(_shell.Run($"Set-IoControl -Datastore '{datastore.Datastore}' -CongestionThresholdMillisecond 12 -LimitIOPerSecond $null"));
        Assert.Equal((CongestionThresholdMode.Manual, 12.0, -1), (datastore.CongestionThresholdMode, datastore.CongestionThresholdMillisecond, datastore.LimitIOPerSecond));
        Assert.Single(_shell.Run($"Get-IoControl -Datastore '{datastore.Datastore}'"));
        Assert.Single(_shell.Run("Get-IoControl"));
    }

    [Theory]
    [InlineData("Set-IoControl a -DiskLimitIOPerSecond 0", "limit of 0 I/O")]
    [InlineData("Set-IoControl a -DiskLimitIOPerSecond -5", "limit of -5 I/O")]
    [InlineData("Set-IoControl a -DiskLimitMBPerSecond -5", "limit of -5 MB")]
    [InlineData("Set-IoControl a -DiskLimitMBPerSecond 0", "bandwidth limit of 0 MB a second")]
    [InlineData("Set-IoControl a -NumDiskShares -1", "-1 disk shares")]
    [InlineData("Set-IoControl a -DiskReservationIOPerSecond -1", "reservation of -1")]
    [InlineData("Set-IoControl a -DiskReservationIOPerSecond 5 -DiskLimitIOPerSecond 4", "reservation of 5 I/O operations a second is above the limit of 4")]
    [InlineData("Set-IoControl a -DiskSharesLevel Custom", "need a number")]
    [InlineData("Set-IoControl a -DiskSharesLevel Low -NumDiskShares 3", "stands for 500 shares, not 3")]
    [InlineData("Set-IoControl a 'Hard disk 3' -NumDiskShares 3", "no disk 'Hard disk 3'. It has: Hard disk 1")]
    [InlineData("Set-VMResource a -DiskLimitIOPerSecond 0", "limit of 0 I/O")]
    [InlineData("Set-VMResource a -DiskLimitIOPerSecond -5", "limit of -5 I/O")]
    [InlineData("Set-VMResource a -NumDiskShares -1", "-1 disk shares; there can be 1 to 1000000")]
    [InlineData("Set-VMResource a -DiskSharesLevel Custom", "need a number: give -NumDiskShares too")]
    [InlineData("Set-VMResource a -DiskSharesLevel Low -NumDiskShares 3", "stands for 500 shares, not 3. Use the level Custom")]
    [InlineData("Set-VMResource a -Disk 'Hard disk 3' -NumDiskShares 3", "no disk 'Hard disk 3'. It has: Hard disk 1")]
    [InlineData("Set-VMResource a -Disk 1", "says whose values to change, and none is given")]
    [InlineData("Set-IoControl b -NumDiskShares 3", "no virtual machine named 'b'")]
    [InlineData("Set-IoControl -Datastore /nowhere/x -QueueDepth 8", "no datastore '/nowhere/x'")]
    [InlineData("Set-IoControl -Datastore / -QueueDepth 2", "queue depth of 2 requests; it can be 4 to 1024")]
    [InlineData("Set-IoControl -Datastore / -CongestionThresholdMillisecond 0", "congestion threshold of 0 ms; it can be 1 to 1000")]
    [InlineData("Set-IoControl -Datastore / -CongestionThresholdMillisecond 5 -CongestionThresholdMode Automatic", "is found out and not given")]
    [InlineData("Get-IoControl -Datastore nowhere", "no datastore 'nowhere' in use")]
    public void Bad_values_are_errors_that_say_why(string line, string reason)
    {
        Assert.Empty(_shell.Run(line));
        Assert.False(_shell.Succeeded);
        Assert.Contains(reason, Assert.Single(_shell.Screen.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public void What_if_changes_nothing()
    {
        _shell.Run("Set-IoControl a -NumDiskShares 3 -WhatIf; Set-VMResource a -NumDiskShares 3 -WhatIf; Set-IoControl -Datastore / -QueueDepth 9 -WhatIf");
        Assert.All(_shell.Run("Get-IoControl a").Cast<DiskIoControl>(), static disk => Assert.Equal(1000, disk.NumDiskShares));
        Assert.False(File.Exists(Path.Combine(_shell.Temporary.Folder, "datastores.json")));
    }
}
