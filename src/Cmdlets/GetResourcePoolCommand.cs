using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Get-ResourcePool: the resource pools of a host; the host's own is called Resources.</summary>
/// <example>
/// <code>Get-ResourcePool</code>
/// All pools.
/// </example>
/// <example>
/// <code>Get-VM web | Get-ResourcePool</code>
/// The pool that a machine is in.
/// </example>
/// <example>
/// <code>Get-VMHost | Get-ResourcePool -NoRecursion</code>
/// The pools directly in the host's own.
/// </example>
[Cmdlet(VerbsCommon.Get, "ResourcePool", DefaultParameterSetName = ByName)]
[OutputType(typeof(ResourcePool))]
public sealed class GetResourcePoolCommand : HypervisorCmdlet
{
    private const string ByName = "ByName", ByMachine = "ByMachine", ById = "ById";

    /// <summary>Names, with wildcards.</summary>
    [Parameter(Position = 0, ParameterSetName = ByName)]
    [ArgumentCompleter(typeof(ResourcePoolNameCompleter))]
    [ValidateNotNullOrEmpty]
    public string[]? Name { get; set; }

    /// <summary>Pools in which to look, or their names, or the host; what is in pools in them counts too.</summary>
    [Parameter(ParameterSetName = ByName, ValueFromPipeline = true)]
    [ResourcePoolTransformation]
    [ArgumentCompleter(typeof(ResourcePoolNameCompleter))]
    [ValidateNotNullOrEmpty]
    public ResourcePool[]? Location { get; set; }

    /// <summary>Looks only at what is directly in -Location.</summary>
    [Parameter(ParameterSetName = ByName)]
    public SwitchParameter NoRecursion { get; set; }

    /// <summary>Machines, or their names, whose pools are asked for.</summary>
    [Parameter(Mandatory = true, ParameterSetName = ByMachine, ValueFromPipeline = true)]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    [ValidateNotNullOrEmpty]
    public VirtualMachine[]? VM { get; set; }

    /// <summary>Identities.</summary>
    [Parameter(Mandatory = true, ParameterSetName = ById)]
    [ValidateNotNullOrEmpty]
    public string[]? Id { get; set; }

    private protected override void Process()
    {
        IReadOnlyList<ResourcePool> all = VIHost.GetResourcePools();
        if (VM is { } machines)
        {
            foreach (VirtualMachine machine in Resolve(machines))
            {
                Emit(machine.ResourcePool);
            }

            return;
        }

        if (Id is { } ids)
        {
            foreach (string id in ids)
            {
                if (all.FirstOrDefault(pool => string.Equals(pool.Id, id, StringComparison.OrdinalIgnoreCase)) is { } pool)
                {
                    Emit(pool);
                }
                else
                {
                    Complain(new CommandError(
                        new ItemNotFoundInInventoryException($"There is no resource pool with the identity '{id}' on this host ({VIHost.Folder.Root})."), "ResourcePoolNotFound", ErrorCategory.ObjectNotFound, id));
                }
            }

            return;
        }

        IEnumerable<ResourcePool> found = Name is null ? all : Name.SelectMany(name => ResourcePools.Find(this, name)).DistinctBy(static pool => pool.Id);
        if (Location is not null)
        {
            ResourcePool[] within = [.. ResourcePools.Within(ResourcePools.Resolve(this, Location), isDeep: !IsOn(NoRecursion))];
            found = Name is null ? within : found.Where(pool => within.Any(other => other.Id == pool.Id));
        }

        foreach (ResourcePool pool in found)
        {
            Emit(pool);
        }
    }
}
