using Hypervisor.Engine.Monitoring;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Tests.Unit.Monitoring;

public sealed class EsxTopDiskTests : IDisposable
{
    private readonly StorageIoControl _storage = new();
    private readonly List<DiskIo> _disks = [];

    public void Dispose()
    {
        _disks.ForEach(static disk => disk.Dispose());
        _storage.Dispose();
    }

    private DiskIo Attach(Guid machine, string name, int index)
    {
        DiskIo disk = _storage.Attach(new DiskIdentity(machine, name, index, Path.Combine(Path.GetTempPath(), $"{name}{index}")), DiskIoSettings.Default);
        _disks.Add(disk);
        return disk;
    }

    private static void Do(DiskIo disk, IoKind kind, int count, bool succeeded = true)
    {
        for (int i = 0; i < count; i++)
        {
            var request = new Request();
            Assert.True(disk.Submit(request, kind, 4096));
            disk.End(request, succeeded);
        }
    }

    [Fact]
    public void Disks_are_shown_by_datastore_by_machine_and_all_together()
    {
        Guid a = Guid.NewGuid(), b = Guid.NewGuid();
        DiskIo first = Attach(a, "a", 0), second = Attach(a, "a", 1), other = Attach(b, "b", 0);
        EsxTopDiskPanel[] panels = [.. Enum.GetValues<EsxTopDiskPanel.Kind>().Select(kind => new EsxTopDiskPanel(_storage, kind))];
        IReadOnlyList<IEsxTopCounters>[] before = [.. panels.Select(static panel => panel.Take())];
        Do(first, IoKind.Read, 30);
        Do(second, IoKind.Write, 20, succeeded: false);
        Do(other, IoKind.Read, 50);
        Assert.True(other.Submit(new Request(), IoKind.Read, 512));
        IReadOnlyList<IEsxTopCounters>[] after = [.. panels.Select(static panel => panel.Take())];

        EsxTopDisk[] Rows(int panel, bool expand) => [.. panels[panel].Compare(before[panel], after[panel], expand).Cast<EsxTopDisk>()];
        EsxTopDisk device = Assert.Single(Rows(0, expand: false));
        Assert.Equal((first.Datastore.Name, 64, 1, 0), (device.Name, device.QueueDepth, device.Active, device.Queued));
        Assert.Equal(1.56, device.PctUsed);
        Assert.Equal(4, device.ReadsPerSec / device.WritesPerSec, 0.05);
        Assert.Equal(device.WritesPerSec, device.FailedCommandsPerSec);
        Assert.True(device.DeviceLatency >= 0 && device.GuestLatency >= device.DeviceLatency);
        Assert.Equal(["a: Hard disk 1", "a: Hard disk 2", "b: Hard disk 1"], Rows(0, expand: true).Select(static row => row.Name));
        Assert.Equal("vmhba0", Assert.Single(Rows(1, expand: false)).Name);
        Assert.Equal(first.Datastore.Name, Assert.Single(Rows(1, expand: true)).Device);
        Assert.Equal([("a", 2), ("b", 1)], Rows(2, expand: false).Cast<EsxTopVMDisk>().Select(static row => (row.Name, row.NumDisks)));
        Assert.Equal(["Hard disk 1", "Hard disk 2", "Hard disk 1"], Rows(2, expand: true).Select(static row => row.Device));
        Assert.Equal(0, Rows(2, expand: true)[0].WritesPerSec);
    }

    [Fact]
    public void All_rates_of_a_line_divide_by_the_same_time()
    {
        DiskIo disk = Attach(Guid.NewGuid(), "a", 0);
        var panel = new EsxTopDiskPanel(_storage, EsxTopDiskPanel.Kind.VMDisk);
        IReadOnlyList<IEsxTopCounters> before = panel.Take();
        Do(disk, IoKind.Write, 100_000, succeeded: false);

        // Every interval is another number of microseconds, and some of them no double holds exactly as seconds.
        for (int i = 0; i < 200; i++)
        {
            var row = (EsxTopVMDisk)Assert.Single(panel.Compare(before, panel.Take(), expand: false));
            Assert.Equal(row.WritesPerSec, row.FailedCommandsPerSec);
        }
    }

    [Fact]
    public void Batch_mode_has_esxtops_columns()
    {
        DiskIo disk = Attach(Guid.NewGuid(), "web (1)", 0);
        IReadOnlyList<EsxTopDiskPanel> panels = [.. Enum.GetValues<EsxTopDiskPanel.Kind>().Select(kind => new EsxTopDiskPanel(_storage, kind))];
        IReadOnlyList<IEsxTopCounters>[] before = [.. panels.Select(static panel => panel.Take())];
        Do(disk, IoKind.Write, 5);
        string heading = new PerfmonCsv("h").Lines(DateTime.UtcNow, panels.SelectMany((panel, i) => panel.Batch(before[i], panel.Take()))).First();
        string device = PerfmonCsv.Instance(disk.Datastore.Name);
        foreach (string column in (string[])
            [
                $@"\\h\Physical Disk SCSI Device({device})\Device Q Depth", $@"\\h\Physical Disk SCSI Device({device})\Average Kernel MilliSec/Command",
                @"\\h\Physical Disk Adapter(vmhba0)\Average Driver MilliSec/Command", @"\\h\Physical Disk Adapter(vmhba0)\MBytes Written/sec",
                @"\\h\Virtual Disk(web [1])\Commands/sec", @"\\h\Virtual Disk(web [1]:scsi0:0)\Average MilliSec/Write",
            ])
        {
            Assert.Contains($"\"{column}\"", heading, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_disk_that_came_in_the_middle_counts_from_then_and_a_restarted_one_from_its_start()
    {
        var machine = Guid.NewGuid();
        var panel = new EsxTopDiskPanel(_storage, EsxTopDiskPanel.Kind.VMDisk);
        DiskIo disk = Attach(machine, "a", 0);
        Do(disk, IoKind.Read, 1000);
        IReadOnlyList<IEsxTopCounters> before = panel.Take();
        disk.Dispose();
        Do(Attach(machine, "a", 0), IoKind.Read, 10);
        // Panels count up-time in whole microseconds and leave out what has none yet.
        Thread.Sleep(2);
        Assert.True(Assert.IsType<EsxTopVMDisk>(Assert.Single(panel.Compare(before, panel.Take(), expand: true))).ReadsPerSec > 0);
        Assert.Empty(panel.Compare(before, [], expand: false));
        Assert.Empty(new EsxTopDiskPanel(new StorageIoControl(), EsxTopDiskPanel.Kind.Adapter).Compare([], [], expand: false));
    }

    private sealed class Request : IoRequest
    {
        protected internal override void Granted()
        {
        }
    }
}
