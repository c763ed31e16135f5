using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Get-VMResource: shares, reservations and limits of machines. Also known by PowerCLI's name, Get-VMResourceConfiguration.</summary>
/// <example>
/// <code>Get-VMResource</code>
/// Those of all machines.
/// </example>
/// <example>
/// <code>Get-VM web* | Get-VMResource | Where-Object CpuLimitMhz -ge 0</code>
/// Those of some machines that have a CPU limit.
/// </example>
/// <example>
/// <code>(Get-VMResource web).DiskResourceConfiguration</code>
/// Shares and limits of a machine's disks.
/// </example>
[Cmdlet(VerbsCommon.Get, "VMResource")]
[Alias("Get-VMResourceConfiguration")]
[OutputType(typeof(VMResourceConfiguration))]
public sealed class GetVMResourceCommand : HypervisorCmdlet
{
    /// <summary>Machines, or their names; all when not given.</summary>
    [Parameter(Position = 0, ValueFromPipeline = true)]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    [ValidateNotNullOrEmpty]
    public VirtualMachine[]? VM { get; set; }

    private protected override void Process()
    {
        IEnumerable<VirtualMachine> machines = VM is null && !ExpectsInput ? VIHost.GetMachines() : Resolve(VM);
        foreach (VirtualMachine machine in machines)
        {
            Emit(machine.Host!.FindMachine(machine.Id)?.VMResourceConfiguration);
        }
    }
}
