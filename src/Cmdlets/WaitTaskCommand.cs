using System.Management.Automation;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Wait-Task: waits for tasks and gives what they made.</summary>
/// <example>
/// <code>Start-VM web -RunAsync | Wait-Task</code>
/// Waits until the machine is powered on and gives it out.
/// </example>
[Cmdlet(VerbsLifecycle.Wait, "Task")]
[OutputType(typeof(VirtualMachine))]
public sealed class WaitTaskCommand : HypervisorCmdlet
{
    /// <summary>Tasks to wait for.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [ValidateNotNullOrEmpty]
    public VITask[] Task { get; set; } = [];

    private protected override void Process()
    {
        foreach (VITask task in Task)
        {
            Deliver(task, runAsync: false);
        }
    }
}
