using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Engine.Memory;

// Where processors are not asked for pages (see IPageHomes), the host's kernel hands them out until the first is to be taken: a machine
// that nobody wants memory of runs as if there were nobody to ask.
public sealed unsafe partial class GuestPages
{
    private volatile bool _engaged;

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
                Recount(_homes.CountPresent());
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
        IsEngaged = true;
        _homes.Engage(page =>
        {
            while (Read(page) is { State: PageState.Untouched } entry)
            {
                if (Replace(page, entry, entry.In(PageState.Private)))
                {
                    Moved(PageState.Untouched, PageState.Private);
                }
            }
        });
    }

    private void Recount(long present)
    {
        long change = present - PagesIn(PageState.Private);
        Interlocked.Add(ref _inState[(int)PageState.Private], change);
        Interlocked.Add(ref _inState[(int)PageState.Untouched], -change);
        _meter.Add((int)change);
    }

    // Pages that nobody keeps books of: the kernel takes them, unless a device has them pinned.
    private int ReleaseUnknown(ReadOnlySpan<PageRange> ranges, ref ReleaseCursor at)
    {
        int released = 0;
        for (int left = ReleaseBatch; left > 0 && at.Take(this, ranges, left) is (var first, > 0 and var count); left -= count)
        {
            for (int page = first; page < first + count; page++)
            {
                var entry = Read(page);
                if (entry.Pins == 0 && entry.State == PageState.Untouched && Replace(page, entry, entry.In(PageState.Moving)))
                {
                    released += MemoryAdvice.Release((nint)HomeOf(page), PageBytes) ? 1 : 0;
                    Write(page, entry);
                }
            }
        }

        return released;
    }
}
