using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Native;
using Hypervisor.Engine.Processor;

namespace Hypervisor.Engine.Partitions.Software;

/// <summary>
/// What is mapped where in a software partition, and one attribute byte for each page of it. Mappings change while all processors are
/// stopped; a change publishes a new sorted array, look-ups take the current one without a lock.
/// </summary>
internal sealed unsafe class PhysicalMemoryMap : IDisposable
{
    /// <summary>Bytes of a page.</summary>
    public const ulong PageBytes = 4096;

    // Enough for the first 4 GB: most machines never need another table.
    private const ulong FirstTablePages = 1 << 20;

    private readonly Lock _changes = new();
    private readonly ulong _physicalLimit;

    // Tables that were outgrown stay until the end: a device's thread may still be looking into one.
    private readonly List<AnonymousMemory> _tables = [];
    private volatile Range[] _ranges = [];
    private volatile Table _attributes;

    /// <summary>Makes an empty map.</summary>
    /// <param name="physicalAddressBits">Width of physical addresses.</param>
    public PhysicalMemoryMap(int physicalAddressBits)
    {
        _physicalLimit = 1ul << physicalAddressBits;
        _attributes = AllocateTable(FirstTablePages);
    }

    /// <summary>A mapped range.</summary>
    internal sealed record Range(ulong First, ulong Bytes, nint Host, bool Writable)
    {
        /// <summary>Dirty pages are recorded: a page without <see cref="PageAttributes.TrackWrites"/> was written.</summary>
        public bool IsTracked { get; set; }

        /// <summary>Who knows where its pages are; null while they are at <see cref="Host"/>.</summary>
        public GuestPages? Pages { get; set; }

        /// <summary>The number of its first page there.</summary>
        public int FirstPage { get; set; }

        /// <summary>The number of the page of an address in it.</summary>
        public int PageOf(ulong address) => FirstPage + (int)((address - First) / PageBytes);

        /// <summary>Whether an address lies in it.</summary>
        public bool Contains(ulong address) => address - First < Bytes;
    }

    private sealed record Table(nint Address, ulong Pages);

    /// <summary>One byte a page.</summary>
    public byte* Attributes => (byte*)_attributes.Address;

    /// <summary>Entries of <see cref="Attributes"/>.</summary>
    public ulong AttributeCount => _attributes.Pages;

    /// <summary>Adds a range.</summary>
    /// <exception cref="ArgumentException">It is not made of whole pages, overlaps another, or passes the end of the address space.</exception>
    public void Map(ulong first, nint host, ulong bytes, MemoryAccess access)
    {
        if (bytes == 0 || (first | bytes | (ulong)host) % PageBytes != 0)
        {
            throw new ArgumentException($"A mapping of {bytes} bytes at {first:x}h is not made of whole pages.");
        }

        if (first >= _physicalLimit || bytes > _physicalLimit - first)
        {
            throw new ArgumentException($"A mapping of {bytes} bytes at {first:x}h passes the processors' physical address space.");
        }

        lock (_changes)
        {
            if (_ranges.Any(r => r.First < first + bytes && first < r.First + r.Bytes))
            {
                throw new ArgumentException($"The mapping at {first:x}h overlaps another.");
            }

            ulong pages = (first + bytes) / PageBytes;
            if (pages > _attributes.Pages)
            {
                var grown = AllocateTable(pages);
                // SAFETY: both tables are at least as long as the old one; processors are stopped while mappings change.
                Buffer.MemoryCopy((void*)_attributes.Address, (void*)grown.Address, grown.Pages, _attributes.Pages);
                _attributes = grown;
            }

            bool writable = (access & MemoryAccess.Write) != 0;
            _ranges = [.. _ranges.Append(new Range(first, bytes, host, writable)).OrderBy(r => r.First)];
        }
    }

    /// <summary>Takes a range back.</summary>
    /// <exception cref="ArgumentException">Nothing was mapped at that address.</exception>
    public void Unmap(ulong first)
    {
        lock (_changes)
        {
            var range = Get(first);
            _ranges = [.. _ranges.Where(r => r != range)];
            // SAFETY: the table covers every mapped range.
            new Span<byte>(Attributes + (range.First / PageBytes), (int)(range.Bytes / PageBytes)).Clear();
        }
    }

    /// <summary>From now on pages of writable ranges may be elsewhere.</summary>
    public void Attach(GuestPages pages)
    {
        lock (_changes)
        {
            foreach (var range in _ranges)
            {
                if (range.Writable && pages.FirstPageOf(range.Host) is var first and >= 0)
                {
                    (range.Pages, range.FirstPage) = (pages, first);
                }
            }
        }
    }

    /// <summary>Starts or stops recording writes to a range.</summary>
    public void SetTracking(ulong first, bool enabled)
    {
        lock (_changes)
        {
            var range = Get(first);
            range.IsTracked = enabled;
            ulong page = range.First / PageBytes;
            for (ulong end = page + (range.Bytes / PageBytes); page < end; page++)
            {
                Change(page, enabled ? PageAttributes.TrackWrites : 0, enabled ? 0 : PageAttributes.TrackWrites);
            }
        }
    }

    /// <summary>Fetches and clears the pages written in a range.</summary>
    public void Harvest(ulong first, Span<ulong> bitmap)
    {
        lock (_changes)
        {
            var range = Get(first);
            ulong pages = range.Bytes / PageBytes;
            if ((ulong)bitmap.Length * 64 < pages)
            {
                throw new ArgumentException($"A bitmap for {pages} pages needs {(pages + 63) / 64} words.", nameof(bitmap));
            }

            bitmap.Clear();
            for (ulong n = 0; range.IsTracked && n < pages; n++)
            {
                var old = Change((range.First / PageBytes) + n, PageAttributes.TrackWrites, 0);
                if ((old & PageAttributes.TrackWrites) == 0)
                {
                    bitmap[(int)(n >> 6)] |= 1ul << (int)(n & 63);
                }
            }
        }
    }

    /// <summary>The range that an address lies in, or null.</summary>
    public Range? Find(ulong address)
    {
        var ranges = _ranges;
        int low = 0, high = ranges.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            var range = ranges[middle];
            if (address < range.First)
            {
                high = middle - 1;
            }
            else if (!range.Contains(address))
            {
                low = middle + 1;
            }
            else
            {
                return range;
            }
        }

        return null;
    }

    /// <summary>Sets and clears attributes of a page atomically; returns what they were.</summary>
    /// <param name="page">A page number below <see cref="AttributeCount"/>.</param>
    /// <param name="set">Attributes to set.</param>
    /// <param name="clear">Attributes to clear.</param>
    public PageAttributes Change(ulong page, PageAttributes set, PageAttributes clear)
    {
        // SAFETY: the caller stays within the table.
        ref byte attributes = ref Attributes[page];
        byte old = Volatile.Read(ref attributes);
        while (true)
        {
            byte wanted = (byte)((old | (byte)set) & ~(byte)clear);
            byte seen = wanted == old ? old : Interlocked.CompareExchange(ref attributes, wanted, old);
            if (seen == old)
            {
                return (PageAttributes)old;
            }

            old = seen;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var table in _tables)
        {
            table.Dispose();
        }
    }

    private Range Get(ulong first) =>
        _ranges.FirstOrDefault(r => r.First == first) ?? throw new ArgumentException($"Nothing was mapped at {first:x}h.", nameof(first));

    private Table AllocateTable(ulong pages)
    {
        ulong bytes = (pages + PageBytes - 1) / PageBytes * PageBytes;
        var memory = AnonymousMemory.Allocate((nuint)bytes);
        _tables.Add(memory);
        return new Table(memory.Address, bytes);
    }
}
