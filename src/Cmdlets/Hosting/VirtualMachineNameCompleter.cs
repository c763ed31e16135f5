using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>Proposes the names of machines.</summary>
public sealed class VirtualMachineNameCompleter : NameCompleter
{
    private protected override IEnumerable<string> Names(string? hostPath) => HypervisorHost.Open(hostPath).FindMachines("*").Select(static machine => machine.Name);
}
