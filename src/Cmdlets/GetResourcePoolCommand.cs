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

    /// <summary>Pools in which to look, or their names; what is in pools in them counts too.</summary>
    [Parameter(ParameterSetName = ByName, ValueFromPipeline = true)]
    [ResourcePoolTransformation]
    [ArgumentCompleter(typeof(ResourcePoolNameCompleter))]
    public ResourcePool[]? Location { get; set; }

    /// <summary>Looks only at what is directly in -Location.</summary>
    [Parameter(ParameterSetName = ByName)]
    public SwitchParameter NoRecursion { get; set; }

    /// <summary>Machines, or their names, whose pools are asked for.</summary>
    [Parameter(Mandatory = true, ParameterSetName = ByMachine, ValueFromPipeline = true)]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    public VirtualMachine[]? VM { get; set; }

    /// <summary>Identities.</summary>
    [Parameter(Mandatory = true, ParameterSetName = ById)]
    public string[]? Id { get; set; }

    private protected override void Process()
    {
        IReadOnlyList<ResourcePool> all = VIHost.GetResourcePools();
        if (VM is { } machines)
        {
            foreach (VirtualMachine machine in Resolve(machines))
            {
                Emit(all.First(pool => string.Equals(pool.Name, machine.ResourcePool, StringComparison.OrdinalIgnoreCase)));
            }

            return;
        }

        if (Id is { } ids)
        {
            foreach (ResourcePool pool in all.Where(pool => ids.Contains(pool.Id, StringComparer.OrdinalIgnoreCase)))
            {
                Emit(pool);
            }

            return;
        }

        IEnumerable<ResourcePool> found = Name is null ? all : Name.SelectMany(name => ResourcePools.Find(this, name)).DistinctBy(static pool => pool.Id);
        if (Location is not null)
        {
            HashSet<string> places = [.. ResourcePools.Resolve(this, Location).Select(static pool => pool.Name)];
            found = found.Where(pool => IsIn(pool, places, all));
        }

        foreach (ResourcePool pool in found)
        {
            Emit(pool);
        }
    }

    private bool IsIn(ResourcePool pool, HashSet<string> places, IReadOnlyList<ResourcePool> all)
    {
        for (ResourcePool? now = pool; now?.Configuration is not null; now = all.FirstOrDefault(other => other.Name == now.Parent))
        {
            if (places.Contains(now.Parent))
            {
                return true;
            }

            if (IsOn(NoRecursion))
            {
                break;
            }
        }

        return false;
    }
}
