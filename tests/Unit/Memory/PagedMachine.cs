using System.Diagnostics.CodeAnalysis;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Stores;

namespace Hypervisor.Tests.Unit.Memory;

/// <summary>
/// Guest memory with pages that can be taken away, and processors made of plain threads: each access is made under a lock for reading,
/// which those who want translations forgotten take for writing, as a processor is in the guest or not.
/// </summary>
internal sealed unsafe class PagedMachine : IPagedPartition, IPageHomes
{
    public const ulong HighMemory = 1ul << 32;

    private readonly ReaderWriterLockSlim _guest = new();
    private readonly bool _ownsFrames;
    private bool _disposed;

    public PagedMachine(int pages, SharedFrames? frames = null, SwapStorage? swap = null, long cacheBytes = -1, int number = 0, PageCompressor? compressor = null)
    {
        _ownsFrames = frames is null;
        Frames = frames ?? new SharedFrames();
        Memory = new GuestMemory();
        int low = pages / 2;
        Memory.AddBlock(0, (ulong)low * GuestMemory.PageSize);
        Memory.AddBlock(0xF_F000_0000, GuestMemory.PageSize, writable: false);
        Memory.AddBlock(HighMemory, (ulong)(pages - low) * GuestMemory.PageSize);
        LowPages = low;
        Cache = new CompressionCache(cacheBytes >= 0 ? cacheBytes : pages * 4096L / 10, compressor);
        Pages = new GuestPages(Memory, this, number, Meter, Frames, Cache, swap is null ? null : new SwapFile(swap, pages));
    }

    public MemoryMeter Meter { get; } = new();

    public SharedFrames Frames { get; }

    public CompressionCache Cache { get; }

    public GuestMemory Memory { get; }

    public GuestPages Pages { get; }

    public int LowPages { get; }

    public int Forgotten { get; private set; }

    public ulong AddressOf(int page) => page < LowPages ? (ulong)page * 4096 : HighMemory + ((ulong)(page - LowPages) * 4096);

    public bool AreAsked => true;

    public bool TryAttachPages(GuestPages pages, [NotNullWhen(true)] out IPageHomes? homes, out string reason)
    {
        (homes, reason) = (this, "");
        return true;
    }

    public void Engage() => throw new InvalidOperationException();

    public void FindPresent(Action<int> found) => throw new InvalidOperationException();

    public void Unwatch(int page)
    {
    }

    public void Place(int page, byte* content) => throw new InvalidOperationException();

    public void Watch(ReadOnlySpan<int> pages)
    {
        _guest.EnterWriteLock();
        Forgotten++;
        _guest.ExitWriteLock();
    }

    /// <summary>A load by a processor.</summary>
    public ulong Load(int page, int offset)
    {
        while (true)
        {
            _guest.EnterReadLock();
            bool present = Pages.TryGet(page, forWriting: false, out byte* host, out _);
            ulong value = present ? Volatile.Read(ref *(ulong*)(host + offset)) : 0;
            _guest.ExitReadLock();
            if (present)
            {
                return value;
            }

            Assert.True(Pages.MakePresent(page, forWriting: false));
        }
    }

    /// <summary>A store by a processor.</summary>
    public void Store(int page, int offset, ulong value)
    {
        while (true)
        {
            _guest.EnterReadLock();
            bool present = Pages.TryGet(page, forWriting: true, out byte* host, out bool writable);
            if (present)
            {
                Assert.True(writable);
                Volatile.Write(ref *(ulong*)(host + offset), value);
            }

            _guest.ExitReadLock();
            if (present)
            {
                return;
            }

            Assert.True(Pages.MakePresent(page, forWriting: true));
        }
    }

    /// <summary>Fills a page: with zeroes, with a value that compresses well, or with noise, all by a seed.</summary>
    public void Fill(int page, ulong seed)
    {
        for (int offset = 0; offset < 4096; offset += 8)
        {
            Store(page, offset, Content(seed, offset));
        }
    }

    public static ulong Content(ulong seed, int offset) => (seed % 4) switch
    {
        0 => 0,
        1 => seed,
        2 => offset % 512 == 0 ? seed : 0x2020202020202020,
        _ => Noise(seed + ((ulong)offset * 0x9E3779B97F4A7C15)),
    };

    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        Pages.Dispose();
        Memory.Dispose();
        if (_ownsFrames)
        {
            Frames.Dispose();
        }

        _guest.Dispose();
    }

    private static ulong Noise(ulong value)
    {
        value ^= value >> 30;
        value *= 0xBF58476D1CE4E5B9;
        value ^= value >> 27;
        value *= 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}
