using System.Numerics;
using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Memory.Stores;

/// <summary>
/// Memory for compressed content: blocks of 4096 bytes, each cut into equal places of one size class. When the free places of a class
/// would fill two blocks, the emptiest block's content moves into the others and the block goes back, so that no order of storing and
/// freeing wastes more than two blocks a class. Not thread-safe.
/// </summary>
internal sealed unsafe class CompressedBlocks : IDisposable
{
    private const int None = PageArena.None, MaximumWarm = 16;

    // 256 GB.
    private const int MaximumBlocks = 1 << 26;

    // Before the content of each place stands the slot that it belongs to, so that a block can be emptied.
    private const int PrefixBytes = sizeof(int);

    private static readonly byte[] PlacesOfClass = [64, 48, 32, 24, 20, 16, 13, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2];

    // In the arena's data of each block. Previous and Next chain the class's blocks that have used and free places.
    [StructLayout(LayoutKind.Sequential)]
    private struct Block
    {
        public ulong Used;
        public int Previous;
        public int Next;
    }

    private struct SizeClass
    {
        public int Bytes, Places, Partial, FreePlaces;
    }

    private readonly PageArena _arena = new(MaximumBlocks, MaximumWarm);
    private readonly SizeClass[] _classes = new SizeClass[PlacesOfClass.Length];

    public CompressedBlocks()
    {
        for (int i = 0; i < _classes.Length; i++)
        {
            _classes[i] = new SizeClass { Bytes = PageContent.Size / PlacesOfClass[i] & ~3, Places = PlacesOfClass[i], Partial = None };
        }
    }

    /// <summary>Longest content that is stored: half a page less what stands before it.</summary>
    public const int LongestContent = PageContent.Size / 2 - PrefixBytes;

    /// <summary>Memory of all blocks.</summary>
    public long UsedBytes => (long)_arena.Allocated * PageContent.Size;

    /// <summary>Host memory, with what is kept at hand.</summary>
    public long HeldBytes => _arena.HeldBytes;

    /// <summary>Stores content; false when it needs a block beyond the capacity, or the host has no memory.</summary>
    public bool TryStore(byte* content, int length, int slot, long capacity, out CompressedPlace place)
    {
        place = default;
        if (UsedBytes > capacity)
        {
            return false;
        }

        int index = 0;
        while (_classes[index].Bytes < length + PrefixBytes)
        {
            index++;
        }

        if (_classes[index].Partial == None && !TryAddBlock(index, capacity) && !TryUseLargerClass(ref index))
        {
            return false;
        }

        place = Take(index);
        byte* address = Address(place);
        *(int*)address = slot;
        Buffer.MemoryCopy(content, address + PrefixBytes, _classes[index].Bytes - PrefixBytes, length);
        return true;
    }

    /// <summary>Copies content out.</summary>
    public void Read(CompressedPlace place, byte* destination, int length) =>
        Buffer.MemoryCopy(Address(place) + PrefixBytes, destination, LongestContent, length);

    /// <summary>Gives a place back, and a block where that leaves one to spare.</summary>
    public void Free(CompressedPlace place, CompressedEntries entries)
    {
        Give(place);
        ref var sizes = ref _classes[place.SizeClass];
        if (sizes.FreePlaces >= 2 * sizes.Places)
        {
            EmptyOneBlock(place.SizeClass, entries);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _arena.Dispose();

    private Block* BlockOf(int block) => _arena.Data<Block>(block);

    private byte* Address(CompressedPlace place) => _arena.Address(place.Block) + place.Position * _classes[place.SizeClass].Bytes;

    private static ulong AllPlaces(int places) => places == 64 ? ulong.MaxValue : (1ul << places) - 1;

    private bool TryAddBlock(int index, long capacity)
    {
        if (UsedBytes + PageContent.Size > capacity)
        {
            return false;
        }

        int block = _arena.Allocate();
        if (block == None)
        {
            return false;
        }

        BlockOf(block)->Used = 0;
        Chain(index, block);
        _classes[index].FreePlaces += _classes[index].Places;
        return true;
    }

    // At the capacity a free place that is larger than needed is better than none.
    private bool TryUseLargerClass(ref int index)
    {
        while (++index < _classes.Length)
        {
            if (_classes[index].Partial != None)
            {
                return true;
            }
        }

        return false;
    }

    private CompressedPlace Take(int index)
    {
        ref var sizes = ref _classes[index];
        int block = sizes.Partial;
        var data = BlockOf(block);
        int position = BitOperations.TrailingZeroCount(~data->Used);
        data->Used |= 1ul << position;
        sizes.FreePlaces--;
        if (data->Used == AllPlaces(sizes.Places))
        {
            Unchain(index, block);
        }

        return new CompressedPlace(block, (byte)position, (byte)index);
    }

    private void Give(CompressedPlace place)
    {
        ref var sizes = ref _classes[place.SizeClass];
        var data = BlockOf(place.Block);
        bool full = data->Used == AllPlaces(sizes.Places);
        data->Used &= ~(1ul << place.Position);
        sizes.FreePlaces++;
        if (full)
        {
            Chain(place.SizeClass, place.Block);
        }

        if (data->Used == 0)
        {
            Unchain(place.SizeClass, place.Block);
            sizes.FreePlaces -= sizes.Places;
            _arena.Free(place.Block);
        }
    }

    private void EmptyOneBlock(int index, CompressedEntries entries)
    {
        ref var sizes = ref _classes[index];
        int emptiest = sizes.Partial;
        for (int block = BlockOf(emptiest)->Next; block != None; block = BlockOf(block)->Next)
        {
            if (BitOperations.PopCount(BlockOf(block)->Used) < BitOperations.PopCount(BlockOf(emptiest)->Used))
            {
                emptiest = block;
            }
        }

        // Out of the chain first, lest a place in it is taken for what moves. The other blocks have room: their free places number at
        // least one block's.
        Unchain(index, emptiest);
        int left = sizes.Places - BitOperations.PopCount(BlockOf(emptiest)->Used);
        sizes.FreePlaces -= left;
        for (ulong used = BlockOf(emptiest)->Used; used != 0; used &= used - 1)
        {
            var from = new CompressedPlace(emptiest, (byte)BitOperations.TrailingZeroCount(used), (byte)index);
            var to = Take(index);
            Buffer.MemoryCopy(Address(from), Address(to), sizes.Bytes, sizes.Bytes);
            entries[*(int*)Address(to)].Place = to;
        }

        _arena.Free(emptiest);
    }

    private void Chain(int index, int block)
    {
        int head = _classes[index].Partial;
        BlockOf(block)->Previous = None;
        BlockOf(block)->Next = head;
        if (head != None)
        {
            BlockOf(head)->Previous = block;
        }

        _classes[index].Partial = block;
    }

    private void Unchain(int index, int block)
    {
        var data = BlockOf(block);
        if (data->Previous != None)
        {
            BlockOf(data->Previous)->Next = data->Next;
        }
        else
        {
            _classes[index].Partial = data->Next;
        }

        if (data->Next != None)
        {
            BlockOf(data->Next)->Previous = data->Previous;
        }
    }
}
