using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Native;
using Hypervisor.Engine.Native.Memory;
using Hypervisor.Engine.Native.Posix;

namespace Hypervisor.Engine.Partitions.Kvm;

/// <summary>
/// Pages of a KVM partition: processors use them by the host's page tables. A userfaultfd tells of pages that are not there, and of
/// stores to pages that are about to be taken; loads of those are not noticed, and need not be. A thread answers.
/// </summary>
internal sealed unsafe partial class KvmPageHomes : IPageHomes
{
    private const int PageBytes = (int)GuestMemory.PageSize;

    // So that a page that cannot be placed does not take a processor until the machine has ended.
    private const int FailureMilliseconds = 10;

    private readonly GuestPages _pages;
    private readonly UserFault _faults;
    private readonly EventFd _stop = EventFd.Create();
    private readonly PageMap _map = new();
    private readonly Lock _mapLock = new();
    private Thread? _thread;

    /// <summary>Takes charge of nothing yet.</summary>
    public KvmPageHomes(GuestPages pages, UserFault faults)
    {
        (_pages, _faults) = (pages, faults);
        _emptied = faults.CanMove ? AnonymousMemory.Allocate(EmptiedPages * PageBytes) : null;
    }

    /// <inheritdoc/>
    public bool AreAsked => false;

    /// <inheritdoc/>
    public void Engage()
    {
        if (_thread is not null)
        {
            return;
        }

        TakeApartUnlessMoved();
        foreach (ref readonly var region in _pages.Regions)
        {
            _faults.Register(region.Host, (nuint)region.Bytes);
        }

        if (_emptied is not null)
        {
            _faults.Register(_emptied.Address, _emptied.Length);
        }

        _thread = new Thread(Answer) { IsBackground = true, Name = "guest memory" };
        _thread.Start();
    }

    /// <inheritdoc/>
    public void FindPresent(Action<int> found)
    {
        lock (_mapLock)
        {
            foreach (var region in _pages.Regions.ToArray())
            {
                _map.Find(region.Host, (long)region.Bytes / PageBytes, page => found(region.FirstPage + (int)page));
            }
        }
    }

    /// <inheritdoc/>
    public void Watch(ReadOnlySpan<int> pages)
    {
        // Neighbours together: the processors' page tables are emptied once for each call.
        for (int i = 0; i < pages.Length;)
        {
            int count = 1;
            byte* first = _pages.HomeOf(pages[i]);
            while (i + count < pages.Length && _pages.HomeOf(pages[i + count]) == first + (count * PageBytes))
            {
                count++;
            }

            _faults.SetProtection((nint)first, (nuint)(count * PageBytes), isProtected: true);
            i += count;
        }
    }

    /// <inheritdoc/>
    public void Unwatch(int page) => _faults.SetProtection((nint)_pages.HomeOf(page), PageBytes, isProtected: false);

    /// <inheritdoc/>
    public void Place(int page, byte* content)
    {
        if (content != null)
        {
            _faults.Copy((nint)_pages.HomeOf(page), content, PageBytes);
        }
        else
        {
            _faults.Zero((nint)_pages.HomeOf(page), PageBytes);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_thread is not null)
        {
            _stop.Signal();
            _thread.Join();
            foreach (ref readonly var region in _pages.Regions)
            {
                _faults.Unregister(region.Host, (nuint)region.Bytes);
            }
        }

        _faults.Dispose();
        _emptied?.Dispose();
        _stop.Dispose();
        _map.Dispose();
    }

    private void Answer()
    {
        Span<UserFault.Fault> faults = stackalloc UserFault.Fault[16];
        for (int count; (count = _faults.Wait(faults, _stop)) >= 0;)
        {
            foreach (ref readonly var fault in faults[..count])
            {
                try
                {
                    Answer(fault);
                }
                catch (Exception error) when (_pages.Failed is { } failed)
                {
                    // The machine ends. Who waits for the page looks again, and sees that it is to stop: asleep it could not be stopped.
                    // If it is not told to yet it comes here again at once; the pause keeps that from taking a whole processor.
                    failed(error);
                    Thread.Sleep(FailureMilliseconds);
                    _faults.Wake(fault.Address, PageBytes);
                }
            }
        }
    }

    private void Answer(UserFault.Fault fault)
    {
        int page = _pages.PageAt(fault.Address);
        if (fault.IsProtected)
        {
            _pages.AllowStores(page);
        }
        else
        {
            _pages.MakePresent(page, forWriting: true);
        }

        // Placing a page wakes who waits; it may have been there already.
        _faults.Wake(fault.Address, PageBytes);
    }
}
