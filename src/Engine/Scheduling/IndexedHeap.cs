namespace Hypervisor.Engine.Scheduling;

/// <summary>Where an item keeps its position in a heap, so that it can be found there without a search; -1 outside.</summary>
internal interface IHeapPosition<in T>
    where T : class
{
    static abstract ref int Of(T item);
}

/// <summary>
/// A binary heap, smallest key first. Keys are compared by their difference, so they may wrap as long as those in one heap lie within
/// 2^63 of each other. Allocates only when it grows.
/// </summary>
internal sealed class IndexedHeap<T, TPosition>
    where T : class
    where TPosition : struct, IHeapPosition<T>
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

    public static bool Contains(T item) => TPosition.Of(item) >= 0;

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
        int hole = TPosition.Of(item);
        TPosition.Of(item) = -1;
        Item last = _items[--Count];
        _items[Count] = default;
        if (hole != Count)
        {
            Place(hole, last);
        }
    }

    /// <summary>Gives an item in the heap another key.</summary>
    public void Update(T item, long key) => Place(TPosition.Of(item), new Item { Key = key, Value = item });

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
            TPosition.Of(items[hole].Value) = hole;
            hole = parent;
        }

        items[hole] = item;
        TPosition.Of(item.Value) = hole;
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
            TPosition.Of(items[hole].Value) = hole;
            hole = child;
        }

        items[hole] = item;
        TPosition.Of(item.Value) = hole;
    }
}
