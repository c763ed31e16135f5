using Hypervisor.Engine.Memory.Stores;

namespace Hypervisor.Engine.Memory;

// Pages of equal content, or of zeroes, become one frame of the host's. Under the lock of reclamation.
public sealed unsafe partial class GuestPages
{
    /// <summary>Pages examined for content between two rounds of forgetting.</summary>
    private const int ShareBatch = 1024;

    private readonly int[] _candidates = new int[ShareBatch];
    private string _domain = "";
    private ulong _domainHash;
    private int _shareHand;

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

    private int ShareNext(int pages)
    {
        // First a look without stopping anybody: only pages whose content seems to be elsewhere too are worth watching.
        int candidates = 0;
        _isMarking = true;
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

        WatchMarked(_candidates.AsSpan(0, candidates));
        int shared = 0;
        byte* copy = (byte*)_swapCopies[0];
        foreach (int page in _candidates.AsSpan(0, candidates))
        {
            var entry = Read(page);
            if (entry is { State: PageState.Private, IsWatched: true, Pins: 0 })
            {
                PageContent.Copy(HomeOf(page), copy);
                shared += ShareCopy(page, entry, copy) ? 1 : 0;
            }
        }

        return shared;
    }

    // Where processors cannot be led to a frame, only pages of zeroes go, to nowhere: that is what a page that is not there reads as.
    private bool ShareCopy(int page, PageEntry entry, byte* copy)
    {
        if (!_homes.AreAsked)
        {
            return PageContent.IsZero(copy) && Commit(page, entry, PageState.Untouched, 0, copy);
        }

        return CommitShared(page, entry, _frames.Create(copy, HashOf(copy)), copy);
    }

    // Shares a page that is to go in any case, and says how many pages of memory that freed. Of content that goes for the second time, from
    // wherever, a frame is made: that saves nothing yet, but all others that have it need not be compressed or swapped.
    private int ShareLeaving(int page, PageEntry entry, byte* copy, out bool gone)
    {
        if (!_homes.AreAsked)
        {
            gone = ShareCopy(page, entry, copy);
            return gone ? 1 : 0;
        }

        ulong hash = HashOf(copy);
        int frame = _frames.Share(copy, hash);
        bool isNew = frame == SharedFrames.None && _frames.Remember(hash, new PageHint(_machine, page), out _);
        gone = CommitShared(page, entry, isNew ? _frames.Create(copy, hash) : frame, copy);
        return gone && !isNew ? 1 : 0;
    }

    private bool CommitShared(int page, PageEntry entry, int frame, byte* copy)
    {
        if (frame == SharedFrames.None)
        {
            return false;
        }

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
}
