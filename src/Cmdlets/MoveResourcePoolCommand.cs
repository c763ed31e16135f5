using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Move-ResourcePool: puts resource pools, with all that is in them, into another pool; what runs in them goes on.</summary>
/// <example>
/// <code>Move-ResourcePool web -Destination production</code>
/// A pool into a pool.
/// </example>
/// <example>
/// <code>Get-ResourcePool -Location production -NoRecursion | Move-ResourcePool -Destination Resources</code>
/// All pools of a pool into the host's own.
/// </example>
[Cmdlet(VerbsCommon.Move, "ResourcePool", SupportsShouldProcess = true)]
[OutputType(typeof(ResourcePool))]
public sealed class MoveResourcePoolCommand : HypervisorCmdlet
{
    /// <summary>Pools, or their names.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [ResourcePoolTransformation]
    [ArgumentCompleter(typeof(ResourcePoolNameCompleter))]
    public ResourcePool[] ResourcePool { get; set; } = [];

    /// <summary>Pool that they are to be in, or its name; Resources, or the host, is the host's own. A pool cannot be in itself, nor in one that is in it.</summary>
    [Parameter(Mandatory = true, Position = 1)]
    [ResourcePoolTransformation]
    [ArgumentCompleter(typeof(ResourcePoolNameCompleter))]
    public ResourcePool? Destination { get; set; }

    private protected override void Process()
    {
        if (Destination is null || ResourcePools.ResolveOne(this, Destination) is not { } destination)
        {
            return;
        }

        foreach (ResourcePool pool in ResourcePools.Resolve(this, ResourcePool))
        {
            if (MayChange(pool.Name, $"Move into resource pool {destination.Name}"))
            {
                Attempt(pool, () => Emit(Await(pool.Host!.MoveResourcePool(pool, destination))));
            }
        }
    }
}
