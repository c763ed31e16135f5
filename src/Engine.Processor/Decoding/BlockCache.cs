using System.Runtime.InteropServices;
using Hypervisor.Engine.Native;
using Hypervisor.Engine.Processor.Translation;

namespace Hypervisor.Engine.Processor;

/// <summary>
/// The decoded blocks of one processor, found by physical address and mode. Bounded: when the arena is full everything is
/// forgotten. Used only on the processor's thread.
/// </summary>
internal sealed unsafe class BlockCache : IDisposable
{
    private const int KeyBuckets = 1 << 16;
    private const int PageBuckets = 1 << 13;

    private readonly AnonymousMemory _arena;
    private readonly AnonymousMemory _index = AnonymousMemory.Allocate((KeyBuckets + PageBuckets + PageBuckets) * (nuint)sizeof(nint));
    private readonly Block** _keys;
    private readonly Block** _pages;
    private readonly Block** _secondPages;
    private nuint _used;

    /// <summary>Makes an empty cache.</summary>
    /// <param name="bytes">Room for blocks and the records of their translations, a multiple of 4096.</param>
    public BlockCache(int bytes)
    {
        _arena = AnonymousMemory.Allocate((nuint)bytes);
        // SAFETY: one allocation split into three tables of pointers, zeroed by the operating system.
        _keys = (Block**)_index.Address;
        _pages = _keys + KeyBuckets;
        _secondPages = _pages + PageBuckets;
    }

    /// <summary>Blocks decoded since the last <see cref="Clear"/>.</summary>
    public int Count { get; private set; }

    /// <summary>Finds a block; null when it is not there.</summary>
    public Block* Find(ulong key)
    {
        for (Block* block = _keys[KeyBucket(key)]; block != null; block = block->HashNext)
        {
            if (block->Key == key)
            {
                return block;
            }
        }

        return null;
    }

    /// <summary>Adds the blocks that begin in a page to a list.</summary>
    public void CollectPage(ulong page, List<nint> blocks)
    {
        for (Block* block = _pages[PageBucket(page)]; block != null; block = block->PageNext)
        {
            if (block->Page == page && block->Key != Block.Dropped)
            {
                blocks.Add((nint)block);
            }
        }
    }

    /// <summary>Room for a block of up to so many instructions; null when the arena is full.</summary>
    public Block* Reserve(int instructions)
    {
        nuint bytes = (nuint)(sizeof(Block) + (instructions * sizeof(DecodedInstruction)));
        return _used + bytes <= _arena.Length ? (Block*)((byte*)_arena.Address + _used) : null;
    }

    /// <summary>Bytes in use.</summary>
    public long Used => (long)_used;

    /// <summary>Room for records that live as long as the blocks; null when the arena is full.</summary>
    public byte* Reserve(int bytes, int alignment) =>
        _used + (nuint)(bytes + alignment) <= _arena.Length ? (byte*)_arena.Address + ((_used + (nuint)alignment - 1) & ~(nuint)(alignment - 1)) : null;

    /// <summary>Keeps the first bytes of reserved room.</summary>
    public void Keep(byte* at, int bytes) => _used = (nuint)(at + bytes - (byte*)_arena.Address + 63) & ~(nuint)63;

    /// <summary>Enters a block that was built in reserved room; its key, pages and count are set.</summary>
    public void Commit(Block* block)
    {
        _used += (nuint)(sizeof(Block) + (block->Count * sizeof(DecodedInstruction)) + 63) & ~(nuint)63;
        Count++;
        Block** bucket = _keys + KeyBucket(block->Key);
        block->HashNext = *bucket;
        *bucket = block;
        bucket = _pages + PageBucket(block->Page);
        block->PageNext = *bucket;
        *bucket = block;
        if (block->CrossesPage)
        {
            bucket = _secondPages + PageBucket(block->SecondPage);
            block->SecondPageNext = *bucket;
            *bucket = block;
        }
    }

    /// <summary>Drops the blocks that hold bytes of a page; each instruction's handler becomes <paramref name="stale"/>.</summary>
    public bool DropPage(ulong page, delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> stale, TargetTable[] targets)
    {
        bool any = false;
        for (Block** at = _pages + PageBucket(page); *at != null;)
        {
            Block* block = *at;
            if (block->Page == page || block->Key == Block.Dropped)
            {
                any = true;
                Drop(block, stale, targets);
                *at = block->PageNext;
            }
            else
            {
                at = &block->PageNext;
            }
        }

        for (Block** at = _secondPages + PageBucket(page); *at != null;)
        {
            Block* block = *at;
            if (block->SecondPage == page || block->Key == Block.Dropped)
            {
                any = true;
                Drop(block, stale, targets);
                *at = block->SecondPageNext;
            }
            else
            {
                at = &block->SecondPageNext;
            }
        }

        return any;
    }

    /// <summary>Forgets everything.</summary>
    public void Clear()
    {
        new Span<nint>(_keys, KeyBuckets + PageBuckets + PageBuckets).Clear();
        _used = 0;
        Count = 0;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _arena.Dispose();
        _index.Dispose();
    }

    private void Drop(Block* block, delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> stale, TargetTable[] targets)
    {
        if (block->Key == Block.Dropped)
        {
            return;
        }

        Block** at = _keys + KeyBucket(block->Key);
        while (*at != block)
        {
            at = &(*at)->HashNext;
        }

        *at = block->HashNext;
        for (int set = 0; set < targets.Length; set++)
        {
            TranslatedBlock* translation = *Block.Translation(block, set);
            if (translation != null)
            {
                targets[set].RemoveCode((int)(block->Key & X86Processor.PageMask), translation->Entry);
            }
        }

        block->Key = Block.Dropped;
        DecodedInstruction* i = Block.First(block);
        for (int n = 0; n < block->Count; n++)
        {
            i[n].Handler = stale;
        }
    }

    private static int KeyBucket(ulong key) => (int)((key * 0x9E37_79B9_7F4A_7C15) >> 48);

    private static int PageBucket(ulong page) => (int)((page * 0x9E37_79B9_7F4A_7C15) >> 51);
}
