using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Inventory;

/// <summary>The services of the computer that this process runs on.</summary>
internal static class HostServicesOfThisComputer
{
    /// <summary>Names them; nothing is probed or opened before it is needed.</summary>
    public static HostServices Create() => new()
    {
        CreateMachineFactory = static () => throw new MachineException("This build cannot power machines on: it has no machine factory."),
        FindBackends = static () => [],
    };
}
