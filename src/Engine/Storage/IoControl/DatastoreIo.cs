using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Native.Timing;

namespace Hypervisor.Engine.Storage.IoControl;

/// <summary>
/// The I/O of a datastore: its disks, and <see cref="DatastorePolicy"/> on real time. Threads that come and go drive the policy; a thread
/// of its own, made when it is first needed, does so when a limit lets a request go later.
/// </summary>
/// <remarks>Locks: a disk may call under its own lock; the lock here comes after it, and no disk is told of anything under it.</remarks>
public sealed class DatastoreIo : IDisposable
{
    private readonly Lock _lock = new();
    private readonly DatastorePolicy _policy;
    private readonly List<DiskIo> _disks = [];
    private readonly long _openedAt = IoClock.Now;
    private DatastoreIoSettings _settings;
    private DiskIoStatistics _ofDetached;
    private PreciseEvent? _wake;
    private Thread? _thread;
    private long _wakeAt = long.MaxValue;
    private volatile bool _controlled;
    private bool _disposed;

    internal DatastoreIo(string name, DatastoreIoSettings settings)
    {
        (Name, _settings) = (name, settings);
        _policy = new DatastorePolicy(settings, IoClock.Now);
        Decide();
    }

    /// <summary>Name of the datastore.</summary>
    public string Name { get; }

    /// <summary>How it is controlled.</summary>
    public DatastoreIoSettings Settings => Volatile.Read(ref _settings);

    /// <summary>Disks attached now.</summary>
    public IReadOnlyList<DiskIo> Disks
    {
        get
        {
            lock (_lock)
            {
                return [.. _disks];
            }
        }
    }

    /// <summary>Sums over its disks, those included that are gone.</summary>
    public DiskIoStatistics Statistics
    {
        get
        {
            lock (_lock)
            {
                return _disks.Aggregate(_ofDetached, static (sum, disk) => sum + disk.Statistics);
            }
        }
    }

    /// <summary>Requests that the device is given at once now.</summary>
    public int QueueDepth
    {
        get
        {
            lock (_lock)
            {
                return _policy.QueueDepth;
            }
        }
    }

    /// <summary>Latency above which it counts as congested, milliseconds: the set one, or the one found out.</summary>
    public double CongestionThreshold
    {
        get
        {
            lock (_lock)
            {
                return _policy.Threshold / 1e6;
            }
        }
    }

    /// <summary>Nanoseconds since it was first used.</summary>
    internal long UpTime => IoClock.Now - _openedAt;

    /// <summary>There is something to schedule: control is on, or a disk or the datastore has a limit or a reservation.</summary>
    internal bool IsControlled => _controlled;

    /// <summary>Changes how it is controlled, from the next decision on.</summary>
    public void Configure(DatastoreIoSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        IoRequest? granted;
        lock (_lock)
        {
            _settings = settings;
            _policy.Configure(settings, IoClock.Now);
            Decide();
            granted = Advance(null, out _);
        }

        Deliver(granted);
    }

    /// <summary>Stops the thread; nothing may be under way.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            _wake?.Set();
        }

        _thread?.Join();
        _wake?.Dispose();
    }

    /// <summary>Refuses reservations that together with those of the other disks are above the datastore's limit.</summary>
    /// <param name="disks">Disks that ask; none for one that is not attached yet.</param>
    /// <param name="reservation">I/O operations a second of all that ask.</param>
    /// <param name="elsewhere">I/O operations a second that disks in other processes have reserved.</param>
    /// <exception cref="InvalidConfigurationException">It cannot be promised; the message says by how much.</exception>
    internal void CheckReservation(IReadOnlyCollection<DiskIo> disks, long reservation, long elsewhere = 0) => CheckReservation(
        Name, Settings.LimitIops, reservation, Disks.Where(other => !disks.Contains(other)).Sum(static other => other.Settings.ReservationIops) + elsewhere);

    /// <summary>The same of a datastore that this process need not have disks on.</summary>
    /// <param name="name">The datastore.</param>
    /// <param name="limit">Its limit, operations a second; below 0 for none.</param>
    /// <param name="reservation">What is asked for, operations a second.</param>
    /// <param name="others">What others have reserved.</param>
    /// <exception cref="InvalidConfigurationException">The limit cannot hold both.</exception>
    internal static void CheckReservation(string name, long limit, long reservation, long others)
    {
        if (limit >= 0 && reservation > 0 && others + reservation > limit)
        {
            throw new InvalidConfigurationException(
                $"A reservation of {reservation} I/O operations a second cannot be promised: the datastore '{name}' is limited to {limit}, of which {others} are reserved; {others + reservation - limit} are missing.");
        }
    }

    /// <summary>What its disks in this process have reserved, operations a second.</summary>
    internal long ReservedIops => Disks.Sum(static disk => disk.Settings.ReservationIops);

    internal DiskIo Attach(DiskIdentity identity, DiskIoSettings settings)
    {
        CheckReservation([], settings.ReservationIops);
        var disk = new DiskIo(this, identity, settings);
        lock (_lock)
        {
            _disks.Add(disk);
            _policy.Order.Add(disk.Queue);
            Decide();
        }

        return disk;
    }

    internal void Detach(DiskIo disk)
    {
        lock (_lock)
        {
            if (_disks.Remove(disk))
            {
                _policy.Order.Remove(disk.Queue);
                _ofDetached += disk.Statistics with { Active = 0, Queued = 0 };
                Decide();
            }
        }
    }

    internal void Configure(DiskIo disk, DiskIoSettings settings)
    {
        IoRequest? granted;
        lock (_lock)
        {
            _policy.Order.Configure(disk.Queue, settings, IoClock.Now);
            Decide();
            granted = Advance(null, out _);
        }

        Deliver(granted);
    }

    /// <summary>True when the request may go on at once.</summary>
    internal bool Submit(DiskIo disk, IoRequest request)
    {
        IoRequest? granted;
        bool atOnce;
        request.Cost = IoCost.Of(request.Kind, request.Bytes);
        lock (_lock)
        {
            _policy.Submit(disk.Queue, request, request.QueuedAt);
            granted = Advance(request, out atOnce);
        }

        Deliver(granted);
        return atOnce;
    }

    internal void Complete(IoRequest request, long now)
    {
        IoRequest? granted;
        lock (_lock)
        {
            _policy.Complete(request.Cost, now - request.StartedAt, now);
            granted = Advance(null, out _);
        }

        Deliver(granted);
    }

    internal IoRequest? Cancel(DiskIo disk)
    {
        lock (_lock)
        {
            return _policy.Order.Cancel(disk.Queue);
        }
    }

    private static void Deliver(IoRequest? granted)
    {
        while (granted is not null)
        {
            // It may be under way again for another purpose as soon as its disk has it.
            IoRequest request = granted;
            granted = request.Next;
            request.Next = null;
            request.Granted();
        }
    }

    /// <summary>Grants what may go now, linked by <see cref="IoRequest.Next"/>; one request may be taken by the caller instead.</summary>
    private IoRequest? Advance(IoRequest? callers, out bool callersMayGo)
    {
        IoRequest? first = null, last = null;
        callersMayGo = false;
        if (_policy.Waiting == 0)
        {
            return null;
        }

        long now = callers?.QueuedAt ?? IoClock.Now;
        while (_policy.Next(now) is { } request)
        {
            request.TakesPlace = true;
            if (request == callers)
            {
                callersMayGo = true;
                continue;
            }

            request.GrantedAt = request.StartedAt = now;
            if (last is null)
            {
                first = request;
            }
            else
            {
                last.Next = request;
            }

            last = request;
        }

        long next = _policy.NextTime(now);
        if (next < _wakeAt)
        {
            WakeAt(next);
        }

        return first;
    }

    // Under the lock. A request that waits is always granted by someone: by a completion while the device is full, by the thread otherwise.
    private void WakeAt(long time)
    {
        _wakeAt = time;
        if (_thread is null && !_disposed)
        {
            _wake = new PreciseEvent();
            _thread = new Thread(Run, 256 * 1024) { Name = $"datastore {Name}", IsBackground = true };
            _thread.Start();
        }
        else
        {
            _wake?.Set();
        }
    }

    private void Run()
    {
        PreciseEvent.PrepareThread();
        while (true)
        {
            IoRequest? granted;
            long wait;
            lock (_lock)
            {
                if (_disposed)
                {
                    return;
                }

                _wakeAt = 0;
                granted = Advance(null, out _);
                long now = IoClock.Now;
                _wakeAt = _policy.NextTime(now);
                wait = _wakeAt == long.MaxValue ? -1 : Math.Max(0, _wakeAt - now);
            }

            Deliver(granted);
            _wake!.Wait(wait);
        }
    }

    private void Decide() => _controlled = _settings.Enabled || _settings.LimitIops != DiskIoSettings.Unlimited || _disks.Exists(static disk => disk.Settings.IsRestricted);
}
