using System.Runtime.InteropServices;
using Hypervisor.Engine.Native;

namespace Hypervisor.Engine.Memory.Stores;

/// <summary>The slots of a compression cache: what is stored where, in order of age. Not thread-safe.</summary>
internal sealed unsafe class CompressedEntries : IDisposable
{
    private const int None = CompressionCache.None;
    private const int ChunkShift = 11, ChunkEntries = 1 << ChunkShift;
    private const int Unused = -1;

    /// <summary>A slot. One that is not in use has block -1 and <see cref="Newer"/> leads to the next such.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct Entry
    {
        public ulong Hash;
        public long Page;
        public CompressedPlace Place;
        public int Older;
        public int Newer;
        public ushort Length;
    }

    private readonly List<AnonymousMemory> _chunks = [];
    private int _known;
    private int _free = None;
    private int _newest = None;

    /// <summary>Slots in use.</summary>
    public int Count { get; private set; }

    /// <summary>The slot that has been in use longest, or -1.</summary>
    public int Oldest { get; private set; } = None;

    /// <summary>Bytes of host memory.</summary>
    public long HeldBytes => (long)_known * sizeof(Entry);

    /// <summary>A slot that was in use at some time.</summary>
    public ref Entry this[int slot] => ref ((Entry*)_chunks[slot >> ChunkShift].Address)[slot & (ChunkEntries - 1)];

    /// <summary>True for a slot in use.</summary>
    public bool Contains(int slot) => (uint)slot < (uint)_known && this[slot].Place.Block != Unused;

    /// <summary>Takes a slot as the newest; -1 when the host has no memory.</summary>
    public int Add()
    {
        int slot = _free;
        if (slot != None)
        {
            _free = this[slot].Newer;
        }
        else
        {
            if (_known == _chunks.Count << ChunkShift && !TryGrow())
            {
                return None;
            }

            slot = _known++;
        }

        this[slot] = default;
        Link(slot);
        Count++;
        return slot;
    }

    /// <summary>Gives a slot back.</summary>
    public void Remove(int slot)
    {
        Unlink(slot);
        if (--Count == 0)
        {
            Clear();
            return;
        }

        this[slot] = new Entry { Place = new CompressedPlace(Unused, 0, 0), Newer = _free };
        _free = slot;
    }

    /// <summary>Makes a slot the newest.</summary>
    public void Renew(int slot)
    {
        Unlink(slot);
        Link(slot);
    }

    /// <inheritdoc/>
    public void Dispose() => Clear();

    private void Clear()
    {
        foreach (var chunk in _chunks)
        {
            chunk.Dispose();
        }

        _chunks.Clear();
        _known = 0;
        _free = None;
    }

    private void Link(int slot)
    {
        this[slot].Older = _newest;
        this[slot].Newer = None;
        if (_newest != None)
        {
            this[_newest].Newer = slot;
        }
        else
        {
            Oldest = slot;
        }

        _newest = slot;
    }

    private void Unlink(int slot)
    {
        int older = this[slot].Older, newer = this[slot].Newer;
        if (older != None)
        {
            this[older].Newer = newer;
        }
        else
        {
            Oldest = newer;
        }

        if (newer != None)
        {
            this[newer].Older = older;
        }
        else
        {
            _newest = older;
        }
    }

    private bool TryGrow()
    {
        try
        {
            _chunks.Add(AnonymousMemory.Allocate((nuint)(ChunkEntries * sizeof(Entry))));
            return true;
        }
        catch (InsufficientMemoryException)
        {
            return false;
        }
    }
}
