using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Engine.Inventory;

/// <summary>What a machine is to get of the host's processors and memory; part of its configuration. Immutable.</summary>
public sealed record ResourceSettings
{
    /// <summary>Nothing reserved, no limit, normal shares.</summary>
    public static ResourceSettings Default { get; } = new();

    /// <summary>Level of its CPU shares.</summary>
    public SharesLevel CpuSharesLevel { get; init; } = SharesLevel.Normal;

    /// <summary>CPU shares, when the level is custom.</summary>
    public int NumCpuShares { get; init; }

    /// <summary>Processor time that it gets in any case when it wants it, MHz.</summary>
    public long CpuReservationMhz { get; init; }

    /// <summary>Processor time that it never gets more than, MHz; null without a limit.</summary>
    public long? CpuLimitMhz { get; init; }

    /// <summary>Physical processors it may use; empty for all.</summary>
    public IReadOnlyList<int> CpuAffinityList { get; init; } = [];

    /// <summary>How much it suffers from waiting for a processor.</summary>
    public LatencySensitivity LatencySensitivity { get; init; }

    /// <summary>Level of its memory shares.</summary>
    public SharesLevel MemSharesLevel { get; init; } = SharesLevel.Normal;

    /// <summary>Memory shares, when the level is custom.</summary>
    public int NumMemShares { get; init; }

    /// <summary>Memory that is never taken from it, MB.</summary>
    public long MemReservationMB { get; init; }

    /// <summary>Physical memory that it never gets more than, MB; null without a limit.</summary>
    public long? MemLimitMB { get; init; }
}

/// <summary>What a resource pool is to get; persisted. Immutable.</summary>
public sealed record ResourcePoolConfiguration
{
    /// <summary>Unique, stable identity.</summary>
    public required Guid Id { get; init; }

    /// <summary>Name, unique among pools on the host without regard to case.</summary>
    public required string Name { get; init; }

    /// <summary>Pool that it is in; null for the host's own.</summary>
    public Guid? ParentId { get; init; }

    /// <summary>Level of its CPU shares.</summary>
    public SharesLevel CpuSharesLevel { get; init; } = SharesLevel.Normal;

    /// <summary>CPU shares, when the level is custom.</summary>
    public int NumCpuShares { get; init; }

    /// <summary>Reserved processor time, MHz.</summary>
    public long CpuReservationMhz { get; init; }

    /// <summary>What is in it may reserve more than the pool has, out of the parent's.</summary>
    public bool CpuExpandableReservation { get; init; } = true;

    /// <summary>Processor time it never gets more than, MHz; null without a limit.</summary>
    public long? CpuLimitMhz { get; init; }

    /// <summary>Level of its memory shares.</summary>
    public SharesLevel MemSharesLevel { get; init; } = SharesLevel.Normal;

    /// <summary>Memory shares, when the level is custom.</summary>
    public int NumMemShares { get; init; }

    /// <summary>Reserved memory, MB.</summary>
    public long MemReservationMB { get; init; }

    /// <summary>What is in it may reserve more memory than the pool has, out of the parent's.</summary>
    public bool MemExpandableReservation { get; init; } = true;

    /// <summary>Memory it never gets more than, MB; null without a limit.</summary>
    public long? MemLimitMB { get; init; }
}
