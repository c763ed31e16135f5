using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Engine.Monitoring;

/// <summary>What a disk, or a datastore, has done since it was attached: the raw counters of the disk panels. Times are sums over requests.</summary>
public sealed class EsxTopDiskCounters : IEsxTopCounters
{
    private const long NanosecondsPerMicrosecond = 1000;

    internal EsxTopDiskCounters(DatastoreIo datastore)
    {
        (Name, Datastore, Instance) = (datastore.Name, datastore.Name, datastore);
        (QueueDepth, UpTimeInUsec, Statistics) = (datastore.QueueDepth, datastore.UpTime / NanosecondsPerMicrosecond, datastore.Statistics);
    }

    internal EsxTopDiskCounters(DiskIo disk)
    {
        (Name, VMId, Datastore, Instance) = (disk.Identity.Machine, disk.Identity.MachineId, disk.Datastore.Name, disk);
        (Disk, Address, Path) = ($"Hard disk {disk.Identity.Index + 1}", $"scsi0:{disk.Identity.Index}", disk.Identity.Path);
        (QueueDepth, UpTimeInUsec, Statistics) = (disk.Datastore.QueueDepth, disk.UpTime / NanosecondsPerMicrosecond, disk.Statistics);
        NumShares = disk.Settings.Shares;
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>Identity of the machine; null for a datastore.</summary>
    public Guid? VMId { get; }

    /// <summary>The disk, such as <c>Hard disk 1</c>; null for a datastore.</summary>
    public string? Disk { get; }

    /// <summary>What esxtop's CSV would call the disk; null for a datastore.</summary>
    internal string? Address { get; }

    /// <summary>The disk's file; null for a datastore.</summary>
    public string? Path { get; }

    /// <summary>The datastore.</summary>
    public string Datastore { get; }

    /// <summary>Requests that the datastore's device is given at once.</summary>
    public int QueueDepth { get; }

    /// <summary>Shares of the disk; 0 for a datastore.</summary>
    public int NumShares { get; }

    /// <summary>Time since it was attached, µs.</summary>
    public long UpTimeInUsec { get; }

    /// <summary>Requests that ended.</summary>
    public long Commands => Statistics.Commands;

    /// <summary>Reads that ended.</summary>
    public long ReadOps => Statistics.Reads;

    /// <summary>Writes that ended.</summary>
    public long WriteOps => Statistics.Writes;

    /// <summary>Bytes read.</summary>
    public long BytesRead => Statistics.BytesRead;

    /// <summary>Bytes written.</summary>
    public long BytesWritten => Statistics.BytesWritten;

    /// <summary>Requests that the host failed.</summary>
    public long FailedCommands => Statistics.Errors;

    /// <summary>Time at the device, µs.</summary>
    public long DeviceTimeInUsec => Statistics.DeviceTime / NanosecondsPerMicrosecond;

    /// <summary>Time before that, µs.</summary>
    public long KernelTimeInUsec => Statistics.KernelTime / NanosecondsPerMicrosecond;

    /// <summary>Part of the kernel time in the scheduler's queue, µs.</summary>
    public long QueueTimeInUsec => Statistics.QueueTime / NanosecondsPerMicrosecond;

    /// <summary>Requests at the device now.</summary>
    public int ActiveCommands => Statistics.Active;

    /// <summary>Requests that wait in the scheduler now.</summary>
    public int QueuedCommands => Statistics.Queued;

    internal DiskIoStatistics Statistics { get; }

    /// <summary>What is counted; another object after a machine was started again.</summary>
    internal object Instance { get; }
}

/// <summary>A line of the panels Disk and Adapter: a datastore, a disk on it, or all of them. Times are means of the interval, milliseconds.</summary>
public class EsxTopDisk : IEsxTopRow
{
    private readonly string? _group;

    internal EsxTopDisk(string name, string device, EsxTopDiskCounters first, DiskIoRates rates, double failed, string? group = null)
    {
        (Name, Device, QueueDepth, Rates, _group) = (name, device, first.QueueDepth, rates, group);
        IsOfMachine = first.VMId is not null;
        FailedCommandsPerSec = Math.Round(failed, 2);
    }

    /// <inheritdoc/>
    public string Name { get; }

    string IEsxTopRow.Group => _group ?? Name;

    bool IEsxTopRow.IsOfMachine => IsOfMachine;

    /// <summary>DEVICE: the datastore.</summary>
    public string Device { get; }

    /// <summary>DQLEN: requests that the device is given at once.</summary>
    public int QueueDepth { get; }

    /// <summary>ACTV: requests at the device.</summary>
    public int Active => Rates.Active;

    /// <summary>QUED: requests that wait in the scheduler.</summary>
    public int Queued => Rates.Queued;

    /// <summary>%USD: part of the queue depth in use.</summary>
    public double PctUsed => Math.Round(100.0 * Active / QueueDepth, 2);

    /// <summary>LOAD: requests at the device and waiting, as a part of the queue depth.</summary>
    public double Load => Math.Round((Active + Queued) / (double)QueueDepth, 2);

    /// <summary>CMDS/s.</summary>
    public double CommandsPerSec => Math.Round(Rates.CommandsPerSecond, 2);

    /// <summary>READS/s.</summary>
    public double ReadsPerSec => Math.Round(Rates.ReadsPerSecond, 2);

    /// <summary>WRITES/s.</summary>
    public double WritesPerSec => Math.Round(Rates.WritesPerSecond, 2);

    /// <summary>MBREAD/s, of 2^20 bytes.</summary>
    public double MBReadPerSec => Math.Round(Rates.MBReadPerSecond, 2);

    /// <summary>MBWRTN/s, of 2^20 bytes.</summary>
    public double MBWrittenPerSec => Math.Round(Rates.MBWrittenPerSecond, 2);

    /// <summary>DAVG/cmd: time at the device. More than 25 is worth a look.</summary>
    public double DeviceLatency => Math.Round(Rates.DeviceLatency, 3);

    /// <summary>KAVG/cmd: time before that. More than 2 is worth a look, unless a limit was set.</summary>
    public double KernelLatency => Math.Round(Rates.KernelLatency, 3);

    /// <summary>GAVG/cmd: what the guest sees, the sum of the two.</summary>
    public double GuestLatency => Math.Round(Rates.GuestLatency, 3);

    /// <summary>QAVG/cmd: the part of KAVG in the scheduler's queue.</summary>
    public double QueueLatency => Math.Round(Rates.QueueLatency, 3);

    /// <summary>Requests that the host failed.</summary>
    public double FailedCommandsPerSec { get; }

    /// <summary>ABRTS/s: a virtio driver aborts nothing; always 0.</summary>
    public double AbortsPerSec => 0;

    internal DiskIoRates Rates { get; }

    private bool IsOfMachine { get; }
}

/// <summary>A line of the panel VMDisk: a machine's disks together, or one of them.</summary>
public sealed class EsxTopVMDisk : EsxTopDisk
{
    internal EsxTopVMDisk(string name, string device, int disks, EsxTopDiskCounters first, DiskIoRates rates, double failed)
        : base(name, device, first, rates, failed) => (NumDisks, Address) = (disks, device.Length == 0 ? null : first.Address);

    /// <summary>What esxtop's CSV would call the disk; null for a machine.</summary>
    internal string? Address { get; }

    /// <summary>NVDISK: disks.</summary>
    public int NumDisks { get; }

    /// <summary>LAT/rd: what the guest sees for reads, milliseconds.</summary>
    public double ReadLatency => Math.Round(Rates.ReadLatency, 3);

    /// <summary>LAT/wr: what the guest sees for writes, milliseconds.</summary>
    public double WriteLatency => Math.Round(Rates.WriteLatency, 3);
}
