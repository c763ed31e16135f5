namespace Hypervisor.Engine.Storage.IoControl;

/// <summary>What a disk or a datastore did between two readings of its counters, with esxtop's meanings.</summary>
public readonly record struct DiskIoRates
{
    private const double NanosecondsPerMillisecond = 1e6, BytesPerMB = 1 << 20;

    /// <summary>The difference of two readings.</summary>
    /// <param name="earlier">First reading.</param>
    /// <param name="later">Second reading.</param>
    /// <param name="elapsed">Time between them.</param>
    public DiskIoRates(in DiskIoStatistics earlier, in DiskIoStatistics later, TimeSpan elapsed)
    {
        double seconds = Math.Max(elapsed.TotalSeconds, 1e-6);
        long commands = later.Commands - earlier.Commands;
        ReadsPerSecond = (later.Reads - earlier.Reads) / seconds;
        WritesPerSecond = (later.Writes - earlier.Writes) / seconds;
        CommandsPerSecond = commands / seconds;
        MBReadPerSecond = (later.BytesRead - earlier.BytesRead) / BytesPerMB / seconds;
        MBWrittenPerSecond = (later.BytesWritten - earlier.BytesWritten) / BytesPerMB / seconds;
        double each = commands > 0 ? 1 / (commands * NanosecondsPerMillisecond) : 0;
        DeviceLatency = (later.DeviceTime - earlier.DeviceTime) * each;
        KernelLatency = (later.KernelTime - earlier.KernelTime) * each;
        QueueLatency = (later.QueueTime - earlier.QueueTime) * each;
        ReadLatency = Mean(later.ReadTime - earlier.ReadTime, later.Reads - earlier.Reads);
        WriteLatency = Mean(later.WriteTime - earlier.WriteTime, later.Writes - earlier.Writes);
        Active = later.Active;
        Queued = later.Queued;
    }

    /// <summary>CMDS/s.</summary>
    public double CommandsPerSecond { get; }

    /// <summary>READS/s.</summary>
    public double ReadsPerSecond { get; }

    /// <summary>WRITES/s.</summary>
    public double WritesPerSecond { get; }

    /// <summary>MBREAD/s, of 2^20 bytes.</summary>
    public double MBReadPerSecond { get; }

    /// <summary>MBWRTN/s, of 2^20 bytes.</summary>
    public double MBWrittenPerSecond { get; }

    /// <summary>DAVG: mean time at the device, milliseconds.</summary>
    public double DeviceLatency { get; }

    /// <summary>KAVG: mean time from a request's coming until its execution, milliseconds.</summary>
    public double KernelLatency { get; }

    /// <summary>QAVG: the part of KAVG in the scheduler's queue, milliseconds.</summary>
    public double QueueLatency { get; }

    /// <summary>GAVG: what the guest sees, milliseconds.</summary>
    public double GuestLatency => DeviceLatency + KernelLatency;

    /// <summary>LAT/rd: what the guest sees for reads, milliseconds.</summary>
    public double ReadLatency { get; }

    /// <summary>LAT/wr: what the guest sees for writes, milliseconds.</summary>
    public double WriteLatency { get; }

    /// <summary>ACTV: requests granted and not ended, at the later reading.</summary>
    public int Active { get; }

    /// <summary>QUED: requests that waited, at the later reading.</summary>
    public int Queued { get; }

    private static double Mean(long time, long count) => count > 0 ? time / (count * NanosecondsPerMillisecond) : 0;
}
