namespace Hypervisor.Engine.Scheduling;

/// <summary>What waits in a pool for processors of one affinity class.</summary>
/// <remarks>
/// A pool waits in one queue for each class in it, and is charged far more often than each of them is looked at. Keys in the heaps are
/// therefore lower bounds of the tags: a tag that grows leaves them alone, and who comes to the top with an old key is put in its place
/// then. Only a tag that falls below a key of its own has to be looked for (<see cref="SchedulingNode.LowerKeys"/>).
/// </remarks>
internal sealed class ReadyQueue
{
    private readonly IndexedHeap<QueueEntry.InShares> _byShares = new();
    private readonly IndexedHeap<QueueEntry.InReservations> _byReservation = new();

    /// <summary>Nothing waits.</summary>
    public bool IsEmpty => _byShares.Count == 0;

    /// <summary>Virtual time that has been reached: the greatest at which anything was dispatched that this queue could compete with.</summary>
    public long Front { get; set; }

    /// <summary>Lets a node wait here, by its virtual time, and by its reservation if it has one.</summary>
    public void Insert(QueueEntry entry)
    {
        SchedulingNode node = entry.Node;
        _byShares.Insert(entry, node.VirtualTime);
        node.AddQueued(entry);
        if (node.ActiveReservation > 0)
        {
            InsertReservation(entry);
        }
    }

    public void Remove(QueueEntry entry)
    {
        _byShares.Remove(entry);
        entry.Node.RemoveQueued(entry);
        RemoveReservation(entry);
    }

    /// <summary>What waits here has a reservation now.</summary>
    public void InsertReservation(QueueEntry entry)
    {
        _byReservation.Insert(entry, entry.Node.ReservationTag);
        entry.Node.NoteReservationKey(entry);
    }

    /// <summary>It has none any more.</summary>
    public void RemoveReservation(QueueEntry entry)
    {
        if (entry.ReservationIndex >= 0)
        {
            _byReservation.Remove(entry);
        }
    }

    /// <summary>Puts what waits here in its place after a tag of it has fallen.</summary>
    public void Update(QueueEntry entry)
    {
        _byShares.Update(entry, entry.Node.VirtualTime);
        if (entry.ReservationIndex >= 0)
        {
            _byReservation.Update(entry, entry.Node.ReservationTag);
        }
    }

    /// <summary>What had least for its shares; null when nothing waits.</summary>
    public QueueEntry? FirstByShares()
    {
        while (_byShares.Count > 0)
        {
            QueueEntry first = _byShares.Top;
            if (_byShares.Count == 1 || first.Node.VirtualTime - _byShares.TopKey <= 0)
            {
                return first;
            }

            _byShares.Update(first, first.Node.VirtualTime);
            first.Node.NoteSharesKey(first);
        }

        return null;
    }

    /// <summary>What is longest due by its reservation; null when nothing is.</summary>
    public QueueEntry? FirstDue(long now)
    {
        while (_byReservation.Count > 0 && _byReservation.TopKey - now <= 0)
        {
            QueueEntry first = _byReservation.Top;
            if (first.Node.ReservationTag - _byReservation.TopKey <= 0)
            {
                return first;
            }

            if (_byReservation.Count == 1)
            {
                return first.Node.ReservationTag - now <= 0 ? first : null;
            }

            _byReservation.Update(first, first.Node.ReservationTag);
            first.Node.NoteReservationKey(first);
        }

        return null;
    }
}

/// <summary>A pool's or machine's place in the queue of one affinity class.</summary>
internal sealed class QueueEntry(SchedulingNode node, int affinityClass)
{
    internal int SharesIndex = -1;
    internal int ReservationIndex = -1;

    // Its place among what of its node waits.
    internal int QueuedIndex = -1;

    public SchedulingNode Node { get; } = node;

    public int AffinityClass { get; } = affinityClass;

    public bool IsQueued => SharesIndex >= 0;

    internal readonly struct InShares(QueueEntry entry) : IHeapItem
    {
        private readonly QueueEntry _entry = entry;

        public ref int Position => ref _entry.SharesIndex;

        public static implicit operator InShares(QueueEntry entry) => new(entry);

        public static implicit operator QueueEntry(InShares item) => item._entry;
    }

    internal readonly struct InReservations(QueueEntry entry) : IHeapItem
    {
        private readonly QueueEntry _entry = entry;

        public ref int Position => ref _entry.ReservationIndex;

        public static implicit operator InReservations(QueueEntry entry) => new(entry);

        public static implicit operator QueueEntry(InReservations item) => item._entry;
    }
}
