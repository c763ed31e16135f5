namespace Hypervisor.Engine.Memory.Policy;

/// <summary>A machine's memory at one moment. Bytes. Values that come from a guest may be anything: the policy bounds them.</summary>
internal readonly record struct MachineMemoryInput
{
    /// <summary>What the inventory says.</summary>
    public required MachineMemoryPlan Plan { get; init; }

    /// <summary>What the policy remembers of the machine: made once when it is powered on.</summary>
    public required MachineMemoryHistory History { get; init; }

    /// <summary>Memory of the host that the machine takes beside guest memory: devices, translated code, page tables.</summary>
    public long OverheadBytes { get; init; }

    /// <summary>Host memory that guest memory takes: private pages, and what compressed pages take.</summary>
    public required long ConsumedBytes { get; init; }

    /// <summary>Estimate of the guest memory in use, from <see cref="ActiveMemoryEstimator"/>.</summary>
    public required long ActiveBytes { get; init; }

    /// <summary>The guest has a balloon driver that is running.</summary>
    public bool HasBalloon { get; init; }

    /// <summary>Size of the balloon as the driver says.</summary>
    public long BalloonBytes { get; init; }

    /// <summary>Guest memory that is held compressed.</summary>
    public long CompressedBytes { get; init; }

    /// <summary>Host memory that it takes; part of <see cref="ConsumedBytes"/>.</summary>
    public long CompressionCacheBytes { get; init; }

    /// <summary>Guest memory in the swap file.</summary>
    public long SwappedBytes { get; init; }

    /// <summary>Guest memory that could still be compressed or swapped out: room in the swap file, mainly. 0 when there is none.</summary>
    public long EvictionRoomBytes { get; init; }
}
