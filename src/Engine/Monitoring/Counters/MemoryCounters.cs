namespace Hypervisor.Engine.Monitoring.Counters;

/// <summary>The host's memory as machines use it. What a backend does not tell of its machines counts for nothing.</summary>
public sealed record PMemCounter
{
    /// <summary>Memory of the host.</summary>
    public required long PhysicalMemInKB { get; init; }

    /// <summary>What is free of <see cref="SchedManagedInKB"/>; negative when machines took more.</summary>
    public required long FreeMemInKB { get; init; }

    /// <summary>Guest memory in pages that share frames.</summary>
    public required long PShareSharedInKB { get; init; }

    /// <summary>Memory of those frames.</summary>
    public required long PShareCommonInKB { get; init; }

    /// <summary>Memory that machines may take together.</summary>
    public required long SchedManagedInKB { get; init; }

    /// <summary>What is to be free of it.</summary>
    public required long SchedMinFreeInKB { get; init; }

    /// <summary>What is promised to machines and pools.</summary>
    public required long SchedReservedInKB { get; init; }

    /// <summary>What can still be promised.</summary>
    public required long SchedAvailInKB { get; init; }

    /// <summary>How short of memory the host is: 0 high, 1 clear, 2 soft, 3 hard, 4 low.</summary>
    public required int SchedState { get; init; }

    /// <summary>The same in a word.</summary>
    public required string SchedStateStr { get; init; }

    /// <summary>Most that balloons may hold.</summary>
    public required long MemCtlMaxInKB { get; init; }

    /// <summary>What they hold.</summary>
    public required long MemCtlCurInKB { get; init; }

    /// <summary>What they are to hold.</summary>
    public required long MemCtlTgtInKB { get; init; }

    /// <summary>Guest memory in swap files.</summary>
    public required long SwapUsedInKB { get; init; }

    /// <summary>Guest memory that is to be compressed or swapped.</summary>
    public required long SwapTgtInKB { get; init; }

    /// <summary>Read from swap files by the machines that run now, since their power-on.</summary>
    public required long SwapReadInKB { get; init; }

    /// <summary>Written to swap files by them.</summary>
    public required long SwapWrtnInKB { get; init; }

    /// <summary>Guest memory that is held compressed.</summary>
    public required long ZippedInKB { get; init; }

    /// <summary>What compression saves of it.</summary>
    public required long ZipSavedInKB { get; init; }

    /// <summary>By what part the machines' memory exceeds what they may take, percent, on an average over one minute.</summary>
    public required long MemOvercommitInPct1Min { get; init; }

    /// <summary>The same over five minutes.</summary>
    public required long MemOvercommitInPct5Min { get; init; }

    /// <summary>The same over 15 minutes.</summary>
    public required long MemOvercommitInPct15Min { get; init; }

    /// <summary>NUMA nodes of the host.</summary>
    public required int NumOfNUMANodes { get; init; }
}

/// <summary>A machine's memory. Null where the backend does not tell.</summary>
public sealed record MemClientCounter
{
    /// <summary>Number of it: the machine's group.</summary>
    public required int MemClientID { get; init; }

    /// <summary>The machine.</summary>
    public required string VMName { get; init; }

    /// <summary>Guest memory.</summary>
    public required long MemSizeInKB { get; init; }

    /// <summary>Guest memory that has memory of the host behind it.</summary>
    public required long GrantedInKB { get; init; }

    /// <summary>Host memory that it takes for itself.</summary>
    public required long ConsumedInKB { get; init; }

    /// <summary>Host memory that it is entitled to.</summary>
    public required long TargetSizeInKB { get; init; }

    /// <summary>Guest memory in use, an estimate; null before a sample has ended.</summary>
    public long? TouchedInKB { get; init; }

    /// <summary>Host memory beside guest memory, an estimate.</summary>
    public required long OverheadInKB { get; init; }

    /// <summary>The guest has a balloon driver that runs.</summary>
    public required bool HasMemCtl { get; init; }

    /// <summary>Most that the balloon may hold.</summary>
    public required long MemCtlMaxInKB { get; init; }

    /// <summary>What it holds.</summary>
    public required long MemCtlCurInKB { get; init; }

    /// <summary>What it is to hold.</summary>
    public required long MemCtlTgtInKB { get; init; }

    /// <summary>Guest memory in the swap file.</summary>
    public long? SwapUsedInKB { get; init; }

    /// <summary>Guest memory that is to be compressed or swapped.</summary>
    public long? SwapTgtInKB { get; init; }

    /// <summary>Read from the swap file since power-on.</summary>
    public long? SwapReadInKB { get; init; }

    /// <summary>Written to it since power-on.</summary>
    public long? SwapWrtnInKB { get; init; }

    /// <summary>Time in which its virtual processors waited for memory that was swapped or compressed, or that the host did not have, µs.</summary>
    public long? SwapWaitTimeInUsec { get; init; }

    /// <summary>Guest memory that is held compressed.</summary>
    public long? ZippedInKB { get; init; }

    /// <summary>What compression saves of it.</summary>
    public long? ZipSavedInKB { get; init; }

    /// <summary>Guest memory in pages that share frames, those of zeroes among them.</summary>
    public long? PShareSharedInKB { get; init; }

    /// <summary>Guest memory in pages of zeroes that share one.</summary>
    public long? PShareZeroInKB { get; init; }
}
