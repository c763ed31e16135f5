using System.Runtime.CompilerServices;
using Hypervisor.Engine.Native;
using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Engine.Memory;

/// <summary>
/// The guest-physical memory of a machine as devices and loaders see it. Every address and length is the guest's: a range is
/// checked at the moment of use, and what does not lie wholly in one block of memory is refused, never clipped.
/// </summary>
public sealed unsafe class GuestMemory : IDisposable
{
    /// <summary>Granularity of mappings, in bytes.</summary>
    public const ulong PageSize = 4096;

    private readonly record struct Block(ulong First, ulong Length, nint Host, bool Writable, int FirstPage = -1);

    private readonly List<AnonymousMemory> _owned = [];
    private Block[] _blocks = [];

    /// <summary>Called after host code wrote guest memory; the machine connects it to <see cref="Partitions.IPartition.NotifyHostWrite"/>.</summary>
    public Action<ulong, ulong>? Written { get; set; }

    /// <summary>Who knows where pages are; null while they are all where they always were.</summary>
    public GuestPages? Pages { get; private set; }

    /// <summary>The host's large pages that it may be in; null where nobody decides about them.</summary>
    internal LargePages? LargePages { get; set; }

    /// <summary>Bytes of memory over all blocks.</summary>
    public ulong TotalBytes => _blocks.Aggregate(0ul, (sum, block) => sum + block.Length);

    /// <summary>The blocks, in order of address.</summary>
    public IEnumerable<(ulong GuestAddress, nint HostAddress, ulong Bytes, bool Writable)> Blocks =>
        _blocks.Select(block => (block.First, block.Host, block.Length, block.Writable));

    /// <summary>Adds zeroed memory. Called while the machine is assembled.</summary>
    /// <param name="guestAddress">Guest-physical address, a multiple of 4096.</param>
    /// <param name="bytes">Length, a multiple of 4096.</param>
    /// <param name="writable">False for read-only memory, which only <see cref="Load"/> writes.</param>
    public void AddBlock(ulong guestAddress, ulong bytes, bool writable = true)
    {
        if (bytes == 0 || (guestAddress | bytes) % PageSize != 0 || guestAddress + bytes < guestAddress)
        {
            throw new ArgumentException($"A block of {bytes} bytes at {guestAddress:x}h is not made of whole pages.");
        }

        if (_blocks.Any(b => b.First < guestAddress + bytes && guestAddress < b.First + b.Length))
        {
            throw new ArgumentException($"The block at {guestAddress:x}h overlaps another.");
        }

        // Guest and host have their large pages at the same places, or neither could use one where the other does.
        var memory = bytes < LargePages.Bytes
            ? AnonymousMemory.Allocate((nuint)bytes)
            : AnonymousMemory.Allocate((nuint)bytes, LargePages.Bytes, (nuint)guestAddress % LargePages.Bytes);
        _owned.Add(memory);
        _blocks = [.. _blocks.Append(new Block(guestAddress, bytes, memory.Address, writable)).OrderBy(b => b.First)];
    }

    /// <summary>True when the whole range is memory that host code may read.</summary>
    public bool Contains(ulong guestAddress, ulong bytes) => TryFind(guestAddress, bytes, out _);

    /// <summary>
    /// Brings a range into memory and keeps it at its host address until <see cref="Unpin"/>, for the host's I/O into or out of guest
    /// memory. After writing there, call <see cref="NotifyWritten"/>.
    /// </summary>
    /// <returns>False when the range is not wholly memory (or, for writing, read-only), or the machine is being powered off.</returns>
    public bool TryPin(ulong guestAddress, ulong bytes, bool forWriting, out nint pointer)
    {
        pointer = 0;
        if (!TryFind(guestAddress, bytes, out var block) || (forWriting && !block.Writable) || !Pin(block, guestAddress, bytes, forWriting))
        {
            return false;
        }

        pointer = block.Host + (nint)(guestAddress - block.First);
        return true;
    }

    /// <summary>Takes a pin back; the arguments are those of <see cref="TryPin"/>.</summary>
    public void Unpin(ulong guestAddress, ulong bytes)
    {
        if (TryFind(guestAddress, bytes, out var block) && Pages is { } pages && block.FirstPage >= 0)
        {
            var (first, count) = PagesOf(block, guestAddress, bytes);
            for (int page = first; page < first + count; page++)
            {
                pages.Unpin(page);
            }
        }
    }

    /// <summary>Copies guest memory out.</summary>
    public bool TryRead(ulong guestAddress, Span<byte> destination)
    {
        ulong bytes = (ulong)destination.Length;
        if (!TryPin(guestAddress, bytes, forWriting: false, out nint pointer))
        {
            return false;
        }

        // SAFETY: TryPin validated the whole range.
        new ReadOnlySpan<byte>((void*)pointer, destination.Length).CopyTo(destination);
        Unpin(guestAddress, bytes);
        return true;
    }

    /// <summary>Copies into guest memory and tells the partition.</summary>
    public bool TryWrite(ulong guestAddress, ReadOnlySpan<byte> source)
    {
        ulong bytes = (ulong)source.Length;
        if (!TryPin(guestAddress, bytes, forWriting: true, out nint pointer))
        {
            return false;
        }

        // SAFETY: TryPin validated the whole range.
        source.CopyTo(new Span<byte>((void*)pointer, source.Length));
        Unpin(guestAddress, bytes);
        NotifyWritten(guestAddress, bytes);
        return true;
    }

    /// <summary>Reads a little-endian value in one access where it is naturally aligned.</summary>
    public bool TryRead<T>(ulong guestAddress, out T value) where T : unmanaged
    {
        if (!TryPin(guestAddress, (ulong)sizeof(T), forWriting: false, out nint pointer))
        {
            value = default;
            return false;
        }

        // SAFETY: TryPin validated sizeof(T) bytes; unaligned access is legal on every host.
        value = Unsafe.ReadUnaligned<T>((void*)pointer);
        Unpin(guestAddress, (ulong)sizeof(T));
        return true;
    }

    /// <summary>Writes a little-endian value in one access where it is naturally aligned.</summary>
    public bool TryWrite<T>(ulong guestAddress, T value) where T : unmanaged
    {
        if (!TryPin(guestAddress, (ulong)sizeof(T), forWriting: true, out nint pointer))
        {
            return false;
        }

        // SAFETY: TryPin validated sizeof(T) bytes.
        Unsafe.WriteUnaligned((void*)pointer, value);
        Unpin(guestAddress, (ulong)sizeof(T));
        NotifyWritten(guestAddress, (ulong)sizeof(T));
        return true;
    }

    /// <summary>Loads an image while the machine is assembled; may write read-only blocks.</summary>
    /// <exception cref="ArgumentException">The image does not fit into one block at that address.</exception>
    public void Load(ulong guestAddress, ReadOnlySpan<byte> image)
    {
        ulong bytes = (ulong)image.Length;
        if (!TryFind(guestAddress, bytes, out var block) || !Pin(block, guestAddress, bytes, forWriting: true))
        {
            throw new ArgumentException($"{image.Length} bytes at {guestAddress:x}h do not lie in guest memory.");
        }

        // SAFETY: TryFind validated the whole range.
        image.CopyTo(new Span<byte>((byte*)block.Host + (guestAddress - block.First), image.Length));
        Unpin(guestAddress, bytes);
        NotifyWritten(guestAddress, bytes);
    }

    /// <summary>
    /// Gives memory back that the guest says it does not need; it reads as zeroes afterwards (or, without <see cref="Pages"/> and on
    /// Windows, as it was). Ranges outside writable memory, or that host code has pinned, are left alone.
    /// </summary>
    /// <returns>Bytes given back.</returns>
    public long Release(ReadOnlySpan<PageRange> ranges)
    {
        long released = 0;
        if (Pages is { } pages)
        {
            released = pages.Release(ranges) * (long)PageSize;
        }

        foreach (var range in ranges)
        {
            ulong bytes = range.Pages * PageSize;
            if (!TryFind(range.GuestAddress, bytes, out var block) || !block.Writable)
            {
                continue;
            }

            if (block.FirstPage < 0)
            {
                nint host = block.Host + (nint)(range.GuestAddress - block.First);
                LargePages?.BreakAround(host, (nuint)bytes);
                released += MemoryAdvice.Release(host, (nuint)bytes) ? (long)bytes : 0;
            }

            NotifyWritten(range.GuestAddress, bytes);
        }

        return released;
    }

    /// <summary>
    /// As <see cref="Release"/>, for memory that the guest may have begun to use again: what was used since <see cref="GuestPages.BeginHinting"/>
    /// stays, except for zeroes. Gives nothing back without <see cref="Pages"/>.
    /// </summary>
    /// <returns>Bytes given back.</returns>
    public long ReleaseHinted(ReadOnlySpan<PageRange> ranges)
    {
        if (Pages is not { } pages)
        {
            return 0;
        }

        long released = pages.ReleaseHinted(ranges) * (long)PageSize;
        foreach (var range in ranges)
        {
            ulong bytes = range.Pages * PageSize;
            if (TryFind(range.GuestAddress, bytes, out var block) && block.Writable)
            {
                NotifyWritten(range.GuestAddress, bytes);
            }
        }

        return released;
    }

    /// <summary>Tells the partition of writes made through a pointer.</summary>
    public void NotifyWritten(ulong guestAddress, ulong bytes) => Written?.Invoke(guestAddress, bytes);

    /// <inheritdoc/>
    public void Dispose()
    {
        _blocks = [];
        foreach (var memory in _owned)
        {
            memory.Dispose();
        }

        _owned.Clear();
    }

    /// <summary>From now on pages may be elsewhere than in their blocks.</summary>
    internal void Attach(GuestPages pages)
    {
        _blocks = [.. _blocks.Select(block => block with { FirstPage = block.Writable ? pages.FirstPageOf(block.Host) : -1 })];
        Pages = pages;
    }

    private bool Pin(in Block block, ulong guestAddress, ulong bytes, bool forWriting)
    {
        if (Pages is not { } pages || block.FirstPage < 0)
        {
            return true;
        }

        var (first, count) = PagesOf(block, guestAddress, bytes);
        for (int page = first; page < first + count; page++)
        {
            if (!pages.Pin(page, forWriting))
            {
                while (--page >= first)
                {
                    pages.Unpin(page);
                }

                return false;
            }
        }

        return true;
    }

    private static (int First, int Count) PagesOf(in Block block, ulong guestAddress, ulong bytes)
    {
        ulong start = guestAddress - block.First;
        int first = (int)(start / PageSize);
        int count = bytes == 0 ? 0 : (int)((start + bytes - 1) / PageSize) - first + 1;
        return (block.FirstPage + first, count);
    }

    private bool TryFind(ulong guestAddress, ulong bytes, out Block block)
    {
        foreach (var candidate in _blocks)
        {
            if (guestAddress >= candidate.First && guestAddress - candidate.First <= candidate.Length
                && bytes <= candidate.Length - (guestAddress - candidate.First))
            {
                block = candidate;
                return true;
            }
        }

        block = default;
        return false;
    }
}
