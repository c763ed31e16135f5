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
    /// While less than this is free, what a machine whose <see cref="MachineMemoryDecision.MustBlock"/> is set asks for has to wait. To be
    /// looked at for every allocation: a second is a long time.
    /// </summary>
    public long BlockBelowFreeBytes { get; init; }

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
    /// and a sixteenth. <see cref="MachineMemoryPlan.Unlimited"/> without a limit.
    /// </summary>
    public long CeilingBytes { get; init; }

    /// <summary>Pages to look at for sharing, a second; 0 for none.</summary>
    public int ShareScanPagesPerSecond { get; init; }

    /// <summary>New memory may be had in large pages. When it may not, large pages that are there are broken up.</summary>
    public bool AllowsLargePages { get; init; }

    /// <summary>The machine waits for memory while less than <see cref="HostMemoryDecision.BlockBelowFreeBytes"/> is free, or its own ceiling is reached with no room to evict.</summary>
    public bool MustBlock { get; init; }

    /// <summary>The balloon was asked and memory did not come back: compression and swap do its work for a while.</summary>
    public bool IsBalloonFailing { get; init; }
}

/// <summary>What the policy remembers of a machine between decisions. One a power-on; only the policy changes it.</summary>
internal sealed class MachineMemoryHistory
{
    internal bool HasTarget { get; set; }

    internal long BalloonTarget { get; set; }

    /// <summary>Consumed memory when the balloon was last asked to bring some back, and how much.</summary>
    internal long AskedAtConsumed { get; set; }

    internal long Asked { get; set; }

    internal long AskedSince { get; set; }

    internal bool IsAsking { get; set; }

    /// <summary>Until when, ns, the balloon is not counted on.</summary>
    internal long DistrustedUntil { get; set; } = long.MinValue;
}
