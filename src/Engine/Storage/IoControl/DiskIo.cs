namespace Hypervisor.Engine.Storage.IoControl;

/// <summary>Which disk of which machine.</summary>
/// <param name="MachineId">The machine.</param>
/// <param name="Machine">Its name when the disk was attached.</param>
/// <param name="Index">Position among the machine's disks, from 0.</param>
/// <param name="Path">File on the host.</param>
public sealed record DiskIdentity(Guid MachineId, string Machine, int Index, string Path);

/// <summary>
/// A disk's way into its datastore: asks the scheduler for a place for each request where there is something to schedule, and counts.
/// Where nothing limits and nothing is controlled, that is two readings of the clock and no lock.
/// </summary>
/// <remarks>A request goes <see cref="Submit(IoRequest, IoKind, long)"/>, then <see cref="Begin"/>, then <see cref="End"/>. All are safe for concurrent use.</remarks>
public sealed class DiskIo : IDisposable
{
    private long _reads, _writes, _others, _bytesRead, _bytesWritten, _errors, _cost;
    private long _deviceTime, _kernelTime, _queueTime, _readTime, _writeTime;
    private readonly long _attachedAt = IoClock.Now;
    private int _underWay;
    private int _disposed;

    internal DiskIo(DatastoreIo datastore, DiskIdentity identity, DiskIoSettings settings)
    {
        (Datastore, Identity) = (datastore, identity);
        Queue = new DiskQueue(settings);
    }

    /// <summary>Which disk it is.</summary>
    public DiskIdentity Identity { get; }

    /// <summary>The datastore that it is on.</summary>
    public DatastoreIo Datastore { get; }

    /// <summary>What it may claim.</summary>
    public DiskIoSettings Settings => Queue.Settings;

    /// <summary>Counters, and what is under way.</summary>
    public DiskIoStatistics Statistics
    {
        get
        {
            int queued = Queue.Count;
            return new()
            {
                Reads = Volatile.Read(ref _reads),
                Writes = Volatile.Read(ref _writes),
                Others = Volatile.Read(ref _others),
                BytesRead = Volatile.Read(ref _bytesRead),
                BytesWritten = Volatile.Read(ref _bytesWritten),
                Errors = Volatile.Read(ref _errors),
                Cost = Volatile.Read(ref _cost),
                DeviceTime = Volatile.Read(ref _deviceTime),
                KernelTime = Volatile.Read(ref _kernelTime),
                QueueTime = Volatile.Read(ref _queueTime),
                ReadTime = Volatile.Read(ref _readTime),
                WriteTime = Volatile.Read(ref _writeTime),
                Active = Math.Max(0, Volatile.Read(ref _underWay) - queued),
                Queued = queued,
            };
        }
    }

    /// <summary>Nanoseconds since it was attached.</summary>
    internal long UpTime => IoClock.Now - _attachedAt;

    internal DiskQueue Queue { get; }

    /// <summary>A way that nothing schedules and nobody else sees, for a disk that belongs to no host.</summary>
    public static DiskIo Unscheduled() => new DatastoreIo("", DatastoreIoSettings.Default).Attach(new DiskIdentity(default, "", 0, ""), DiskIoSettings.Default);

    /// <summary>Changes what the disk may claim, from its next request on; requests that wait come under the new settings.</summary>
    public void Configure(DiskIoSettings settings) => Datastore.Configure(this, settings);

    /// <summary>Takes a request. True: go on at once. False: it waits, and <see cref="IoRequest.Granted"/> is called when it may go on.</summary>
    /// <param name="request">The request, of which nothing is under way.</param>
    /// <param name="kind">What it does.</param>
    /// <param name="bytes">Its size; 0 where it moves nothing.</param>
    public bool Submit(IoRequest request, IoKind kind, long bytes)
    {
        long now = IoClock.Now;
        return Submit(request, kind, bytes, now, now);
    }

    /// <summary>Takes a request that came earlier, as <see cref="Submit(IoRequest, IoKind, long)"/> does.</summary>
    internal bool Submit(IoRequest request, IoKind kind, long bytes, long arrivedAt, long now)
    {
        ArgumentNullException.ThrowIfNull(request);
        (request.Kind, request.Bytes, request.TakesPlace, request.ArrivedAt) = (kind, bytes, false, arrivedAt);
        Interlocked.Increment(ref _underWay);
        request.QueuedAt = request.GrantedAt = request.StartedAt = now;
        return !Datastore.IsControlled || Datastore.Submit(this, request);
    }

    /// <summary>The execution of a request begins that had to wait for it.</summary>
    public static void Begin(IoRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        request.StartedAt = IoClock.Now;
    }

    /// <summary>A request ended.</summary>
    /// <param name="request">The request; it may be used again after the call.</param>
    /// <param name="succeeded">The host did what was asked.</param>
    public void End(IoRequest request, bool succeeded)
    {
        ArgumentNullException.ThrowIfNull(request);
        long now = IoClock.Now;
        Interlocked.Decrement(ref _underWay);
        switch (request.Kind)
        {
            case IoKind.Read:
                Interlocked.Increment(ref _reads);
                Interlocked.Add(ref _bytesRead, request.Bytes);
                Interlocked.Add(ref _readTime, now - request.ArrivedAt);
                break;
            case IoKind.Write:
                Interlocked.Increment(ref _writes);
                Interlocked.Add(ref _bytesWritten, request.Bytes);
                Interlocked.Add(ref _writeTime, now - request.ArrivedAt);
                break;
            default:
                Interlocked.Increment(ref _others);
                break;
        }

        if (!succeeded)
        {
            Interlocked.Increment(ref _errors);
        }

        Interlocked.Add(ref _cost, IoCost.Of(request.Kind, request.Bytes));
        Interlocked.Add(ref _deviceTime, now - request.StartedAt);
        if (request.StartedAt != request.ArrivedAt)
        {
            Interlocked.Add(ref _kernelTime, request.StartedAt - request.ArrivedAt);
            Interlocked.Add(ref _queueTime, request.GrantedAt - request.QueuedAt);
        }

        if (request.TakesPlace)
        {
            Datastore.Complete(request, now);
        }
    }

    /// <summary>Takes back all requests that wait; they were not executed. They are linked by <see cref="IoRequest.Next"/>.</summary>
    internal IoRequest? CancelWaiting()
    {
        IoRequest? all = Datastore.Cancel(this);
        for (IoRequest? request = all; request is not null; request = request.Next)
        {
            Interlocked.Decrement(ref _underWay);
        }

        return all;
    }

    /// <summary>Leaves the datastore; nothing may be under way.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            Datastore.Detach(this);
        }
    }
}
