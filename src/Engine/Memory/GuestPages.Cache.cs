using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory.Stores;

namespace Hypervisor.Engine.Memory;

// From the compression cache on to the swap file: what was compressed long ago and not used since leaves its place to what is taken now.
public sealed unsafe partial class GuestPages
{
    private const int MoveBatch = SwapFile.BatchPages;

    private readonly CompressedPage[] _oldest = new CompressedPage[MoveBatch];
    private readonly PageEntry[] _movedEntries = new PageEntry[MoveBatch];
    private readonly int[] _movedPages = new int[MoveBatch], _movedSlots = new int[MoveBatch];
    private readonly nint[] _movedCopies = new nint[MoveBatch];

    /// <summary>Moves compressed pages to the swap file until the cache takes no more than a number of bytes.</summary>
    /// <returns>Pages moved.</returns>
    public int ShrinkCache(long bytes)
    {
        lock (_reclaim)
        {
            _writeFailure = null;
            return MoveOldest(bytes);
        }
    }

    private void MakeRoomInCache(ReclaimMethods methods)
    {
        const ReclaimMethods Both = ReclaimMethods.Compress | ReclaimMethods.Swap;
        if (_swap is not null && (methods & Both) == Both && _cache.Statistics.UsedBytes > _cache.Capacity - (_cache.Capacity / 16))
        {
            MoveOldest(_cache.Capacity - (_cache.Capacity / 8));
        }
    }

    private int MoveOldest(long bytes)
    {
        int moved = 0;
        while (_swap is not null && _writeFailure is null && !_abandoned && _cache.Statistics.UsedBytes > bytes && _cache.GetOldest(_oldest) is var found and > 0)
        {
            // About as many as have to go: compressed pages take at most half of a page.
            long excess = (_cache.Statistics.UsedBytes - bytes) / (PageBytes / 4);
            moved += MoveToSwap(_oldest.AsSpan(0, (int)Math.Clamp(excess, 1, found)));
        }

        return moved;
    }

    private int MoveToSwap(ReadOnlySpan<CompressedPage> oldest)
    {
        int count = 0;
        foreach (var candidate in oldest)
        {
            int page = (int)candidate.Page;
            var entry = Read(page);
            if (entry.State != PageState.Compressed || entry.Index != candidate.Slot || !Replace(page, entry, entry.In(PageState.Moving)))
            {
                // Its user is just taking it back.
                _cache.Renew(candidate);
                continue;
            }

            (_movedPages[count], _movedEntries[count]) = (page, entry);
            if (!_cache.TryLoad(candidate.Slot, (byte*)_movedCopies[count++]))
            {
                PutBack(0, count);
                throw Damaged(page);
            }
        }

        if (count == 0)
        {
            return 0;
        }

        NoteSwapResult(_swap!.Write(_movedCopies.AsSpan(0, count), _movedSlots.AsSpan(0, count), out int written));
        for (int i = 0; i < written; i++)
        {
            _cache.Free(_movedEntries[i].Index);
            Write(_movedPages[i], _movedEntries[i].In(PageState.Swapped, _movedSlots[i]));
            Moved(PageState.Compressed, PageState.Swapped);
        }

        PutBack(written, count);
        Interlocked.Add(ref _swapOuts, written);
        return written;
    }

    private void PutBack(int from, int to)
    {
        for (int i = from; i < to; i++)
        {
            Write(_movedPages[i], _movedEntries[i]);
        }
    }

    // Content that is not what was stored never reaches the guest: the machine ends.
    private MachineException Damaged(int page) =>
        new($"A compressed page of guest memory (at {AddressOf(page):x}h) is damaged: the host's memory is faulty, or something overwrote it.");
}
