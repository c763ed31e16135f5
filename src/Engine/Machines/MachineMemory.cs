using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Engine.Machines;

/// <summary>Turns what the inventory says about memory into the terms of the memory policy.</summary>
internal static class MachineMemory
{
    private const long Megabyte = 1 << 20;
    private const int Percent = 100;

    // What a machine takes beside guest memory: devices and buffers, each processor's tables, what is kept for each page, and the least
    // that translated code needs. Translated code beyond that, up to the size of its cache, is neither promised nor counted.
    private const int OverheadMB = 8, OverheadMBPerProcessor = 2, OverheadDivisor = 128;

    /// <summary>Memory that is reserved for a machine beside what it has reserved itself, MB.</summary>
    public static int OverheadOf(VirtualMachineConfiguration machine) =>
        DeviceOverheadOf(machine) + (OverheadMBPerProcessor * machine.NumCpu)
            + (machine.Backend is BackendKind.Auto or BackendKind.Software ? PartitionOptions.MinimumCodeCacheMB : 0);

    /// <summary>The part of it that does not depend on the processors, MB.</summary>
    public static int DeviceOverheadOf(VirtualMachineConfiguration machine) => OverheadMB + (machine.MemoryMB / OverheadDivisor);

    /// <summary>A machine as the policy sees it.</summary>
    /// <param name="machine">The machine.</param>
    /// <param name="host">Whose pools and settings it is seen with.</param>
    /// <exception cref="MachineException">An advanced setting of the machine has a value that cannot be.</exception>
    public static MachineMemoryPlan PlanOf(VirtualMachineConfiguration machine, MemoryConfiguration host)
    {
        ResourceSettings wanted = machine.Resources;
        AdvancedSettings settings = AdvancedSettings.Read(machine);
        long memory = machine.MemoryMB * Megabyte, most = memory * host.Settings.BalloonMaxPercent / Percent;

        // The file may have been written by hand: numbers that rules would refuse must not stop the policy.
        return new MachineMemoryPlan
        {
            MemoryBytes = memory,
            Shares = Math.Clamp(Shares.OfMachineMemory(wanted.MemSharesLevel, machine.MemoryMB, wanted.NumMemShares), Shares.Min, Shares.Max),
            ReservationBytes = Math.Clamp(wanted.MemReservationMB, 0, machine.MemoryMB) * Megabyte,
            LimitBytes = Limit(wanted.MemLimitMB),
            Pool = machine.ResourcePoolId is { } pool ? host.PoolIndexes.GetValueOrDefault(pool, -1) : -1,
            BalloonMaxBytes = settings.BalloonMaxMB is { } balloon ? Math.Min(balloon * Megabyte, memory) : most,
            IsSharingEnabled = settings.IsPageSharingEnabled,
            SharingDomain = DomainOf(machine, settings.PageSharingSalt, host.Settings.ShareSalting),
        };
    }

    /// <summary>A pool as the policy sees it.</summary>
    /// <param name="pool">The pool.</param>
    /// <param name="indexes">Where the pools before it are.</param>
    public static MemoryPoolPlan PlanOf(ResourcePoolConfiguration pool, IReadOnlyDictionary<Guid, int> indexes) => new(
        pool.ParentId is { } parent ? indexes.GetValueOrDefault(parent, -1) : -1,
        Math.Clamp(Shares.OfPoolMemory(pool.MemSharesLevel, pool.NumMemShares), Shares.Min, Shares.Max),
        Math.Clamp(pool.MemReservationMB, 0, int.MaxValue) * Megabyte,
        Limit(pool.MemLimitMB));

    private static long Limit(long? megabytes) => megabytes is { } limit and >= 0 and < long.MaxValue / Megabyte ? limit * Megabyte : MachineMemoryPlan.Unlimited;

    // 0: all share with all. 1: with those of the same salt, where no salt is one too. 2: a machine without a salt shares with itself alone.
    private static string DomainOf(VirtualMachineConfiguration machine, string? salt, int salting) => salting switch
    {
        0 => "",
        1 => salt ?? "",
        _ => salt ?? machine.Id.ToString("D"),
    };
}
