using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Hypervisor.Engine.Memory.Stores;
using Hypervisor.Engine.Native;
using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Engine.Memory;

// Taking pages away. One thread at a time; what it finds out about a page is good only if the page is still watched when it is taken.
public sealed unsafe partial class GuestPages
{
    /// <summary>Pages that wait to be written to the swap file together.</summary>
    private const int SwapBatch = SwapFile.BatchPages;

    private readonly Lock _reclaim = new();
    private readonly List<int> _marked = [];
    private readonly AnonymousMemory _staging = AnonymousMemory.Allocate((SwapBatch + MoveBatch) * PageBytes);
    private readonly nint[] _swapCopies = new nint[SwapBatch];
    private readonly int[] _swapPages = new int[SwapBatch];
    private readonly PageEntry[] _swapEntries = new PageEntry[SwapBatch];
    private readonly int[] _swapSlots = new int[SwapBatch];
    private int _swapCount;
    private string? _writeFailure, _foundFailure;

    // Two hands of a clock go over the pages: the first marks them watched, the second, some time later, takes those that still are.
    private int _markHand, _takeHand, _lead;
    private int _restoreHand;

    /// <summary>
    /// Takes memory from the machine: first pages that nobody used since <see cref="Watch"/> came by.
    /// </summary>
    /// <param name="wanted">Pages to take.</param>
    /// <param name="methods">Where they may go.</param>
    /// <param name="urgent">Take pages that are in use too, when no idle ones are left.</param>
    /// <returns>
    /// Pages of memory that are free now; fewer than wanted when no more were to be had, or the swap file has no room (see <see cref="SwapFailure"/>).
    /// </returns>
    public int Reclaim(int wanted, ReclaimMethods methods, bool urgent) => Reclaim(wanted, methods, urgent, Timeout.InfiniteTimeSpan, out _);

    /// <summary>As <see cref="Reclaim(int, ReclaimMethods, bool)"/>, for who has others to see to as well.</summary>
    /// <param name="wanted">Pages to take.</param>
    /// <param name="methods">Where they may go.</param>
    /// <param name="urgent">Take pages that are in use too, when no idle ones are left.</param>
    /// <param name="patience">After so long no more is begun; infinite for none.</param>
    /// <param name="failure">Why not all was written to the swap file that was to be; null when it was.</param>
    internal int Reclaim(int wanted, ReclaimMethods methods, bool urgent, TimeSpan patience, out string? failure)
    {
        lock (_reclaim)
        {
            long start = Stopwatch.GetTimestamp();
            _writeFailure = null;
            _swapCount = 0;
            int taken = 0;
            long examined = 0;
            while (taken + _swapCount < wanted && examined < 2L * Count && _writeFailure is null && !_abandoned
                && (patience == Timeout.InfiniteTimeSpan || Stopwatch.GetElapsedTime(start) < patience))
            {
                MakeRoomInCache(methods);
                if (_lead == 0)
                {
                    if (!urgent)
                    {
                        break;
                    }

                    // What was copied is taken by the mark that it had then. A page must not be used and get a new one in between.
                    taken += WriteSwapBatch();
                    if (_writeFailure is not null || taken >= wanted || (MarkWatched(Math.Max(wanted - taken, SwapBatch)) == 0 && _lead == 0))
                    {
                        break;
                    }
                }

                int page = _takeHand;
                _takeHand = Next(page);
                _lead--;
                examined++;
                var entry = Read(page);
                if (entry is { State: PageState.Private, IsWatched: true, Pins: 0 })
                {
                    // What is merged takes no memory; it goes when nothing else is left.
                    if (!IsMerged(page))
                    {
                        taken += Take(page, entry, methods);
                    }
                    else if (examined > Count)
                    {
                        _mergeable!.Separate(page);
                        taken += Take(page, entry, methods);
                    }
                }
            }

            taken += WriteSwapBatch();
            failure = _writeFailure;
            return taken;
        }
    }

    /// <summary>Why the swap file could not be written when that was tried last; null when it could.</summary>
    public string? SwapFailure { get; private set; }

    /// <summary>The last failure to write the swap file since this was asked before; null for none. Processors that make room for themselves find them too.</summary>
    internal string? TakeSwapFailure() => Interlocked.Exchange(ref _foundFailure, null);

    /// <summary>Tries whether the swap file can be written again; null when it can, or there is none, else why not.</summary>
    public string? TestSwap()
    {
        lock (_reclaim)
        {
            if (_swap is not null)
            {
                NoteSwapResult(_swap.Write(_swapCopies.AsSpan(0, 1), _swapSlots.AsSpan(0, 1), out int written));
                if (written == 1)
                {
                    _swap.Free(_swapSlots[0]);
                }
            }

            return SwapFailure;
        }
    }

    /// <summary>There is a swap file.</summary>
    public bool HasSwap => _swap is not null;

    /// <summary>Guest memory that surely still fits into the compression cache, if it shrinks to half, bytes.</summary>
    public long CompressionRoomBytes => 2 * Math.Max(0, _cache.Capacity - _cache.Statistics.UsedBytes);

    /// <summary>Begins to watch pages, which <see cref="Reclaim(int, ReclaimMethods, bool)"/> takes later unless they are used in the meantime.</summary>
    /// <returns>Pages that are watched now and were not.</returns>
    public int Watch(int pages)
    {
        lock (_reclaim)
        {
            return MarkWatched(pages);
        }
    }

    /// <summary>Brings compressed and swapped pages back before they are needed.</summary>
    /// <returns>Pages brought back.</returns>
    public int Restore(int pages) => Restore(pages, Timeout.InfiniteTimeSpan);

    /// <summary>As <see cref="Restore(int)"/>; after <paramref name="patience"/> no more is begun.</summary>
    internal int Restore(int pages, TimeSpan patience)
    {
        long start = Stopwatch.GetTimestamp();
        int restored = 0;
        for (int examined = 0; restored < pages && examined < Count && !_abandoned; examined++)
        {
            if (patience != Timeout.InfiniteTimeSpan && Stopwatch.GetElapsedTime(start) >= patience)
            {
                break;
            }

            int page = _restoreHand;
            _restoreHand = Next(page);
            var entry = Read(page);
            if (entry.State is PageState.Compressed or PageState.Swapped && Replace(page, entry, entry.In(PageState.Moving)))
            {
                if (!BringHome(page, entry, isProcessor: false))
                {
                    break;
                }

                restored++;
            }
        }

        return restored;
    }

    private int Next(int page) => page + 1 == Count ? 0 : page + 1;

    private int MarkWatched(int pages)
    {
        Engage();
        _isMarking = true;
        while (_marked.Count < pages && _lead < Count)
        {
            var entry = Read(_markHand);
            if (entry is { State: PageState.Private, IsWatched: false, Pins: 0 } && Replace(_markHand, entry, entry.Watched()))
            {
                _marked.Add(_markHand);
            }

            _markHand = Next(_markHand);
            _lead++;
        }

        int marked = _marked.Count;
        WatchMarked();
        return marked;
    }

    private int Take(int page, PageEntry entry, ReclaimMethods methods)
    {
        // A copy: the page can change until it is taken, and then the copy is thrown away.
        byte* copy = (byte*)_swapCopies[_swapCount];
        PageContent.Copy(HomeOf(page), copy);
        if ((methods & ReclaimMethods.Share) != 0)
        {
            int freed = ShareLeaving(page, entry, copy, out bool gone);
            if (gone)
            {
                return freed;
            }
        }

        if ((methods & ReclaimMethods.Compress) != 0 && _cache.Store(copy, page, out int slot) == CompressionOutcome.Stored)
        {
            return CommitCompressed(page, entry, slot, copy) ? 1 : 0;
        }

        if ((methods & ReclaimMethods.Swap) == 0 || _swap is null)
        {
            return 0;
        }

        _swapPages[_swapCount] = page;
        _swapEntries[_swapCount++] = entry;
        return _swapCount == SwapBatch ? WriteSwapBatch() : 0;
    }

    private bool CommitCompressed(int page, PageEntry entry, int slot, byte* copy)
    {
        if (!Commit(page, entry, PageState.Compressed, slot, copy))
        {
            _cache.Free(slot);
            return false;
        }

        Interlocked.Increment(ref _compressions);
        return true;
    }

    private int WriteSwapBatch()
    {
        int count = _swapCount;
        _swapCount = 0;
        if (count == 0)
        {
            return 0;
        }

        var slots = _swapSlots.AsSpan(0, count);
        NoteSwapResult(_swap!.Write(_swapCopies.AsSpan(0, count), slots, out int written));
        int taken = 0;
        for (int i = 0; i < written; i++)
        {
            if (Commit(_swapPages[i], _swapEntries[i], PageState.Swapped, slots[i], (byte*)_swapCopies[i]))
            {
                taken++;
            }
            else
            {
                _swap.Free(slots[i]);
            }
        }

        Interlocked.Add(ref _swapOuts, taken);
        return taken;
    }

    private void NoteSwapResult(SwapResult result)
    {
        SwapFailure = result == SwapResult.Done ? null : DescribeFailure(result);
        _writeFailure ??= SwapFailure;
        if (SwapFailure is { } failure)
        {
            Volatile.Write(ref _foundFailure, failure);
        }
    }

    private string DescribeFailure(SwapResult result) => result switch
    {
        SwapResult.NoRoom => $"there is no room for the swap file ({_swap!.LastError ?? "it is as large as it may be"}).",
        SwapResult.Damaged => "what was read from the swap file is not what was written to it.",
        _ => $"the disk of the swap file failed ({_swap!.LastError}).",
    };

    private bool Commit(int page, PageEntry entry, PageState state, int index, byte* copy)
    {
        if (!Replace(page, entry, entry.In(PageState.Moving)) || !TryEmpty(page, entry, copy))
        {
            return false;
        }

        Write(page, entry.In(state, index).Touched());
        Moved(PageState.Private, state);
        return true;
    }

    private void WatchMarked()
    {
        WatchMarked(CollectionsMarshal.AsSpan(_marked));
        _marked.Clear();
    }
}
