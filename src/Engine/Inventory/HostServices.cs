using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Scheduling;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Engine.Inventory;

/// <summary>What a host needs of the machine it is on; a test gives its own.</summary>
public sealed record HostServices
{
    /// <summary>Makes the factory of machines, once, when the first machine is powered on.</summary>
    public required Func<IMachineFactory> CreateMachineFactory { get; init; }

    /// <summary>Finds out which backends can run a guest here; costs a moment the first time.</summary>
    public required Func<IReadOnlyList<BackendFinding>> FindBackends { get; init; }

    /// <summary>The I/O of the datastores that machines of the factory have disks on.</summary>
    public StorageIoControl StorageIo { get; init; } = new();

    /// <summary>Memory of the host (or of the container that this process is in), MB.</summary>
    public int PhysicalMemoryMB { get; init; } = (int)Math.Min(int.MaxValue, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes >> 20);

    /// <summary>Clock of the statistics.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>Gives machines of this process their turns on the processors; null lets them all run whenever they want to.</summary>
    internal CpuScheduler? Scheduler { get; init; }

    /// <summary>Divides memory among the machines of this process; null leaves each its own.</summary>
    internal MemoryManager? MemoryManager { get; init; }

    /// <summary>Where whoever manages memory reads what machines, pools and the host are to get of it.</summary>
    internal MemoryConfigurationSource Memory { get; init; } = new();

    /// <summary>Processors of the host.</summary>
    internal Lazy<HostTopology> Processors { get; init; } = new(HostTopologyProbe.OfThisComputer);
}

/// <summary>What was found out about a backend.</summary>
/// <param name="Backend">The backend.</param>
/// <param name="IsUsable">It can be asked for by name.</param>
/// <param name="IsDefault"><c>Auto</c> takes it.</param>
/// <param name="Reason">What was found, for a person.</param>
public sealed record BackendFinding(BackendKind Backend, bool IsUsable, bool IsDefault, string Reason)
{
    /// <summary>Guest code runs on the host's own processor, all of it.</summary>
    public bool IsAccelerated { get; init; }

    /// <summary>Version of what lies below, or empty.</summary>
    public string Version { get; init; } = "";

    /// <inheritdoc/>
    public override string ToString() => $"{Backend}: {(IsDefault ? "default" : IsUsable ? "usable" : "not usable")} ({Reason})";
}
