using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>New-ResourcePool: makes a pool that divides what it gets among the machines and pools in it.</summary>
/// <example>
/// <code>New-ResourcePool production -CpuSharesLevel High -CpuReservationMhz 2000</code>
/// A pool in the host's own.
/// </example>
/// <example>
/// <code>New-ResourcePool -Location production -Name web -CpuLimitMhz 1000</code>
/// A pool in a pool.
/// </example>
/// <example>
/// <code>Get-VMHost | New-ResourcePool -Name test -CpuSharesLevel Low</code>
/// As in PowerCLI; the host stands for its own pool.
/// </example>
[Cmdlet(VerbsCommon.New, "ResourcePool", SupportsShouldProcess = true)]
[OutputType(typeof(ResourcePool))]
public sealed class NewResourcePoolCommand : ResourcePoolCommand
{
    /// <summary>Name, unique on the host.</summary>
    [Parameter(Mandatory = true, Position = 0)]
    public string Name { get; set; } = "";

    /// <summary>Pool that it is to be in, or its name, or the host; the host's own when not given.</summary>
    [Parameter(ValueFromPipeline = true)]
    [ResourcePoolTransformation]
    [ArgumentCompleter(typeof(ResourcePoolNameCompleter))]
    [ValidateNotNull]
    public ResourcePool? Location { get; set; }

    private protected override void Process()
    {
        ResourcePool? parent = null;
        if (Location is not null && (parent = ResourcePools.ResolveOne(this, Location)) is null)
        {
            return;
        }

        if (MayChange(Name, "Create resource pool"))
        {
            Attempt(Name, () => Emit(Await((parent?.Host ?? VIHost).CreateResourcePool(
                Change(new ResourcePoolConfiguration { Id = Guid.NewGuid(), Name = Name, ParentId = parent?.Configuration?.Id })))));
        }
    }
}
