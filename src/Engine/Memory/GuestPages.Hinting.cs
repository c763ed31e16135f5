using Hypervisor.Engine.Memory.Stores;

namespace Hypervisor.Engine.Memory;

// Pages that the guest says were free at some moment after it was asked (virtio 1.2, 5.5.6.5). It may use them again at any time, and then
// tells nobody; so only what is known not to have been used since before it was asked goes.
public sealed unsafe partial class GuestPages
{
    /// <summary>
    /// Marks all pages that have content, so that <see cref="ReleaseHinted"/> knows which of them nobody used since. To be called before the
    /// guest is asked which pages are free.
    /// </summary>
    public void BeginHinting()
    {
        for (int page = 0; page < Count && !_abandoned;)
        {
            // A large machine has many pages: others get their turn in between.
            lock (_reclaim)
            {
                Engage();
                _isMarking = true;
                for (int end = Math.Min(Count, page + ReleaseBatch); page < end; page++)
                {
                    MarkHintable(page);
                }

                WatchMarked();
            }
        }
    }

    /// <summary>
    /// Gives back pages that the guest says were free: those that nobody used since <see cref="BeginHinting"/>, and those that hold zeroes.
    /// They read as zeroes. All others stay as they are.
    /// </summary>
    /// <param name="ranges">Whole pages of guest-physical memory; what is no writable memory is ignored.</param>
    /// <returns>Pages given back.</returns>
    public int ReleaseHinted(ReadOnlySpan<PageRange> ranges)
    {
        int released = 0;
        for (var at = default(ReleaseCursor); at.Range < ranges.Length && IsEngaged && !_abandoned;)
        {
            lock (_reclaim)
            {
                released += ReleaseSomeHinted(ranges, ref at);
            }
        }

        Interlocked.Add(ref _released, released);
        return released;
    }

    // Under the lock of reclamation, as all that sets marks: a page that loses its marks has them again only by another call of BeginHinting.
    private void MarkHintable(int page)
    {
        while (Read(page) is { Pins: 0, IsHintable: false, State: not (PageState.Moving or PageState.Untouched) } entry)
        {
            if (Replace(page, entry, entry.Hintable()))
            {
                if (!entry.IsWatched)
                {
                    _marked.Add(page);
                }

                return;
            }
        }
    }

    private int ReleaseSomeHinted(ReadOnlySpan<PageRange> ranges, ref ReleaseCursor at)
    {
        // A kernel may clear what it allocates, and it allocates pages to name them (Linux, init_on_alloc): they were used, but zeroes are not
        // lost when they go. A first look, without stopping anybody.
        var begin = at;
        for (int left = ReleaseBatch; left > 0 && at.Take(this, ranges, left) is (var first, > 0 and var count); left -= count)
        {
            for (int page = first; page < first + count; page++)
            {
                if (Read(page) is { State: PageState.Private, Pins: 0, IsWatched: false } && HoldsZeroes(page))
                {
                    _marked.Add(page);
                }
            }
        }

        _isMarking = true;
        _marked.RemoveAll(page => !TryMark(page, out bool isNew) || !isNew);
        WatchMarked();
        int released = 0;
        for (int left = ReleaseBatch; left > 0 && begin.Take(this, ranges, left) is (var first, > 0 and var count); left -= count)
        {
            released += DropAll(first, count, areHints: true);
        }

        return released;
    }

    // The page is moving and this thread's when it can go. It was watched, so nobody stores to it meanwhile without asking; except where
    // protection may be lost.
    private bool TryHoldHinted(int page)
    {
        if (_mayBeMerged || !TryHold(page, out var entry))
        {
            return false;
        }

        if (entry.IsHintable || HoldsZeroes(page))
        {
            return true;
        }

        Write(page, entry);
        return false;
    }

    // A page that is not in its home, or that the kernel may have merged: of those only zeroes go, after they were compared.
    private bool DropHinted(int page)
    {
        var entry = Read(page);
        if (entry.State != PageState.Private)
        {
            return entry.IsHintable && Drop(page);
        }

        if (!_mayBeMerged || !entry.IsWatched || entry.Pins > 0 || !HoldsZeroes(page))
        {
            return false;
        }

        byte* copy = (byte*)_swapCopies[0];
        PageContent.Copy(HomeOf(page), copy);
        return ShareCopy(page, entry, copy);
    }

    private bool HoldsZeroes(int page) => PageContent.IsZero(HomeOf(page)) && !IsMerged(page);
}
