namespace Hypervisor.Engine.Scheduling;

/// <summary>Times of the policy, nanoseconds.</summary>
internal sealed record SchedulingOptions
{
    private const long Millisecond = 1_000_000;

    /// <summary>How long a world runs before others that wait are considered.</summary>
    public long Slice { get; init; } = 5 * Millisecond;

    /// <summary>A world that has run for less is not preempted.</summary>
    public long PreemptionGranularity { get; init; } = Millisecond / 2;

    /// <summary>Processor time that a sleeper is owed at most when it wakes.</summary>
    public long WakeCredit { get; init; } = 5 * Millisecond;

    /// <summary>Processor time that one who runs all the time, and still gets less than its shares say, is owed at most.</summary>
    public long RunCredit { get; init; } = 100 * Millisecond;

    /// <summary>Wall time for which what a limit allowed may be used later.</summary>
    public long LimitCredit { get; init; } = 100 * Millisecond;

    /// <summary>Wall time for which what a reservation promised is still owed.</summary>
    public long ReservationCredit { get; init; } = 100 * Millisecond;

    /// <summary>
    /// Where reservations take all that a pool has, what has none in it gets a slice this often instead of starving: a quarter of a percent of a processor.
    /// </summary>
    public long StarvationBound { get; init; } = 2000 * Millisecond;

    /// <summary>How far a processor of a machine may get ahead of a sibling that waits for a processor, before it is stopped (ESX: 3 ms).</summary>
    public long MaxSkew { get; init; } = 3 * Millisecond;

    /// <summary>How often NUMA homes are looked at.</summary>
    public long RebalancePeriod { get; init; } = 2000 * Millisecond;
}
