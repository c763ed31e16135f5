namespace Hypervisor.Engine.Storage.IoControl;

/// <summary>
/// A binary heap of disk queues with the smallest key on top, from which any queue can be removed: each knows its place. All operations
/// are O(log n) at most and allocate nothing once <see cref="Reserve"/> has made room.
/// </summary>
internal sealed class QueueHeap<TKey>(HeapKind kind)
    where TKey : struct, IComparable<TKey>
{
    private DiskQueue[] _queues = new DiskQueue[8];
    private TKey[] _keys = new TKey[8];

    public int Count { get; private set; }

    public DiskQueue Top => _queues[0];

    public TKey TopKey => _keys[0];

    /// <summary>Makes room for a number of queues.</summary>
    public void Reserve(int count)
    {
        if (count > _queues.Length)
        {
            int length = Math.Max(count, _queues.Length * 2);
            Array.Resize(ref _queues, length);
            Array.Resize(ref _keys, length);
        }
    }

    public bool Contains(DiskQueue queue) => queue.Positions[kind] != HeapPositions.Absent;

    /// <summary>Adds a queue, or gives one that is there a new key.</summary>
    public void Set(DiskQueue queue, TKey key)
    {
        int at = queue.Positions[kind];
        if (at == HeapPositions.Absent)
        {
            Reserve(Count + 1);
            at = Count++;
            Up(at, queue, key);
        }
        else if (key.CompareTo(_keys[at]) < 0)
        {
            Up(at, queue, key);
        }
        else
        {
            Down(at, queue, key);
        }
    }

    /// <summary>Removes a queue if it is there.</summary>
    public void Remove(DiskQueue queue)
    {
        int at = queue.Positions[kind];
        if (at == HeapPositions.Absent)
        {
            return;
        }

        queue.Positions[kind] = HeapPositions.Absent;
        Count--;
        DiskQueue moved = _queues[Count];
        TKey key = _keys[Count];
        _queues[Count] = null!;
        if (at == Count)
        {
            return;
        }

        if (at > 0 && key.CompareTo(_keys[(at - 1) / 2]) < 0)
        {
            Up(at, moved, key);
        }
        else
        {
            Down(at, moved, key);
        }
    }

    private void Up(int at, DiskQueue queue, TKey key)
    {
        while (at > 0)
        {
            int parent = (at - 1) / 2;
            if (key.CompareTo(_keys[parent]) >= 0)
            {
                break;
            }

            Place(at, _queues[parent], _keys[parent]);
            at = parent;
        }

        Place(at, queue, key);
    }

    private void Down(int at, DiskQueue queue, TKey key)
    {
        while (true)
        {
            int child = (2 * at) + 1;
            if (child >= Count)
            {
                break;
            }

            if (child + 1 < Count && _keys[child + 1].CompareTo(_keys[child]) < 0)
            {
                child++;
            }

            if (_keys[child].CompareTo(key) >= 0)
            {
                break;
            }

            Place(at, _queues[child], _keys[child]);
            at = child;
        }

        Place(at, queue, key);
    }

    private void Place(int at, DiskQueue queue, TKey key)
    {
        _queues[at] = queue;
        _keys[at] = key;
        queue.Positions[kind] = at;
    }
}
