using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Start-VM: powers machines on.</summary>
/// <example>
/// <code>Start-VM web</code>
/// Powers on a machine.
/// </example>
/// <example>
/// <code>Get-VM web* | Start-VM -RunAsync | Wait-Task</code>
/// Powers on several machines at once and waits.
/// </example>
[Cmdlet(VerbsLifecycle.Start, "VM", SupportsShouldProcess = true)]
[OutputType(typeof(VirtualMachine), typeof(VITask))]
public sealed class StartVMCommand : HypervisorCmdlet
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
            if (MayChange(machine.Name, "Power on virtual machine"))
            {
                ProcessEnd.Watch();
                Deliver(machine.Host!.PowerOn(machine), IsOn(RunAsync));
            }
        }
    }
}
