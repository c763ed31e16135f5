namespace Hypervisor.Engine.Devices.Timers;

/// <summary>An entry of a <see cref="TimerHeap"/>: a deadline and where in the heap it stands.</summary>
internal abstract class TimerHeapEntry
{
    /// <summary>Not in the heap.</summary>
    public const int Absent = -1;

    /// <summary>When, in nanoseconds of the machine's clock.</summary>
    public long Deadline { get; set; }

    /// <summary>Index in the heap, or <see cref="Absent"/>.</summary>
    public int Position { get; set; } = Absent;
}

/// <summary>
/// A binary min-heap of deadlines in which entries know their place, so that arming and disarming cost O(log n) and allocate
/// nothing once there is room for every timer. Not thread-safe: the clock that owns it has the lock.
/// </summary>
internal sealed class TimerHeap
{
    private TimerHeapEntry[] _entries = new TimerHeapEntry[16];

    /// <summary>Armed timers.</summary>
    public int Count { get; private set; }

    /// <summary>The earliest, or null.</summary>
    public TimerHeapEntry? First => Count == 0 ? null : _entries[0];

    /// <summary>Puts an entry in, or moves it if it is in already.</summary>
    public void Set(TimerHeapEntry entry, long deadline)
    {
        entry.Deadline = deadline;
        if (entry.Position == TimerHeapEntry.Absent)
        {
            if (Count == _entries.Length)
            {
                Array.Resize(ref _entries, Count * 2);
            }

            entry.Position = Count;
            _entries[Count++] = entry;
        }

        SiftDown(SiftUp(entry.Position));
    }

    /// <summary>Takes an entry out, if it is in.</summary>
    public void Remove(TimerHeapEntry entry)
    {
        int hole = entry.Position;
        if (hole == TimerHeapEntry.Absent)
        {
            return;
        }

        entry.Position = TimerHeapEntry.Absent;
        var last = _entries[--Count];
        _entries[Count] = null!;
        if (hole < Count)
        {
            _entries[hole] = last;
            last.Position = hole;
            SiftDown(SiftUp(hole));
        }
    }

    private int SiftUp(int index)
    {
        var entry = _entries[index];
        while (index > 0)
        {
            int parent = (index - 1) / 2;
            if (_entries[parent].Deadline <= entry.Deadline)
            {
                break;
            }

            Place(_entries[parent], index);
            index = parent;
        }

        Place(entry, index);
        return index;
    }

    private void SiftDown(int index)
    {
        var entry = _entries[index];
        while (true)
        {
            int child = (2 * index) + 1;
            if (child >= Count)
            {
                break;
            }

            if (child + 1 < Count && _entries[child + 1].Deadline < _entries[child].Deadline)
            {
                child++;
            }

            if (entry.Deadline <= _entries[child].Deadline)
            {
                break;
            }

            Place(_entries[child], index);
            index = child;
        }

        Place(entry, index);
    }

    private void Place(TimerHeapEntry entry, int index)
    {
        _entries[index] = entry;
        entry.Position = index;
    }
}
