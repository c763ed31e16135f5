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
/// <code>Get-ResourcePool production | Get-VM</code>
/// Machines in a resource pool, and in the pools in it.
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

    /// <summary>Resource pools in which to look, or their names, or the host; what is in pools in them counts too.</summary>
    [Parameter(ParameterSetName = ByName, ValueFromPipeline = true)]
    [ResourcePoolTransformation]
    [ArgumentCompleter(typeof(ResourcePoolNameCompleter))]
    [ValidateNotNullOrEmpty]
    public ResourcePool[]? Location { get; set; }

    /// <summary>Looks only at what is directly in -Location.</summary>
    [Parameter(ParameterSetName = ByName)]
    public SwitchParameter NoRecursion { get; set; }

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

        IEnumerable<VirtualMachine> found = Name is { } names
            ? names.SelectMany(FindByName).DistinctBy(static machine => machine.Id)
            : Location is null ? VIHost.GetMachines() : Located();
        if (Location is not null && Name is not null)
        {
            HashSet<Guid> there = [.. Located().Select(static machine => machine.Id)];
            found = found.Where(machine => there.Contains(machine.Id));
        }

        foreach (VirtualMachine machine in found)
        {
            Emit(machine);
        }

        foreach (string problem in VIHost.GetUnreadableMachines())
        {
            Warn(problem);
        }
    }

    private IEnumerable<VirtualMachine> Located()
    {
        ResourcePool[] places = [.. ResourcePools.Resolve(this, Location)];
        IEnumerable<ResourcePool> all = IsOn(NoRecursion) ? places : places.Concat(ResourcePools.Within(places, isDeep: true));
        HashSet<Guid?> pools = [.. all.Select(static pool => pool.Configuration?.Id)];
        return (places.Length > 0 ? places[0].Host! : VIHost).GetMachines().Where(machine => pools.Contains(machine.ResourcePool.Configuration?.Id));
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
