namespace Hypervisor.Engine.Memory;

/// <summary>
/// Other processes that run machines of the same host: all divide one budget, each for its own machines, by the same policy, and so have to
/// know what the machines of all are like.
/// </summary>
internal interface IMemoryNeighbours
{
    /// <summary>Tells the others what the machines of this process are like, and asks what theirs are. On the manager's thread; never throws.</summary>
    /// <returns>What each of the others said last.</returns>
    IReadOnlyList<ProcessMemory> Exchange(ProcessMemory own);

    /// <summary>This process runs no machines any more.</summary>
    void Leave();
}

/// <summary>Memory of the machines that a process runs.</summary>
/// <param name="SharedBytes">Host memory of what they share.</param>
/// <param name="Machines">The machines.</param>
internal sealed record ProcessMemory(long SharedBytes, IReadOnlyList<MachineMemoryNote> Machines)
{
    /// <summary>Since when it has run machines without a pause, ns of the host's monotonic clock; the one that has for longest tells what concerns all.</summary>
    public long Since { get; init; }

    /// <summary>Tells processes apart that began at the same time.</summary>
    public Guid Id { get; init; }
}

/// <summary>What another process has to know of a machine's memory: what the policy looks at. Bytes.</summary>
internal sealed record MachineMemoryNote
{
    /// <summary>The machine.</summary>
    public required Guid Id { get; init; }

    /// <summary>The pool it is in; null for the host's own.</summary>
    public Guid? Pool { get; init; }

    /// <inheritdoc cref="Policy.MachineMemoryPlan.MemoryBytes"/>
    public required long MemoryBytes { get; init; }

    /// <inheritdoc cref="Policy.MachineMemoryPlan.Shares"/>
    public int Shares { get; init; } = 1;

    /// <inheritdoc cref="Policy.MachineMemoryPlan.ReservationBytes"/>
    public long ReservationBytes { get; init; }

    /// <inheritdoc cref="Policy.MachineMemoryPlan.LimitBytes"/>
    public long LimitBytes { get; init; } = Policy.MachineMemoryPlan.Unlimited;

    /// <inheritdoc cref="Policy.MachineMemoryPlan.BalloonMaxBytes"/>
    public long BalloonMaxBytes { get; init; }

    /// <inheritdoc cref="Policy.MachineMemoryInput.OverheadBytes"/>
    public long OverheadBytes { get; init; }

    /// <inheritdoc cref="Policy.MachineMemoryInput.ConsumedBytes"/>
    public long ConsumedBytes { get; init; }

    /// <inheritdoc cref="Policy.MachineMemoryInput.ActiveBytes"/>
    public long ActiveBytes { get; init; }

    /// <inheritdoc cref="Policy.MachineMemoryInput.HasBalloon"/>
    public bool HasBalloon { get; init; }

    /// <inheritdoc cref="Policy.MachineMemoryInput.BalloonBytes"/>
    public long BalloonBytes { get; init; }

    /// <inheritdoc cref="Policy.MachineMemoryInput.CompressedBytes"/>
    public long CompressedBytes { get; init; }

    /// <inheritdoc cref="Policy.MachineMemoryInput.CompressionCacheBytes"/>
    public long CompressionCacheBytes { get; init; }

    /// <inheritdoc cref="Policy.MachineMemoryInput.SwappedBytes"/>
    public long SwappedBytes { get; init; }

    /// <inheritdoc cref="Policy.MachineMemoryInput.EvictionRoomBytes"/>
    public long EvictionRoomBytes { get; init; }
}
