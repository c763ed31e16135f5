using System.Collections;
using System.Globalization;
using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Set-VMHost: says how much of the host machines may use, and changes advanced settings of the host. A budget below what is reserved is refused. sched.cpuCount: processors that machines may use. sched.cpuLimitMhz: MHz that they may use together. sched.powerCapInWatts: lowers the MHz on a straight line between sched.powerIdleInWatts (5 W a processor unless set) and sched.powerBusyInWatts (15 W a processor unless set); it is a budget by this model, nothing is measured. Mem.BudgetMB: what -MemoryBudgetMB sets. Mem.AllocGuestLargePage (1): 0, machines on KVM get no large pages of the host. Mem.IdleTax (75): what memory not in use costs when memory is divided, percent. Mem.SamplePeriod (60): seconds of a sample of pages in use. Mem.CtlMaxPercent (65): most of a machine that its balloon takes. Mem.ShareScanTime (60): minutes to look once at all pages for sharing. Mem.ShareScanGHz (4): most MB a second looked at for each GHz. Mem.ShareForceSalting (2): 0, machines share pages with all; 1, with those of the same sched.mem.pshare.salt or of none; 2, only with those of the same salt. Mem.ShareKsm (1): machines on KVM that share pages with all are offered to the host kernel's search for equal pages.</summary>
/// <example>
/// <code>Set-VMHost -MemoryBudgetGB 6</code>
/// Machines use 6 GB of memory together, their overhead included.
/// </example>
/// <example>
/// <code>Set-VMHost -AdvancedSetting @{ 'sched.powerCapInWatts' = 20; 'sched.powerIdleInWatts' = 10; 'sched.powerBusyInWatts' = 40 }</code>
/// A third of the processor time that there is.
/// </example>
/// <example>
/// <code>Get-VMHost | Set-VMHost -AdvancedSetting @{ 'sched.powerCapInWatts' = $null; 'sched.powerIdleInWatts' = $null; 'sched.powerBusyInWatts' = $null }</code>
/// Takes that away again.
/// </example>
/// <example>
/// <code>Set-VMHost -AdvancedSetting @{ 'sched.cpuCount' = 1 }</code>
/// Machines use one processor and leave the others alone.
/// </example>
[Cmdlet(VerbsCommon.Set, "VMHost", SupportsShouldProcess = true)]
[OutputType(typeof(VMHost))]
public sealed class SetVMHostCommand : HypervisorCmdlet
{
    /// <summary>The host, or its name; there is one.</summary>
    [Parameter(Position = 0, ValueFromPipeline = true)]
    [VMHostTransformation]
    [ValidateNotNullOrEmpty]
    public VMHost[]? VMHost { get; set; }

    /// <summary>Settings to add or change; one with a null value goes.</summary>
    [Parameter]
    [ValidateNotNull]
    public Hashtable AdvancedSetting { get; set; } = [];

    /// <summary>Memory that machines may use together, their overhead included, MB; $null or -1 for all but an eighth (at most 4 GB) of the computer's.</summary>
    [Parameter]
    [AllowNull]
    public long? MemoryBudgetMB { get; set; }

    /// <summary>The same in GB.</summary>
    [Parameter]
    [AllowNull]
    public decimal? MemoryBudgetGB { get; set; }

    private protected override void Process()
    {
        foreach (HypervisorHost host in VMHost is null && !ExpectsInput ? [VIHost] : VMHosts.Resolve(this, VMHost ?? []))
        {
            if (MayChange(Environment.MachineName, "Change settings of the host"))
            {
                Attempt(Environment.MachineName, () =>
                {
                    Hashtable changes = Changes();
                    Emit(Await(host.ReconfigureHost(old => MachineSettings.Merge(old, changes))));
                });
            }
        }
    }

    private Hashtable Changes()
    {
        bool hasBudget = IsBound(nameof(MemoryBudgetMB)) || IsBound(nameof(MemoryBudgetGB));
        if (!hasBudget)
        {
            return IsBound(nameof(AdvancedSetting)) ? AdvancedSetting : throw new InvalidConfigurationException("Nothing to change: give -MemoryBudgetMB, -MemoryBudgetGB or -AdvancedSetting.");
        }

        if (AdvancedSetting.Keys.Cast<object>().Any(static name => string.Equals(Convert.ToString(name, CultureInfo.InvariantCulture), HostSettings.MemoryBudgetName, StringComparison.OrdinalIgnoreCase)))
        {
            throw new InvalidConfigurationException($"The advanced setting {HostSettings.MemoryBudgetName} and a budget by parameter: give one of them.");
        }

        long? budget = ResourceValues.MemoryLimit(this, nameof(MemoryBudgetMB), MemoryBudgetMB, nameof(MemoryBudgetGB), MemoryBudgetGB, null);
        return new Hashtable(AdvancedSetting) { [HostSettings.MemoryBudgetName] = budget };
    }
}
