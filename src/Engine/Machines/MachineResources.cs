using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Engine.Machines;

/// <summary>Turns what the inventory says about resources into the scheduler's terms.</summary>
internal static class MachineResources
{
    public static MachinePlan PlanOf(VirtualMachineConfiguration machine)
    {
        ResourceSettings settings = machine.Resources;
        int shares = Shares.OfMachineCpu(settings.CpuSharesLevel, machine.NumCpu, settings.NumCpuShares);
        return new MachinePlan(
            machine.ResourcePoolId, Entitlement(shares, settings.CpuReservationMhz, settings.CpuLimitMhz), settings.CpuAffinityList, settings.LatencySensitivity);
    }

    public static PoolPlan PlanOf(ResourcePoolConfiguration pool) => new(
        pool.Id, pool.ParentId, pool.Name, Entitlement(Shares.OfPoolCpu(pool.CpuSharesLevel, pool.NumCpuShares), pool.CpuReservationMhz, pool.CpuLimitMhz));

    // The file may have been written by hand: numbers that rules would refuse must not stop the scheduler.
    private static CpuEntitlement Entitlement(int shares, long reservation, long? limit) =>
        new(Math.Clamp(shares, Shares.Min, Shares.Max), Math.Max(0, reservation), limit is null or < 0 ? CpuEntitlement.Unlimited : limit.Value);
}
