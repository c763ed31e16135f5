namespace Hypervisor.Engine.Storage.IoControl;

/// <summary>
/// What a disk or a datastore has done since it was attached, and what is under way. Counters only grow; a reader takes the difference of
/// two readings. Times are sums over requests in nanoseconds.
/// </summary>
public readonly record struct DiskIoStatistics
{
    /// <summary>Read requests that ended.</summary>
    public long Reads { get; init; }

    /// <summary>Write requests that ended.</summary>
    public long Writes { get; init; }

    /// <summary>Flushes, discards and write-zeroes that ended.</summary>
    public long Others { get; init; }

    /// <summary>Bytes of the reads.</summary>
    public long BytesRead { get; init; }

    /// <summary>Bytes of the writes.</summary>
    public long BytesWritten { get; init; }

    /// <summary>Requests that the host failed.</summary>
    public long Errors { get; init; }

    /// <summary>What the requests cost: <see cref="IoCost.DefaultUnit"/> bytes each, one at least.</summary>
    public long Cost { get; init; }

    /// <summary>Time at the device: DAVG is this over <see cref="Commands"/>.</summary>
    public long DeviceTime { get; init; }

    /// <summary>Time from a request's coming until its execution: KAVG.</summary>
    public long KernelTime { get; init; }

    /// <summary>The part of <see cref="KernelTime"/> in the scheduler's queue: QAVG.</summary>
    public long QueueTime { get; init; }

    /// <summary>Time from coming to end of the reads alone, and of the writes alone.</summary>
    public long ReadTime { get; init; }

    /// <inheritdoc cref="ReadTime"/>
    public long WriteTime { get; init; }

    /// <summary>Requests granted and not ended: ACTV.</summary>
    public int Active { get; init; }

    /// <summary>Requests that wait in the scheduler: QUED.</summary>
    public int Queued { get; init; }

    /// <summary>Requests that ended.</summary>
    public long Commands => Reads + Writes + Others;

    /// <summary>Both together.</summary>
    public static DiskIoStatistics operator +(DiskIoStatistics a, DiskIoStatistics b) => new()
    {
        Reads = a.Reads + b.Reads,
        Writes = a.Writes + b.Writes,
        Others = a.Others + b.Others,
        BytesRead = a.BytesRead + b.BytesRead,
        BytesWritten = a.BytesWritten + b.BytesWritten,
        Errors = a.Errors + b.Errors,
        Cost = a.Cost + b.Cost,
        DeviceTime = a.DeviceTime + b.DeviceTime,
        KernelTime = a.KernelTime + b.KernelTime,
        QueueTime = a.QueueTime + b.QueueTime,
        ReadTime = a.ReadTime + b.ReadTime,
        WriteTime = a.WriteTime + b.WriteTime,
        Active = a.Active + b.Active,
        Queued = a.Queued + b.Queued,
    };

    /// <summary>The same as <c>+</c>.</summary>
    public static DiskIoStatistics Add(DiskIoStatistics a, DiskIoStatistics b) => a + b;
}
