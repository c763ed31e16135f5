using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Engine.Inventory;

/// <summary>What shares, reservations and limits must obey by themselves; whether the host can promise them is <see cref="Admission"/>.</summary>
internal static class ResourceRules
{
    /// <summary>Most MHz or MB of a reservation or limit: more than any computer has, and sums and bytes of it do not overflow.</summary>
    private const long Most = 1L << 40;

    /// <summary>Checks a machine's.</summary>
    /// <exception cref="InvalidConfigurationException">A rule is broken.</exception>
    public static void Check(VirtualMachineConfiguration machine, HostTopology host)
    {
        ResourceSettings wanted = machine.Resources;
        string of = $"'{machine.Name}'";
        CheckCommon(of, "CPU", "MHz", wanted.CpuSharesLevel, wanted.NumCpuShares, wanted.CpuReservationMhz, wanted.CpuLimitMhz);
        CheckCommon(of, "memory", "MB", wanted.MemSharesLevel, wanted.NumMemShares, wanted.MemReservationMB, wanted.MemLimitMB);
        long most = (long)machine.NumCpu * host.ProcessorMHz;
        if (wanted.CpuReservationMhz > most)
        {
            throw new InvalidConfigurationException(
                $"A CPU reservation of {wanted.CpuReservationMhz} MHz for {of} is {wanted.CpuReservationMhz - most} MHz more than its {machine.NumCpu} virtual processors can use ({most} MHz).");
        }

        if (wanted.MemReservationMB > machine.MemoryMB)
        {
            throw new InvalidConfigurationException(
                $"A memory reservation of {wanted.MemReservationMB} MB for {of} is {wanted.MemReservationMB - machine.MemoryMB} MB more than the machine has ({machine.MemoryMB} MB).");
        }

        foreach (int processor in wanted.CpuAffinityList)
        {
            if (processor < 0 || processor >= host.Count)
            {
                throw new InvalidConfigurationException($"There is no processor {processor} on this host for {of}; it has 0 to {host.Count - 1}.");
            }
        }
    }

    /// <summary>Checks a pool's, and that pools do not lie in a circle.</summary>
    /// <exception cref="InvalidConfigurationException">A rule is broken.</exception>
    public static void Check(ResourcePoolConfiguration pool, IReadOnlyList<ResourcePoolConfiguration> all)
    {
        MachineRules.CheckName(pool.Name);
        if (string.Equals(pool.Name, ResourcePool.RootName, StringComparison.OrdinalIgnoreCase))
        {
            throw new InvalidConfigurationException($"'{ResourcePool.RootName}' is the name of the host's own pool.");
        }

        string of = $"the resource pool '{pool.Name}'";
        CheckCommon(of, "CPU", "MHz", pool.CpuSharesLevel, pool.NumCpuShares, pool.CpuReservationMhz, pool.CpuLimitMhz);
        CheckCommon(of, "memory", "MB", pool.MemSharesLevel, pool.NumMemShares, pool.MemReservationMB, pool.MemLimitMB);
        var above = new List<string> { pool.Name };
        for (Guid? parent = pool.ParentId; parent is { } id; parent = all.FirstOrDefault(other => other.Id == id)?.ParentId)
        {
            above.Add(all.FirstOrDefault(other => other.Id == id)?.Name ?? id.ToString());
            if (id == pool.Id)
            {
                throw new InvalidConfigurationException($"A resource pool cannot be in itself: {string.Join(" in ", above.Select(static name => $"'{name}'"))}.");
            }
        }
    }

    private static void CheckCommon(string of, string resource, string unit, SharesLevel level, int shares, long reservation, long? limit)
    {
        if (level == SharesLevel.Custom && shares is < Shares.Min or > Shares.Max)
        {
            throw new InvalidConfigurationException($"{shares} {resource} shares for {of}: custom shares are {Shares.Min} to {Shares.Max}.");
        }

        if (reservation < 0)
        {
            throw new InvalidConfigurationException($"A {resource} reservation of {reservation} {unit} for {of}: a reservation is 0 {unit} or more.");
        }

        if (limit < 0)
        {
            throw new InvalidConfigurationException($"A {resource} limit of {limit} {unit} for {of}: a limit is 0 {unit} or more, or none (-1 or $null).");
        }

        if (reservation > Most || limit > Most)
        {
            throw new InvalidConfigurationException($"{Math.Max(reservation, limit ?? 0)} {unit} for {of}: {resource} reservations and limits go to {Most} {unit}; $null stands for no limit.");
        }

        if (reservation > limit)
        {
            throw new InvalidConfigurationException(
                $"The {resource} reservation of {reservation} {unit} for {of} is {reservation - limit} {unit} above its limit of {limit} {unit}. Raise the limit (or take it away with $null), or lower the reservation.");
        }
    }
}
