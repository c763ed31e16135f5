namespace Hypervisor.Engine.Storage.IoControl;

/// <summary>
/// The order in which disks of a datastore are served: reservation, limit and shares in one scheduler (Gulati, Merchant, Varman:
/// mClock, OSDI 2010). Pure policy over explicit time in nanoseconds; a decision is O(log n) of the waiting disks and allocates nothing.
/// </summary>
/// <remarks>
/// A disk's tags belong to its first waiting request, and move when it is served; that gives the paper's tags without touching the
/// requests behind. Where the paper moves all share tags when a disk becomes active, this keeps the virtual time of the last
/// request served by shares and lets a disk that becomes active begin there. The disk is O(1) then, and the same order results.
/// </remarks>
internal sealed class MClock(MClockOptions options)
{
    private readonly QueueHeap<long> _reserved = new(HeapKind.Reserved);
    private readonly QueueHeap<double> _ready = new(HeapKind.Ready);
    private readonly QueueHeap<long> _throttled = new(HeapKind.Throttled);
    private double _virtualTime;
    private double _budgetInterval;
    private long _budgetTag;
    private long _idleSince;
    private int _disks;

    /// <summary>Requests that wait.</summary>
    public int Waiting { get; private set; }

    /// <summary>Requests that were served because they were reserved, and by shares.</summary>
    public long ServedByReservation { get; private set; }

    public long ServedByShares { get; private set; }

    /// <summary>Room for one more disk.</summary>
    public void Add(DiskQueue queue)
    {
        queue.ShareTag = _virtualTime;
        _disks++;
        _reserved.Reserve(_disks);
        _ready.Reserve(_disks);
        _throttled.Reserve(_disks);
    }

    /// <summary>Takes a disk out; nothing of it may wait.</summary>
    public void Remove(DiskQueue queue)
    {
        if (queue.Count > 0)
        {
            throw new InvalidOperationException("Requests of the disk still wait.");
        }

        _disks--;
    }

    /// <summary>Limits what all disks together get, in units of cost a second; 0 for no limit.</summary>
    public void SetBudget(long iops, long now)
    {
        _budgetInterval = iops > 0 ? 1e9 / iops : 0;
        _budgetTag = now;
    }

    /// <summary>Gives a disk other settings, from its next request on.</summary>
    public void Configure(DiskQueue queue, DiskIoSettings settings, long now)
    {
        queue.Apply(settings);

        // Debts and credits belong to the old settings: a limit that is lifted must not go on for what it held back.
        queue.ReservationTag = queue.LimitTag = queue.ByteLimitTag = now;
        queue.ShareTag = _virtualTime;
        if (queue.Count > 0)
        {
            Place(queue, now);
        }
    }

    /// <summary>Puts a request at the end of its disk's queue.</summary>
    public void Enqueue(DiskQueue queue, IoRequest request, long now)
    {
        request.QueuedAt = now;
        request.Queue = queue;
        queue.Append(request);
        if (Waiting++ == 0)
        {
            _budgetTag = AfterIdling(_budgetTag, _idleSince, now);
        }

        if (queue.Count > 1)
        {
            return;
        }

        queue.LimitTag = AfterIdling(queue.LimitTag, queue.IdleSince, now);
        queue.ByteLimitTag = AfterIdling(queue.ByteLimitTag, queue.IdleSince, now);

        // Became active. A disk that was idle may be served a little before the others, not for all it left unused (section 3.2, burst handling).
        CatchUp(queue);
        queue.ReservationTag = Math.Max(queue.ReservationTag, now);
        Place(queue, now);
    }

    /// <summary>Takes the request that is to be served now, or null when none may be.</summary>
    public IoRequest? Dequeue(long now)
    {
        if (_budgetTag > now)
        {
            return null;
        }

        while (_throttled.Count > 0 && _throttled.TopKey <= now)
        {
            DiskQueue queue = _throttled.Top;
            _throttled.Remove(queue);

            // What a limit held back is not owed.
            CatchUp(queue);
            Place(queue, now);
        }

        if (_reserved.Count > 0 && _reserved.TopKey <= now)
        {
            ServedByReservation++;
            return Serve(_reserved.Top, reserved: true, now);
        }

        if (_ready.Count == 0)
        {
            return null;
        }

        ServedByShares++;
        _virtualTime = Math.Max(_virtualTime, _ready.TopKey);
        return Serve(_ready.Top, reserved: false, now);
    }

    /// <summary>When <see cref="Dequeue"/> may next give a request without anything else happening; <see cref="long.MaxValue"/> for never.</summary>
    public long NextTime(long now)
    {
        long limit = _ready.Count > 0 ? now : _throttled.Count > 0 ? _throttled.TopKey : long.MaxValue;
        return limit == long.MaxValue ? limit : Math.Max(limit, _budgetTag);
    }

    /// <summary>Takes all waiting requests of a disk out, linked by <see cref="IoRequest.Next"/>.</summary>
    public IoRequest? Cancel(DiskQueue queue)
    {
        Waiting -= queue.Count;
        RemoveFromHeaps(queue);
        return queue.RemoveAll();
    }

    private IoRequest Serve(DiskQueue queue, bool reserved, long now)
    {
        IoRequest request = queue.RemoveFirst();
        Waiting--;
        double cost = request.Cost;
        if (reserved)
        {
            queue.ReservationTag += (long)(cost * queue.ReservationInterval);
        }

        queue.ShareTag += cost * queue.ShareInterval;
        if (reserved)
        {
            // Shares are of the whole, so what is reserved counts. But a disk that lives on its reservation while others starve it
            // must not be in debt for that when there is plenty again.
            queue.ShareTag = Math.Min(queue.ShareTag, _virtualTime + (options.ShareLead * queue.ShareInterval));
        }

        if (queue.LimitInterval > 0)
        {
            queue.LimitTag = Math.Max(queue.LimitTag, now - options.LateCredit) + (long)(cost * queue.LimitInterval);
        }

        if (queue.ByteInterval > 0)
        {
            queue.ByteLimitTag = Math.Max(queue.ByteLimitTag, now - options.LateCredit) + (long)(request.Bytes * queue.ByteInterval);
        }

        if (_budgetInterval > 0)
        {
            _budgetTag = Math.Max(_budgetTag, now - options.LateCredit) + (long)(cost * _budgetInterval);
        }

        _idleSince = now;
        if (queue.Count == 0)
        {
            queue.IdleSince = now;
            RemoveFromHeaps(queue);
        }
        else
        {
            // The next request's tag is not before it came, and a datastore that was too slow for its reservations does not owe them for ever.
            queue.ReservationTag = Math.Max(queue.ReservationTag, Math.Max(queue.First!.QueuedAt, now - options.ReservationDebt));
            Place(queue, now);
        }

        return request;
    }

    // A limit that was not used although requests waited (the host's processors were busy, or the device) is made up. Time without any is
    // lost, but for a little.
    private long AfterIdling(long tag, long since, long now) => Math.Max(tag, Math.Min(tag + (now - since), now - options.LimitCredit));

    private void CatchUp(DiskQueue queue) => queue.ShareTag = Math.Max(queue.ShareTag, _virtualTime - (options.IdleCredit * queue.ShareInterval));

    private void Place(DiskQueue queue, long now)
    {
        long allowed = Math.Max(queue.LimitInterval > 0 ? queue.LimitTag : 0, queue.ByteInterval > 0 ? queue.ByteLimitTag : 0);
        if (allowed > now)
        {
            _reserved.Remove(queue);
            _ready.Remove(queue);
            _throttled.Set(queue, allowed);
            return;
        }

        _throttled.Remove(queue);
        _ready.Set(queue, queue.ShareTag);
        if (queue.ReservationInterval > 0)
        {
            _reserved.Set(queue, queue.ReservationTag);
        }
        else
        {
            _reserved.Remove(queue);
        }
    }

    private void RemoveFromHeaps(DiskQueue queue)
    {
        _reserved.Remove(queue);
        _ready.Remove(queue);
        _throttled.Remove(queue);
    }
}

/// <summary>Constants of the policy.</summary>
internal sealed record MClockOptions
{
    public static MClockOptions Default { get; } = new();

    /// <summary>Cost that a disk may be served ahead of the others after it was idle.</summary>
    public double IdleCredit { get; init; } = 8;

    /// <summary>Cost by which reservations may take a disk ahead of its shares before it is forgotten.</summary>
    public double ShareLead { get; init; } = 64;

    /// <summary>Nanoseconds for which a limit that was not used may be made up: what a short pause of the guest costs.</summary>
    public long LimitCredit { get; init; } = 20_000_000;

    /// <summary>Nanoseconds for which a limit may be made up that could not be used although requests waited.</summary>
    public long LateCredit { get; init; } = 250_000_000;

    /// <summary>Nanoseconds of a reservation that may be made up after the datastore was too slow for it.</summary>
    public long ReservationDebt { get; init; } = 1_000_000_000;
}
