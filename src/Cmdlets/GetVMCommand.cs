using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Get-VM: the machines of a host.</summary>
/// <example>
/// <code>Get-VM</code>
/// All machines.
/// </example>
/// <example>
/// <code>Get-VM web*, db | Where-Object PowerState -eq PoweredOn</code>
/// Machines by name that are powered on.
/// </example>
[Cmdlet(VerbsCommon.Get, "VM", DefaultParameterSetName = ByName)]
[OutputType(typeof(VirtualMachine))]
public sealed class GetVMCommand : HypervisorCmdlet
{
    private const string ByName = "ByName", ById = "ById";

    /// <summary>Names, with wildcards.</summary>
    [Parameter(Position = 0, ParameterSetName = ByName)]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    [ValidateNotNullOrEmpty]
    public string[]? Name { get; set; }

    /// <summary>Identities.</summary>
    [Parameter(Mandatory = true, ParameterSetName = ById)]
    public Guid[]? Id { get; set; }

    private protected override void Process()
    {
        if (Id is { } ids)
        {
            FindById(ids);
            return;
        }

        if (Name is { } names)
        {
            foreach (VirtualMachine machine in names.SelectMany(FindByName).DistinctBy(static machine => machine.Id))
            {
                Emit(machine);
            }
        }
        else
        {
            foreach (VirtualMachine machine in VIHost.GetMachines())
            {
                Emit(machine);
            }
        }

        foreach (string problem in VIHost.GetUnreadableMachines())
        {
            Warn(problem);
        }
    }

    private void FindById(Guid[] ids)
    {
        foreach (Guid id in ids)
        {
            if (VIHost.FindMachine(id) is { } machine)
            {
                Emit(machine);
            }
            else
            {
                Complain(NotFound(id.ToString()));
            }
        }
    }
}
