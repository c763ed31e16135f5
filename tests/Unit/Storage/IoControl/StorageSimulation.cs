using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Tests.Unit.Storage.IoControl;

/// <summary>
/// Disks, a datastore's policy and a device in simulated time. The policy is the one that real requests go through. The same seed gives
/// the same run.
/// </summary>
internal sealed class StorageSimulation
{
    public const long Second = 1_000_000_000, Millisecond = 1_000_000;

    private readonly PriorityQueue<Action, (long Time, long Order)> _events = new();
    private readonly Queue<Request> _atDevice = new();
    private readonly List<Disk> _disks = [];
    private readonly Random _random;
    private readonly SimulatedDevice _device;
    private long _order;
    private int _busy;
    private long _wakeAt = long.MaxValue;

    public StorageSimulation(SimulatedDevice device, DatastoreIoSettings? settings = null, int seed = 1, MClockOptions? options = null)
    {
        _device = device;
        _random = new Random(seed);
        Policy = new DatastorePolicy(settings ?? DatastoreIoSettings.Default, 0, options);
    }

    public DatastorePolicy Policy { get; }

    public long Now { get; private set; }

    public IReadOnlyList<Disk> Disks => _disks;

    /// <summary>Most by which the scheduler wakes late for a limit, nanoseconds: what a busy host does to its threads.</summary>
    public long MostLate { get; set; }

    /// <summary>A disk of which a number of requests is always under way.</summary>
    public Disk AddBusyDisk(DiskIoSettings settings, int depth, int bytes = 4096)
    {
        Disk disk = Add(settings, bytes);
        disk.Depth = depth;
        At(0, () => Fill(disk));
        return disk;
    }

    /// <summary>A disk to which requests come at random, so many a second on average.</summary>
    public Disk AddVisitedDisk(DiskIoSettings settings, double requestsPerSecond, int bytes = 4096)
    {
        Disk disk = Add(settings, bytes);
        Visit(disk, requestsPerSecond);
        return disk;
    }

    /// <summary>Does something at a time.</summary>
    public void At(long time, Action action) => _events.Enqueue(action, (time, _order++));

    /// <summary>Gives a disk another depth: 0 makes it idle.</summary>
    public void SetDepth(Disk disk, int depth)
    {
        disk.Depth = depth;
        Fill(disk);
    }

    /// <summary>Runs until a time; what disks got is counted from then on by <see cref="Disk.Since"/>.</summary>
    public void RunUntil(long time)
    {
        while (_events.TryPeek(out _, out var next) && next.Time <= time)
        {
            Action action = _events.Dequeue();
            Now = next.Time;
            action();
        }

        Now = time;
    }

    /// <summary>Runs, and gives the cost a second that each disk got meanwhile.</summary>
    public double[] Measure(long duration)
    {
        long[] before = [.. _disks.Select(static disk => disk.Served)];
        RunUntil(Now + duration);
        return [.. _disks.Select((disk, i) => (disk.Served - before[i]) * (double)Second / duration)];
    }

    private Disk Add(DiskIoSettings settings, int bytes)
    {
        var disk = new Disk(this, settings, bytes);
        _disks.Add(disk);
        Policy.Order.Add(disk.Queue);
        return disk;
    }

    private void Visit(Disk disk, double rate)
    {
        long wait = (long)(-Math.Log(1 - _random.NextDouble()) * Second / rate);
        At(Now + wait, () =>
        {
            Submit(disk);
            Visit(disk, rate);
        });
    }

    private void Fill(Disk disk)
    {
        while (disk.UnderWay < disk.Depth)
        {
            Submit(disk);
        }
    }

    private void Submit(Disk disk)
    {
        disk.UnderWay++;
        var request = disk.Take();
        request.Cost = IoCost.Of(IoKind.Read, disk.Bytes);
        request.Bytes = disk.Bytes;
        Policy.Submit(disk.Queue, request, Now);
        Dispatch();
    }

    private void Dispatch()
    {
        while (Policy.Next(Now) is Request request)
        {
            request.Disk.LongestWait = Math.Max(request.Disk.LongestWait, Now - request.QueuedAt);
            request.GrantedAt = Now;
            _atDevice.Enqueue(request);
        }

        while (_busy < _device.Servers && _atDevice.TryDequeue(out var request))
        {
            _busy++;
            At(Now + _device.ServiceTime(request.Bytes, _random), () => End(request));
        }

        long wake = Policy.NextTime(Now);
        if (wake < _wakeAt && wake > Now)
        {
            _wakeAt = wake;
            At(wake + (MostLate > 0 ? _random.NextInt64(MostLate) : 0), () =>
            {
                _wakeAt = long.MaxValue;
                Dispatch();
            });
        }
    }

    private void End(Request request)
    {
        _busy--;
        Policy.Complete(request.Cost, Now - request.GrantedAt, Now);
        Disk disk = request.Disk;
        disk.Served += request.Cost;
        disk.Completed++;
        disk.UnderWay--;
        disk.LatencySum += Now - request.QueuedAt;
        disk.Return(request);
        if (disk.UnderWay < disk.Depth)
        {
            Submit(disk);
        }

        Dispatch();
    }

    internal sealed class Disk(StorageSimulation simulation, DiskIoSettings settings, int bytes)
    {
        private readonly Stack<Request> _free = new();

        public DiskQueue Queue { get; } = new(settings);

        public int Bytes { get; set; } = bytes;

        public int Depth { get; set; }

        public int UnderWay { get; set; }

        /// <summary>Cost of the requests that ended.</summary>
        public long Served { get; set; }

        public long Completed { get; set; }

        public long LongestWait { get; set; }

        public long LatencySum { get; set; }

        public double MeanLatency => Completed == 0 ? 0 : (double)LatencySum / Completed;

        public Request Take() => _free.TryPop(out var request) ? request : new Request(this);

        public void Return(Request request) => _free.Push(request);

        public void Configure(DiskIoSettings changed)
        {
            simulation.Policy.Order.Configure(Queue, changed, simulation.Now);
            simulation.Dispatch();
        }
    }

    internal sealed class Request(Disk disk) : IoRequest
    {
        public Disk Disk => disk;

        protected internal override void Granted()
        {
        }
    }
}

/// <summary>Hardware that serves a number of requests at once.</summary>
/// <param name="Servers">Requests served at once; more wait inside.</param>
/// <param name="Service">Mean time of a small request, nanoseconds.</param>
/// <param name="BytesPerSecond">Of one server.</param>
/// <param name="IsRegular">Every request takes the mean time; otherwise exponentially distributed.</param>
internal sealed record SimulatedDevice(int Servers, long Service, double BytesPerSecond = double.PositiveInfinity, bool IsRegular = false)
{
    /// <summary>Small requests a second at most.</summary>
    public double Capacity => Servers * 1e9 / Service;

    public long ServiceTime(long bytes, Random random)
    {
        double positioning = IsRegular ? Service : -Math.Log(1 - random.NextDouble()) * Service;
        return Math.Max(1, (long)(positioning + (bytes * 1e9 / BytesPerSecond)));
    }
}
