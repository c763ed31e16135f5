using System.Runtime.CompilerServices;
using Hypervisor.Engine.Native;

namespace Hypervisor.Engine.Memory;

/// <summary>
/// The guest-physical memory of a machine as devices and loaders see it. Every address and length is the guest's: a range is
/// checked at the moment of use, and what does not lie wholly in one block of memory is refused, never clipped.
/// </summary>
public sealed unsafe class GuestMemory : IDisposable
{
    /// <summary>Granularity of mappings, in bytes.</summary>
    public const ulong PageSize = 4096;

    private readonly record struct Block(ulong First, ulong Length, nint Host, bool Writable);

    private readonly List<AnonymousMemory> _owned = [];
    private Block[] _blocks = [];

    /// <summary>Called after host code wrote guest memory; the machine connects it to <see cref="Partitions.IPartition.NotifyHostWrite"/>.</summary>
    public Action<ulong, ulong>? Written { get; set; }

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

        var memory = AnonymousMemory.Allocate((nuint)bytes);
        _owned.Add(memory);
        _blocks = [.. _blocks.Append(new Block(guestAddress, bytes, memory.Address, writable)).OrderBy(b => b.First)];
    }

    /// <summary>True when the whole range is memory that host code may read.</summary>
    public bool Contains(ulong guestAddress, ulong bytes) => TryFind(guestAddress, bytes, out _);

    /// <summary>
    /// The host address of a range, for asynchronous host I/O into or out of guest memory. After writing there, call
    /// <see cref="NotifyWritten"/>. False when the range is not wholly memory (or, for writing, read-only).
    /// </summary>
    public bool TryGetPointer(ulong guestAddress, ulong bytes, bool forWriting, out nint pointer)
    {
        if (TryFind(guestAddress, bytes, out var block) && (block.Writable || !forWriting))
        {
            pointer = block.Host + (nint)(guestAddress - block.First);
            return true;
        }

        pointer = 0;
        return false;
    }

    /// <summary>A view for reading. The guest may change it at any time: copy before validating.</summary>
    public bool TryGetReadOnlySpan(ulong guestAddress, int bytes, out ReadOnlySpan<byte> span)
    {
        if (bytes < 0 || !TryGetPointer(guestAddress, (ulong)bytes, forWriting: false, out nint pointer))
        {
            span = default;
            return false;
        }

        // SAFETY: TryGetPointer validated the range; the block lives until Dispose.
        span = new ReadOnlySpan<byte>((void*)pointer, bytes);
        return true;
    }

    /// <summary>Copies guest memory out.</summary>
    public bool TryRead(ulong guestAddress, Span<byte> destination)
    {
        if (!TryGetPointer(guestAddress, (ulong)destination.Length, forWriting: false, out nint pointer))
        {
            return false;
        }

        // SAFETY: TryGetPointer validated the whole range.
        new ReadOnlySpan<byte>((void*)pointer, destination.Length).CopyTo(destination);
        return true;
    }

    /// <summary>Copies into guest memory and tells the partition.</summary>
    public bool TryWrite(ulong guestAddress, ReadOnlySpan<byte> source)
    {
        if (!TryGetPointer(guestAddress, (ulong)source.Length, forWriting: true, out nint pointer))
        {
            return false;
        }

        // SAFETY: TryGetPointer validated the whole range.
        source.CopyTo(new Span<byte>((void*)pointer, source.Length));
        NotifyWritten(guestAddress, (ulong)source.Length);
        return true;
    }

    /// <summary>Reads a little-endian value in one access where it is naturally aligned.</summary>
    public bool TryRead<T>(ulong guestAddress, out T value) where T : unmanaged
    {
        if (!TryGetPointer(guestAddress, (ulong)sizeof(T), forWriting: false, out nint pointer))
        {
            value = default;
            return false;
        }

        // SAFETY: TryGetPointer validated sizeof(T) bytes; unaligned access is legal on every host.
        value = Unsafe.ReadUnaligned<T>((void*)pointer);
        return true;
    }

    /// <summary>Writes a little-endian value in one access where it is naturally aligned.</summary>
    public bool TryWrite<T>(ulong guestAddress, T value) where T : unmanaged
    {
        if (!TryGetPointer(guestAddress, (ulong)sizeof(T), forWriting: true, out nint pointer))
        {
            return false;
        }

        // SAFETY: TryGetPointer validated sizeof(T) bytes.
        Unsafe.WriteUnaligned((void*)pointer, value);
        NotifyWritten(guestAddress, (ulong)sizeof(T));
        return true;
    }

    /// <summary>Loads an image while the machine is assembled; may write read-only blocks.</summary>
    /// <exception cref="ArgumentException">The image does not fit into one block at that address.</exception>
    public void Load(ulong guestAddress, ReadOnlySpan<byte> image)
    {
        if (!TryGetPointer(guestAddress, (ulong)image.Length, forWriting: false, out nint pointer))
        {
            throw new ArgumentException($"{image.Length} bytes at {guestAddress:x}h do not lie in guest memory.");
        }

        // SAFETY: TryGetPointer validated the whole range.
        image.CopyTo(new Span<byte>((void*)pointer, image.Length));
        NotifyWritten(guestAddress, (ulong)image.Length);
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
