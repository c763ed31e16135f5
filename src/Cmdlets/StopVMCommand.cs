using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Stop-VM: presses the power button of machines and waits until they are off, or with -Kill powers them off at once.</summary>
/// <example>
/// <code>Stop-VM web</code>
/// Presses the power button and waits up to a minute for the guest to shut down.
/// </example>
/// <example>
/// <code>Stop-VM web -Kill -Confirm:$false</code>
/// Powers the machine off at once, without asking.
/// </example>
[Cmdlet(VerbsLifecycle.Stop, "VM", SupportsShouldProcess = true)]
[OutputType(typeof(VirtualMachine), typeof(VITask))]
public sealed class StopVMCommand : HypervisorCmdlet
{
    private const int DefaultTimeoutSeconds = 60;
    private const int MaxTimeoutSeconds = 86400;

    /// <summary>Machines, or their names.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    public VirtualMachine[] VM { get; set; } = [];

    /// <summary>Powers off at once, after asking for confirmation; the guest is not asked.</summary>
    [Parameter]
    public SwitchParameter Kill { get; set; }

    /// <summary>How long the guest may take to power off, seconds; then an error says so and the machine goes on.</summary>
    [Parameter]
    [ValidateRange(1, MaxTimeoutSeconds)]
    public int TimeoutSeconds { get; set; } = DefaultTimeoutSeconds;

    /// <summary>Gives a task at once instead of the machine in the end.</summary>
    [Parameter]
    public SwitchParameter RunAsync { get; set; }

    private protected override void Process()
    {
        bool kill = IsOn(Kill);
        foreach (VirtualMachine machine in Resolve(VM))
        {
            if (kill ? MayDestroy(machine.Name, "Power off virtual machine at once") : MayChange(machine.Name, "Shut down virtual machine"))
            {
                VITask task = kill ? machine.Host!.PowerOff(machine) : machine.Host!.Shutdown(machine, TimeSpan.FromSeconds(TimeoutSeconds));
                Deliver(task, IsOn(RunAsync));
            }
        }
    }
}
