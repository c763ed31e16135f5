using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Move-VM: puts machines, running or not, into a resource pool.</summary>
/// <example>
/// <code>Move-VM web1, web2 -Destination production</code>
/// Moves two machines.
/// </example>
/// <example>
/// <code>Get-VM | Move-VM -Destination Resources</code>
/// Moves all machines back to the host's own pool.
/// </example>
[Cmdlet(VerbsCommon.Move, "VM", SupportsShouldProcess = true)]
[OutputType(typeof(VirtualMachine), typeof(VITask))]
public sealed class MoveVMCommand : HypervisorCmdlet
{
    /// <summary>Machines, or their names.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    public VirtualMachine[] VM { get; set; } = [];

    /// <summary>Pool, or its name; Resources, or the host, is the host's own.</summary>
    [Parameter(Mandatory = true, Position = 1, ValueFromPipeline = true)]
    [ResourcePoolTransformation]
    [ArgumentCompleter(typeof(ResourcePoolNameCompleter))]
    public ResourcePool? Destination { get; set; }

    /// <summary>Gives a task at once instead of the machine in the end.</summary>
    [Parameter]
    public SwitchParameter RunAsync { get; set; }

    private protected override void Process()
    {
        if (Destination is null || ResourcePools.ResolveOne(this, Destination) is not { } destination)
        {
            return;
        }

        foreach (VirtualMachine machine in Resolve(VM))
        {
            if (MayChange(machine.Name, $"Move into resource pool {destination.Name}"))
            {
                Attempt(machine, () => Deliver(machine.Host!.Move(machine, destination), IsOn(RunAsync)));
            }
        }
    }
}
