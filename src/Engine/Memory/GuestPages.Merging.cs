using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Engine.Memory;

// Pages that the host's kernel merges with equal ones (KSM). They are private to the machine, in their homes, and take no memory: nobody
// is told when that begins or ends, so they are counted from time to time.
public sealed unsafe partial class GuestPages
{
    private readonly IMergeableHomes? _mergeable;
    private bool _mayBeMerged;
    private long _merged;

    /// <summary>The kernel could merge pages, if it were offered them.</summary>
    internal bool IsMergeable => _mergeable is not null;

    /// <summary>The kernel may merge pages.</summary>
    internal bool IsOffered => _mergeable is { IsOffered: true };

    /// <summary>Pages that took no memory of their own when they were last counted.</summary>
    internal long MergedPages => Math.Min(Interlocked.Read(ref _merged), PagesIn(PageState.Private));

    /// <summary>Private pages that take memory.</summary>
    private long OwnPages => PagesIn(PageState.Private) - MergedPages;

    /// <summary>Lets the kernel merge pages, or takes apart what it merged. Stays as it is where the kernel cannot.</summary>
    internal void Offer(bool offered)
    {
        lock (_reclaim)
        {
            if (_mergeable is null || _mergeable.IsOffered == offered)
            {
                return;
            }

            // Once a page was merged its protection is not relied on for the rest of the run: it does not come back by itself.
            _mayBeMerged |= offered;
            _mergeable.TryOffer(offered);
        }
    }

    // Under the lock of reclamation.
    private void CountMerged()
    {
        if (_mayBeMerged)
        {
            long merged = _mergeable!.CountMerged();
            _meter.Add((int)(Interlocked.Exchange(ref _merged, merged) - merged));
        }
    }

    private bool IsMerged(int page) => _mayBeMerged && _mergeable!.IsMerged(page);

    // What was read of a page is not what goes when it was stored to in between, and the mark does not say so where protection may be lost.
    private bool TryEmpty(int page, PageEntry entry, byte* content)
    {
        if (!_mayBeMerged)
        {
            Discard(page);
            return true;
        }

        bool taken = false;
        _large?.BreakAround((nint)HomeOf(page), PageBytes);
        try
        {
            taken = _mergeable!.TryTake(page, content);
        }
        finally
        {
            if (!taken)
            {
                Write(page, entry.Touched());
            }
        }

        return taken;
    }

    private void Discard(int page) => DiscardAll(page, 1);

    private bool DiscardAll(int first, int count)
    {
        nint home = (nint)HomeOf(first);
        nuint bytes = (nuint)count * PageBytes;
        _large?.BreakAround(home, bytes);
        return MemoryAdvice.Release(home, bytes);
    }
}
