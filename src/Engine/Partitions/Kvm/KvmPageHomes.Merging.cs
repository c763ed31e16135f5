using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Native;
using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Engine.Partitions.Kvm;

// The kernel's search for equal pages (KSM) puts a page of its own in place of a machine's, without the mark of userfaultfd that has stores
// told of: a store copies the page, silently, whether it was protected or not. What goes is therefore moved out first, which the kernel
// does at one moment for everybody, and is looked at once more where nobody can reach it any more.
internal sealed unsafe partial class KvmPageHomes : IMergeableHomes
{
    // Given back together: that costs the processors' page tables a flush.
    private const int EmptiedPages = 64;

    private readonly AnonymousMemory? _emptied;
    private int _emptiedCount;

    /// <inheritdoc/>
    public bool IsOffered { get; private set; }

    /// <inheritdoc/>
    public bool TryOffer(bool offered)
    {
        // Without a way to move pages they have to be what was read of them.
        if (offered && _thread is not null && !_faults.CanMove)
        {
            return false;
        }

        foreach (ref readonly var region in _pages.Regions)
        {
            if (!MemoryAdvice.AllowMerging(region.Host, (nuint)region.Bytes, offered))
            {
                return false;
            }
        }

        IsOffered = offered;
        return true;
    }

    /// <inheritdoc/>
    public long CountMerged()
    {
        long count = 0;
        lock (_mapLock)
        {
            foreach (ref readonly var region in _pages.Regions)
            {
                count += _map.CountShared(region.Host, (long)region.Bytes / PageBytes);
            }
        }

        return count;
    }

    /// <inheritdoc/>
    public bool IsMerged(int page) => _map.IsShared((nint)_pages.HomeOf(page));

    /// <inheritdoc/>
    public void Separate(int page)
    {
        Unwatch(page);
        StoreNothing(page);
        _faults.SetProtection((nint)_pages.HomeOf(page), PageBytes, isProtected: true);
    }

    /// <inheritdoc/>
    public bool TryTake(int page, byte* content)
    {
        byte* home = _pages.HomeOf(page);
        if (_emptied is null)
        {
            return MemoryAdvice.Release((nint)home, PageBytes);
        }

        byte* taken = (byte*)_emptied.Address + (_emptiedCount * PageBytes);
        if (!_faults.TryMove((nint)home, (nint)taken, PageBytes))
        {
            // A merged page may be the last that is left of those it was merged with: then it takes memory, and is to be had another time.
            Unwatch(page);
            StoreNothing(page);
            return false;
        }

        // SAFETY: the page was moved there and is nobody else's.
        bool isSame = new ReadOnlySpan<byte>(taken, PageBytes).SequenceEqual(new ReadOnlySpan<byte>(content, PageBytes));
        if (!isSame)
        {
            _faults.Copy((nint)home, taken, PageBytes);
        }

        if (++_emptiedCount == EmptiedPages)
        {
            MemoryAdvice.Release(_emptied.Address, _emptied.Length);
            _emptiedCount = 0;
        }

        return isSame;
    }

    // Has the kernel copy a page that it merged. Atomic, as the guest may store to it at the same time; of what it holds nothing changes.
    private void StoreNothing(int page)
    {
        // SAFETY: the page is there, and stays: pages go under the lock of reclamation, which the caller holds. It is not protected, so nobody has to answer for it.
        ref int word = ref *(int*)_pages.HomeOf(page);
        int value = Volatile.Read(ref word);
        Interlocked.CompareExchange(ref word, value, value);
    }

    // On kernels that cannot move pages, merging and taking exclude each other.
    private void TakeApartUnlessMoved()
    {
        if (IsOffered && !_faults.CanMove && !TryOffer(false))
        {
            throw new IOException("The kernel did not take apart pages of guest memory that it had merged.");
        }
    }
}
