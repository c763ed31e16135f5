using System.Globalization;

namespace Hypervisor.Engine.Monitoring;

/// <summary>What the host tells of the power of a processor or a package: the raw counters of the power panel.</summary>
public sealed class EsxTopPowerCounters : IEsxTopCounters
{
    /// <summary><c>Host</c>, <c>PCPU 0</c>, or a package such as <c>package-0</c>.</summary>
    public required string Name { get; init; }

    /// <summary>When this was read, on a clock that only grows, µs.</summary>
    public required long TimeInUsec { get; init; }

    /// <summary>Energy used, microjoules, a counter that begins again at <see cref="EnergyRange"/>; null when the host does not tell it.</summary>
    public long? EnergyInMicrojoules { get; init; }

    /// <summary>Where that counter begins again, microjoules.</summary>
    public long EnergyRange { get; init; }

    /// <summary>Frequency now, MHz; null when not told.</summary>
    public double? MHz { get; init; }

    /// <summary>Time in each idle state since the host booted.</summary>
    public IReadOnlyList<HostPowerState> CStates { get; init; } = [];

    /// <summary>Time at each frequency (MHz) since the host booted.</summary>
    public IReadOnlyList<HostPowerState> PStates { get; init; } = [];

    /// <summary>Of the host: what it does not tell; empty for others.</summary>
    public string Missing { get; init; } = "";

    internal bool IsHost { get; init; }
}

/// <summary>Part of the time in a state.</summary>
/// <param name="Name">Such as <c>C1E</c>, or MHz.</param>
/// <param name="Percent">Percent of the interval.</param>
public sealed record EsxTopPowerState(string Name, double Percent)
{
    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Name} {Percent:0.0}");
}

/// <summary>A line of the power panel: the host, or expanded each of its processors and packages. What the host does not tell is null.</summary>
public sealed class EsxTopPower : IEsxTopRow
{
    internal EsxTopPower(string name, double? watts, double? mhz, IReadOnlyList<EsxTopPowerState> cStates, IReadOnlyList<EsxTopPowerState> pStates, string missing)
    {
        (Name, Watts, MHz, CStates, PStates, Missing) = (name, Rounded(watts), Rounded(mhz), cStates, pStates, missing);

        // Polling is a state of Linux's, not of the processor: it executes instructions then (C0).
        PctC0 = cStates.Count == 0 ? null : Math.Round(Math.Max(0, 100 - cStates.Where(static state => state.Name != "POLL").Sum(static state => state.Percent)), 2);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>WATTS: mean of the interval.</summary>
    public double? Watts { get; }

    /// <summary>MHZ: frequency at the end of the interval; of the host the mean of its processors.</summary>
    public double? MHz { get; }

    /// <summary>%C0: part of the time in which instructions were executed.</summary>
    public double? PctC0 { get; }

    /// <summary>C-STATES: part of the time in each idle state that the operating system knows.</summary>
    public IReadOnlyList<EsxTopPowerState> CStates { get; }

    /// <summary>P-STATES: part of the time at each frequency.</summary>
    public IReadOnlyList<EsxTopPowerState> PStates { get; }

    /// <summary>What the host does not tell, and why; empty when it tells all, and on lines that are not the host's.</summary>
    public string Missing { get; }

    bool IEsxTopRow.IsOfMachine => false;

    string IEsxTopRow.Group => EsxTopPowerPanel.HostName;

    private static double? Rounded(double? value) => value is { } number ? Math.Round(number, 2) : null;
}
