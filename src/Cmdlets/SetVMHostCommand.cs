using System.Collections;
using System.Management.Automation;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Set-VMHost: changes advanced settings of the host. sched.cpuCount: processors that machines may use. sched.cpuLimitMhz: MHz that they may use together. sched.powerCapInWatts: lowers the MHz on a straight line between sched.powerIdleInWatts (5 W a processor unless set) and sched.powerBusyInWatts (15 W a processor unless set); it is a budget by this model, nothing is measured. A budget below what is reserved is refused.</summary>
/// <example>
/// <code>Set-VMHost -AdvancedSetting @{ 'sched.powerCapInWatts' = 20; 'sched.powerIdleInWatts' = 10; 'sched.powerBusyInWatts' = 40 }</code>
/// A third of the processor time that there is.
/// </example>
/// <example>
/// <code>Set-VMHost -AdvancedSetting @{ 'sched.cpuCount' = 4 }</code>
/// Machines use four processors and leave the others alone.
/// </example>
[Cmdlet(VerbsCommon.Set, "VMHost", SupportsShouldProcess = true)]
[OutputType(typeof(VMHost))]
public sealed class SetVMHostCommand : HypervisorCmdlet
{
    /// <summary>Settings to add or change; one with a null value goes.</summary>
    [Parameter(Mandatory = true)]
    public Hashtable AdvancedSetting { get; set; } = [];

    private protected override void Process()
    {
        if (MayChange(Environment.MachineName, "Change advanced settings of the host"))
        {
            Attempt(null, () => Emit(Await(VIHost.ReconfigureHost(old => MachineSettings.Merge(old, AdvancedSetting)))));
        }
    }
}
