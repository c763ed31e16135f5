namespace Hypervisor.Engine.Memory.Policy;

/// <summary>What a host does until the next decision. Bytes.</summary>
internal readonly record struct HostMemoryDecision
{
    /// <summary>How short of memory the host is.</summary>
    public HostMemoryState State { get; init; }

    /// <summary>What is to be free.</summary>
    public long MinFreeBytes { get; init; }

    /// <summary>What is free; negative when more is used than the budget.</summary>
    public long FreeBytes { get; init; }

    /// <summary>
    /// While less than this would be free, a machine that would have more than its <see cref="MachineMemoryDecision.BlockAboveBytes"/> waits
    /// for memory; when nothing at all would be free, every machine does. To be looked at for every allocation: a second is a long time.
    /// </summary>
    public long BlockBelowFreeBytes { get; init; }

    /// <summary>When less than this becomes free, or as much as <see cref="DecideAboveFreeBytes"/>, the state changes: decide at once and not only when it is time.</summary>
    public long DecideBelowFreeBytes { get; init; }

    /// <inheritdoc cref="DecideBelowFreeBytes"/>
    public long DecideAboveFreeBytes { get; init; }

    /// <summary>What should come back and cannot, because of reservations and for want of room to swap to.</summary>
    public long UnreclaimableBytes { get; init; }

    /// <summary>When to decide next, ns from now: a second, sooner in the states hard and low.</summary>
    public long NextAfter { get; init; }
}

/// <summary>What becomes of a machine's memory until the next decision. Bytes.</summary>
internal readonly record struct MachineMemoryDecision
{
    /// <summary>Host memory that its guest memory is entitled to now.</summary>
    public long EntitlementBytes { get; init; }

    /// <summary>What the balloon is to grow or shrink to.</summary>
    public long BalloonTargetBytes { get; init; }

    /// <summary>How much to compress or swap out before the next decision: host memory to come back, whatever way it goes.</summary>
    public long EvictBytes { get; init; }

    /// <summary>Guest memory that is to be compressed or swapped in the end (esxtop's SWTGT).</summary>
    public long SwapTargetBytes { get; init; }

    /// <summary>How much that is swapped or compressed may be brought back unasked before the next decision.</summary>
    public long RestoreBytes { get; init; }

    /// <summary>
    /// When <see cref="MachineMemoryInput.ConsumedBytes"/> reaches this, the machine gets no page before one of its own was evicted: its limit
    /// and a sixteenth; in the states soft to low also what it could be entitled to (or what it has, while the balloon is to take that).
    /// <see cref="MachineMemoryPlan.Unlimited"/> when nothing bounds it.
    /// </summary>
    public long CeilingBytes { get; init; }

    /// <summary>Pages to look at for sharing, a second; 0 for none.</summary>
    public int ShareScanPagesPerSecond { get; init; }

    /// <summary>New memory may be had in large pages. When it may not, large pages that are there are broken up.</summary>
    public bool AllowsLargePages { get; init; }

    /// <summary>
    /// While less than <see cref="HostMemoryDecision.BlockBelowFreeBytes"/> would be free, the machine waits for memory that would take
    /// <see cref="MachineMemoryInput.ConsumedBytes"/> beyond this: what it could be entitled to if it wanted more, and never less than its reservation.
    /// </summary>
    public long BlockAboveBytes { get; init; }

    /// <summary>
    /// It waits for memory now: it is above <see cref="BlockAboveBytes"/> in the state low, or has reached its ceiling and nothing of it can be evicted.
    /// For people; allocations go by the two amounts.
    /// </summary>
    public bool MustBlock { get; init; }

    /// <summary>The balloon was asked and memory did not come back: compression and swap do its work for a while.</summary>
    public bool IsBalloonFailing { get; init; }
}

/// <summary>What the policy remembers of a machine between decisions. One a power-on; only the policy changes it.</summary>
internal sealed class MachineMemoryHistory
{
    internal bool HasTarget { get; set; }

    internal long BalloonTarget { get; set; }

    /// <summary>The balloon is being asked to bring memory back: since when, ns, how much, and how things were then.</summary>
    internal bool IsAsking { get; set; }

    internal long AskedSince { get; set; }

    internal long Asked { get; set; }

    internal long AskedAtConsumed { get; set; }

    internal long AskedAtBalloon { get; set; }

    internal long AskedAtUntouched { get; set; }

    /// <summary>Until when, ns, the balloon is not counted on.</summary>
    internal long DistrustedUntil { get; set; } = long.MinValue;
}
