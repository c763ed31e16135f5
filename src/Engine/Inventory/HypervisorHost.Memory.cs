using Hypervisor.Engine.Machines;
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
