using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Cmdlets;

/// <summary>
/// Set-IoControl: sets what disks of machines may claim of their datastore, or how a datastore is controlled. What is not given stays as
/// it is; running machines follow at once. Operations are counted in units of 32 KB, so that a large one is several.
/// </summary>
/// <example>
/// <code>Set-IoControl db -Disk 'Hard disk 1' -DiskSharesLevel High -DiskReservationIOPerSecond 500</code>
/// Twice the normal shares, and 500 operations a second before others get any.
/// </example>
/// <example>
/// <code>Get-VM test* | Set-IoControl -DiskLimitIOPerSecond 100</code>
/// Limits all disks of some machines; $null takes the limit away.
/// </example>
/// <example>
/// <code>Get-VM | Get-IoControl | Where-Object DiskLimitIOPerSecond -ge 0 | Set-IoControl -DiskLimitIOPerSecond $null</code>
/// Takes away all limits that there are.
/// </example>
/// <example>
/// <code>Set-IoControl -Datastore / -StorageIOControlEnabled $true -CongestionThresholdMillisecond 15</code>
/// Gives the device fewer operations at once while it takes longer than 15 ms for one, and divides them by shares.
/// </example>
[Cmdlet(VerbsCommon.Set, "IoControl", SupportsShouldProcess = true, DefaultParameterSetName = DiskSet)]
[OutputType(typeof(DiskIoControl), ParameterSetName = [DiskSet, DiskObjectSet])]
[OutputType(typeof(DatastoreIoControl), ParameterSetName = [DatastoreSet, DatastoreObjectSet])]
public sealed class SetIoControlCommand : HypervisorCmdlet
{
    private const string DatastoreSet = "Datastore", DiskSet = "Disk", DatastoreObjectSet = "DatastoreObject", DiskObjectSet = "DiskObject";
    private const decimal BytesPerMB = 1 << 20;

    /// <summary>Machines, or their names, whose disks are set.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true, ParameterSetName = DiskSet)]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    public VirtualMachine[] VM { get; set; } = [];

    /// <summary>Disks by name ('Hard disk 1', or 1), file name or path, with wildcards; all disks when not given.</summary>
    [Parameter(Position = 1, ParameterSetName = DiskSet)]
    [ValidateNotNullOrEmpty]
    public string[]? Disk { get; set; }

    /// <summary>Disks as Get-IoControl gives them.</summary>
    [Parameter(Mandatory = true, ValueFromPipeline = true, ParameterSetName = DiskObjectSet)]
    public DiskIoControl[] DiskIoControl { get; set; } = [];

    /// <summary>Importance: Low is 500 shares, Normal 1000, High 2000, Custom those of -NumDiskShares.</summary>
    [Parameter(ParameterSetName = DiskSet)]
    [Parameter(ParameterSetName = DiskObjectSet)]
    public SharesLevel DiskSharesLevel { get; set; }

    /// <summary>Shares, 1 to 1000000.</summary>
    [Parameter(ParameterSetName = DiskSet)]
    [Parameter(ParameterSetName = DiskObjectSet)]
    public int NumDiskShares { get; set; }

    /// <summary>Most operations a second; $null or -1 for no limit.</summary>
    [Parameter(ParameterSetName = DiskSet)]
    [Parameter(ParameterSetName = DiskObjectSet)]
    [AllowNull]
    public long? DiskLimitIOPerSecond { get; set; }

    /// <summary>Most MB (2^20 bytes) a second; $null or -1 for no limit.</summary>
    [Parameter(ParameterSetName = DiskSet)]
    [Parameter(ParameterSetName = DiskObjectSet)]
    [AllowNull]
    public decimal? DiskLimitMBPerSecond { get; set; }

    /// <summary>Operations a second that the disk gets before others get any; 0 for none.</summary>
    [Parameter(ParameterSetName = DiskSet)]
    [Parameter(ParameterSetName = DiskObjectSet)]
    public long DiskReservationIOPerSecond { get; set; }

    /// <summary>A datastore: a mount point of the host, or a path on its file system.</summary>
    [Parameter(Mandatory = true, ParameterSetName = DatastoreSet)]
    [ValidateNotNullOrEmpty]
    [ArgumentCompleter(typeof(DatastoreNameCompleter))]
    public string Datastore { get; set; } = "";

    /// <summary>Datastores as Get-IoControl gives them.</summary>
    [Parameter(Mandatory = true, ValueFromPipeline = true, ParameterSetName = DatastoreObjectSet)]
    public DatastoreIoControl[] DatastoreIoControl { get; set; } = [];

    /// <summary>Whether the device's latency governs how many operations it is given at once.</summary>
    [Parameter(ParameterSetName = DatastoreSet)]
    [Parameter(ParameterSetName = DatastoreObjectSet)]
    [Alias("Enabled")]
    public bool StorageIOControlEnabled { get; set; }

    /// <summary>Latency above which the datastore counts as congested, 1 to 1000 ms; makes the mode Manual.</summary>
    [Parameter(ParameterSetName = DatastoreSet)]
    [Parameter(ParameterSetName = DatastoreObjectSet)]
    public int CongestionThresholdMillisecond { get; set; }

    /// <summary>Manual, or Automatic: the latency at which the datastore gives -PercentOfPeakThroughput.</summary>
    [Parameter(ParameterSetName = DatastoreSet)]
    [Parameter(ParameterSetName = DatastoreObjectSet)]
    public CongestionThresholdMode CongestionThresholdMode { get; set; }

    /// <summary>Part of the peak throughput for the automatic mode, 50 to 100 percent.</summary>
    [Parameter(ParameterSetName = DatastoreSet)]
    [Parameter(ParameterSetName = DatastoreObjectSet)]
    public int PercentOfPeakThroughput { get; set; }

    /// <summary>Most operations at the device at once, 4 to 1024.</summary>
    [Parameter(ParameterSetName = DatastoreSet)]
    [Parameter(ParameterSetName = DatastoreObjectSet)]
    public int QueueDepth { get; set; }

    /// <summary>Most operations a second of all disks together; $null or -1 for no limit.</summary>
    [Parameter(ParameterSetName = DatastoreSet)]
    [Parameter(ParameterSetName = DatastoreObjectSet)]
    [AllowNull]
    public long? LimitIOPerSecond { get; set; }

    private protected override void Process()
    {
        string[] datastores = IsBound(nameof(Datastore)) ? [ResolvePath(Datastore)] : [.. DatastoreIoControl.Select(static one => one.Datastore)];
        foreach (string datastore in datastores)
        {
            if (MayChange(datastore, "Configure storage I/O control"))
            {
                Deliver(VIHost.ConfigureDatastoreIo(datastore, Change), runAsync: false);
            }
        }

        foreach (VirtualMachine machine in Resolve(VM))
        {
            Configure(machine, Disk);
        }

        foreach (DiskIoControl disk in DiskIoControl)
        {
            if (VIHost.FindMachine(disk.VMId) is { } machine)
            {
                Configure(machine, [disk.Disk]);
            }
            else
            {
                Complain(NotFound(disk.VM));
            }
        }
    }

    private void Configure(VirtualMachine machine, string[]? disks)
    {
        if (MayChange(machine.Name, disks is null ? "Configure storage I/O control of disks" : $"Configure storage I/O control of {string.Join(", ", disks)}"))
        {
            Attempt(machine, () =>
            {
                foreach (DiskIoControl disk in (DiskIoControl[])Await(machine.Host!.ConfigureDiskIo(machine, disks, Change))!)
                {
                    Emit(disk);
                }
            });
        }
    }

    private DiskIoSettings Change(DiskIoSettings old)
    {
        DiskIoSettings changed = old.WithShares(IsBound(nameof(DiskSharesLevel)) ? DiskSharesLevel : null, IsBound(nameof(NumDiskShares)) ? NumDiskShares : null);
        return changed with
        {
            LimitIops = IsBound(nameof(DiskLimitIOPerSecond)) ? DiskLimitIOPerSecond ?? DiskIoSettings.Unlimited : old.LimitIops,
            LimitBytesPerSecond = IsBound(nameof(DiskLimitMBPerSecond)) ? Bytes(DiskLimitMBPerSecond) : old.LimitBytesPerSecond,
            ReservationIops = IsBound(nameof(DiskReservationIOPerSecond)) ? DiskReservationIOPerSecond : old.ReservationIops,
        };
    }

    private DatastoreIoSettings Change(DatastoreIoSettings old)
    {
        bool manual = IsBound(nameof(CongestionThresholdMillisecond)), mode = IsBound(nameof(CongestionThresholdMode));
        if (manual && mode && CongestionThresholdMode == CongestionThresholdMode.Automatic)
        {
            throw new InvalidConfigurationException("An automatic congestion threshold is found out and not given: leave -CongestionThresholdMillisecond out, or use the mode Manual.");
        }

        return old with
        {
            Enabled = IsBound(nameof(StorageIOControlEnabled)) ? StorageIOControlEnabled : old.Enabled,
            CongestionThresholdMillisecond = manual ? CongestionThresholdMillisecond : old.CongestionThresholdMillisecond,
            CongestionThresholdMode = mode ? CongestionThresholdMode : manual ? CongestionThresholdMode.Manual : old.CongestionThresholdMode,
            PercentOfPeakThroughput = IsBound(nameof(PercentOfPeakThroughput)) ? PercentOfPeakThroughput : old.PercentOfPeakThroughput,
            QueueDepth = IsBound(nameof(QueueDepth)) ? QueueDepth : old.QueueDepth,
            LimitIops = IsBound(nameof(LimitIOPerSecond)) ? LimitIOPerSecond ?? DiskIoSettings.Unlimited : old.LimitIops,
        };
    }

    private static long Bytes(decimal? megabytes) => megabytes switch
    {
        null or DiskIoSettings.Unlimited => DiskIoSettings.Unlimited,
        > long.MaxValue / BytesPerMB or < 0 => throw new InvalidConfigurationException($"A bandwidth limit of {megabytes} MB a second is not possible."),
        { } number => (long)(number * BytesPerMB),
    };
}
