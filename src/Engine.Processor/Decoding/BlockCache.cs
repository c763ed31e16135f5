using System.Runtime.InteropServices;
using Hypervisor.Engine.Native;
using Hypervisor.Engine.Native.Memory;
using Hypervisor.Engine.Processor.Translation;

namespace Hypervisor.Engine.Processor;

/// <summary>
/// The decoded blocks of one processor, found by physical address and mode. Bounded: the arena consists of regions that are filled one
/// after another; when all are full, the oldest one's blocks are forgotten, with those of the same pages elsewhere, because only
/// blocks of a page refer to each other. Used only on the processor's thread.
/// </summary>
internal sealed unsafe class BlockCache : IDisposable
{
    private const int KeyBuckets = 1 << 16;
    private const int PageBuckets = 1 << 13;

    /// <summary>Bytes of the tables that blocks are found by.</summary>
    public const int IndexBytes = (KeyBuckets + PageBuckets + PageBuckets) * sizeof(ulong);

    private readonly AnonymousMemory _arena;
    private readonly AnonymousMemory _index = AnonymousMemory.Allocate(IndexBytes);
    private readonly Block** _keys;
    private readonly Block** _pages;
    private readonly Block** _secondPages;
    private readonly nuint _regionBytes;
    private readonly nuint[] _usedOf;
    private readonly HashSet<ulong> _evictedPages = [];
    private int _region;

    // The region that is being filled: where the next block goes, and its end.
    private byte* _next, _end;

    /// <summary>Makes an empty cache.</summary>
    /// <param name="bytes">Room for blocks and the records of their translations, a multiple of 4096.</param>
    /// <param name="regions">How many regions that is to be, at least 1.</param>
    public BlockCache(int bytes, int regions)
    {
        _arena = AnonymousMemory.Allocate((nuint)bytes);
        _regionBytes = ((nuint)bytes / (nuint)regions) & ~(nuint)63;
        _usedOf = new nuint[regions];
        BeginRegion(0);
        // SAFETY: one allocation split into three tables of pointers, zeroed by the operating system.
        _keys = (Block**)_index.Address;
        _pages = _keys + KeyBuckets;
        _secondPages = _pages + PageBuckets;
    }

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

    /// <summary>Room for a block of up to so many instructions; null when the region is full.</summary>
    public Block* Reserve(int instructions)
    {
        nuint bytes = (nuint)(sizeof(Block) + (instructions * sizeof(DecodedInstruction)));
        return (nuint)(_end - _next) >= bytes ? (Block*)_next : null;
    }

    /// <summary>Bytes in use.</summary>
    public long Used
    {
        get
        {
            long used = (long)Filled;
            for (int region = 0; region < _usedOf.Length; region++)
            {
                used += region == _region ? 0 : (long)_usedOf[region];
            }

            return used;
        }
    }

    /// <summary>Room for records that live no longer than the blocks that are in the cache now; null when the region is full.</summary>
    public byte* ReserveRecords(int bytes) => _end - _next >= bytes ? _next : null;

    /// <summary>Keeps the first bytes of reserved room.</summary>
    public void Keep(byte* at, int bytes) => _next = Align(at + bytes);

    /// <summary>Enters a block that was built in reserved room; its key, pages and count are set.</summary>
    public void Commit(Block* block)
    {
        _next = Align((byte*)block + sizeof(Block) + (block->Count * sizeof(DecodedInstruction)));
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
    public bool DropPage(ulong page, delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> stale, BlockTranslator? translator)
    {
        bool any = false;
        for (Block** at = _pages + PageBucket(page); *at != null;)
        {
            Block* block = *at;
            if (block->Page == page || block->Key == Block.Dropped)
            {
                any = true;
                Drop(block, stale, translator);
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
                Drop(block, stale, translator);
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
        Array.Clear(_usedOf);
        BeginRegion(0);
    }

    /// <summary>Forgets everything, and gives the memory that it took back to the system.</summary>
    /// <returns>False where the system refuses: the memory stays taken.</returns>
    public bool Release()
    {
        Clear();
        return MemoryAdvice.Release(_arena.Address, _arena.Length);
    }

    /// <summary>
    /// Goes on with the oldest region, whose blocks are dropped first. Only where nothing refers to a block but other blocks: not while
    /// one is executed.
    /// </summary>
    public void Advance(delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> stale)
    {
        _usedOf[_region] = Filled;
        BeginRegion((_region + 1) % _usedOf.Length);
        if (_usedOf[_region] == 0)
        {
            return;
        }

        byte* start = _next;
        _usedOf[_region] = 0;
        for (int n = 0; n < PageBuckets; n++)
        {
            for (Block* block = _pages[n]; block != null; block = block->PageNext)
            {
                if (block >= start && block < _end && block->Key != Block.Dropped)
                {
                    _evictedPages.Add(block->Page);
                }
            }
        }

        foreach (ulong page in _evictedPages)
        {
            DropPage(page, stale, translator: null);
        }

        _evictedPages.Clear();

        // Blocks that were dropped wait in lists for the next visit: not where others are to be built.
        for (int n = 0; n < PageBuckets; n++)
        {
            for (Block** at = _pages + n; *at != null;)
            {
                if ((*at)->Key == Block.Dropped)
                {
                    *at = (*at)->PageNext;
                }
                else
                {
                    at = &(*at)->PageNext;
                }
            }

            for (Block** at = _secondPages + n; *at != null;)
            {
                if ((*at)->Key == Block.Dropped)
                {
                    *at = (*at)->SecondPageNext;
                }
                else
                {
                    at = &(*at)->SecondPageNext;
                }
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _arena.Dispose();
        _index.Dispose();
    }

    private nuint Filled => _regionBytes - (nuint)(_end - _next);

    private void BeginRegion(int region)
    {
        _region = region;
        _next = (byte*)_arena.Address + ((nuint)region * _regionBytes);
        _end = _next + _regionBytes;
    }

    private static byte* Align(byte* at) => (byte*)(((nuint)at + 63) & ~(nuint)63);

    private void Drop(Block* block, delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> stale, BlockTranslator? translator)
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
        for (int set = 0; set < TranslationBuffer.Sets && translator is not null; set++)
        {
            TranslatedBlock* translation = *Block.Translation(block, set);
            if (translation != null)
            {
                translator.Retire(translation);
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
