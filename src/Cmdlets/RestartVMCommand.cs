using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Restart-VM: resets machines as their reset button would.</summary>
/// <example>
/// <code>Restart-VM web</code>
/// Resets the machine.
/// </example>
[Cmdlet(VerbsLifecycle.Restart, "VM", SupportsShouldProcess = true)]
[OutputType(typeof(VirtualMachine), typeof(VITask))]
public sealed class RestartVMCommand : HypervisorCmdlet
{
    /// <summary>Machines, or their names.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    public VirtualMachine[] VM { get; set; } = [];

    /// <summary>Gives a task at once instead of the machine in the end.</summary>
    [Parameter]
    public SwitchParameter RunAsync { get; set; }

    private protected override void Process()
    {
        foreach (VirtualMachine machine in Resolve(VM))
        {
            if (MayChange(machine.Name, "Reset virtual machine"))
            {
                Deliver(machine.Host!.Reset(machine), IsOn(RunAsync));
            }
        }
    }
}
