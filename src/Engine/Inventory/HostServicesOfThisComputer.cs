using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Inventory;

/// <summary>The services of the computer that this process runs on.</summary>
internal static class HostServicesOfThisComputer
{
    /// <summary>Names them; nothing is probed or opened before it is needed.</summary>
    public static HostServices Create() => new()
    {
        CreateMachineFactory = static () => new MachineFactory(),
        FindBackends = static () => FindBackends(BackendSelector.Default),
    };

    private static IReadOnlyList<BackendFinding> FindBackends(BackendSelector selector)
    {
        BackendKind chosen = selector.Select(BackendKind.Auto).Backend;
        return [.. selector.Probes.Select(probe => new BackendFinding(probe.Backend, probe.Available, probe.Backend == chosen, probe.Reason))];
    }
}
