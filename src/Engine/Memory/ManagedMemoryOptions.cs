using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Memory;

/// <summary>What the host has to know of a machine to manage its memory.</summary>
internal readonly record struct ManagedMemoryOptions
{
    /// <summary>The machine.</summary>
    public required Guid Id { get; init; }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Its memory.</summary>
    public required GuestMemory Memory { get; init; }

    /// <summary>Its processors.</summary>
    public required IPartition Partition { get; init; }

    /// <summary>What the inventory says about its memory.</summary>
    public required MachineMemoryPlan Plan { get; init; }

    /// <summary>Where its swap file is to be; null for none.</summary>
    public required string? SwapPath { get; init; }

    /// <summary>Host memory that is promised to it beside guest memory, bytes.</summary>
    public required long OverheadBytes { get; init; }

    /// <summary>The part of that which is not for what <see cref="IPagedPartition.HostBytes"/> counts, bytes.</summary>
    public long DeviceOverheadBytes { get; init; }

    /// <summary>Told of a defect that the machine cannot go on after; from any thread.</summary>
    public required Action<Exception> Failed { get; init; }

    /// <summary>Told of what concerns the machine's user; from any thread.</summary>
    public required Action<MachineEvent> Raise { get; init; }
}
