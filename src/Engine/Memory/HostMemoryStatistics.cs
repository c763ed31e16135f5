using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Memory.Stores;

namespace Hypervisor.Engine.Memory;

/// <summary>The host's memory at one moment, as its machines use it. Bytes.</summary>
public sealed record HostMemoryStatistics
{
    /// <summary>Memory that machines may take together.</summary>
    public required long BudgetBytes { get; init; }

    /// <summary>What they take: <see cref="ConsumedBytes"/>, <see cref="SharedFrameBytes"/> and <see cref="OverheadBytes"/>.</summary>
    public required long UsedBytes { get; init; }

    /// <summary>Memory that machines take for pages of their own and for compressed ones.</summary>
    public required long ConsumedBytes { get; init; }

    /// <summary>Memory of frames that pages share.</summary>
    public required long SharedFrameBytes { get; init; }

    /// <summary>Memory of machines beside guest memory, an estimate.</summary>
    public required long OverheadBytes { get; init; }

    /// <summary>What the machines of other processes take, as these said last.</summary>
    public long OthersBytes { get; init; }

    /// <summary>Memory that the machines of other processes are configured with.</summary>
    public long OthersMemoryBytes { get; init; }

    /// <summary>What is to be free; less brings the states below high.</summary>
    public required long MinFreeBytes { get; init; }

    /// <summary>How short of memory the host is.</summary>
    public required HostMemoryState State { get; init; }

    /// <summary>Pages that share frames, those of zeroes among them.</summary>
    public required long SharedPages { get; init; }

    /// <summary>Frames they share, without that of zeroes.</summary>
    public required long SharedFrames { get; init; }

    /// <summary>Pages of zeroes.</summary>
    public required long ZeroPages { get; init; }

    /// <summary>What is promised to the machines of this process and to pools, overhead included.</summary>
    public long ReservedBytes { get; init; }

    /// <summary><see cref="OvercommitRatio"/> on an average over 1, 5 and 15 minutes.</summary>
    public IReadOnlyList<double> OvercommitAverages { get; init; } = [0, 0, 0];

    /// <summary>The running machines.</summary>
    public required IReadOnlyList<MachineMemoryStatistics> Machines { get; init; }

    /// <summary>What is free of the budget; negative when machines took more.</summary>
    public long FreeBytes => BudgetBytes - UsedBytes - OthersBytes;

    /// <summary>Memory that sharing saves.</summary>
    public long SharedSavedBytes => (SharedPages - SharedFrames) * (long)GuestMemory.PageSize;

    /// <summary>By what part of the budget the machines' memory exceeds it; 0 when it does not.</summary>
    public double OvercommitRatio => BudgetBytes <= 0 ? 0 : Math.Max(0, (double)(Machines.Sum(static machine => machine.MemoryBytes) + OthersMemoryBytes) / BudgetBytes - 1);
}
