using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Scheduling;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Cmdlets;

/// <summary>Set-VMResource: changes shares, reservations and limits of machines and their disks, running or not. Also known by PowerCLI's name, Set-VMResourceConfiguration. Settings are enforced at once on machines of every process on the host folder; each process divides the processors and the memory budget among its own machines. What a machine has above its memory entitlement is taken by its balloon, by compression and by swapping: see Get-EsxTop Memory.</summary>
/// <example>
/// <code>Set-VMResource web -CpuSharesLevel High -CpuReservationMhz 1000</code>
/// Twice the usual shares, and 1000 MHz in any case.
/// </example>
/// <example>
/// <code>Get-VM batch* | Set-VMResource -CpuLimitMhz 500</code>
/// No more than 500 MHz for each of several machines.
/// </example>
/// <example>
/// <code>Set-VMResource web -MemLimitMB 256</code>
/// No more than 256 MB of the host's memory, from now on.
/// </example>
/// <example>
/// <code>Get-VM web | Get-VMResourceConfiguration | Set-VMResourceConfiguration -CpuLimitMhz $null</code>
/// As in PowerCLI; takes the limit away.
/// </example>
/// <example>
/// <code>Set-VMResource web -Disk 'Hard disk 1' -DiskSharesLevel High -DiskLimitIOPerSecond 500</code>
/// Twice the usual shares of its datastore for a disk, and no more than 500 operations a second. Set-IoControl also sets bandwidth and reservation.
/// </example>
[Cmdlet(VerbsCommon.Set, "VMResource", SupportsShouldProcess = true, DefaultParameterSetName = ByMachine)]
[Alias("Set-VMResourceConfiguration")]
[OutputType(typeof(VMResourceConfiguration))]
public sealed class SetVMResourceCommand : HypervisorCmdlet
{
    private const string ByMachine = "ByMachine", ByConfiguration = "ByConfiguration";

    /// <summary>Machines, or their names.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true, ParameterSetName = ByMachine)]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    public VirtualMachine[] VM { get; set; } = [];

    /// <summary>What Get-VMResource gave.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true, ParameterSetName = ByConfiguration)]
    public VMResourceConfiguration[] Configuration { get; set; } = [];

    /// <summary>CPU shares: Low, Normal and High are 500, 1000 and 2000 for each virtual processor; Custom takes -NumCpuShares.</summary>
    [Parameter]
    public SharesLevel CpuSharesLevel { get; set; }

    /// <summary>CPU shares as a number, 1 to 1000000.</summary>
    [Parameter]
    public int NumCpuShares { get; set; }

    /// <summary>Processor time that the machine gets in any case when it wants it, MHz. Refused when it cannot be promised.</summary>
    [Parameter]
    public long CpuReservationMhz { get; set; }

    /// <summary>Processor time that the machine never gets more than, MHz; $null or -1 for no limit.</summary>
    [Parameter]
    [AllowNull]
    public long? CpuLimitMhz { get; set; }

    /// <summary>Numbers of the physical processors that the machine may use; an empty list for all.</summary>
    [Parameter]
    [AllowNull]
    [AllowEmptyCollection]
    public int[]? CpuAffinityList { get; set; }

    /// <summary>The same by PowerCLI's names: Cpu0, Cpu1 …; NoAffinity for all.</summary>
    [Parameter]
    [ValidateNotNullOrEmpty]
    public string[]? CpuAffinity { get; set; }

    /// <summary>Any, as machines always share cores; None and Internal are refused.</summary>
    [Parameter]
    public HTCoreSharing HTCoreSharing { get; set; }

    /// <summary>High lets the machine's processors run sooner when they wake; it gets no more time in the long run.</summary>
    [Parameter]
    public LatencySensitivity LatencySensitivity { get; set; }

    /// <summary>Memory shares: Low, Normal and High are 5, 10 and 20 for each MB; Custom takes -NumMemShares. When memory is scarce machines get it in proportion to their shares, idle memory counting for less.</summary>
    [Parameter]
    public SharesLevel MemSharesLevel { get; set; }

    /// <summary>Memory shares as a number, 1 to 1000000.</summary>
    [Parameter]
    public int NumMemShares { get; set; }

    /// <summary>Memory that is never taken from the machine, MB. Refused when it cannot be promised.</summary>
    [Parameter]
    public long MemReservationMB { get; set; }

    /// <summary>The same in GB.</summary>
    [Parameter]
    public decimal MemReservationGB { get; set; }

    /// <summary>Memory of the host that the machine never gets more than, its overhead not counted, MB; $null or -1 for no limit. A limit below what the guest uses makes it slow.</summary>
    [Parameter]
    [AllowNull]
    public long? MemLimitMB { get; set; }

    /// <summary>The same in GB.</summary>
    [Parameter]
    [AllowNull]
    public decimal? MemLimitGB { get; set; }

    /// <summary>Disks of the machines by name ('Hard disk 1', or 1), file name or path, with wildcards, that the values of disks are for; all disks when not given.</summary>
    [Parameter]
    [ValidateNotNullOrEmpty]
    public string[]? Disk { get; set; }

    /// <summary>Shares of the datastore: Low, Normal and High are 500, 1000 and 2000 for each disk; Custom takes -NumDiskShares.</summary>
    [Parameter]
    public SharesLevel DiskSharesLevel { get; set; }

    /// <summary>Shares of the datastore as a number, 1 to 1000000.</summary>
    [Parameter]
    public int NumDiskShares { get; set; }

    /// <summary>Most operations a second of each disk, in units of 32 KB; $null or -1 for no limit.</summary>
    [Parameter]
    [AllowNull]
    public long? DiskLimitIOPerSecond { get; set; }

    private bool SetsDisks => IsBound(nameof(DiskSharesLevel)) || IsBound(nameof(NumDiskShares)) || IsBound(nameof(DiskLimitIOPerSecond));

    private protected override void Begin()
    {
        if (Disk is not null && !SetsDisks)
        {
            throw new InvalidConfigurationException($"-{nameof(Disk)} says whose values to change, and none is given: -{nameof(DiskSharesLevel)}, -{nameof(NumDiskShares)} or -{nameof(DiskLimitIOPerSecond)}.");
        }

        if (HTCoreSharing != HTCoreSharing.Any)
        {
            throw new InvalidConfigurationException($"-{nameof(HTCoreSharing)} {HTCoreSharing} is not possible: the scheduler gives out logical processors and keeps no core for one machine. -{nameof(CpuAffinityList)} chooses among them.");
        }

        if (CpuAffinity is not null && IsBound(nameof(CpuAffinityList)))
        {
            throw new InvalidConfigurationException($"Give -{nameof(CpuAffinity)} or -{nameof(CpuAffinityList)}, not both.");
        }
    }

    private protected override void Process()
    {
        foreach (VirtualMachine machine in Configuration.Length > 0 ? Configuration.Select(static one => one.VM) : Resolve(VM))
        {
            if (MayChange(machine.Name, "Change resources of virtual machine"))
            {
                Attempt(machine, () =>
                {
                    VITask task = SetsDisks
                        ? machine.Host!.ConfigureResources(machine, Change, Disk, Change)
                        : machine.Host!.Reconfigure(machine, old => old with { Resources = Change(old.Resources) });
                    Emit(((VirtualMachine?)Await(task))?.VMResourceConfiguration);
                });
            }
        }
    }

    private ResourceSettings Change(ResourceSettings old)
    {
        (SharesLevel cpu, int cpuShares) = ResourceValues.Shares(
            this, nameof(CpuSharesLevel), CpuSharesLevel, nameof(NumCpuShares), NumCpuShares, (old.CpuSharesLevel, old.NumCpuShares), "CPU");
        (SharesLevel memory, int memoryShares) = ResourceValues.Shares(
            this, nameof(MemSharesLevel), MemSharesLevel, nameof(NumMemShares), NumMemShares, (old.MemSharesLevel, old.NumMemShares), "memory");
        return old with
        {
            CpuSharesLevel = cpu,
            NumCpuShares = cpuShares,
            CpuReservationMhz = IsBound(nameof(CpuReservationMhz)) ? CpuReservationMhz : old.CpuReservationMhz,
            CpuLimitMhz = IsBound(nameof(CpuLimitMhz)) ? ResourceValues.Limit(CpuLimitMhz) : old.CpuLimitMhz,
            CpuAffinityList = CpuAffinity is not null ? ResourceValues.Affinity(CpuAffinity) : IsBound(nameof(CpuAffinityList)) ? [.. (CpuAffinityList ?? []).Distinct().Order()] : old.CpuAffinityList,
            LatencySensitivity = IsBound(nameof(LatencySensitivity)) ? LatencySensitivity : old.LatencySensitivity,
            MemSharesLevel = memory,
            NumMemShares = memoryShares,
            MemReservationMB = ResourceValues.Memory(this, nameof(MemReservationMB), MemReservationMB, nameof(MemReservationGB), MemReservationGB, old.MemReservationMB) ?? 0,
            MemLimitMB = ResourceValues.MemoryLimit(this, nameof(MemLimitMB), MemLimitMB, nameof(MemLimitGB), MemLimitGB, old.MemLimitMB),
        };
    }

    private DiskIoSettings Change(DiskIoSettings old) =>
        old.WithShares(IsBound(nameof(DiskSharesLevel)) ? DiskSharesLevel : null, IsBound(nameof(NumDiskShares)) ? NumDiskShares : null) with
        {
            LimitIops = IsBound(nameof(DiskLimitIOPerSecond)) ? DiskLimitIOPerSecond ?? DiskIoSettings.Unlimited : old.LimitIops,
        };
}
