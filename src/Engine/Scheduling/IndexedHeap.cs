namespace Hypervisor.Engine.Scheduling;

/// <summary>An object as an item of one heap: it keeps its position there, so that it can be found without a search.</summary>
/// <remarks>A structure around the object, because code for a structure is compiled for it alone and calls nothing here through a table.</remarks>
internal interface IHeapItem
{
    /// <summary>-1 outside the heap.</summary>
    ref int Position { get; }
}

/// <summary>
/// A binary heap, smallest key first. Keys are compared by their difference, so they may wrap as long as those in one heap lie within
/// 2^63 of each other. Allocates only when it grows.
/// </summary>
internal sealed class IndexedHeap<T>
    where T : struct, IHeapItem
{
    private const int InitialCapacity = 4;

    private Item[] _items = new Item[InitialCapacity];

    private struct Item
    {
        public long Key;
        public T Value;
    }

    public int Count { get; private set; }

    /// <summary>The item with the smallest key; there must be one.</summary>
    public T Top => _items[0].Value;

    public long TopKey => _items[0].Key;

    public void Insert(T item, long key)
    {
        if (Count == _items.Length)
        {
            Array.Resize(ref _items, Count * 2);
        }

        SiftUp(Count++, new Item { Key = key, Value = item });
    }

    public void Remove(T item)
    {
        int hole = item.Position;
        item.Position = -1;
        Item last = _items[--Count];
        _items[Count] = default;
        if (hole != Count)
        {
            Place(hole, last);
        }
    }

    /// <summary>Gives an item in the heap another key.</summary>
    public void Update(T item, long key) => Place(item.Position, new Item { Key = key, Value = item });

    private void Place(int hole, Item item)
    {
        if (hole > 0 && item.Key - _items[(hole - 1) / 2].Key < 0)
        {
            SiftUp(hole, item);
        }
        else
        {
            SiftDown(hole, item);
        }
    }

    private void SiftUp(int hole, Item item)
    {
        Item[] items = _items;
        while (hole > 0)
        {
            int parent = (hole - 1) / 2;
            if (item.Key - items[parent].Key >= 0)
            {
                break;
            }

            items[hole] = items[parent];
            items[hole].Value.Position = hole;
            hole = parent;
        }

        items[hole] = item;
        item.Value.Position = hole;
    }

    private void SiftDown(int hole, Item item)
    {
        Item[] items = _items;
        int count = Count;
        while (true)
        {
            int child = (hole * 2) + 1;
            if (child >= count)
            {
                break;
            }

            if (child + 1 < count && items[child + 1].Key - items[child].Key < 0)
            {
                child++;
            }

            if (item.Key - items[child].Key <= 0)
            {
                break;
            }

            items[hole] = items[child];
            items[hole].Value.Position = hole;
            hole = child;
        }

        items[hole] = item;
        item.Value.Position = hole;
    }
}
