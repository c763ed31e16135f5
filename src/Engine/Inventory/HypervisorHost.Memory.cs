using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;

namespace Hypervisor.Engine.Inventory;

// Tells who manages memory what machines, pools and the host are to get of it.
public sealed partial class HypervisorHost
{
    private readonly Dictionary<Guid, VirtualMachineConfiguration> _memoryMachines = [];
    private ResourceDocument? _memoryDocument;

    // Under _applyLock. Publishes only what differs from what was published.
    private void FollowMemory(ResourceDocument document, HostSettings settings)
    {
        var machines = new Dictionary<Guid, VirtualMachineConfiguration>();
        bool changed = !ReferenceEquals(document, _memoryDocument);
        foreach (Guid id in _running.Keys)
        {
            if (_store.Find(id) is { } machine)
            {
                machines[id] = machine;
                changed |= !ReferenceEquals(_memoryMachines.GetValueOrDefault(id), machine);
            }
        }

        if (!changed && machines.Count == _memoryMachines.Count)
        {
            return;
        }

        MemoryConfiguration before = Services.Memory.Current, host = DescribeMemory(document, settings);
        var plans = new Dictionary<Guid, MachineMemoryPlan>();
        _memoryMachines.Clear();
        foreach ((Guid id, VirtualMachineConfiguration machine) in machines)
        {
            try
            {
                plans[id] = MachineMemory.PlanOf(machine, host);
            }
            catch (MachineException)
            {
                // A setting that was broken by hand while the machine runs: its next power-on says what is wrong. The others follow.
                if (before.Machines.TryGetValue(id, out MachineMemoryPlan? last))
                {
                    plans[id] = last with { Pool = machine.ResourcePoolId is { } pool ? host.PoolIndexes.GetValueOrDefault(pool, -1) : -1 };
                }
            }

            _memoryMachines[id] = machine;
        }

        _memoryDocument = document;
        Services.Memory.Publish(host with { Machines = plans });
    }

    /// <summary>How the machines that run here use the host's memory; null on a host that does not manage it.</summary>
    public HostMemoryStatistics? GetMemoryStatistics()
    {
        HostMemoryStatistics? statistics = Services.MemoryManager?.Statistics();
        if (statistics is null || !ReferenceEquals(Services.Memory.Current, MemoryConfiguration.None))
        {
            return statistics;
        }

        // No machine has run yet, and nothing was told to who manages memory.
        const long Megabyte = 1 << 20;
        try
        {
            long budget = Budget().MemoryBudgetMB * Megabyte;
            return statistics with { BudgetBytes = budget, MinFreeBytes = FreeMemoryThresholds.MinFree(budget) };
        }
        catch (Exception exception) when (exception is MachineException or InvalidConfigurationException or IOException or UnauthorizedAccessException)
        {
            // Settings that somebody broke: commands that need them say what is wrong.
            return statistics;
        }
    }

    private void RecordMemoryState(HostMemoryState before, HostMemoryState now, long freeBytes)
    {
        string does = now switch
        {
            HostMemoryState.High => "nothing is reclaimed",
            HostMemoryState.Clear => "large pages are broken up and equal pages shared",
            HostMemoryState.Soft => "memory is reclaimed by ballooning",
            HostMemoryState.Hard => "memory is reclaimed by compression and swapping",
            _ => "memory is reclaimed by compression and swapping, and machines above their entitlement wait for it",
        };
        string free = freeBytes >= 0 ? $"{freeBytes >> 20} MB free" : $"{-freeBytes >> 20} MB above the budget";
        var severity = now >= HostMemoryState.Hard ? MachineEventSeverity.Warning : MachineEventSeverity.Info;
        Events.Append("HostMemoryStateChangedEvent", severity, $"The memory state of {Environment.MachineName} changed from {before} to {now} ({free}): {does}");
    }

    private MemoryConfiguration DescribeMemory(ResourceDocument document, HostSettings settings)
    {
        const long Megabyte = 1 << 20;
        var indexes = new Dictionary<Guid, int>();
        var pools = new List<MemoryPoolPlan>();
        foreach (ResourcePoolConfiguration pool in ResourceDocument.ParentsFirst(document.Pools))
        {
            pools.Add(MachineMemory.PlanOf(pool, indexes));
            indexes[pool.Id] = pools.Count - 1;
        }

        return new MemoryConfiguration
        {
            BudgetBytes = settings.MemoryBudgetMB * Megabyte,
            ProcessorMHz = (long)Services.Processors.Value.Count * Services.Processors.Value.ProcessorMHz,
            Settings = settings.Memory,
            Pools = [.. pools],
            PoolIndexes = indexes,
        };
    }
}
