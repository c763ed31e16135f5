using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Remove-ResourcePool: removes resource pools; the machines and pools in them go to the pool above and run on.</summary>
/// <example>
/// <code>Remove-ResourcePool production -Confirm:$false</code>
/// Removes a pool without asking.
/// </example>
[Cmdlet(VerbsCommon.Remove, "ResourcePool", SupportsShouldProcess = true, ConfirmImpact = ConfirmImpact.High)]
public sealed class RemoveResourcePoolCommand : HypervisorCmdlet
{
    /// <summary>Pools, or their names.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [ResourcePoolTransformation]
    [ArgumentCompleter(typeof(ResourcePoolNameCompleter))]
    public ResourcePool[] ResourcePool { get; set; } = [];

    private protected override void Process()
    {
        foreach (ResourcePool pool in ResourcePools.Resolve(this, ResourcePool))
        {
            if (MayChange(pool.Name, "Remove resource pool"))
            {
                Attempt(pool, () => Await(pool.Host!.RemoveResourcePool(pool)));
            }
        }
    }
}
