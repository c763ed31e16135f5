namespace Hypervisor.Engine.Monitoring.Statistics;

/// <summary>How the samples of an interval become one value, with vSphere's names.</summary>
public enum StatisticsRollup
{
    /// <summary>Their mean.</summary>
    Average,
    /// <summary>Their sum.</summary>
    Summation,
    /// <summary>The largest.</summary>
    Maximum,
    /// <summary>The last.</summary>
    Latest,
}

/// <summary>Sets of counters that <c>Get-Stat</c> has switches for.</summary>
[Flags]
public enum StatisticsSets
{
    /// <summary>In none: it is asked for by name.</summary>
    None = 0,
    /// <summary>What is looked at first.</summary>
    Common = 1,
    /// <summary>Processors.</summary>
    Cpu = 2,
    /// <summary>Memory.</summary>
    Memory = 4,
    /// <summary>Disks.</summary>
    Disk = 8,
    /// <summary>Network adapters.</summary>
    Network = 16,
}

/// <summary>A counter of the statistics, with vSphere's name and unit.</summary>
/// <param name="Name">Group, counter and rollup, such as <c>cpu.usage.average</c>.</param>
/// <param name="Unit">Unit of its values, such as <c>%</c>, <c>MHz</c>, <c>KB</c>, <c>KBps</c> (of 1024 bytes) or <c>millisecond</c>.</param>
/// <param name="Rollup">How samples become the value of a longer interval.</param>
/// <param name="Sets">Sets that it belongs to.</param>
/// <param name="Description">What it says, for a person.</param>
public sealed record StatisticsCounter(string Name, string Unit, StatisticsRollup Rollup, StatisticsSets Sets, string Description)
{
    /// <summary>The mean of requests and not of time: samples, of one process or of several, count as much as they had requests.</summary>
    internal bool IsWeighted { get; init; }

    /// <inheritdoc/>
    public override string ToString() => Name;
}
