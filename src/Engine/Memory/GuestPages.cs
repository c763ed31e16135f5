using System.Runtime.CompilerServices;
using Hypervisor.Engine.Memory.Stores;
using Hypervisor.Engine.Native;

namespace Hypervisor.Engine.Memory;

/// <summary>
/// The pages of a machine's writable memory: where the content of each is, and the moves between those places. Processors and devices
/// ask here before they touch a page; whoever reclaims memory takes pages away here.
/// </summary>
/// <remarks>
/// <para>A page is taken away only while it is watched and not pinned. Watched means: the mark was set, processors were told to forget
/// their translations, and nobody has asked for the page since, because asking clears the mark. The compare-and-swap that takes the page
/// fails if the mark is gone, so whatever was read of it in the meantime is its content.</para>
/// <para>Moves of one page exclude each other by the state <see cref="PageState.Moving"/>; there is no lock over pages. Whoever waits for
/// a move is outside the guest, so <see cref="IPageHomes.Watch"/> never waits for it.</para>
/// </remarks>
public sealed unsafe partial class GuestPages : IDisposable
{
    private const int PageBytes = (int)GuestMemory.PageSize;

    private readonly Region[] _regions;
    private readonly AnonymousMemory _table;
    private readonly ulong* _entries;
    private readonly int _machine;
    private readonly MemoryMeter _meter;
    private readonly SharedFrames _frames;
    private readonly CompressionCache _cache;
    private readonly SwapFile? _swap;
    private readonly IPageHomes _homes;
    private readonly LargePages? _large;

    /// <summary>Takes charge of a memory's writable blocks. When that fails, the stores are still the caller's.</summary>
    /// <param name="memory">The memory; its blocks are all there, and processors do not run yet.</param>
    /// <param name="partition">Whose processors use it.</param>
    /// <param name="machine">A number that no other machine of the host has.</param>
    /// <param name="meter">Counts the pages of all machines of the host.</param>
    /// <param name="frames">The host's shared frames.</param>
    /// <param name="cache">The machine's compression cache, owned from now on.</param>
    /// <param name="swap">The machine's swap file, owned from now on; null for a machine that is never swapped.</param>
    /// <exception cref="NotSupportedException">The host does not let the backend take pages away; the message says why.</exception>
    internal GuestPages(GuestMemory memory, IPagedPartition partition, int machine, MemoryMeter meter, SharedFrames frames, CompressionCache cache, SwapFile? swap)
    {
        ArgumentNullException.ThrowIfNull(memory);
        ArgumentNullException.ThrowIfNull(partition);
        (_machine, _meter, _frames, _cache, _swap, _large) = (machine, meter, frames, cache, swap, memory.LargePages);
        _cacheCapacity = cache.Capacity;
        int pages = 0;
        var regions = new List<Region>();
        foreach (var (guest, host, bytes, writable) in memory.Blocks)
        {
            if (writable)
            {
                regions.Add(new Region(guest, bytes, host, pages));
                pages = checked(pages + (int)(bytes / PageBytes));
            }
        }

        _regions = [.. regions];
        Count = pages;
        for (int i = 0; i < SwapBatch; i++)
        {
            _swapCopies[i] = _staging.Address + (i * PageBytes);
        }

        for (int i = 0; i < MoveBatch; i++)
        {
            _movedCopies[i] = _staging.Address + ((SwapBatch + i) * PageBytes);
        }

        _table = AnonymousMemory.Allocate((nuint)(((long)pages * sizeof(ulong) + PageBytes - 1) & -PageBytes));
        _entries = (ulong*)_table.Address;
        TakeStock();
        if (!partition.TryAttachPages(this, out var homes, out string reason))
        {
            throw new NotSupportedException(reason);
        }

        _homes = homes;
        _mergeable = homes as IMergeableHomes;
        IsEngaged = homes.AreAsked;
        memory.Attach(this);
    }

    /// <summary>Number of pages.</summary>
    public int Count { get; }

    /// <summary>A block of guest memory and the number of its first page.</summary>
    internal readonly record struct Region(ulong First, ulong Bytes, nint Host, int FirstPage);

    /// <summary>The blocks, in order of address.</summary>
    internal ReadOnlySpan<Region> Regions => _regions;

    /// <summary>Finds the number of the first page of a block.</summary>
    /// <returns>-1 when no block begins at that host address.</returns>
    internal int FirstPageOf(nint host)
    {
        foreach (ref readonly var region in _regions.AsSpan())
        {
            if (region.Host == host)
            {
                return region.FirstPage;
            }
        }

        return -1;
    }

    /// <summary>Told of a defect that the machine cannot go on after; on a thread that answers for the pages.</summary>
    internal Action<Exception>? Failed { get; set; }

    /// <summary>The number of the page at a host address within the blocks.</summary>
    internal int PageAt(nint home)
    {
        foreach (ref readonly var region in _regions.AsSpan())
        {
            if (home >= region.Host && (ulong)(home - region.Host) < region.Bytes)
            {
                return region.FirstPage + (int)((home - region.Host) / PageBytes);
            }
        }

        throw new ArgumentOutOfRangeException(nameof(home));
    }

    /// <summary>The state of a page at this moment.</summary>
    internal PageEntry EntryOf(int page) => Read(page);

    /// <inheritdoc/>
    public void Dispose()
    {
        IsAbandoned = true;
        for (int page = 0; page < Count; page++)
        {
            var entry = Read(page);
            if (entry.State == PageState.Shared)
            {
                _frames.Release(entry.Index);
            }
        }

        _meter.Add((int)(Interlocked.Read(ref _merged) - PagesIn(PageState.Private)));
        _frames.ForgetHints(_machine);
        _homes.Dispose();
        _cache.Dispose();
        _swap?.Dispose();
        _table.Dispose();
        _staging.Dispose();
    }

    private ref readonly Region RegionOf(int page)
    {
        int n = _regions.Length - 1;
        while (_regions[n].FirstPage > page)
        {
            n--;
        }

        return ref _regions[n];
    }

    internal byte* HomeOf(int page)
    {
        ref readonly var region = ref RegionOf(page);
        return (byte*)region.Host + ((long)(page - region.FirstPage) * PageBytes);
    }

    internal ulong AddressOf(int page)
    {
        ref readonly var region = ref RegionOf(page);
        return region.First + ((ulong)(page - region.FirstPage) * PageBytes);
    }

    // SAFETY (these four): callers number pages below Count, which the table has an entry for.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private PageEntry Read(int page) => new(Volatile.Read(ref _entries[page]));

    // Only by whoever made the page Moving: pins and marks do not change meanwhile.
    private void Write(int page, PageEntry entry) => Volatile.Write(ref _entries[page], entry.Bits);

    private bool Replace(int page, PageEntry expected, PageEntry entry) =>
        Interlocked.CompareExchange(ref _entries[page], entry.Bits, expected.Bits) == expected.Bits;

    private void RemovePin(int page) => Interlocked.Add(ref _entries[page], unchecked(0 - PageEntry.OnePin));
}
