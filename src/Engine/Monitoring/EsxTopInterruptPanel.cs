using System.Diagnostics;
using Hypervisor.Engine.Devices.Interrupts;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Monitoring;

/// <summary>
/// The interrupt panel: how often devices interrupt the machines of this process, and how many interrupts the virtual processors took.
/// The host's own interrupts are the operating system's affair and not shown; nor is the time that guests spend on theirs, which
/// nobody here sees.
/// </summary>
internal sealed class EsxTopInterruptPanel(Func<IReadOnlyList<IMachine>> machines) : EsxTopPanel
{
    private const double MicrosecondsPerSecond = 1e6;

    /// <inheritdoc/>
    public override string Name => "Interrupt";

    /// <inheritdoc/>
    public override Type RowType => typeof(EsxTopInterrupt);

    /// <inheritdoc/>
    public override IReadOnlyList<IEsxTopCounters> Take()
    {
        long now = (long)(Stopwatch.GetTimestamp() * (MicrosecondsPerSecond / Stopwatch.Frequency));
        return [.. machines().SelectMany(machine => Of(machine, now))];
    }

    /// <inheritdoc/>
    public override IReadOnlyList<IEsxTopRow> Compare(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after, bool expand)
    {
        IEnumerable<Interval> intervals = Intervals(before, after);
        return expand
            ? [.. intervals.Select(static interval => interval.Row())]
            : [.. intervals.GroupBy(static interval => interval.After.Instance).Select(static machine => Sum([.. machine]))];
    }

    /// <inheritdoc/>
    public override IEnumerable<EsxTopValue> Batch(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after)
    {
        IEnumerable<EsxTopInterrupt> rows = Compare(before, after, expand: false).Concat(Compare(before, after, expand: true)).Cast<EsxTopInterrupt>();
        foreach (EsxTopInterrupt row in rows)
        {
            string name = PerfmonCsv.Instance(row.Name);
            string instance = row.Vector.Length == 0 ? $"Group Interrupt({name})" : $"Interrupt({name}:{row.Vector}:{PerfmonCsv.Instance(row.Device)})";
            if (row.CountPerSec is { } raised)
            {
                yield return new EsxTopValue(instance, "Interrupts/sec", raised);
            }

            if (row.DeliveredPerSec is { } delivered)
            {
                yield return new EsxTopValue(instance, "Delivered/sec", delivered);
            }
        }
    }

    private static IEnumerable<EsxTopInterruptCounters> Of(IMachine machine, long now)
    {
        foreach (InterruptSourceSample source in machine.GetInterruptSources())
        {
            yield return new EsxTopInterruptCounters(machine) { TimeInUsec = now, Vector = source.Vector, Device = source.Device, Raised = source.Count };
        }

        foreach (VirtualProcessorCounters processor in machine.GetProcessorCounters())
        {
            yield return new EsxTopInterruptCounters(machine) { TimeInUsec = now, Vector = $"VCPU {processor.Index}", Device = "all, timers too", Delivered = processor.Interrupts };
        }
    }

    // A machine, or a source, that is not in the earlier snapshot counts from nothing at that time.
    private static IEnumerable<Interval> Intervals(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after)
    {
        var earlier = before.OfType<EsxTopInterruptCounters>().ToDictionary(static counters => (counters.Instance, counters.Vector, DeviceOf(counters)));
        if (before.OfType<EsxTopInterruptCounters>().FirstOrDefault()?.TimeInUsec is not { } start)
        {
            // Nothing ran then: without a time there is no rate yet.
            return [];
        }

        return after.OfType<EsxTopInterruptCounters>()
            .Select(now => new Interval(earlier.GetValueOrDefault((now.Instance, now.Vector, DeviceOf(now))), now, now.TimeInUsec - start))
            .Where(static interval => interval.Time > 0);
    }

    // A driver may change what it uses a vector for; the device is still the same.
    private static string DeviceOf(EsxTopInterruptCounters counters) => counters.Device.Split(',')[0];

    private static EsxTopInterrupt Sum(Interval[] parts)
    {
        double[] raised = [.. parts.Select(static part => part.Row().CountPerSec).OfType<double>()], delivered = [.. parts.Select(static part => part.Row().DeliveredPerSec).OfType<double>()];
        return new EsxTopInterrupt(parts[0].After.Name, "", $"{raised.Length} {(raised.Length == 1 ? "source" : "sources")}", raised.Sum(), delivered.Length == 0 ? null : delivered.Sum());
    }

    private sealed record Interval(EsxTopInterruptCounters? Before, EsxTopInterruptCounters After, long Time)
    {
        public EsxTopInterrupt Row() => new(
            After.Name, After.Vector, After.Device,
            (After.Raised - (Before?.Raised ?? 0)) * MicrosecondsPerSecond / Time, (After.Delivered - (Before?.Delivered ?? 0)) * MicrosecondsPerSecond / Time);
    }
}
