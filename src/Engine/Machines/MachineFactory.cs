using Hypervisor.Engine.Inventory;

namespace Hypervisor.Engine.Machines;

/// <summary>Assembles machines on the backends of a host.</summary>
/// <param name="backends">Where backends are chosen; null for those of this product.</param>
public sealed class MachineFactory(BackendSelector? backends = null) : IMachineFactory
{
    /// <summary>What the host offers.</summary>
    public BackendSelector Backends { get; } = backends ?? BackendSelector.Default;

    /// <inheritdoc/>
    public IMachine Create(VirtualMachineConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        MachineLimits.Check(configuration);
        return new Machine(configuration, Backends.Select(configuration.Backend));
    }
}
