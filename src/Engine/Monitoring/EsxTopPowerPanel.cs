using System.Diagnostics;
using System.Globalization;

namespace Hypervisor.Engine.Monitoring;

/// <summary>The power panel: what the host tells of its processors' idle states, frequencies and energy.</summary>
internal sealed class EsxTopPowerPanel(HostPowerProbe probe) : EsxTopPanel
{
    /// <summary>The line of the whole host.</summary>
    public const string HostName = "Host";

    private const double MicrosecondsPerSecond = 1e6;

    /// <inheritdoc/>
    public override string Name => "Power";

    /// <inheritdoc/>
    public override Type RowType => typeof(EsxTopPower);

    /// <inheritdoc/>
    /// <remarks>Some ten files for each processor of the host.</remarks>
    internal override bool IsCostly => true;

    /// <inheritdoc/>
    public override IReadOnlyList<IEsxTopCounters> Take()
    {
        long now = (long)(Stopwatch.GetTimestamp() * (MicrosecondsPerSecond / Stopwatch.Frequency));
        IReadOnlyList<HostProcessorPower> processors = probe.ReadProcessors();
        IReadOnlyList<HostPackageEnergy> packages = probe.ReadPackages();
        return
        [
            new EsxTopPowerCounters { Name = HostName, TimeInUsec = now, Missing = HostPowerProbe.Missing(processors, packages), IsHost = true },
            .. packages.Select(package => new EsxTopPowerCounters { Name = package.Name, TimeInUsec = now, EnergyInMicrojoules = package.Microjoules, EnergyRange = package.Range }),
            .. processors.Select(cpu => new EsxTopPowerCounters { Name = $"PCPU {cpu.Number}", TimeInUsec = now, MHz = cpu.MHz, CStates = cpu.IdleStates, PStates = cpu.Frequencies }),
        ];
    }

    /// <inheritdoc/>
    public override IReadOnlyList<IEsxTopRow> Compare(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after, bool expand)
    {
        var earlier = before.OfType<EsxTopPowerCounters>().ToDictionary(static counters => counters.Name);
        EsxTopPower[] rows =
        [
            .. after.OfType<EsxTopPowerCounters>()
                .Where(now => earlier.TryGetValue(now.Name, out EsxTopPowerCounters? then) && now.TimeInUsec > then.TimeInUsec)
                .Select(now => Row(earlier[now.Name], now)),
        ];
        int host = Array.FindIndex(rows, static row => row.Name == HostName);
        if (host < 0)
        {
            return [];
        }

        EsxTopPower[] parts = [.. rows.Where((_, index) => index != host)];
        return expand ? [.. parts.Prepend(Whole(rows[host], parts))] : [Whole(rows[host], parts)];
    }

    /// <inheritdoc/>
    public override IReadOnlyList<string> Summarize(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after)
    {
        if (Compare(before, after, expand: false) is not [EsxTopPower host])
        {
            return [];
        }

        string usage = host.Watts is { } watts ? string.Create(CultureInfo.InvariantCulture, $"Power Usage: {watts:0.0}W") : "Power Usage: not told";
        return host.Missing.Length == 0 ? [usage] : [usage, host.Missing];
    }

    /// <inheritdoc/>
    public override IEnumerable<EsxTopValue> Batch(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after)
    {
        foreach (EsxTopPower row in Compare(before, after, expand: true).Cast<EsxTopPower>())
        {
            string instance = row.Name == HostName ? "Power" : row.Name.StartsWith("PCPU ", StringComparison.Ordinal) ? $"Physical Cpu({row.Name[5..]})" : $"Power({PerfmonCsv.Instance(row.Name)})";
            if (row.Watts is { } watts)
            {
                yield return new EsxTopValue(instance, "Power Usage Now Watts", watts);
            }

            if (row.PctC0 is { } active)
            {
                yield return new EsxTopValue(instance, "% C-State C0", active);
            }

            foreach (EsxTopPowerState state in row.CStates)
            {
                yield return new EsxTopValue(instance, $"% C-State {PerfmonCsv.Instance(state.Name)}", state.Percent);
            }

            foreach (EsxTopPowerState state in row.PStates)
            {
                yield return new EsxTopValue(instance, $"% P-State {PerfmonCsv.Instance(state.Name)}", state.Percent);
            }
        }
    }

    private static EsxTopPower Row(EsxTopPowerCounters before, EsxTopPowerCounters after)
    {
        double microseconds = after.TimeInUsec - before.TimeInUsec;
        double? watts = null;
        if (after.EnergyInMicrojoules is { } now && before.EnergyInMicrojoules is { } then)
        {
            // Microjoules in microseconds are watts.
            watts = (now >= then ? now - then : now + after.EnergyRange - then) / microseconds;
        }

        return new EsxTopPower(after.Name, watts, after.MHz, Residency(before.CStates, after.CStates, microseconds), Residency(before.PStates, after.PStates, microseconds), after.Missing);
    }

    // A state's time is counted when it is left, so that a short interval may see more or less of it than there was.
    private static EsxTopPowerState[] Residency(IReadOnlyList<HostPowerState> before, IReadOnlyList<HostPowerState> after, double microseconds)
    {
        var earlier = before.ToLookup(static state => state.Name);
        return [.. after.Select(state => new EsxTopPowerState(state.Name, Math.Round(Math.Clamp(100.0 * (state.TimeInUsec - (earlier[state.Name].FirstOrDefault()?.TimeInUsec ?? state.TimeInUsec)) / microseconds, 0, 100), 2)))];
    }

    private static EsxTopPower Whole(EsxTopPower host, EsxTopPower[] parts)
    {
        double[] watts = [.. parts.Select(static part => part.Watts).OfType<double>()], mhz = [.. parts.Select(static part => part.MHz).OfType<double>()];
        return new EsxTopPower(
            HostName, watts.Length == 0 ? null : watts.Sum(), mhz.Length == 0 ? null : mhz.Average(),
            Mean(parts.Select(static part => part.CStates)), Mean(parts.Select(static part => part.PStates)), host.Missing);
    }

    // Over the processors that tell at all; one that does not know a state was not in it.
    private static EsxTopPowerState[] Mean(IEnumerable<IReadOnlyList<EsxTopPowerState>> processors)
    {
        IReadOnlyList<EsxTopPowerState>[] telling = [.. processors.Where(static states => states.Count > 0)];
        return [.. telling.SelectMany(static states => states).GroupBy(static state => state.Name).Select(group => new EsxTopPowerState(group.Key, Math.Round(group.Sum(static state => state.Percent) / telling.Length, 2)))];
    }
}
