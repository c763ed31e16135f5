using System.Globalization;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Engine.Monitoring;

/// <summary>The CPU panel: the worlds of the machines that run in this process.</summary>
/// <param name="scheduler">Counts the worlds' time; null on a host without one.</param>
/// <param name="memory">Counts the time in which machines waited for memory.</param>
internal sealed class EsxTopCpuPanel(CpuScheduler? scheduler, Func<HostMemoryStatistics?>? memory = null) : EsxTopPanel
{
    private const long NanosecondsPerMicrosecond = 1000;

    /// <inheritdoc/>
    public override string Name => "Cpu";

    /// <inheritdoc/>
    public override Type RowType => typeof(EsxTopCpu);

    /// <inheritdoc/>
    public override IReadOnlyList<IEsxTopCounters> Take()
    {
        if (scheduler is null)
        {
            return [];
        }

        var waits = (memory?.Invoke()?.Machines ?? []).ToDictionary(static machine => machine.Id, static machine => (long?)machine.Pages?.WaitedTime.TotalMicroseconds);
        return [.. scheduler.Sample().Select(world => CountersOf(world, waits.GetValueOrDefault(world.MachineId)))];
    }

    /// <inheritdoc/>
    public override IReadOnlyList<IEsxTopRow> Compare(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after, bool expand)
    {
        Interval[] intervals = [.. Intervals(before, after)];
        return expand
            ? [.. intervals.Select(static interval => interval.Row())]
            : [.. intervals.GroupBy(static interval => interval.After.GroupId).Select(static group => Sum([.. group]))];
    }

    /// <inheritdoc/>
    public override IReadOnlyList<string> Summarize(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after)
    {
        if (scheduler is null)
        {
            return [];
        }

        EsxTopCpu[] worlds = [.. Intervals(before, after).Select(static interval => interval.Row())];
        int processors = scheduler.Topology.Count;
        return [string.Create(CultureInfo.InvariantCulture,
            $"PCPU: {processors} of {scheduler.Topology.ProcessorMHz} MHz; machines here RUN(%): {worlds.Sum(static world => world.PctRun):0.0} AVG: {worlds.Sum(static world => world.PctRun) / processors:0.0} RDY(%): {worlds.Sum(static world => world.PctReady):0.0}")];
    }

    /// <inheritdoc/>
    public override IEnumerable<EsxTopValue> Batch(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after)
    {
        Interval[] intervals = [.. Intervals(before, after)];
        EsxTopCpu[] groups = [.. intervals.GroupBy(static interval => interval.After.GroupId).Select(static group => Sum([.. group]))];
        if (scheduler is not null)
        {
            yield return new EsxTopValue("Physical Cpu(_Total)", "% Util Time", groups.Sum(static group => group.PctRun) / scheduler.Topology.Count);
        }

        foreach (EsxTopCpu group in groups)
        {
            string instance = $"Group Cpu({group.Id}:{PerfmonCsv.Instance(group.Name)})";
            yield return new EsxTopValue(instance, "Members", group.NumWorlds);
            foreach (EsxTopValue value in Values(instance, group))
            {
                yield return value;
            }
        }

        foreach (Interval interval in intervals)
        {
            EsxTopCpuCounters world = interval.After;
            string name = PerfmonCsv.Instance(world.Name);
            foreach (EsxTopValue value in Values($"Vcpu({world.GroupId}:{name}:{world.WorldId}:{PerfmonCsv.Instance(world.WorldName)})", interval.Row()))
            {
                yield return value;
            }
        }
    }

    private static EsxTopCpuCounters CountersOf(WorldSample sample, long? groupSwapWait)
    {
        WorldTimes times = sample.Times;

        // Each is rounded by itself, so that none of the counters ever falls. Their sum is some microseconds short of the whole.
        long up = sample.Age / NanosecondsPerMicrosecond, run = times.Run / NanosecondsPerMicrosecond,
            ready = times.Ready / NanosecondsPerMicrosecond, coStop = times.CoStop / NanosecondsPerMicrosecond;
        return new EsxTopCpuCounters
        {
            Name = sample.MachineName,
            GroupId = sample.GroupId,
            WorldId = sample.GroupId + sample.Index + 1,
            WorldName = $"vmx-vcpu-{sample.Index}:{sample.MachineName}",
            VMId = sample.MachineId,
            UpTimeInUsec = up,
            UsedTimeInUsec = sample.Used / NanosecondsPerMicrosecond,
            RunTimeInUsec = run,
            ReadyTimeInUsec = ready,
            CoStopTimeInUsec = coStop,
            WaitTimeInUsec = times.Wait / NanosecondsPerMicrosecond,
            IdleTimeInUsec = times.Idle / NanosecondsPerMicrosecond,
            MaxLimitedTimeInUsec = times.Limited / NanosecondsPerMicrosecond,
            GroupSwapWaitTimeInUsec = groupSwapWait,
            Dispatches = times.Dispatches,
            Migrations = times.Migrations,
            HomeNode = sample.HomeNode,
            LargestSkewInUsec = sample.LargestSkew / NanosecondsPerMicrosecond,
        };
    }

    private static IEnumerable<Interval> Intervals(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after)
    {
        var earlier = before.OfType<EsxTopCpuCounters>().ToDictionary(static counters => counters.WorldId);
        EsxTopCpuCounters[] worlds = [.. after.OfType<EsxTopCpuCounters>()];
        ILookup<int, EsxTopCpuCounters> groups = worlds.ToLookup(static world => world.GroupId);
        return worlds
            .Select(now => new Interval(earlier.GetValueOrDefault(now.WorldId), now, IsAlone: groups[now.GroupId].Count() == 1))
            .Where(static interval => interval.Time > 0);
    }

    private static EsxTopCpu Sum(Interval[] worlds)
    {
        EsxTopCpu[] rows = [.. worlds.Select(static world => world.Row())];
        EsxTopCpuCounters first = worlds[0].After;
        return new EsxTopCpu(
            first, first.Name, first.GroupId, rows.Length, Total(static row => row.PctUsed), Total(static row => row.PctRun), Total(static row => row.PctReady),
            Total(static row => row.PctCoStop), Total(static row => row.PctWait), Total(static row => row.PctIdle), Total(static row => row.PctMaxLimited),
            worlds[0].GroupSwapWait);

        // Hundredths, as what is added has them: sums of doubles have more digits.
        double Total(Func<EsxTopCpu, double> of) => Math.Round(rows.Sum(of), 2);
    }

    private static IEnumerable<EsxTopValue> Values(string instance, EsxTopCpu row)
    {
        yield return new EsxTopValue(instance, "% Used", row.PctUsed);
        yield return new EsxTopValue(instance, "% Run", row.PctRun);
        yield return new EsxTopValue(instance, "% System", row.PctSys);
        yield return new EsxTopValue(instance, "% Wait", row.PctWait);
        yield return new EsxTopValue(instance, "% VmWait", row.PctVMWait);
        yield return new EsxTopValue(instance, "% Ready", row.PctReady);
        yield return new EsxTopValue(instance, "% Idle", row.PctIdle);
        yield return new EsxTopValue(instance, "% Overlap", row.PctOverlap);
        yield return new EsxTopValue(instance, "% CoStop", row.PctCoStop);
        yield return new EsxTopValue(instance, "% Max Limited", row.PctMaxLimited);
        if (row.PctSwapWait is { } swapWait)
        {
            yield return new EsxTopValue(instance, "% Swap Wait", swapWait);
        }
    }

    private sealed record Interval(EsxTopCpuCounters? Before, EsxTopCpuCounters After, bool IsAlone)
    {
        // Of the wall time of one processor, as everything else; all worlds of the machine together.
        public double? GroupSwapWait => After.GroupSwapWaitTimeInUsec is { } now ? Math.Round(100.0 * (now - (Before?.GroupSwapWaitTimeInUsec ?? 0)) / Time, 2) : null;

        public long Time => After.UpTimeInUsec - (Before?.UpTimeInUsec ?? 0);

        public EsxTopCpu Row() => new(
            After,
            After.WorldName,
            After.WorldId,
            1,
            Percent(static counters => counters.UsedTimeInUsec),
            Percent(static counters => counters.RunTimeInUsec),
            Percent(static counters => counters.ReadyTimeInUsec),
            Percent(static counters => counters.CoStopTimeInUsec),
            Percent(static counters => counters.WaitTimeInUsec),
            Percent(static counters => counters.IdleTimeInUsec),
            Percent(static counters => counters.MaxLimitedTimeInUsec),
            IsAlone ? GroupSwapWait : null);

        private double Percent(Func<EsxTopCpuCounters, long> counter) =>
            Math.Round(100.0 * (counter(After) - (Before is null ? 0 : counter(Before))) / Time, 2);
    }
}
