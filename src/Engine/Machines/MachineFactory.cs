using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Scheduling;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Engine.Machines;

/// <summary>Assembles machines on the backends of a host.</summary>
/// <param name="backends">Where backends are chosen; null for those of this product.</param>
/// <param name="storageIo">The datastores whose I/O the machines' disks share; null for machines of no host.</param>
public sealed class MachineFactory(BackendSelector? backends = null, StorageIoControl? storageIo = null) : IMachineFactory
{
    private readonly StorageIoControl _storageIo = storageIo ?? new StorageIoControl();
    private readonly CpuScheduler? _scheduler;
    private readonly MemoryManager? _memory;

    /// <summary>Assembles machines that run when a scheduler lets them, with memory that is managed.</summary>
    internal MachineFactory(CpuScheduler? scheduler, BackendSelector? backends = null, StorageIoControl? storageIo = null, MemoryManager? memory = null)
        : this(backends, storageIo) => (_scheduler, _memory) = (scheduler, memory);

    /// <summary>What the host offers.</summary>
    public BackendSelector Backends { get; } = backends ?? BackendSelector.Default;

    /// <inheritdoc/>
    public IMachine Create(VirtualMachineConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        MachineLimits.Check(configuration);
        return new Machine(configuration, Backends.Select(configuration.Backend), _storageIo, _scheduler, _memory);
    }
}
