namespace Hypervisor.Engine.Memory.Policy;

/// <summary>What the inventory says about a machine's memory. Bytes. Immutable: a change is another object.</summary>
internal sealed record MachineMemoryPlan
{
    /// <summary>How an absent limit reads.</summary>
    public const long Unlimited = long.MaxValue;

    /// <summary>Configured memory.</summary>
    public required long MemoryBytes { get; init; }

    /// <summary>Importance beside its siblings.</summary>
    public int Shares { get; init; } = 1;

    /// <summary>What is never taken from it.</summary>
    public long ReservationBytes { get; init; }

    /// <summary>Host memory that its guest memory never takes more than; <see cref="Unlimited"/> without a limit.</summary>
    public long LimitBytes { get; init; } = Unlimited;

    /// <summary>Index of the pool it is in, among the pools given with it; -1 for the host's own.</summary>
    public int Pool { get; init; } = -1;

    /// <summary>Most that its balloon may take: sched.mem.maxmemctl, or Mem.CtlMaxPercent of its memory.</summary>
    public long BalloonMaxBytes { get; init; }

    /// <summary>sched.mem.pshare.enable: its pages are looked at for sharing.</summary>
    public bool IsSharingEnabled { get; init; } = true;

    /// <summary>Machines share pages with those of the same domain, and every machine with itself.</summary>
    public string SharingDomain { get; init; } = "";
}

/// <summary>What the inventory says about the memory of a pool. Bytes.</summary>
/// <param name="Parent">Index of the pool it is in, less than its own; -1 for the host's own.</param>
/// <param name="Shares">Importance beside its siblings.</param>
/// <param name="ReservationBytes">What is in it gets together in any case, as far as it uses it.</param>
/// <param name="LimitBytes">What is in it never takes more than together, overhead included; <see cref="MachineMemoryPlan.Unlimited"/> without a limit.</param>
internal sealed record MemoryPoolPlan(int Parent, int Shares, long ReservationBytes = 0, long LimitBytes = MachineMemoryPlan.Unlimited);
