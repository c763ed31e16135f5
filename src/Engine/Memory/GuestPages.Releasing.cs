using Hypervisor.Engine.Memory.Stores;
using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Engine.Memory;

// Pages that the guest says it does not need.
public sealed unsafe partial class GuestPages
{
    /// <summary>Pages that a guest gives back at a time.</summary>
    private const int ReleaseBatch = 32768;

    private const int LargePagePages = LargePages.Bytes / PageBytes;

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
        _isMarking = true;
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
            released += DropAll(first, count, areHints: false);
        }

        return released;
    }

    // Private pages that are neighbours go together, as many as a large page has: the system is asked once for all of them, and those who
    // want one of them back wait no longer than that takes.
    private int DropAll(int first, int count, bool areHints)
    {
        int dropped = 0;
        for (int page = first, end = first + count; page < end;)
        {
            int begin = page, limit = Math.Min(end, page + LargePageLeft(page));
            while (page < limit && (areHints ? TryHoldHinted(page) : TryHold(page, out _)))
            {
                page++;
            }

            if (page == begin)
            {
                dropped += (areHints ? DropHinted(page) : Drop(page)) ? 1 : 0;
                page++;
                continue;
            }

            DiscardAll(begin, page - begin);
            for (int dropping = begin; dropping < page; dropping++)
            {
                WriteDropped(dropping, Read(dropping), PageState.Private);
            }

            dropped += page - begin;
        }

        return dropped;
    }

    // A private page that nobody used since it was marked is moving now, and this thread's.
    private bool TryHold(int page, out PageEntry entry)
    {
        entry = Read(page);
        return entry is { State: PageState.Private, IsWatched: true, Pins: 0 } && Replace(page, entry, entry.In(PageState.Moving));
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

        WriteDropped(page, entry, entry.State);
        return true;
    }

    private void WriteDropped(int page, PageEntry entry, PageState was)
    {
        // Where the system may leave old content in a page given back, zeroes come from the frame of zeroes.
        bool clean = MemoryAdvice.ReleasedReadsZero;
        var empty = clean ? PageState.Untouched : PageState.Shared;
        if (!clean)
        {
            _frames.AddReference(SharedFrames.ZeroFrame);
            Interlocked.Increment(ref _zero);
        }

        Write(page, entry.In(empty, clean ? 0 : SharedFrames.ZeroFrame).Touched());
        Moved(was, empty);
    }

    private void ReleaseFrame(int frame)
    {
        _frames.Release(frame);
        if (frame == SharedFrames.ZeroFrame)
        {
            Interlocked.Decrement(ref _zero);
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
