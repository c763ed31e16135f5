using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Network;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Engine.Monitoring.Statistics;

/// <summary>The counters of a running machine at one moment, as those keep them that do the work. Except for memory they only grow.</summary>
internal sealed record MachineReading
{
    /// <summary>Identity of the machine.</summary>
    public required Guid Id { get; init; }

    /// <summary>When they were read, ns of a clock that is never set.</summary>
    public required long Time { get; init; }

    /// <summary>When the machine was powered on, ns of the same clock. A machine with another time than before was powered off in between.</summary>
    public required long PoweredOn { get; init; }

    /// <summary>Virtual processors by index; empty when no scheduler counts them.</summary>
    public IReadOnlyList<ProcessorReading> Processors { get; init; } = [];

    /// <summary>Disks.</summary>
    public IReadOnlyList<DiskReading> Disks { get; init; } = [];

    /// <summary>Network adapters by index.</summary>
    public IReadOnlyList<NetworkAdapterStatistics> Adapters { get; init; } = [];

    /// <summary>Memory.</summary>
    public required MemoryReading Memory { get; init; }
}

/// <summary>A virtual processor. Times are sums in ns; run, ready, co-stop and wait time sum to the age.</summary>
internal readonly record struct ProcessorReading(long Age, long Run, long Used, long Ready, long CoStop, long Idle, long Limited)
{
    public long Wait => Age - Run - Ready - CoStop;

    public static ProcessorReading operator -(ProcessorReading a, ProcessorReading b) =>
        new(a.Age - b.Age, a.Run - b.Run, a.Used - b.Used, a.Ready - b.Ready, a.CoStop - b.CoStop, a.Idle - b.Idle, a.Limited - b.Limited);

    public static ProcessorReading operator +(ProcessorReading a, ProcessorReading b) =>
        new(a.Age + b.Age, a.Run + b.Run, a.Used + b.Used, a.Ready + b.Ready, a.CoStop + b.CoStop, a.Idle + b.Idle, a.Limited + b.Limited);
}

/// <summary>A disk.</summary>
/// <param name="Index">Which of the machine's.</param>
/// <param name="Datastore">Datastore that it is on.</param>
/// <param name="Statistics">What it has done.</param>
internal readonly record struct DiskReading(int Index, string Datastore, DiskIoStatistics Statistics);

/// <summary>Memory of a machine.</summary>
/// <param name="MemoryKB">Guest memory.</param>
/// <param name="Managed">What the memory manager knows of it; null without one.</param>
internal sealed record MemoryReading(long MemoryKB, MachineMemoryStatistics? Managed = null);

/// <summary>What the host has, and the machines that run in this process.</summary>
internal sealed record HostReading
{
    /// <summary>The machines.</summary>
    public required IReadOnlyList<MachineReading> Machines { get; init; }

    /// <summary>Clock rate of a processor, MHz.</summary>
    public required int ProcessorMHz { get; init; }

    /// <summary>What machines may use of all processors, MHz.</summary>
    public required long CapacityMHz { get; init; }

    /// <summary>Memory of the host, KB.</summary>
    public required long MemoryKB { get; init; }

    /// <summary>What can be reserved of it; null when the settings cannot be read.</summary>
    public CapacityReading? Capacity { get; init; }

    /// <summary>Resource pools that have machines of this process in them.</summary>
    public IReadOnlyList<PoolReading> Pools { get; init; } = [];

    /// <summary>Datastores that machines of this process use, and the host folder's.</summary>
    public IReadOnlyList<DatastoreReading> Datastores { get; init; } = [];

    /// <summary>How the machines use it; null on a host that does not manage memory.</summary>
    public HostMemoryStatistics? Memory { get; init; }

    /// <summary>Time since the computer started.</summary>
    public required TimeSpan Uptime { get; init; }
}

/// <summary>A datastore.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Id">Its identity in the statistics.</param>
/// <param name="QueueDepth">Requests that this process gives the device at once; null when it has no disk on it.</param>
/// <param name="Space">How full it is; null when that cannot be found out.</param>
internal sealed record DatastoreReading(string Name, string Id, int? QueueDepth, DatastoreSpace? Space);

/// <summary>How full a datastore is, bytes.</summary>
/// <param name="Capacity">All there is.</param>
/// <param name="Free">What this user may still take.</param>
/// <param name="Used">What is in use.</param>
/// <param name="Uncommitted">What disks of machines may still take by being written to.</param>
internal sealed record DatastoreSpace(long Capacity, long Free, long Used, long Uncommitted);

/// <summary>What can be reserved on the host, by the machines of all processes.</summary>
/// <param name="CpuMHz">Processor time.</param>
/// <param name="CpuReservedMHz">What is reserved of it.</param>
/// <param name="MemoryMB">Memory.</param>
/// <param name="MemoryReservedMB">What is reserved of it.</param>
/// <param name="MemoryUnreservedMB">What can still be reserved.</param>
internal sealed record CapacityReading(long CpuMHz, long CpuReservedMHz, long MemoryMB, long MemoryReservedMB, long MemoryUnreservedMB);

/// <summary>A resource pool.</summary>
/// <param name="Id">Its identity in the statistics.</param>
/// <param name="Machines">Machines of this process in it and in the pools in it.</param>
internal sealed record PoolReading(string Id, IReadOnlyList<Guid> Machines);
