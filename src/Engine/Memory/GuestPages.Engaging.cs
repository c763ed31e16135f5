using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Engine.Memory;

// Where processors are not asked for pages (see IPageHomes), the host's kernel hands them out until the first is to be taken: a machine
// that nobody wants memory of runs as if there were nobody to ask.
public sealed unsafe partial class GuestPages
{
    private volatile bool _engages, _engaged, _isMarking;

    /// <summary>Pages are known one by one, and can be taken.</summary>
    public bool IsEngaged
    {
        get => _engaged;
        private set => _engaged = value;
    }

    /// <summary>Counting takes a look at each page.</summary>
    internal bool IsCounted => !IsEngaged || _mayBeMerged;

    /// <summary>Counts the pages that have content, where they are not known one by one, and those that the host's kernel merged.</summary>
    internal void CountPresent()
    {
        lock (_reclaim)
        {
            if (!IsEngaged)
            {
                long present = 0;
                _homes.FindPresent(_ => present++);
                Recount(present);
            }

            CountMerged();
        }
    }

    // Under the lock of reclamation.
    private void Engage()
    {
        if (IsEngaged)
        {
            return;
        }

        // From here on a page without an entry that says otherwise is looked for by who needs it, and is found if it is there after all.
        Recount(0);
        _engages = true;
        Interlocked.MemoryBarrier();
        TouchPinned();
        try
        {
            _homes.Engage();
        }
        finally
        {
            IsEngaged = true;
        }

        _homes.FindPresent(page =>
        {
            while (Read(page) is { State: PageState.Untouched } entry)
            {
                if (Replace(page, entry, entry.In(PageState.Private)))
                {
                    Moved(PageState.Untouched, PageState.Private);
                }
            }
        });
        _large?.LeaveHoles();
    }

    // Code of the runtime must never wait for a page that is not there: the thread that answers could be waiting for the runtime, which collects
    // garbage and waits for the thread that waits for the page. So what is pinned is there, and not protected.
    private bool NobodyAsks => _engages && !_homes.AreAsked;

    private void AwaitEngaged()
    {
        for (var spin = default(SpinWait); !IsEngaged;)
        {
            spin.SpinOnce();
        }
    }

    private void TouchPinned()
    {
        for (int page = 0; page < Count; page++)
        {
            if (Read(page) is { Pins: > 0 })
            {
                MemoryAdvice.Touch((nint)HomeOf(page));
            }
        }
    }

    // Marks were set since _isMarking was.
    private void WatchMarked(ReadOnlySpan<int> pages)
    {
        try
        {
            if (!pages.IsEmpty)
            {
                _homes.Watch(pages);
            }
        }
        finally
        {
            _isMarking = false;
        }
    }

    private void Recount(long present)
    {
        long change = present - PagesIn(PageState.Private);
        Interlocked.Add(ref _inState[(int)PageState.Private], change);
        Interlocked.Add(ref _inState[(int)PageState.Untouched], -change);
        _meter.Add((int)change);
    }

    // Pages that nobody keeps books of: the kernel takes them, unless a device has them pinned. As many at once as a large page has, so that
    // one that goes wholly is not broken up.
    private int ReleaseUnknown(ReadOnlySpan<PageRange> ranges, ref ReleaseCursor at)
    {
        int released = 0;
        for (int left = ReleaseBatch; left > 0 && at.Take(this, ranges, left) is (var first, > 0 and var count); left -= count)
        {
            for (int page = first; page < first + count;)
            {
                int begin = page, end = Math.Min(first + count, page + LargePageLeft(page));
                while (page < end && Read(page) is { Pins: 0, State: PageState.Untouched } entry && Replace(page, entry, entry.In(PageState.Moving)))
                {
                    page++;
                }

                released += ReleaseMoving(begin, page - begin);

                // The one that stays.
                page += page < end ? 1 : 0;
            }
        }

        return released;
    }

    private int ReleaseMoving(int first, int count)
    {
        if (count == 0)
        {
            return 0;
        }

        bool released = DiscardAll(first, count);
        for (int page = first; page < first + count; page++)
        {
            Write(page, Read(page).In(PageState.Untouched));
        }

        return released ? count : 0;
    }

    // Pages from this one on to the end of the large page that it would be in.
    private int LargePageLeft(int page) => (int)((LargePages.Bytes - ((nint)HomeOf(page) & (LargePages.Bytes - 1))) / PageBytes);
}
