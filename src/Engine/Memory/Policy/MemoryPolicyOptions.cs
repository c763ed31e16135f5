namespace Hypervisor.Engine.Memory.Policy;

/// <summary>Constants of the policy; nanoseconds, and parts of a machine's memory.</summary>
internal sealed record MemoryPolicyOptions
{
    private const long Second = 1_000_000_000;

    /// <summary>Free memory that reclamation aims at, % of minFree: just enough for the host to leave the state soft.</summary>
    public int GoalPercent { get; init; } = 106;

    /// <summary>Part of a machine's memory by which its balloon grows in a second at most: 1/16.</summary>
    public int InflateDivisor { get; init; } = 16;

    /// <summary>Part by which it shrinks in a second at most: 1/8; half as fast in the state soft.</summary>
    public int DeflateDivisor { get; init; } = 8;

    /// <summary>Part that is compressed or swapped in a second at most, 1/8; in the state low as much as is needed.</summary>
    public int EvictDivisor { get; init; } = 8;

    /// <summary>Least that the three parts come to: small machines are not reclaimed in crumbs.</summary>
    public long LeastStepBytes { get; init; } = 8L << 20;

    /// <summary>A machine this little above its entitlement is left alone: 1/1024 of its memory.</summary>
    public int ReclaimDeadbandDivisor { get; init; } = 1024;

    /// <summary>A balloon shrinks when a machine is this much below its entitlement, 1/64, so that a wavering estimate moves nothing.</summary>
    public int DeflateDeadbandDivisor { get; init; } = 64;

    /// <summary>How long a balloon may take to bring back a quarter of what it was asked for (or could in that time) before memory is taken otherwise.</summary>
    public long BalloonPatience { get; init; } = 10 * Second;

    /// <summary>How long a balloon that failed is not counted on.</summary>
    public long BalloonDistrust { get; init; } = 60 * Second;

    /// <summary>How far above its limit a machine gets, 1/16, before what is above is evicted without waiting for the balloon.</summary>
    public int LimitSlackDivisor { get; init; } = 16;

    /// <summary>How much faster pages are looked at for sharing in the states clear and below.</summary>
    public int ShareScanSpeedup { get; init; } = 30;

    /// <summary>Between decisions: in the states high to soft, hard, and low.</summary>
    public long Period { get; init; } = Second;

    /// <inheritdoc cref="Period"/>
    public long HardPeriod { get; init; } = Second / 4;

    /// <inheritdoc cref="Period"/>
    public long LowPeriod { get; init; } = Second / 10;
}
