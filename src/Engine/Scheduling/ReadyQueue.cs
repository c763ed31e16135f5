namespace Hypervisor.Engine.Scheduling;

/// <summary>What waits in a pool for processors of one affinity class.</summary>
internal sealed class ReadyQueue
{
    /// <summary>All of it, by virtual time.</summary>
    public IndexedHeap<QueueEntry.InShares> ByShares { get; } = new();

    /// <summary>What has a reservation, by when it is due.</summary>
    public IndexedHeap<QueueEntry.InReservations> ByReservation { get; } = new();

    /// <summary>Virtual time that has been reached: the greatest at which anything was dispatched that this queue could compete with.</summary>
    public long Front { get; set; }
}

/// <summary>A pool's or machine's place in the queue of one affinity class.</summary>
internal sealed class QueueEntry(SchedulingNode node, int affinityClass)
{
    internal int SharesIndex = -1;
    internal int ReservationIndex = -1;

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
