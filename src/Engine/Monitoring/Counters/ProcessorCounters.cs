namespace Hypervisor.Engine.Monitoring.Counters;

/// <summary>The host's processors together.</summary>
public sealed record PcpuCounter
{
    /// <summary>Logical processors that machines can have.</summary>
    public required int NumOfLCPUs { get; init; }
}

/// <summary>A logical processor of the host. Times are of everything that ran on it since the host started, null where the operating system does not tell.</summary>
public sealed record LcpuCounter
{
    /// <summary>The operating system's number of it.</summary>
    public required int LCPUID { get; init; }

    /// <summary>Nominal clock rate.</summary>
    public required long CPUHz { get; init; }

    /// <summary>Time in which it was busy, µs.</summary>
    public long? UsedTimeInUsec { get; init; }

    /// <summary>Time in which it was idle, µs.</summary>
    public long? HaltTimeInUsec { get; init; }

    /// <summary>Both together, µs.</summary>
    public long? ElapsedTimeInUsec { get; init; }
}

/// <summary>A world: a virtual processor of a machine. What esxtop shows as %USED and so on are differences of these over time.</summary>
public sealed record VcpuCounter
{
    /// <summary>Number of the world; the topology SchedGroup has it as CPUClientID.</summary>
    public required int VCPUID { get; init; }

    /// <summary>Name, such as <c>vmx-vcpu-0:web</c>.</summary>
    public required string WorldName { get; init; }

    /// <summary>Time since it was made, µs; the sum of run, ready, co-stop and wait time.</summary>
    public required long UpTimeInUsec { get; init; }

    /// <summary>Processor time that the operating system counted, µs.</summary>
    public required long UsedTimeInUsec { get; init; }

    /// <summary>Time on a physical processor, µs.</summary>
    public required long RunTimeInUsec { get; init; }

    /// <summary>Time in which it wanted one and had none, µs.</summary>
    public required long ReadyTimeInUsec { get; init; }

    /// <summary>Time in which it was stopped for being ahead of its siblings, µs.</summary>
    public required long CoStopTimeInUsec { get; init; }

    /// <summary>Time in which it wanted none, µs.</summary>
    public required long WaitTimeInUsec { get; init; }

    /// <summary>Part of that in which the guest had halted it, µs.</summary>
    public required long IdleTimeInUsec { get; init; }

    /// <summary>Part of the ready time in which a limit held it, µs.</summary>
    public required long MaxLimitedTimeInUsec { get; init; }

    /// <summary>Times that it was given a physical processor.</summary>
    public required long NumOfSwitches { get; init; }

    /// <summary>Times that this was another one than before.</summary>
    public required long NumOfMigrations { get; init; }
}

/// <summary>The group of a machine's worlds, and what it is to get.</summary>
public sealed record SchedGroupCounter
{
    /// <summary>Number of the group.</summary>
    public required int GroupID { get; init; }

    /// <summary>Name: <c>vm.</c> and the number.</summary>
    public string GroupName => $"vm.{GroupID}";

    /// <summary>The values are right: always.</summary>
    public bool IsValid => true;

    /// <summary>It is a machine's: always.</summary>
    public bool IsVM => true;

    /// <summary>The machine.</summary>
    public required string VMName { get; init; }

    /// <summary>Reserved processor time, MHz.</summary>
    public required long CPUAllocMin { get; init; }

    /// <summary>Limit of processor time, MHz; -1 for none.</summary>
    public required long CPUAllocMax { get; init; }

    /// <summary>CPU shares, as a number for every level.</summary>
    public required int CPUAllocShares { get; init; }

    /// <summary>Unit of the two.</summary>
    public string CPUAllocUnitsStr => "mhz";

    /// <summary>Reserved memory, KB.</summary>
    public required long MemAllocMin { get; init; }

    /// <summary>Limit of memory, KB; -1 for none.</summary>
    public required long MemAllocMax { get; init; }

    /// <summary>Memory shares, as a number for every level.</summary>
    public required int MemAllocShares { get; init; }

    /// <summary>Unit of the two.</summary>
    public string MemAllocUnitsStr => "kb";

    /// <summary>It has a home.</summary>
    public required bool IsNUMAValid { get; init; }

    /// <summary>Bit mask of the NUMA nodes that are its home.</summary>
    public required long HomeNodes { get; init; }

    /// <summary>Nodes of the host.</summary>
    public required int NumOfNUMANodes { get; init; }

    /// <summary>Times that it was given another home.</summary>
    public required long NumOfBalanceMigrations { get; init; }

    /// <summary>The counter MemClient has its memory.</summary>
    public required bool HasMemClient { get; init; }

    /// <summary>Worlds.</summary>
    public required int NumOfCPUClients { get; init; }
}
