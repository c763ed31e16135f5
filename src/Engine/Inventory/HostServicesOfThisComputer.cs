using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Scheduling;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Engine.Inventory;

/// <summary>The services of the computer that this process runs on.</summary>
internal static class HostServicesOfThisComputer
{
    /// <summary>Names them; nothing is probed or opened before it is needed.</summary>
    public static HostServices Create()
    {
        var storageIo = new StorageIoControl();
        HostTopology processors = HostTopologyProbe.OfThisComputer();
        var scheduler = new CpuScheduler(processors);
        var memory = new MemoryConfigurationSource();
        var memoryManager = new MemoryManager(memory);
        return new HostServices
        {
            CreateMachineFactory = () => new MachineFactory(scheduler, storageIo: storageIo, memory: memoryManager),
            FindBackends = static () => Findings(BackendSelector.Default),
            StorageIo = storageIo,
            Scheduler = scheduler,
            Memory = memory,
            MemoryManager = memoryManager,
            Processors = new Lazy<HostTopology>(processors),
        };
    }

    private static List<BackendFinding> Findings(BackendSelector selector)
    {
        BackendKind? automatic;
        try
        {
            automatic = selector.Select(BackendKind.Auto).Backend;
        }
        catch (MachineException)
        {
            // No backend at all: each finding says why.
            automatic = null;
        }

        return [.. selector.Probes.Select(probe => new BackendFinding(probe.Backend, probe.Available, probe.Backend == automatic, probe.Reason) { IsAccelerated = probe.Accelerated, Version = probe.Version })];
    }
}
