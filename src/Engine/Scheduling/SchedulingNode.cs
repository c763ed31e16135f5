namespace Hypervisor.Engine.Scheduling;

/// <summary>
/// A pool or a machine: something with shares, a reservation and a limit among its siblings. The three tags are where it stands with
/// each (start-time fair queueing for the shares; mClock, Gulati et al. 2010, for the other two).
/// </summary>
internal abstract class SchedulingNode
{
    internal int ThrottlePosition = -1;

    // The greatest keys under which it stands in heaps, or more.
    private long _sharesKey, _reservationKey;

    private Waiting[] _queued = [];
    private int _queuedCount;

    // Since when its limit holds it, how long limits of pools around it had held it then, and how long its limit held it while theirs did
    // not, all before.
    private long _throttledSince, _limitedBefore;
    private long _throttledTime;

    private protected SchedulingNode(string name) => Name = name;

    /// <summary>A place in one of the parent's queues, and the keys under which it stands there.</summary>
    internal struct Waiting
    {
        public QueueEntry Entry;
        public long SharesKey, ReservationKey;
    }

    /// <summary>For people.</summary>
    public string Name { get; internal set; }

    /// <summary>The pool it is in; null for the root.</summary>
    public SchedulingPool? Parent { get; internal set; }

    /// <summary>What it is to get.</summary>
    public CpuEntitlement Settings { get; internal set; } = CpuEntitlement.Default;

    /// <summary>Processor time it had, divided by its shares; the sibling with the least is next.</summary>
    internal long VirtualTime { get; set; }

    /// <summary>When, ns, it is due processor time by its reservation.</summary>
    internal long ReservationTag { get; set; }

    /// <summary>When, ns, its limit lets it run again.</summary>
    internal long LimitTag { get; set; }

    /// <summary>What of the reservations in it counts now, MHz: a sleeper's does not.</summary>
    internal long ActiveReservation { get; set; }

    /// <summary>Worlds in it that want a processor or have one.</summary>
    internal int ActiveWorlds { get; set; }

    /// <summary>Worlds in it that have one.</summary>
    internal int RunningWorlds { get; set; }

    /// <summary>Its limit holds it back.</summary>
    internal bool IsThrottled { get; private set; }

    /// <summary>Limit that matters, MHz; 0 when there is none or it is not below what the node could use anyway.</summary>
    internal long EffectiveLimit { get; set; }

    /// <summary>Where it waits: its places in the parent's queues.</summary>
    internal ReadOnlySpan<Waiting> Queued => _queued.AsSpan(0, _queuedCount);

    /// <summary>Some world in it waits in one of the parent's queues.</summary>
    internal bool IsQueued => _queuedCount > 0;

    internal void SetThrottled(bool throttled, long now)
    {
        if (throttled)
        {
            (_throttledSince, _limitedBefore) = (now, Parent?.LimitedTime(now) ?? 0);
        }
        else
        {
            _throttledTime = LimitedTime(now) - (Parent?.LimitedTime(now) ?? 0);
        }

        IsThrottled = throttled;
    }

    /// <summary>How long a limit has held it, its own or that of a pool around it, ns: time in which several do counts once.</summary>
    internal long LimitedTime(long now)
    {
        long around = Parent?.LimitedTime(now) ?? 0;
        long alone = IsThrottled ? now - _throttledSince - (around - _limitedBefore) : 0;
        return around + _throttledTime + alone;
    }

    /// <summary>Puts it into another pool; the time for which limits have held it stays what it was.</summary>
    internal void MoveTo(SchedulingPool pool, long now)
    {
        long more = pool.LimitedTime(now) - (Parent?.LimitedTime(now) ?? 0);
        _throttledTime -= more;
        _limitedBefore += more;
        Parent = pool;
    }

    /// <summary>One of its places in the parent's queues, taken or not; null before it waited for the first time.</summary>
    internal abstract QueueEntry? AnyEntry { get; }

    /// <summary>Its place in the parent's queue of a class.</summary>
    internal abstract QueueEntry EntryFor(int affinityClass);

    internal void AddQueued(QueueEntry entry)
    {
        if (_queuedCount == _queued.Length)
        {
            Array.Resize(ref _queued, Math.Max(1, _queuedCount * 2));
        }

        entry.QueuedIndex = _queuedCount;
        _queued[_queuedCount++] = new Waiting { Entry = entry, SharesKey = VirtualTime };
        NoteSharesKey(entry);
    }

    internal void RemoveQueued(QueueEntry entry)
    {
        Waiting last = _queued[--_queuedCount];
        last.Entry.QueuedIndex = entry.QueuedIndex;
        _queued[entry.QueuedIndex] = last;
        entry.QueuedIndex = -1;
    }

    /// <summary>It stands in a heap under its virtual time.</summary>
    internal void NoteSharesKey(QueueEntry entry)
    {
        _queued[entry.QueuedIndex].SharesKey = VirtualTime;
        if (_queuedCount == 1 || VirtualTime - _sharesKey > 0)
        {
            _sharesKey = VirtualTime;
        }
    }

    /// <summary>It stands in a heap under its reservation's tag.</summary>
    internal void NoteReservationKey(QueueEntry entry)
    {
        _queued[entry.QueuedIndex].ReservationKey = ReservationTag;
        _reservationKey = Math.Max(_reservationKey, ReservationTag);
    }

    /// <summary>After its tags have changed: where it stands further behind than they say it goes forward.</summary>
    internal void LowerKeys(SchedulingPool parent)
    {
        if (VirtualTime - _sharesKey >= 0 && ReservationTag >= _reservationKey)
        {
            return;
        }

        (_sharesKey, _reservationKey) = (VirtualTime, ReservationTag);
        foreach (ref Waiting waiting in _queued.AsSpan(0, _queuedCount))
        {
            if (VirtualTime - waiting.SharesKey < 0 || ReservationTag < waiting.ReservationKey)
            {
                (waiting.SharesKey, waiting.ReservationKey) = (VirtualTime, ReservationTag);
                parent.QueueFor(waiting.Entry.AffinityClass).Update(waiting.Entry);
            }
        }
    }

    /// <summary>It has a world that could run in this class, were it not for limits.</summary>
    internal abstract bool HasReady(int affinityClass);

    internal bool IsWithin(SchedulingNode ancestor)
    {
        for (SchedulingNode? node = this; node is not null; node = node.Parent)
        {
            if (node == ancestor)
            {
                return true;
            }
        }

        return false;
    }
}

/// <summary>What a machine or pool is to get of the processors.</summary>
/// <param name="Shares">Its part of what is contended, beside its siblings'.</param>
/// <param name="ReservationMHz">What it gets in any case when it wants it.</param>
/// <param name="LimitMHz">What it never gets more than; negative for no limit.</param>
internal sealed record CpuEntitlement(int Shares, long ReservationMHz = 0, long LimitMHz = CpuEntitlement.Unlimited)
{
    public const long Unlimited = -1;

    public static CpuEntitlement Default { get; } = new(1000);
}

/// <summary>A pool: divides what it gets among machines and pools in it.</summary>
internal sealed class SchedulingPool : SchedulingNode
{
    private QueueEntry?[] _entries = [];

    internal SchedulingPool(string name)
        : base(name)
    {
    }

    /// <summary>What is directly in it.</summary>
    public List<SchedulingNode> Children { get; } = [];

    /// <summary>Sum of the children's <see cref="SchedulingNode.ActiveReservation"/>, MHz.</summary>
    internal long ChildrenReservation { get; set; }

    /// <summary>When somebody in it was last chosen by shares, and not for a reservation, ns.</summary>
    internal long ServedByShares { get; set; }

    internal ReadyQueue?[] Queues { get; private set; } = [];


    internal ReadyQueue QueueFor(int affinityClass)
    {
        if (affinityClass >= Queues.Length)
        {
            ReadyQueue?[] queues = Queues;
            Array.Resize(ref queues, affinityClass + 1);
            Queues = queues;
        }

        return Queues[affinityClass] ??= NewQueue();
    }

    // Who joins a new queue stands where the others have got to.
    private ReadyQueue NewQueue()
    {
        ReadyQueue? furthest = null;
        foreach (ReadyQueue? queue in Queues)
        {
            if (queue is not null && (furthest is null || queue.Front - furthest.Front > 0))
            {
                furthest = queue;
            }
        }

        return new ReadyQueue { Front = furthest?.Front ?? 0 };
    }

    internal override QueueEntry? AnyEntry => Array.Find(_entries, static entry => entry is not null);

    internal override bool HasReady(int affinityClass) =>
        affinityClass < Queues.Length && Queues[affinityClass] is { IsEmpty: false };

    internal override QueueEntry EntryFor(int affinityClass)
    {
        if (affinityClass >= _entries.Length)
        {
            Array.Resize(ref _entries, affinityClass + 1);
        }

        return _entries[affinityClass] ??= new QueueEntry(this, affinityClass);
    }
}

/// <summary>A machine and its worlds.</summary>
internal sealed class SchedulingMachine : SchedulingNode
{
    private QueueEntry? _entry;

    internal SchedulingMachine(string name, int worlds, long now)
        : base(name)
    {
        Worlds = [.. Enumerable.Range(0, worlds).Select(index => new World(this, index, now))];
        CoStopped = new World[worlds];
    }

    /// <summary>Its virtual processors.</summary>
    public IReadOnlyList<World> Worlds { get; }

    public LatencySensitivity LatencySensitivity { get; internal set; }

    /// <summary>Physical processors it may use; null for all.</summary>
    public ProcessorSet? Affinity { get; internal set; }

    /// <summary>NUMA node that it is at home on; -1 without one.</summary>
    public int HomeNode { get; internal set; } = -1;

    /// <summary>Times that its home was changed.</summary>
    public int HomeMigrations { get; internal set; }

    /// <summary>Most that one of its processors has been ahead of another that waited, ns.</summary>
    public long LargestSkew { get; internal set; }

    internal int AffinityClass { get; set; }

    /// <summary>Worlds that wait, the one that is behind first.</summary>
    internal IndexedHeap<InReady> Ready { get; } = new();

    internal World[] CoStopped { get; }

    internal int CoStoppedCount { get; set; }

    /// <summary>Progress of the world that was furthest when it was dispatched last, ns.</summary>
    internal long FrontProgress { get; set; }

    /// <summary>Progress of the furthest of those that run, less the present time, ns; means nothing while none does.</summary>
    internal long RunningLead { get; set; }

    /// <summary>Run and ready time at the last look at homes, ns.</summary>
    internal long LastDemandTime { get; set; }

    internal override bool HasReady(int affinityClass) => affinityClass == AffinityClass && Ready.Count > 0;

    internal override QueueEntry? AnyEntry => _entry;

    // A machine is in one class at a time.
    internal override QueueEntry EntryFor(int affinityClass) =>
        _entry is { } entry && entry.AffinityClass == affinityClass ? entry : _entry = new QueueEntry(this, affinityClass);

    internal readonly struct InReady(World world) : IHeapItem
    {
        private readonly World _world = world;

        public ref int Position => ref _world.HeapPosition;

        public static implicit operator InReady(World world) => new(world);

        public static implicit operator World(InReady item) => item._world;
    }
}
