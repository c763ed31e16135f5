using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Tests.Unit.Inventory;

/// <summary>Storage I/O control as the host keeps it and applies it.</summary>
public sealed class IoControlTests : IDisposable
{
    private readonly TemporaryHost _temporary = new();

    private HypervisorHost Host => _temporary.Host;

    private string Datastore => DatastoreName.Of(_temporary.Folder);

    public void Dispose() => _temporary.Dispose();

    private VirtualMachine WithDisks(string name, params string[] disks) =>
        _temporary.Create(name, machine => machine with { Disks = [.. disks.Select(disk => new HardDiskConfiguration { Path = _temporary.File(disk) })] });

    private DiskIoControl[] Set(VirtualMachine machine, Func<DiskIoSettings, DiskIoSettings> change, params string[] disks) =>
        (DiskIoControl[])Host.ConfigureDiskIo(machine, disks.Length == 0 ? null : disks, change).Wait()!;

    [Fact]
    public void Settings_of_disks_are_kept_with_the_machine()
    {
        VirtualMachine machine = WithDisks("a", "one.img", "two.img");
        DiskIoControl changed = Assert.Single(Set(machine, static old => old.WithShares(null, 3000) with { LimitIops = 400, LimitBytesPerSecond = 3 << 19, ReservationIops = 50 }, "Hard disk 2"));
        Assert.Equal(("a", "Hard disk 2", 1, Datastore), (changed.VM, changed.Disk, changed.Index, changed.Datastore));
        using var other = _temporary.OpenAnother();
        DiskIoControl[] read = [.. other.GetDiskIoControl(other.FindMachine(machine.Id)!)];
        Assert.Equal((SharesLevel.Normal, 1000, -1, -1, 0), (read[0].DiskSharesLevel, read[0].NumDiskShares, read[0].DiskLimitIOPerSecond, read[0].DiskLimitMBPerSecond, read[0].DiskReservationIOPerSecond));
        Assert.Equal((SharesLevel.Custom, 3000, 400, 1.5m, 50), (read[1].DiskSharesLevel, read[1].NumDiskShares, read[1].DiskLimitIOPerSecond, read[1].DiskLimitMBPerSecond, read[1].DiskReservationIOPerSecond));
        Assert.Contains(Host.Events.Read(), static e => e.EventTypeId == "VmReconfiguredEvent" && e.FullFormattedMessage.Contains("Hard disk 2: 3000 shares (Custom), 400 IOPS at most, 1.5 MB/s at most, 50 IOPS reserved", StringComparison.Ordinal));
        Set(machine, static _ => DiskIoSettings.Default);
        Assert.DoesNotContain("ioControl", File.ReadAllText(_temporary.ConfigurationOf(machine)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("2", 1)]
    [InlineData("Hard disk 1", 0)]
    [InlineData("two.*", 1)]
    [InlineData("*one.img", 0)]
    public void Disks_are_named_in_several_ways(string name, int index) =>
        Assert.Equal(index, Assert.Single(Set(WithDisks("a", "one.img", "two.img"), static old => old with { LimitIops = 5 }, name)).Index);

    [Fact]
    public void An_unknown_disk_is_refused_beside_those_there_are()
    {
        VirtualMachine machine = WithDisks("a", "one.img");
        string message = Assert.Throws<InvalidConfigurationException>(() => Set(machine, static old => old, "Hard disk 2")).Message;
        Assert.Contains("no disk 'Hard disk 2'. It has: Hard disk 1 (", message, StringComparison.Ordinal);
        Assert.Throws<InvalidConfigurationException>(() => Set(machine, static old => old, "0"));
        Assert.Empty(Set(machine, static old => old with { LimitIops = 5 }, "nothing*"));
        Assert.Contains("has no disk", Assert.Throws<InvalidConfigurationException>(() => Set(WithDisks("b"), static old => old)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_cannot_be_is_refused_and_changes_nothing()
    {
        VirtualMachine machine = WithDisks("a", "one.img");
        Set(machine, static old => old with { LimitIops = 100 });
        Assert.Contains("above the limit of 100", Assert.Throws<InvalidConfigurationException>(() => Set(machine, static old => old with { ReservationIops = 101 })).Message, StringComparison.Ordinal);
        Assert.Throws<InvalidConfigurationException>(() => Set(machine, static old => old with { LimitIops = 0 }));
        Assert.Throws<InvalidConfigurationException>(() => Set(machine, static old => old with { ReservationIops = -1 }));
        Assert.Equal(100, Assert.Single(Host.GetDiskIoControl(machine)).DiskLimitIOPerSecond);
    }

    [Fact]
    public void A_running_machine_follows_at_once()
    {
        VirtualMachine machine = WithDisks("a", "one.img");
        Host.PowerOn(machine).Wait();
        using DiskIo disk = Host.Services.StorageIo.Attach(new DiskIdentity(machine.Id, "a", 0, machine.DiskPath[0]), DiskIoSettings.Default);
        DiskIoControl changed = Assert.Single(Set(machine, static old => old with { LimitIops = 70 }));
        Assert.Equal(70, disk.Settings.LimitIops);
        Assert.NotNull(changed.Statistics);
        Host.ConfigureDatastoreIo(_temporary.Folder, static old => old with { Enabled = true, QueueDepth = 12, LimitIops = 60 }).Wait();
        Assert.Equal((true, 12), (disk.Datastore.Settings.Enabled, disk.Datastore.QueueDepth));
        Assert.Contains("10 are missing", Assert.Throws<InvalidConfigurationException>(() => Set(machine, static old => old with { ReservationIops = 70 })).Message, StringComparison.Ordinal);
        Set(machine, static old => old with { ReservationIops = 60 });
        Assert.Contains("5 less than", Assert.Throws<InvalidConfigurationException>(() => Host.ConfigureDatastoreIo(Datastore, static old => old with { LimitIops = 55 }).Wait()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Reservations_of_a_machines_disks_are_counted_together()
    {
        VirtualMachine machine = WithDisks("a", "one.img", "two.img");
        Host.PowerOn(machine).Wait();
        using DiskIo one = Host.Services.StorageIo.Attach(new DiskIdentity(machine.Id, "a", 0, machine.DiskPath[0]), DiskIoSettings.Default with { ReservationIops = 80 });
        using DiskIo two = Host.Services.StorageIo.Attach(new DiskIdentity(machine.Id, "a", 1, machine.DiskPath[1]), DiskIoSettings.Default with { ReservationIops = 10 });
        Host.ConfigureDatastoreIo(_temporary.Folder, static old => old with { LimitIops = 100 }).Wait();
        Assert.Contains("60 are missing", Assert.Throws<InvalidConfigurationException>(() => Set(machine, static old => old with { ReservationIops = 80 })).Message, StringComparison.Ordinal);

        // One makes the room that the other needs.
        Set(machine, static old => old with { ReservationIops = 50 });
        Assert.Equal((50, 50), (one.Settings.ReservationIops, two.Settings.ReservationIops));
    }

    [Fact]
    public void Disks_of_machines_that_other_processes_run_count()
    {
        VirtualMachine here = WithDisks("here", "one.img"), there = WithDisks("there", "two.img", "three.img"), later = WithDisks("later", "four.img");
        HypervisorHost other = _temporary.OpenAnother();
        other.PowerOn(other.FindMachine(there.Id)!).Wait();
        Host.PowerOn(here).Wait();
        using DiskIo disk = Host.Services.StorageIo.Attach(new DiskIdentity(here.Id, "here", 0, here.DiskPath[0]), DiskIoSettings.Default);
        Assert.Equal(3, Host.GetDatastoreIoControl().Single(one => one.Datastore == Datastore).NumDisks);
        Host.ConfigureDatastoreIo(_temporary.Folder, static old => old with { LimitIops = 100 }).Wait();
        Set(there, static old => old with { ReservationIops = 30 });
        Assert.Contains("limited to 100, of which 0 are reserved; 20 are missing", Assert.Throws<InvalidConfigurationException>(() => Set(there, static old => old with { ReservationIops = 60 })).Message, StringComparison.Ordinal);
        Assert.Contains("of which 60 are reserved; 10 are missing", Assert.Throws<InvalidConfigurationException>(() => Set(here, static old => old with { ReservationIops = 50 })).Message, StringComparison.Ordinal);
        Assert.Contains("1 less than", Assert.Throws<InvalidConfigurationException>(() => Host.ConfigureDatastoreIo(Datastore, static old => old with { LimitIops = 59 }).Wait()).Message, StringComparison.Ordinal);

        // What is off promises nothing, until it is powered on.
        Set(later, static old => old with { ReservationIops = 50 });
        Assert.Contains("10 are missing", Assert.Throws<InvalidConfigurationException>(() => Host.PowerOn(later).Wait()).Message, StringComparison.Ordinal);
        Set(later, static old => old with { ReservationIops = 40 });
        Host.PowerOn(later).Wait();
    }

    [Fact]
    public void Resources_of_a_running_machine_and_its_disks_change_together_and_at_once()
    {
        VirtualMachine machine = WithDisks("a", "one.img", "two.img");
        Host.PowerOn(machine).Wait();
        using DiskIo disk = Host.Services.StorageIo.Attach(new DiskIdentity(machine.Id, "a", 1, machine.DiskPath[1]), DiskIoSettings.Default);
        var changed = (VirtualMachine)Host.ConfigureResources(machine, static old => old with { CpuLimitMhz = 300 }, ["two*"], static old => old with { LimitIops = 70 }).Wait()!;
        Assert.Equal(300, changed.VMResourceConfiguration.CpuLimitMhz);
        Assert.Equal([-1, 70], changed.VMResourceConfiguration.DiskResourceConfiguration.Select(static one => one.DiskLimitIOPerSecond));
        Assert.Equal(70, disk.Settings.LimitIops);
        Assert.Equal(2, Host.Events.Read().Count(static e => e.EventTypeId == "VmReconfiguredEvent"));
        Assert.Single(Host.Events.Read(), static e => e.FullFormattedMessage.Contains("Hard disk 2: 1000 shares (Normal), 70 IOPS at most", StringComparison.Ordinal));
    }

    [Fact]
    public void Resources_of_a_machine_stay_when_those_of_a_disk_are_refused()
    {
        VirtualMachine machine = WithDisks("a", "one.img");
        Host.PowerOn(machine).Wait();
        using DiskIo disk = Host.Services.StorageIo.Attach(new DiskIdentity(machine.Id, "a", 0, machine.DiskPath[0]), DiskIoSettings.Default);
        Host.ConfigureDatastoreIo(_temporary.Folder, static old => old with { LimitIops = 60 }).Wait();
        Refused(static old => old with { LimitIops = -7 }, "limit of -7 I/O");
        Refused(static old => old with { ReservationIops = 61 }, "1 are missing");
        Refused(static old => old, "no disk '2'", "2");
        VMResourceConfiguration now = Host.FindMachine(machine.Id)!.VMResourceConfiguration;
        Assert.Equal((-1, -1), (now.CpuLimitMhz, now.DiskResourceConfiguration[0].DiskLimitIOPerSecond));
        Assert.Equal(DiskIoSettings.Default, disk.Settings);

        void Refused(Func<DiskIoSettings, DiskIoSettings> change, string reason, string name = "1") => Assert.Contains(
            reason, Assert.Throws<InvalidConfigurationException>(() => Host.ConfigureResources(machine, static old => old with { CpuLimitMhz = 300 }, [name], change).Wait()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Other_disks_are_not_a_matter_of_resources_while_the_machine_runs()
    {
        VirtualMachine machine = WithDisks("a", "one.img");
        Host.PowerOn(machine).Wait();
        HardDiskConfiguration other = new() { Path = _temporary.File("two.img") };
        Assert.Contains("powered on", Assert.ThrowsAny<MachineException>(() => Host.Reconfigure(machine, old => old with { Disks = [other] }).Wait()).Message, StringComparison.Ordinal);
        Assert.Contains("powered on", Assert.ThrowsAny<MachineException>(() => Host.Reconfigure(machine, static old => old with { Disks = [old.Disks[0] with { ReadOnly = true }] }).Wait()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_machine_that_another_process_runs_follows_when_that_looks_at_the_folder()
    {
        VirtualMachine machine = WithDisks("a", "one.img");
        using var other = _temporary.OpenAnother();
        other.PowerOn(other.FindMachine(machine.Id)!).Wait();
        using DiskIo disk = other.Services.StorageIo.Attach(new DiskIdentity(machine.Id, "a", 0, machine.DiskPath[0]), DiskIoSettings.Default);
        Set(machine, static old => old with { LimitIops = 70 });
        Host.ConfigureDatastoreIo(Datastore, static old => old with { QueueDepth = 9 }).Wait();
        other.FollowIoControl();
        Assert.Equal((70, 9), (disk.Settings.LimitIops, disk.Datastore.QueueDepth));

        // A file that cannot be read leaves everything as it is.
        File.WriteAllText(Path.Combine(_temporary.Folder, "datastores.json"), "nonsense");
        other.FollowIoControl();
        Assert.Equal(9, disk.Datastore.QueueDepth);
        File.Delete(Path.Combine(_temporary.Folder, "datastores.json"));
        other.FollowIoControl();
        Assert.Equal(64, disk.Datastore.QueueDepth);
    }

    [Fact]
    public void Settings_of_datastores_are_kept_in_the_host_folder()
    {
        _temporary.Create("a");
        var changed = (DatastoreIoControl)Host.ConfigureDatastoreIo(_temporary.Folder, static old => old with { Enabled = true, CongestionThresholdMillisecond = 15 }).Wait()!;
        Assert.Equal((Datastore, true, 15.0), (changed.Datastore, changed.StorageIOControlEnabled, changed.CongestionThresholdMillisecond));
        using var other = _temporary.OpenAnother();
        DatastoreIoControl read = Assert.Single(other.GetDatastoreIoControl());
        Assert.Equal((Datastore, true, 15.0, 64, -1), (read.Datastore, read.StorageIOControlEnabled, read.CongestionThresholdMillisecond, read.QueueDepth, read.LimitIOPerSecond));
        VIEvent happened = Assert.Single(Host.Events.Read(), static e => e.EventTypeId == "DatastoreIORMReconfiguredEvent");
        Assert.Contains("enabled, congestion threshold 15 ms", happened.FullFormattedMessage, StringComparison.Ordinal);
        Assert.Contains("no datastore '/nowhere/at/all'", Assert.Throws<InvalidConfigurationException>(() => Host.ConfigureDatastoreIo("/nowhere/at/all", static old => old).Wait()).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{}", "no schemaVersion")]
    [InlineData("{\"schemaVersion\": 2}", "schemaVersion 2")]
    [InlineData("{\"schemaVersion\": 1, \"datastores\": [{\"name\": \"/\", \"ioControl\": {\"queueDepth\": 1}}]}", "congestion threshold of 0 ms")]
    [InlineData("nonsense", "no settings of datastores that this version reads")]
    public void A_file_of_settings_that_cannot_be_read_is_refused_by_name(string content, string text)
    {
        _temporary.File("x");
        File.WriteAllText(Path.Combine(_temporary.Folder, "datastores.json"), content);
        string message = Assert.ThrowsAny<MachineException>(Host.GetDatastoreIoControl).Message;
        Assert.Contains("datastores.json", message, StringComparison.Ordinal);
        Assert.Contains(text, message, StringComparison.Ordinal);
    }
}
