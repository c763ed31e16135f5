using System.Globalization;
using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Monitoring;

/// <summary>The memory panel: a line for each machine that runs in this process, and the host above.</summary>
/// <param name="memory">How machines use memory; null on a host that does not manage it.</param>
/// <param name="groupOf">Number of a machine's group of worlds.</param>
internal sealed class EsxTopMemoryPanel(Func<HostMemoryStatistics?> memory, Func<Guid, int?> groupOf) : EsxTopPanel
{
    /// <inheritdoc/>
    public override string Name => "Memory";

    /// <inheritdoc/>
    public override Type RowType => typeof(EsxTopMemory);

    /// <inheritdoc/>
    public override IReadOnlyList<IEsxTopCounters> Take()
    {
        if (memory() is not { } host)
        {
            return [];
        }

        long sharing = host.SharedPages - host.ZeroPages;
        double framesPerPage = sharing <= 0 ? 0 : Math.Min(1, (double)host.SharedFrames / sharing);
        return [new EsxTopMemoryHostCounters(host), .. host.Machines.Select(machine => new EsxTopMemoryCounters(machine, groupOf(machine.Id), framesPerPage))];
    }

    /// <inheritdoc/>
    /// <remarks>Worlds of a machine have its memory together; expanded or not, the lines are the same.</remarks>
    public override IReadOnlyList<IEsxTopRow> Compare(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after, bool expand) => Rows(before, after);

    /// <inheritdoc/>
    public override IReadOnlyList<string> Summarize(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after)
    {
        if (after.OfType<EsxTopMemoryHostCounters>().FirstOrDefault() is not { } host)
        {
            return [];
        }

        Totals all = new(Rows(before, after));
        string state = host.Statistics.State.ToString();
        return
        [
            Line($"MEM overcommit avg: {string.Join(", ", host.OvercommitAverages.Select(static average => average.ToString("0.00", CultureInfo.InvariantCulture)))}"),
            Line($"PMEM  /MB: {MB(host.BudgetBytes),7:0} total, {MB(host.FreeBytes),7:0} free: {MB(host.Statistics.ConsumedBytes),7:0} machines, {MB(host.Statistics.OverheadBytes),5:0} overhead, {MB(host.Statistics.OthersBytes),5:0} other, {MB(host.SharedCommonBytes),5:0} common"),
            Line($"VMKMEM/MB: {MB(host.BudgetBytes),7:0} managed: {MB(host.MinFreeBytes),5:0} minfree, {MB(host.ReservedBytes),5:0} rsvd, {MB(host.BudgetBytes - host.ReservedBytes),5:0} ursvd, {char.ToLowerInvariant(state[0])}{state[1..]} state"),
            Line($"PSHARE/MB: {MB(host.SharedBytes),7:0} shared, {MB(host.SharedCommonBytes),7:0} common: {MB(host.SharedSavedBytes),7:0} saving"),
            Line($"SWAP  /MB: {all.Swapped,7:0} curr, {all.SwapTarget,9:0} target: {all.SwapRead,9:0.00} r/s, {all.SwapWritten,7:0.00} w/s"),
            Line($"ZIP   /MB: {all.Zipped,7:0} zipped, {all.Saved,7:0} saved"),
            Line($"MEMCTL/MB: {all.Memctl,7:0} curr, {all.MemctlTarget,9:0} target, {all.MemctlMax,7:0} max"),
        ];
    }

    /// <inheritdoc/>
    public override IEnumerable<EsxTopValue> Batch(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after)
    {
        EsxTopMemory[] rows = Rows(before, after);
        IEnumerable<EsxTopValue> host = after.OfType<EsxTopMemoryHostCounters>().SelectMany(counters => HostValues(counters, new Totals(rows)));
        return host.Concat(rows.SelectMany(static row => MachineValues(row).Select(value => new EsxTopValue(Instance(row), value.Counter, value.Value ?? double.NaN))));
    }

    private static string Instance(EsxTopMemory row) =>
        $"Group Memory({(row.GroupId is { } group ? string.Create(CultureInfo.InvariantCulture, $"{group}:") : "")}{PerfmonCsv.Instance(row.Name)})";

    private static IEnumerable<EsxTopValue> HostValues(EsxTopMemoryHostCounters host, Totals all)
    {
        const string Instance = "Memory";
        string[] minutes = ["1", "5", "15"];
        for (int i = 0; i < minutes.Length; i++)
        {
            yield return new EsxTopValue(Instance, $"Memory Overcommit ({minutes[i]} Minute Avg)", host.OvercommitAverages[i]);
        }

        yield return new EsxTopValue(Instance, "Machine MBytes", MB(host.BudgetBytes));
        yield return new EsxTopValue(Instance, "NonKernel MBytes", MB(host.UsedBytes));
        yield return new EsxTopValue(Instance, "Free MBytes", MB(host.FreeBytes));
        yield return new EsxTopValue(Instance, "Kernel Managed MBytes", MB(host.BudgetBytes));
        yield return new EsxTopValue(Instance, "Kernel MinFree MBytes", MB(host.MinFreeBytes));
        yield return new EsxTopValue(Instance, "Kernel Reserved MBytes", MB(host.ReservedBytes));
        yield return new EsxTopValue(Instance, "Kernel Unreserved MBytes", MB(host.BudgetBytes - host.ReservedBytes));

        // A number in CSV: 0 high, 1 clear, 2 soft, 3 hard, 4 low.
        yield return new EsxTopValue(Instance, "Kernel State", (int)host.Statistics.State);
        yield return new EsxTopValue(Instance, "PShare Shared MBytes", MB(host.SharedBytes));
        yield return new EsxTopValue(Instance, "PShare Common MBytes", MB(host.SharedCommonBytes));
        yield return new EsxTopValue(Instance, "PShare Savings MBytes", MB(host.SharedSavedBytes));
        yield return new EsxTopValue(Instance, "Swap Used MBytes", all.Swapped);
        yield return new EsxTopValue(Instance, "Swap Target MBytes", all.SwapTarget);
        yield return new EsxTopValue(Instance, "Swap MBytes Read/sec", all.SwapRead);
        yield return new EsxTopValue(Instance, "Swap MBytes Write/sec", all.SwapWritten);
        yield return new EsxTopValue(Instance, "Compressed Memory MBytes", all.Zipped);
        yield return new EsxTopValue(Instance, "Compression Saved MBytes", all.Saved);
        yield return new EsxTopValue(Instance, "Memctl Current MBytes", all.Memctl);
        yield return new EsxTopValue(Instance, "Memctl Target MBytes", all.MemctlTarget);
        yield return new EsxTopValue(Instance, "Memctl Max MBytes", all.MemctlMax);
    }

    private static (string Counter, double? Value)[] MachineValues(EsxTopMemory row) =>
    [
        ("Memory Size MBytes", row.MemorySizeMB),
        ("Memory Granted Size MBytes", row.GrantedMB),
        ("Memory Consumed Size MBytes", row.ConsumedMB),
        ("Target Size MBytes", row.TargetSizeMB),
        ("Touched MBytes", row.TouchedMB),
        ("% Active Estimate", row.PctActive),
        ("% Active Slow Estimate", row.PctActiveSlow),
        ("% Active Fast Estimate", row.PctActiveFast),
        ("% Active Next Estimate", row.PctActiveNext),
        ("Memctl MBytes", row.MemctlMB),
        ("Memctl Target MBytes", row.MemctlTargetMB),
        ("Memctl Max MBytes", row.MemctlMaxMB),
        ("Swapped MBytes", row.SwappedMB),
        ("Swap Target MBytes", row.SwapTargetMB),
        ("Swap Read MBytes/sec", row.SwapReadMBPerSec),
        ("Swap Written MBytes/sec", row.SwapWrittenMBPerSec),
        ("Compression Cache Size MBytes", row.CacheSizeMB),
        ("Compression Cache Used MBytes", row.CacheUsedMB),
        ("Compressed Memory MBytes", row.ZippedMB),
        ("Compression MBytes/sec", row.ZipMBPerSec),
        ("Decompression MBytes/sec", row.UnzipMBPerSec),
        ("Zero MBytes", row.ZeroMB),
        ("Shared MBytes", row.SharedMB),
        ("Shared Saved MBytes", row.SharedSavedMB),
        ("Large Pages MBytes", row.LargePagesMB),
        ("Overhead MBytes", row.OverheadMB),
        ("Overhead Max MBytes", row.OverheadMaxMB),
    ];

    // Machines match by the run: one that was powered on again in between counts from then.
    private static EsxTopMemory[] Rows(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after)
    {
        var earlier = before.OfType<EsxTopMemoryCounters>().ToDictionary(static counters => counters.Statistics.Run);
        return
        [
            .. after.OfType<EsxTopMemoryCounters>()
                .Select(now => (Before: earlier.GetValueOrDefault(now.Statistics.Run), After: now))
                .Where(static pair => pair.After.UpTimeInUsec > (pair.Before?.UpTimeInUsec ?? 0))
                .Select(static pair => new EsxTopMemory(pair.Before, pair.After)),
        ];
    }

    private static double MB(long bytes) => EsxTopMemory.MB(bytes);

    private static string Line(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    /// <summary>All machines together. What a backend does not say counts for nothing.</summary>
    private sealed class Totals(EsxTopMemory[] rows)
    {
        public double Swapped => rows.Sum(static row => row.SwappedMB) ?? 0;

        public double SwapTarget => rows.Sum(static row => row.SwapTargetMB) ?? 0;

        public double SwapRead => rows.Sum(static row => row.SwapReadMBPerSec) ?? 0;

        public double SwapWritten => rows.Sum(static row => row.SwapWrittenMBPerSec) ?? 0;

        public double Zipped => rows.Sum(static row => row.ZippedMB) ?? 0;

        public double Saved => rows.Sum(static row => row.ZippedMB - row.CacheUsedMB) ?? 0;

        public double Memctl => rows.Sum(static row => row.MemctlMB);

        public double MemctlTarget => rows.Sum(static row => row.MemctlTargetMB);

        public double MemctlMax => rows.Sum(static row => row.MemctlMaxMB);
    }
}
