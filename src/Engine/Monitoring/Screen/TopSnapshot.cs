namespace Hypervisor.Engine.Monitoring.Screen;

/// <summary>What the screen shows: two snapshots of each panel, and the host.</summary>
internal sealed record TopSnapshot
{
    /// <summary>Local time.</summary>
    public required DateTime Time { get; init; }

    /// <summary>How long the host is up.</summary>
    public required TimeSpan UpTime { get; init; }

    /// <summary>Worlds of this process: virtual processors.</summary>
    public required int Worlds { get; init; }

    /// <summary>Machines of this process.</summary>
    public required int Machines { get; init; }

    /// <summary>The host's load of the last 1, 5 and 15 minutes as a part of its processors; empty when it does not tell.</summary>
    public required IReadOnlyList<double> LoadAverages { get; init; }

    /// <summary>A sentence for each other process that runs machines of this host folder.</summary>
    public required IReadOnlyList<string> Elsewhere { get; init; }

    /// <summary>Earlier and later snapshot of panels, by name; a panel without an earlier one has no numbers yet.</summary>
    public required IReadOnlyDictionary<string, (IReadOnlyList<IEsxTopCounters> Before, IReadOnlyList<IEsxTopCounters> After)> Panels { get; init; }
}
