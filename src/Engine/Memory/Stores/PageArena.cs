using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Hypervisor.Engine.Native;
using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Engine.Memory.Stores;

/// <summary>
/// Pages of 4096 bytes by index, with 16 bytes of the owner's data beside each. Memory comes from the operating system in chunks of
/// 4 MB of address space, of which only pages in use cost memory, and goes back: a chunk when it is empty, a page when more than a
/// few free ones are at hand. Not thread-safe, except that <see cref="Address"/> and <see cref="Data{T}"/> of an allocated page may be
/// called at any time.
/// </summary>
internal sealed unsafe class PageArena : IDisposable
{
    /// <summary>No page.</summary>
    public const int None = -1;

    /// <summary>Most pages: 2^28, which is 1 TB.</summary>
    public const int MaximumPages = 1 << 28;

    /// <summary>Bytes of the owner's data a page.</summary>
    public const int DataBytes = 16;

    private const int ChunkShift = 10, ChunkPages = 1 << ChunkShift, ChunkWords = ChunkPages / 64;
    private const nuint PagesBytes = (nuint)ChunkPages * PageContent.Size;
    private const int HeaderBytes = 4096;
    private const nuint ChunkBytes = PagesBytes + HeaderBytes + ChunkPages * DataBytes;

    // Follows a chunk's pages.
    [StructLayout(LayoutKind.Sequential)]
    private struct Header
    {
        public int FreePages, WarmPages;
        public fixed ulong Free[ChunkWords];
        public fixed ulong Warm[ChunkWords];
    }

    private readonly int _maximum, _maximumWarm;
    private readonly AnonymousMemory _directory;
    private readonly nint* _chunks;
    private readonly ulong[] _withRoom;
    private AnonymousMemory?[] _mappings = [];
    private int _lowestWithRoom;
    private int _emptyChunks;
    private int _mappedChunks;
    private int _warm;

    /// <summary>An arena without any memory yet.</summary>
    /// <param name="maximum">Most pages, 1 to <see cref="MaximumPages"/>.</param>
    /// <param name="maximumWarm">Most free pages that keep their memory for the next allocation.</param>
    public PageArena(int maximum, int maximumWarm)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maximum);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(maximum, MaximumPages);
        _maximum = maximum;
        _maximumWarm = maximumWarm;
        int chunks = (maximum + ChunkPages - 1) / ChunkPages;
        _directory = AnonymousMemory.Allocate(((nuint)chunks * (nuint)sizeof(nint) + 4095) & ~(nuint)4095);
        _chunks = (nint*)_directory.Address;

        // A chunk that is not mapped has room, too.
        _withRoom = new ulong[(chunks + 63) / 64];
        Array.Fill(_withRoom, ulong.MaxValue);
        if (chunks % 64 != 0)
        {
            _withRoom[^1] = (1ul << (chunks % 64)) - 1;
        }
    }

    /// <summary>Pages allocated.</summary>
    public int Allocated { get; private set; }

    /// <summary>Bytes of host memory that pages hold, free ones that are kept at hand and the arena's own data included.</summary>
    public long HeldBytes => ((long)Allocated + _warm) * PageContent.Size + _mappedChunks * (long)(ChunkBytes - PagesBytes);

    /// <summary>Takes a page; its content and data are undefined. <see cref="None"/> when there are as many as may be, or the host has no memory.</summary>
    public int Allocate()
    {
        if (Allocated == _maximum || !TryFindRoom(out int chunk))
        {
            return None;
        }

        var header = HeaderOf(chunk);
        if (header->FreePages == ChunkPages)
        {
            _emptyChunks--;
        }

        bool warm = header->WarmPages > 0;
        ulong* words = warm ? header->Warm : header->Free;
        int word = 0;
        while (words[word] == 0)
        {
            word++;
        }

        int bit = BitOperations.TrailingZeroCount(words[word]);
        ulong mask = ~(1ul << bit);
        header->Free[word] &= mask;
        header->Warm[word] &= mask;
        if (--header->FreePages == 0)
        {
            _withRoom[chunk >> 6] &= ~(1ul << (chunk & 63));
        }

        if (warm)
        {
            header->WarmPages--;
            _warm--;
        }

        Allocated++;
        return (chunk << ChunkShift) + (word << 6) + bit;
    }

    /// <summary>Gives a page back.</summary>
    public void Free(int page)
    {
        int chunk = page >> ChunkShift, word = (page & (ChunkPages - 1)) >> 6;
        ulong bit = 1ul << (page & 63);
        var header = HeaderOf(chunk);
        header->Free[word] |= bit;
        header->FreePages++;
        Allocated--;
        _withRoom[chunk >> 6] |= 1ul << (chunk & 63);
        _lowestWithRoom = Math.Min(_lowestWithRoom, chunk >> 6);
        if (header->FreePages == ChunkPages)
        {
            // One empty chunk stays, lest a page that comes and goes maps and unmaps each time.
            if (_emptyChunks > 0)
            {
                Unmap(chunk);
                return;
            }

            _emptyChunks++;
        }

        if (_warm < _maximumWarm || !MemoryAdvice.Release((nint)Address(page), PageContent.Size))
        {
            header->Warm[word] |= bit;
            header->WarmPages++;
            _warm++;
        }
    }

    /// <summary>Address of an allocated page.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Address(int page) => (byte*)_chunks[page >> ChunkShift] + (nuint)(page & (ChunkPages - 1)) * PageContent.Size;

    /// <summary>The owner's data of an allocated page.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T* Data<T>(int page) where T : unmanaged =>
        (T*)((byte*)_chunks[page >> ChunkShift] + PagesBytes + HeaderBytes) + (page & (ChunkPages - 1));

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var mapping in _mappings)
        {
            mapping?.Dispose();
        }

        _mappings = [];
        _directory.Dispose();
    }

    private Header* HeaderOf(int chunk) => (Header*)((byte*)_chunks[chunk] + PagesBytes);

    private bool TryFindRoom(out int chunk)
    {
        while (_lowestWithRoom < _withRoom.Length && _withRoom[_lowestWithRoom] == 0)
        {
            _lowestWithRoom++;
        }

        chunk = None;
        if (_lowestWithRoom == _withRoom.Length)
        {
            return false;
        }

        chunk = (_lowestWithRoom << 6) + BitOperations.TrailingZeroCount(_withRoom[_lowestWithRoom]);
        return _chunks[chunk] != 0 || TryMap(chunk);
    }

    private bool TryMap(int chunk)
    {
        AnonymousMemory mapping;
        try
        {
            mapping = AnonymousMemory.Allocate(ChunkBytes);
        }
        catch (InsufficientMemoryException)
        {
            return false;
        }

        // Pages come and go one by one: a huge page would hold 2 MB for one of them.
        _ = MemoryAdvice.AvoidHugePages(mapping.Address, ChunkBytes);
        if (chunk >= _mappings.Length)
        {
            Array.Resize(ref _mappings, Math.Max(chunk + 1, Math.Max(16, _mappings.Length * 2)));
        }

        _mappings[chunk] = mapping;
        Volatile.Write(ref _chunks[chunk], mapping.Address);
        var header = HeaderOf(chunk);
        header->FreePages = ChunkPages;
        new Span<ulong>(header->Free, ChunkWords).Fill(ulong.MaxValue);
        _mappedChunks++;
        _emptyChunks++;
        return true;
    }

    private void Unmap(int chunk)
    {
        _warm -= HeaderOf(chunk)->WarmPages;
        _mappings[chunk]!.Dispose();
        _mappings[chunk] = null;
        _chunks[chunk] = 0;
        _mappedChunks--;
    }
}
