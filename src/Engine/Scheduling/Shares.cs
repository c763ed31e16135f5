using Hypervisor.Engine.Inventory;

namespace Hypervisor.Engine.Scheduling;

/// <summary>The numbers behind the levels, those of ESX.</summary>
internal static class Shares
{
    /// <summary>Least and most shares that can be given.</summary>
    public const int Min = 1, Max = 1_000_000;

    private const int CpuPerProcessor = 500, MemoryPerMB = 5, PoolCpu = 2000, PoolMemory = 81_920;

    /// <summary>CPU shares of a machine: 500, 1000 or 2000 for each virtual processor.</summary>
    public static int OfMachineCpu(SharesLevel level, int processors, int custom) => Of(level, CpuPerProcessor * (long)processors, custom);

    /// <summary>Memory shares of a machine: 5, 10 or 20 for each MB.</summary>
    public static int OfMachineMemory(SharesLevel level, int memoryMB, int custom) => Of(level, MemoryPerMB * (long)memoryMB, custom);

    /// <summary>CPU shares of a pool: 2000, 4000 or 8000, what a machine of four processors has.</summary>
    public static int OfPoolCpu(SharesLevel level, int custom) => Of(level, PoolCpu, custom);

    /// <summary>Memory shares of a pool: 81 920, 163 840 or 327 680, what a machine of 16 GB has.</summary>
    public static int OfPoolMemory(SharesLevel level, int custom) => Of(level, PoolMemory, custom);

    // Low, Normal and High are 0, 1 and 2: each is twice the one before.
    private static int Of(SharesLevel level, long low, int custom) =>
        level == SharesLevel.Custom ? custom : (int)Math.Min(Max, low << (int)level);
}
