using System.Diagnostics;
using System.Runtime.CompilerServices;
using Hypervisor.Engine.Memory.Stores;
using Hypervisor.Engine.Native;
using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Engine.Memory;

// Taking pages away. One thread at a time; what it finds out about a page is good only if the page is still watched when it is taken.
public sealed unsafe partial class GuestPages
{
    /// <summary>Pages that wait to be written to the swap file together.</summary>
    private const int SwapBatch = SwapFile.BatchPages;

    /// <summary>Pages examined for content between two rounds of forgetting.</summary>
    private const int ShareBatch = 1024;

    /// <summary>Pages that a guest gives back at a time.</summary>
    private const int ReleaseBatch = 32768;

    private const int LargePagePages = LargePages.Bytes / PageBytes;

    private readonly Lock _reclaim = new();
    private readonly List<int> _marked = [];
    private readonly AnonymousMemory _staging = AnonymousMemory.Allocate((SwapBatch + MoveBatch) * PageBytes);
    private readonly nint[] _swapCopies = new nint[SwapBatch];
    private readonly int[] _swapPages = new int[SwapBatch];
    private readonly PageEntry[] _swapEntries = new PageEntry[SwapBatch];
    private readonly int[] _swapSlots = new int[SwapBatch];
    private readonly int[] _candidates = new int[ShareBatch];
    private int _swapCount;
    private string? _writeFailure, _foundFailure;
    private string _domain = "";
    private ulong _domainHash;

    // Two hands of a clock go over the pages: the first marks them watched, the second, some time later, takes those that still are.
    private int _markHand, _takeHand, _lead;
    private int _shareHand, _restoreHand;

    /// <summary>
    /// Takes memory from the machine: first pages that nobody used since <see cref="Watch"/> came by.
    /// </summary>
    /// <param name="wanted">Pages to take.</param>
    /// <param name="methods">Where they may go.</param>
    /// <param name="urgent">Take pages that are in use too, when no idle ones are left.</param>
    /// <returns>Pages taken; fewer when no more were to be had, or the swap file has no room (see <see cref="SwapFailure"/>).</returns>
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

    /// <summary>
    /// Looks through pages for zeroes and for content that other pages have, and lets those share a frame.
    /// </summary>
    /// <param name="pages">Pages to look at; goes on where the last call ended.</param>
    /// <returns>Pages of the machine's own that became shared ones.</returns>
    public int Share(int pages)
    {
        lock (_reclaim)
        {
            int shared = 0;
            for (int left = IsEngaged ? Math.Min(pages, Count) : 0; left > 0 && !_abandoned; left -= ShareBatch)
            {
                shared += ShareNext(Math.Min(left, ShareBatch));
            }

            return shared;
        }
    }

    /// <summary>
    /// Gives back pages that the guest says it does not need: what they held is forgotten, and they read as zeroes. A page that the guest
    /// uses all the same, or a device has pinned, stays.
    /// </summary>
    /// <param name="ranges">Whole pages of guest-physical memory; what is no writable memory is ignored.</param>
    /// <returns>Pages given back.</returns>
    public int Release(ReadOnlySpan<PageRange> ranges)
    {
        int released = 0;
        for (var at = default(ReleaseCursor); at.Range < ranges.Length && !_abandoned;)
        {
            // A guest may name all of its memory many times over: others get their turn in between.
            lock (_reclaim)
            {
                released += IsEngaged ? ReleaseSome(ranges, ref at) : ReleaseUnknown(ranges, ref at);
            }
        }

        Interlocked.Add(ref _released, released);
        return released;
    }

    /// <summary>How far a release has come: the range, and its page.</summary>
    private struct ReleaseCursor
    {
        public int Range, Page;

        /// <summary>The next pages, neighbours, and at most so many; none at the end.</summary>
        public (int First, int Count) Take(GuestPages pages, ReadOnlySpan<PageRange> ranges, int most)
        {
            while (Range < ranges.Length)
            {
                var (first, count) = pages.Resolve(ranges[Range]);
                int left = Math.Min(count - Page, most);
                if (left < count - Page)
                {
                    // What is left of a large page is for the next time. (A whole batch has room for many.)
                    left -= LargePagePages - pages.LargePageLeft(first + Page + left);
                    if (left <= 0)
                    {
                        break;
                    }
                }

                if (left > 0)
                {
                    first += Page;
                    Page += left;
                    return (first, left);
                }

                (Range, Page) = (Range + 1, 0);
            }

            return (0, 0);
        }
    }

    private int ReleaseSome(ReadOnlySpan<PageRange> ranges, ref ReleaseCursor at)
    {
        var begin = at;
        bool any = false;
        for (int left = ReleaseBatch; left > 0 && at.Take(this, ranges, left) is (var first, > 0 and var count); left -= count)
        {
            for (int page = first; page < first + count; page++)
            {
                any |= TryMark(page, out bool isNew);
                if (isNew)
                {
                    _marked.Add(page);
                }
            }
        }

        WatchMarked();
        int released = 0;
        for (int left = ReleaseBatch; any && left > 0 && begin.Take(this, ranges, left) is (var first, > 0 and var count); left -= count)
        {
            for (int page = first; page < first + count; page++)
            {
                released += Drop(page) ? 1 : 0;
            }
        }

        return released;
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
        if ((methods & ReclaimMethods.Share) != 0 && ShareCopy(page, entry, copy, mayCreate: false))
        {
            return 1;
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

    // Where processors cannot be led to a frame, only pages of zeroes go, to nowhere: that is what a page that is not there reads as.
    private bool ShareCopy(int page, PageEntry entry, byte* copy, bool mayCreate)
    {
        if (!_homes.AreAsked)
        {
            return PageContent.IsZero(copy) && Commit(page, entry, PageState.Untouched, 0, copy);
        }

        ulong hash = HashOf(copy);
        int frame = mayCreate ? _frames.Create(copy, hash) : _frames.Share(copy, hash);
        return frame >= 0 && CommitShared(page, entry, frame, copy);
    }

    private bool CommitShared(int page, PageEntry entry, int frame, byte* copy)
    {
        if (!Commit(page, entry, PageState.Shared, frame, copy))
        {
            _frames.Release(frame);
            return false;
        }

        if (frame == SharedFrames.ZeroFrame)
        {
            Interlocked.Increment(ref _zero);
        }

        return true;
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

    private int ShareNext(int pages)
    {
        // First a look without stopping anybody: only pages whose content seems to be elsewhere too are worth watching.
        int candidates = 0;
        for (int n = 0; n < pages; n++)
        {
            int page = _shareHand;
            _shareHand = Next(page);
            var entry = Read(page);
            if (entry is { State: PageState.Private, Pins: 0 } && HasTwin(page)
                && (entry.IsWatched || Replace(page, entry, entry.Watched())))
            {
                _candidates[candidates++] = page;
            }
        }

        if (candidates == 0)
        {
            return 0;
        }

        _homes.Watch(_candidates.AsSpan(0, candidates));
        int shared = 0;
        byte* copy = (byte*)_swapCopies[0];
        foreach (int page in _candidates.AsSpan(0, candidates))
        {
            var entry = Read(page);
            if (entry is { State: PageState.Private, IsWatched: true, Pins: 0 })
            {
                PageContent.Copy(HomeOf(page), copy);
                shared += ShareCopy(page, entry, copy, mayCreate: true) ? 1 : 0;
            }
        }

        return shared;
    }

    /// <summary>
    /// Pages become one with pages of machines whose domain is the same. Changing it leaves together what is together.
    /// </summary>
    internal string SharingDomain
    {
        get => _domain;
        set
        {
            if (_domain != value)
            {
                (_domain, _domainHash) = (value, value.Length == 0 ? 0 : DomainHash(value));
            }
        }
    }

    // Not predictable from outside, as string hashes have a key.
    private static ulong DomainHash(string domain) =>
        ((ulong)(uint)domain.GetHashCode(StringComparison.Ordinal) << 32) | (uint)string.Concat(domain, "\0").GetHashCode(StringComparison.Ordinal);

    private ulong HashOf(byte* page)
    {
        ulong hash = PageContent.Hash(page);
        return hash == PageContent.ZeroHash ? hash : hash ^ _domainHash;
    }

    // Whether a page seems to have the content of another. It may change while it is looked at: this is only a hint.
    private bool HasTwin(int page)
    {
        byte* home = HomeOf(page);
        if (!_homes.AreAsked)
        {
            return PageContent.IsZero(home) && !IsMerged(page);
        }

        ulong hash = HashOf(home);
        int frame = _frames.Share(home, hash);
        if (frame == SharedFrames.None)
        {
            return _frames.Remember(hash, new PageHint(_machine, page), out _);
        }

        _frames.Release(frame);
        return true;
    }

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

    // A page with a mark has been told of: marks are set under the lock of reclamation, and told of before it is left.
    private bool TryMark(int page, out bool isNew)
    {
        isNew = false;
        while (true)
        {
            var entry = Read(page);
            if (entry.Pins > 0 || entry.State is PageState.Moving or PageState.Untouched)
            {
                return false;
            }

            if (entry.IsWatched)
            {
                return true;
            }

            if (Replace(page, entry, entry.Watched()))
            {
                isNew = true;
                return true;
            }
        }
    }

    private bool Drop(int page)
    {
        var entry = Read(page);
        if (!entry.IsWatched || entry.Pins > 0 || entry.State is PageState.Moving or PageState.Untouched
            || !Replace(page, entry, entry.In(PageState.Moving)))
        {
            return false;
        }

        switch (entry.State)
        {
            case PageState.Private:
                Discard(page);
                break;

            case PageState.Shared:
                ReleaseFrame(entry.Index);
                break;

            case PageState.Compressed:
                _cache.Free(entry.Index);
                break;

            default:
                _swap!.Free(entry.Index);
                break;
        }

        // Where the system may leave old content in a page given back, zeroes come from the frame of zeroes.
        bool clean = MemoryAdvice.ReleasedReadsZero;
        var empty = clean ? PageState.Untouched : PageState.Shared;
        if (!clean)
        {
            _frames.AddReference(SharedFrames.ZeroFrame);
            Interlocked.Increment(ref _zero);
        }

        Write(page, entry.In(empty, clean ? 0 : SharedFrames.ZeroFrame).Touched());
        Moved(entry.State, empty);
        return true;
    }

    private void ReleaseFrame(int frame)
    {
        _frames.Release(frame);
        if (frame == SharedFrames.ZeroFrame)
        {
            Interlocked.Decrement(ref _zero);
        }
    }

    private void WatchMarked()
    {
        if (_marked.Count > 0)
        {
            _homes.Watch(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_marked));
            _marked.Clear();
        }
    }

    private (int First, int Count) Resolve(PageRange range)
    {
        foreach (ref readonly var region in _regions.AsSpan())
        {
            ulong offset = range.GuestAddress - region.First;
            if (range.GuestAddress >= region.First && offset < region.Bytes)
            {
                ulong pages = Math.Min((ulong)range.Pages, (region.Bytes - offset) / PageBytes);
                return (region.FirstPage + (int)(offset / PageBytes), (int)pages);
            }
        }

        return (0, 0);
    }
}
