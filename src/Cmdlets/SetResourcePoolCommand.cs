using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Set-ResourcePool: changes resource pools. What is not given stays as it is; what runs in them feels it at once.</summary>
/// <example>
/// <code>Set-ResourcePool production -CpuSharesLevel Normal -CpuLimitMhz $null</code>
/// Usual shares, and no limit any more.
/// </example>
[Cmdlet(VerbsCommon.Set, "ResourcePool", SupportsShouldProcess = true)]
[OutputType(typeof(ResourcePool))]
public sealed class SetResourcePoolCommand : ResourcePoolCommand
{
    /// <summary>Pools, or their names.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [ResourcePoolTransformation]
    [ArgumentCompleter(typeof(ResourcePoolNameCompleter))]
    public ResourcePool[] ResourcePool { get; set; } = [];

    /// <summary>New name.</summary>
    [Parameter]
    public string? Name { get; set; }

    private protected override void Process()
    {
        foreach (ResourcePool pool in ResourcePools.Resolve(this, ResourcePool))
        {
            if (MayChange(pool.Name, "Reconfigure resource pool"))
            {
                Attempt(pool, () => Emit(Await(pool.Host!.ReconfigureResourcePool(pool, old => Change(old) with { Name = IsBound(nameof(Name)) ? Name ?? "" : old.Name }))));
            }
        }
    }
}
