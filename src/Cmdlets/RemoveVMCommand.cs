using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Remove-VM: takes machines out of the inventory.</summary>
/// <example>
/// <code>Remove-VM web</code>
/// Takes the machine out of the inventory; its disks stay.
/// </example>
/// <example>
/// <code>Get-VM test* | Remove-VM -DeletePermanently -Confirm:$false</code>
/// Removes machines together with their own folders, without asking.
/// </example>
[Cmdlet(VerbsCommon.Remove, "VM", SupportsShouldProcess = true, ConfirmImpact = ConfirmImpact.High)]
[OutputType(typeof(VITask))]
public sealed class RemoveVMCommand : HypervisorCmdlet
{
    /// <summary>Machines, or their names.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    public VirtualMachine[] VM { get; set; } = [];

    /// <summary>Also deletes the machine's own folder and the disks in it. Disks elsewhere stay.</summary>
    [Parameter]
    [Alias("DeleteFromDisk")]
    public SwitchParameter DeletePermanently { get; set; }

    /// <summary>Gives a task at once.</summary>
    [Parameter]
    public SwitchParameter RunAsync { get; set; }

    private protected override void Process()
    {
        bool everything = IsOn(DeletePermanently);
        foreach (VirtualMachine machine in Resolve(VM))
        {
            if (MayChange(machine.Name, everything ? "Remove virtual machine and delete its files" : "Remove virtual machine"))
            {
                Deliver(machine.Host!.Remove(machine, everything), IsOn(RunAsync), passResult: false);
            }
        }
    }
}
