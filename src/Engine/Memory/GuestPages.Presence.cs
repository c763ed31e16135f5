using System.Diagnostics;
using System.Runtime.CompilerServices;
using Hypervisor.Engine.Memory.Stores;

namespace Hypervisor.Engine.Memory;

// Making pages present for those who use them.
public sealed unsafe partial class GuestPages
{
    /// <summary>Pages that a processor gives for one it takes, when memory is scarce: more than one, so that it does not do this each time.</summary>
    private const int PagesGiven = 32;

    private const int RetryMilliseconds = 100;

    private volatile bool _abandoned;
    private long _spared = long.MaxValue, _ceiling = long.MaxValue;
    private readonly long _cacheCapacity;

    /// <summary>
    /// Told when a page cannot be brought back from the swap file, at each attempt: its user waits and tries again. On the thread that
    /// needs the page.
    /// </summary>
    public Action<string>? ReadFailed { get; set; }

    /// <summary>
    /// Told when a processor has to wait because memory is scarce and none of its machine's pages can be taken. On its thread.
    /// </summary>
    public Action<string?>? Blocked { get; set; }

    /// <summary>Private pages that the machine may have while memory is scarce. With more it gives a page for each that it takes.</summary>
    public long SparedPages
    {
        get => Volatile.Read(ref _spared);
        set => Volatile.Write(ref _spared, value);
    }

    /// <summary>Private pages that the machine never has more than (devices may take it a little above): it gives a page for each that it takes.</summary>
    public long CeilingPages
    {
        get => Volatile.Read(ref _ceiling);
        set => Volatile.Write(ref _ceiling, value);
    }

    /// <summary>
    /// Sets <see cref="SparedPages"/> and <see cref="CeilingPages"/> by the memory that the machine may have with what its compressed pages
    /// take. The cache is a part of that too: its capacity is at most a quarter of the ceiling, or it could fill a small one alone.
    /// </summary>
    /// <param name="spared">Bytes for <see cref="SparedPages"/>.</param>
    /// <param name="ceiling">Bytes for <see cref="CeilingPages"/>; <see cref="long.MaxValue"/> for none.</param>
    internal void Bound(long spared, long ceiling)
    {
        _cache.Capacity = Math.Min(_cacheCapacity, ceiling / 4);

        // Where the swap file has no room the cache stays above its capacity. The machine goes on with what is left.
        long cached = _cache.Statistics.UsedBytes;
        SparedPages = (spared - Math.Min(cached, spared / 2)) / PageBytes;
        CeilingPages = ceiling == long.MaxValue ? long.MaxValue : (ceiling - Math.Min(cached, ceiling / 2)) / PageBytes;
    }

    /// <summary>
    /// The guest is about to be stopped, for good or to be reset: its processors do not wait any more. A page that cannot be had reads as
    /// anything, for the one instruction until they stop. For devices nothing is brought back from where it went.
    /// </summary>
    public bool IsAbandoned
    {
        get => _abandoned;
        set => _abandoned = value;
    }

    /// <summary>The place of a page that is where it is wanted; on a processor's thread, on the way to every new translation.</summary>
    /// <param name="page">Number of the page.</param>
    /// <param name="forWriting">The guest stores to it.</param>
    /// <param name="host">Its host address, valid until the processor is told to forget it.</param>
    /// <param name="writable">Whether stores may go there too.</param>
    /// <returns>False when <see cref="MakePresent(int, bool)"/> has to be called first.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool TryGet(int page, bool forWriting, out byte* host, out bool writable)
    {
        var entry = Read(page);
        host = null;
        writable = false;
        if (!entry.IsUnmarked)
        {
            return false;
        }

        switch (entry.State)
        {
            case PageState.Private:
                host = HomeOf(page);
                writable = true;
                return true;

            // Not for stores yet, so that the first one is seen.
            case PageState.Untouched when !forWriting:
                host = HomeOf(page);
                return true;

            case PageState.Shared when !forWriting:
                host = _frames.Address(entry.Index);
                return true;

            default:
                return false;
        }
    }

    /// <summary>Brings a page to where it can be used. May wait, for the disk or for room; outside the guest.</summary>
    /// <returns>False when the machine is being powered off and the page cannot be had.</returns>
    internal bool MakePresent(int page, bool forWriting)
    {
        // What a guest waits for who has all of its memory is not told.
        if (Read(page).State is not (PageState.Compressed or PageState.Swapped) && !MustGive)
        {
            return MakePresent(page, forWriting, isProcessor: true);
        }

        long start = Stopwatch.GetTimestamp();
        bool present = MakePresent(page, forWriting, isProcessor: true);
        Interlocked.Add(ref _waited, Stopwatch.GetTimestamp() - start);
        return present;
    }

    /// <summary>Makes a page present in its home, and keeps it there until <see cref="Unpin"/>.</summary>
    /// <returns>False when it cannot be had (see <see cref="MakePresent(int, bool)"/>), or has been pinned millions of times.</returns>
    internal bool Pin(int page, bool forWriting)
    {
        var spin = default(SpinWait);
        while (true)
        {
            var entry = Read(page);
            switch (entry.State)
            {
                case PageState.Private or PageState.Untouched:
                    if (!entry.CanPin)
                    {
                        return false;
                    }

                    bool engages = NobodyAsks;
                    if (engages && (entry.State == PageState.Untouched || !entry.IsUnmarked))
                    {
                        // Nobody asks again when the device uses it.
                        AwaitEngaged();
                        if (!MakePresent(page, forWriting: true, isProcessor: false))
                        {
                            return false;
                        }

                        break;
                    }

                    bool taken = entry.State == PageState.Untouched && forWriting && IsEngaged;
                    if (Replace(page, entry, (taken ? entry.In(PageState.Private) : entry).Touched().Pinned()))
                    {
                        Moved(taken ? PageState.Untouched : entry.State, taken ? PageState.Private : entry.State);
                        if (engages == NobodyAsks)
                        {
                            return true;
                        }

                        // Somebody begins to take charge of pages, and may not have seen this one.
                        RemovePin(page);
                    }

                    break;

                case PageState.Moving:
                    spin.SpinOnce();
                    break;

                default:
                    // A shared page leaves its frame even for reading: the frame is not the device's to hold.
                    if (!MakePresent(page, forWriting: true, isProcessor: false))
                    {
                        return false;
                    }

                    break;
            }
        }
    }

    /// <summary>
    /// Somebody stores to a page that is protected: it is in use, and is not protected any more. It is moving meanwhile, or it could be
    /// marked again in between and its protection be taken away afterwards.
    /// </summary>
    internal void AllowStores(int page)
    {
        var spin = default(SpinWait);
        while (true)
        {
            var entry = Read(page);
            if (entry.State == PageState.Moving || (_isMarking && !_abandoned))
            {
                // What is marked already and protected only in a moment would be a page in use that is protected. (Whoever marks may have
                // failed in between; then the machine ends.)
                spin.SpinOnce();
            }
            else if (entry.State != PageState.Private)
            {
                // Taken in the meantime: who stores finds that it is not there.
                return;
            }
            else if (Replace(page, entry, entry.In(PageState.Moving)))
            {
                try
                {
                    _homes.Unwatch(page);
                }
                catch
                {
                    // Nobody is to wait for it: the machine ends.
                    Write(page, entry);
                    throw;
                }

                Write(page, entry.Touched());
                return;
            }
        }
    }

    /// <summary>Takes a pin back.</summary>
    internal void Unpin(int page) => RemovePin(page);

    private bool MakePresent(int page, bool forWriting, bool isProcessor)
    {
        var spin = default(SpinWait);
        while (true)
        {
            var entry = Read(page);
            bool takesMemory = entry.State switch
            {
                PageState.Private => false,
                PageState.Untouched or PageState.Shared => forWriting,
                _ => true,
            };
            if (!takesMemory)
            {
                if (!_homes.AreAsked && forWriting && !entry.IsUnmarked)
                {
                    AllowStores(page);
                }
                else if (entry.IsUnmarked || Replace(page, entry, entry.Touched()))
                {
                    return true;
                }
            }
            else if (entry.State == PageState.Moving)
            {
                spin.SpinOnce();
            }
            else if (isProcessor && MustGive && !_abandoned && !Give())
            {
                Wait();
            }
            else if (!isProcessor && _abandoned && entry.State is PageState.Compressed or PageState.Swapped)
            {
                // A guest may have asked for all of its memory at once, which would take minutes.
                return false;
            }
            else if (entry.State == PageState.Untouched && _homes.AreAsked)
            {
                if (Replace(page, entry, entry.In(PageState.Private).Touched()))
                {
                    Moved(PageState.Untouched, PageState.Private);
                    return true;
                }
            }
            else if (Replace(page, entry, entry.In(PageState.Moving)))
            {
                if (BringHome(page, entry, isProcessor))
                {
                    return true;
                }

                if (_abandoned)
                {
                    return false;
                }

                // What it waits for is the disk, and that was told.
                Rest();
            }
        }
    }

    // The page is Moving, and this thread's.
    private bool BringHome(int page, PageEntry entry, bool isProcessor)
    {
        // Straight to where it is going to be, unless only the kernel can put it there.
        byte* room = stackalloc byte[_homes.AreAsked ? 0 : PageBytes];
        byte* content = _homes.AreAsked ? HomeOf(page) : room;
        switch (entry.State)
        {
            case PageState.Untouched:
                content = null;
                break;

            case PageState.Shared:
                // Nobody may read the frame any more when the first store goes to the copy.
                _homes.Watch([page]);
                PageContent.Copy(_frames.Address(entry.Index), content);
                ReleaseFrame(entry.Index);
                Interlocked.Increment(ref _copies);
                break;

            case PageState.Compressed:
                Decompress(page, entry, content);
                break;

            default:
                var result = _swap!.Read(entry.Index, content);

                // A processor that is going to be stopped before its next instruction gets whatever is there.
                if (result != SwapResult.Done && !(_abandoned && isProcessor))
                {
                    Write(page, entry);
                    ReadFailed?.Invoke(DescribeFailure(result));
                    return false;
                }

                break;
        }

        Place(page, entry, content);
        if (entry.State == PageState.Compressed)
        {
            _cache.Free(entry.Index);
            Interlocked.Increment(ref _decompressions);
        }
        else if (entry.State == PageState.Swapped)
        {
            _swap!.Free(entry.Index);
            Interlocked.Increment(ref _swapIns);
        }

        Write(page, entry.In(PageState.Private).Touched());
        Moved(entry.State, PageState.Private);
        return true;
    }

    private void Place(int page, PageEntry entry, byte* content)
    {
        if (_homes.AreAsked)
        {
            return;
        }

        try
        {
            _homes.Place(page, content);
        }
        catch
        {
            // Its content is still where it was, and nobody waits for it: the machine ends.
            Write(page, entry);
            throw;
        }
    }

    private void Decompress(int page, PageEntry entry, byte* to)
    {
        if (!_cache.TryLoad(entry.Index, to))
        {
            Write(page, entry);
            throw Damaged(page);
        }
    }

    private bool MustGive
    {
        get
        {
            long pages = OwnPages;
            return pages >= CeilingPages || (pages > SparedPages && _meter.IsScarce) || _meter.IsExhausted;
        }
    }

    // Whoever wants more than there is for it makes room itself.
    private bool Give() => Reclaim(PagesGiven, ReclaimMethods.Share | ReclaimMethods.Compress | ReclaimMethods.Swap, urgent: true) > 0;

    private void Wait()
    {
        long start = Environment.TickCount64;
        Blocked?.Invoke(SwapFailure);
        Rest();
        Interlocked.Add(ref _blockedMilliseconds, Environment.TickCount64 - start);
    }

    // Room may come from another machine, the disk or an administrator, and most of that tells nobody.
    private static void Rest() => Thread.Sleep(RetryMilliseconds);
}
