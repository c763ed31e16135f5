using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Engine.Monitoring;

/// <summary>
/// The disk panels over the counters that storage keeps: Disk (esxtop's u: a line for each datastore, expanded for each disk on it), Adapter
/// (d: the host's one way to storage, expanded for each datastore) and VMDisk (v: a line for each machine, expanded for each disk).
/// </summary>
internal sealed class EsxTopDiskPanel(StorageIoControl storage, EsxTopDiskPanel.Kind kind) : EsxTopPanel
{
    /// <summary>What esxtop would call the adapter: all datastores are reached through the process's file access.</summary>
    public const string AdapterName = "vmhba0";

    /// <summary>Which of the panels.</summary>
    internal enum Kind
    {
        /// <summary>By datastore.</summary>
        Disk,
        /// <summary>All together.</summary>
        Adapter,
        /// <summary>By machine.</summary>
        VMDisk,
    }

    /// <inheritdoc/>
    public override string Name => kind.ToString();

    /// <inheritdoc/>
    public override Type RowType => kind == Kind.VMDisk ? typeof(EsxTopVMDisk) : typeof(EsxTopDisk);

    /// <inheritdoc/>
    public override IReadOnlyList<IEsxTopCounters> Take()
    {
        IReadOnlyList<DatastoreIo> datastores = storage.Datastores;
        IEnumerable<EsxTopDiskCounters> devices = kind == Kind.VMDisk ? [] : datastores.Select(static datastore => new EsxTopDiskCounters(datastore));
        IEnumerable<EsxTopDiskCounters> disks = kind == Kind.Adapter ? [] : datastores.SelectMany(static datastore => datastore.Disks).Select(static disk => new EsxTopDiskCounters(disk));
        return [.. devices.OrderBy(static device => device.Name, DatastoreName.Comparer), .. disks.OrderBy(static disk => disk.Name, StringComparer.OrdinalIgnoreCase).ThenBy(static disk => disk.Disk, StringComparer.Ordinal)];
    }

    /// <inheritdoc/>
    public override IReadOnlyList<IEsxTopRow> Compare(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after, bool expand)
    {
        Interval[] intervals = [.. Intervals(before, after)];
        Interval[] devices = [.. intervals.Where(static interval => interval.After.VMId is null)], disks = [.. intervals.Where(static interval => interval.After.VMId is not null)];
        return (kind, expand) switch
        {
            (Kind.Adapter, false) => devices.Length == 0 ? [] : [Row(AdapterName, AdapterName, devices)],
            (Kind.Adapter, true) => [.. devices.Select(static device => Row(AdapterName, device.After.Datastore, [device]))],
            (Kind.Disk, false) => [.. devices.Select(static device => Row(device.After.Name, device.After.Datastore, [device]))],
            (Kind.Disk, true) => [.. disks.Select(static disk => Row($"{disk.After.Name}: {disk.After.Disk}", disk.After.Datastore, [disk], disk.After.Datastore))],
            (_, false) => [.. disks.GroupBy(static disk => disk.After.VMId).Select(static machine => VMRow(machine.First().After.Name, "", [.. machine]))],
            (_, true) => [.. disks.Select(static disk => VMRow(disk.After.Name, disk.After.Disk!, [disk]))],
        };
    }

    /// <inheritdoc/>
    public override IEnumerable<EsxTopValue> Batch(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after)
    {
        IEnumerable<EsxTopDisk> whole = Compare(before, after, expand: false).Cast<EsxTopDisk>();
        return kind switch
        {
            Kind.Adapter => whole.SelectMany(static row => Common($"Physical Disk Adapter({PerfmonCsv.Instance(row.Name)})", row).Concat(Latencies($"Physical Disk Adapter({PerfmonCsv.Instance(row.Name)})", row))),
            Kind.Disk => whole.SelectMany(static row => Device($"Physical Disk SCSI Device({PerfmonCsv.Instance(row.Name)})", row)),
            _ => whole.Concat(Compare(before, after, expand: true).Cast<EsxTopDisk>()).Cast<EsxTopVMDisk>().SelectMany(VirtualDisk),
        };
    }

    private static IEnumerable<EsxTopValue> Device(string instance, EsxTopDisk row) =>
    [
        new(instance, "Device Q Depth", row.QueueDepth), new(instance, "Active Commands", row.Active), new(instance, "Queued Commands", row.Queued),
        new(instance, "% Used", row.PctUsed), new(instance, "Load", row.Load), .. Common(instance, row), .. Latencies(instance, row),
    ];

    private static IEnumerable<EsxTopValue> VirtualDisk(EsxTopVMDisk row)
    {
        string name = PerfmonCsv.Instance(row.Name), instance = row.Address is null ? $"Virtual Disk({name})" : $"Virtual Disk({name}:{row.Address})";
        return
        [
            .. Common(instance, row), new(instance, "Average MilliSec/Read", row.ReadLatency), new(instance, "Average MilliSec/Write", row.WriteLatency),
        ];
    }

    private static IEnumerable<EsxTopValue> Common(string instance, EsxTopDisk row) =>
    [
        new(instance, "Commands/sec", row.CommandsPerSec), new(instance, "Reads/sec", row.ReadsPerSec), new(instance, "Writes/sec", row.WritesPerSec),
        new(instance, "MBytes Read/sec", row.MBReadPerSec), new(instance, "MBytes Written/sec", row.MBWrittenPerSec),
    ];

    private static IEnumerable<EsxTopValue> Latencies(string instance, EsxTopDisk row) =>
    [
        new(instance, "Average Driver MilliSec/Command", row.DeviceLatency), new(instance, "Average Kernel MilliSec/Command", row.KernelLatency),
        new(instance, "Average Guest MilliSec/Command", row.GuestLatency), new(instance, "Average Queue MilliSec/Command", row.QueueLatency),
        new(instance, "Failed Commands/sec", row.FailedCommandsPerSec), new(instance, "Aborts/sec", row.AbortsPerSec),
    ];

    private static IEnumerable<Interval> Intervals(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after)
    {
        var earlier = before.OfType<EsxTopDiskCounters>().ToDictionary(static counters => counters.Instance);
        return after.OfType<EsxTopDiskCounters>().Select(now => new Interval(earlier.GetValueOrDefault(now.Instance), now)).Where(static interval => interval.Time > 0);
    }

    private static EsxTopDisk Row(string name, string device, Interval[] parts, string? group = null)
    {
        (DiskIoRates rates, double failed) = Sum(parts);
        return new EsxTopDisk(name, device, parts[0].After, rates, failed, group);
    }

    private static EsxTopVMDisk VMRow(string name, string device, Interval[] parts, string? group = null)
    {
        (DiskIoRates rates, double failed) = Sum(parts);
        return new EsxTopVMDisk(name, device, parts.Length, parts[0].After, rates, failed);
    }

    private static (DiskIoRates Rates, double Failed) Sum(Interval[] parts)
    {
        DiskIoStatistics before = default, after = default;
        foreach (Interval part in parts)
        {
            before += part.Before?.Statistics ?? default;
            after += part.After.Statistics;
        }

        // Disks of a machine, or datastores, that came at different times: the longest is the interval of all.
        // In ticks, so that all rates divide by the same number: seconds as a double lose a tick now and then on their way into a TimeSpan.
        var elapsed = TimeSpan.FromTicks(parts.Max(static part => part.Time) * TimeSpan.TicksPerMicrosecond);
        return (new DiskIoRates(before, after, elapsed), (after.Errors - before.Errors) / elapsed.TotalSeconds);
    }

    private sealed record Interval(EsxTopDiskCounters? Before, EsxTopDiskCounters After)
    {
        public long Time => After.UpTimeInUsec - (Before?.UpTimeInUsec ?? 0);
    }
}
