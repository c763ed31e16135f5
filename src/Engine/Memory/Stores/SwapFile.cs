using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Hypervisor.Engine.Native;
using Hypervisor.Engine.Native.Files;
using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Engine.Memory.Stores;

/// <summary>
/// A machine's pages on disk, encrypted and authenticated with a key that lives in this object only: AES-256-GCM, a nonce by counter,
/// never used twice, and nonce and tag of every slot in memory. So nothing can be read, changed, exchanged or put back that
/// was in the slot before. Thread-safe; reads run beside each other and beside writes.
/// </summary>
internal sealed unsafe class SwapFile : IThreadPoolWorkItem, IDisposable
{
    /// <summary>No slot.</summary>
    public const int None = -1;

    /// <summary>Pages that one write of the operating system takes.</summary>
    public const int BatchPages = 256;

    /// <summary>Pages that one read of the operating system takes.</summary>
    public const int ClusterPages = 32;

    // Shorter holes are left to be written again.
    private const int ShortestHole = 16;

    // Slots freed one by one, after which somebody looks for holes: 4 MB, or 1 MB when nothing else is left in the file.
    private const int FreedToTrim = 1024, FreedToTrimEmpty = 256;
    private const int KeyBytes = 32, NonceBytes = 12, TagBytes = 16;

    [StructLayout(LayoutKind.Sequential)]
    private struct Seal
    {
        public ulong Nonce;
        public fixed byte Tag[TagBytes];
    }

    private readonly Lock _slotsLock = new();
    private readonly Lock _writeLock = new();
    private readonly SwapStorage _storage;
    private readonly SwapSlots _slots;
    private readonly AnonymousMemory _seals;
    private readonly byte[] _key = GC.AllocateArray<byte>(KeyBytes, pinned: true);
    private readonly Channel _writer;
    private readonly ObjectPool<Channel> _readers;
    private ulong _lastNonce;
    private long _pagesWritten, _pagesRead, _writeCalls, _readCalls, _writeTicks, _readTicks, _failures;
    private volatile string? _lastError;
    private int _freed;
    private bool _trimming, _disposed;

    /// <summary>Makes the file <paramref name="path"/> anew.</summary>
    /// <param name="path">The file; one that a process left behind is deleted.</param>
    /// <param name="limitPages">Most pages that it may hold.</param>
    /// <exception cref="IOException">Another process has it open, or it cannot be made.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder may not be written.</exception>
    public static SwapFile Create(string path, int limitPages) => new(FileSwapStorage.Create(path), limitPages);

    /// <summary>Deletes a swap file that a process left behind; nothing when there is none.</summary>
    /// <exception cref="IOException">A process has the file open.</exception>
    public static void DeleteStale(string path) => FileSwapStorage.DeleteStale(path);

    /// <summary>A swap file on some storage, which it disposes of.</summary>
    internal SwapFile(SwapStorage storage, int limitPages)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(limitPages);
        _storage = storage;
        _slots = new SwapSlots(limitPages);
        _seals = AnonymousMemory.Allocate(((nuint)Math.Max(1, limitPages) * (nuint)sizeof(Seal) + 4095) & ~(nuint)4095);
        RandomNumberGenerator.Fill(_key);
        _writer = new Channel(_key, BatchPages);
        _readers = new ObjectPool<Channel>(() => new Channel(_key, ClusterPages));
    }

    /// <summary>What the disk said last that was wrong; null while nothing was.</summary>
    public string? LastError => _lastError;

    /// <summary>Counts.</summary>
    public SwapStatistics Statistics
    {
        get
        {
            long inUse;
            lock (_slotsLock)
            {
                inUse = _slots.InUse;
            }

            return new SwapStatistics(
                inUse, _slots.Limit, Interlocked.Read(ref _pagesWritten), Interlocked.Read(ref _pagesRead),
                Interlocked.Read(ref _writeCalls), Interlocked.Read(ref _readCalls),
                Stopwatch.GetElapsedTime(0, Interlocked.Read(ref _writeTicks)), Stopwatch.GetElapsedTime(0, Interlocked.Read(ref _readTicks)),
                Interlocked.Read(ref _failures));
        }
    }

    /// <summary>
    /// Writes pages, up to <see cref="BatchPages"/> with one call where the file has that many neighbouring slots. A page may change
    /// meanwhile; what is written is then some mixture that its owner frees.
    /// </summary>
    /// <param name="pages">Addresses of the pages.</param>
    /// <param name="slots">As long as <paramref name="pages"/>; the first <paramref name="written"/> are set, the others -1.</param>
    /// <param name="written">Pages that are in the file: all, or fewer when the result is not <see cref="SwapResult.Done"/>.</param>
    public SwapResult Write(ReadOnlySpan<nint> pages, Span<int> slots, out int written)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(slots.Length, pages.Length, nameof(slots));
        written = 0;
        slots.Fill(None);
        long start = Stopwatch.GetTimestamp();
        var result = SwapResult.Done;
        lock (_writeLock)
        {
            while (written < pages.Length && result == SwapResult.Done)
            {
                int first, count;
                lock (_slotsLock)
                {
                    first = _slots.Take(Math.Min(BatchPages, pages.Length - written), out count);
                }

                if (first == None)
                {
                    result = SwapResult.NoRoom;
                    break;
                }

                Encrypt(pages.Slice(written, count), first);
                result = WriteOut(first, count, out int arrived);
                if (arrived < count)
                {
                    lock (_slotsLock)
                    {
                        _slots.Give(first + arrived, count - arrived);
                    }
                }

                for (int i = 0; i < arrived; i++)
                {
                    slots[written++] = first + i;
                }
            }
        }

        Interlocked.Add(ref _pagesWritten, written);
        Interlocked.Add(ref _writeTicks, Stopwatch.GetTimestamp() - start);
        CountFailure(result);
        return result;
    }

    /// <summary>Reads a page, which stays in the file. Where the result is not <see cref="SwapResult.Done"/> the page is undefined.</summary>
    public SwapResult Read(int slot, byte* page)
    {
        nint address = (nint)page;
        return Read(new ReadOnlySpan<int>(ref slot), new ReadOnlySpan<nint>(ref address), out _);
    }

    /// <summary>
    /// Reads pages, neighbouring slots in ascending order with one call for up to <see cref="ClusterPages"/>. They stay in the file.
    /// </summary>
    /// <param name="slots">Slots in use.</param>
    /// <param name="pages">Where each goes; nobody may use these pages meanwhile.</param>
    /// <param name="read">Pages that were read, from the front on: all, or fewer when the result is not <see cref="SwapResult.Done"/>; the others are undefined.</param>
    public SwapResult Read(ReadOnlySpan<int> slots, ReadOnlySpan<nint> pages, out int read)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(slots.Length, pages.Length, nameof(slots));
        long start = Stopwatch.GetTimestamp();
        read = 0;
        var result = CheckTaken(slots);
        if (result == SwapResult.Done)
        {
            var channel = _readers.Rent();
            try
            {
                while (read < slots.Length && result == SwapResult.Done)
                {
                    int count = 1;
                    while (count < ClusterPages && read + count < slots.Length && slots[read + count] == slots[read] + count)
                    {
                        count++;
                    }

                    result = ReadRun(channel, slots[read], pages.Slice(read, count), out int arrived);
                    read += arrived;
                }
            }
            finally
            {
                _readers.Return(channel);
            }
        }

        Interlocked.Add(ref _pagesRead, read);
        Interlocked.Add(ref _readTicks, Stopwatch.GetTimestamp() - start);
        CountFailure(result);
        return result;
    }

    /// <summary>Gives a slot back. Its block on the disk goes later, in the background, when many have come together.</summary>
    /// <exception cref="InvalidOperationException">The slot is not in use.</exception>
    public void Free(int slot)
    {
        lock (_slotsLock)
        {
            if (!_slots.IsTaken(slot))
            {
                throw new InvalidOperationException($"Slot {slot} of the swap file is not in use.");
            }

            _slots.Give(slot, 1);
            if (++_freed < (_slots.InUse == 0 ? FreedToTrimEmpty : FreedToTrim) || _trimming)
            {
                return;
            }

            _trimming = true;
        }

        // Not here: a processor waits for the page that it freed the slot of.
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    /// <summary>Gives many slots back, and the blocks of longer runs among them to the disk.</summary>
    /// <exception cref="InvalidOperationException">A slot is not in use.</exception>
    public void Free(ReadOnlySpan<int> slots)
    {
        int lowest = int.MaxValue, highest = 0;
        foreach (int slot in slots)
        {
            Free(slot);
            lowest = Math.Min(lowest, slot);
            highest = Math.Max(highest, slot);
        }

        // Never behind a write that takes its time: Trim comes by later.
        if (slots.Length >= ShortestHole && _writeLock.TryEnter())
        {
            try
            {
                _ = Punch(Math.Max(0, lowest - ShortestHole), highest + ShortestHole);
            }
            finally
            {
                _writeLock.Exit();
            }
        }
    }

    /// <summary>
    /// Gives the blocks of free slots back to the disk, where at least 16 neighbours are free, and what memory is only needed for
    /// writing; how many pages. For a quiet moment.
    /// </summary>
    public int Trim()
    {
        lock (_writeLock)
        {
            _writer.ReleaseMemory();
            return Punch(0, int.MaxValue);
        }
    }

    /// <summary>Looks for holes, as <see cref="Free(int)"/> asked for.</summary>
    void IThreadPoolWorkItem.Execute()
    {
        lock (_writeLock)
        {
            if (!_disposed)
            {
                _ = Punch(0, int.MaxValue);
            }
        }
    }

    /// <summary>Closes and deletes the file and forgets the key; nobody may use it then or later.</summary>
    public void Dispose()
    {
        lock (_writeLock)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            _storage.Dispose();
            _readers.Dispose();
            _writer.Dispose();
            CryptographicOperations.ZeroMemory(_key);
            _slots.Dispose();
            _seals.Dispose();
        }
    }

    private Seal* SealOf(int slot) => (Seal*)_seals.Address + slot;

    private static Span<byte> NonceOf(Span<byte> nonce, ulong counter)
    {
        nonce.Clear();
        MemoryMarshal.Write(nonce[(NonceBytes - sizeof(ulong))..], counter);
        return nonce;
    }

    private void Encrypt(ReadOnlySpan<nint> pages, int first)
    {
        Span<byte> nonce = stackalloc byte[NonceBytes];
        for (int i = 0; i < pages.Length; i++)
        {
            // SAFETY: the caller's pages are of 4096 bytes; the slots were taken and nobody else knows them yet.
            var seal = SealOf(first + i);
            seal->Nonce = ++_lastNonce;
            _writer.Cipher.Encrypt(
                NonceOf(nonce, seal->Nonce), new ReadOnlySpan<byte>((void*)pages[i], PageContent.Size),
                new Span<byte>(_writer.Page(i), PageContent.Size), new Span<byte>(seal->Tag, TagBytes));
        }
    }

    private SwapResult WriteOut(int first, int count, out int arrived)
    {
        long offset = (long)first * PageContent.Size;
        int length = count * PageContent.Size, done = 0;
        arrived = 0;
        while (done < length)
        {
            Interlocked.Increment(ref _writeCalls);
            long wrote = _storage.Write(_writer.Page(0) + done, length - done, offset + done);
            if (wrote == -PositionalIo.Interrupted)
            {
                continue;
            }

            if (wrote <= 0)
            {
                arrived = done / PageContent.Size;
                return Failure(wrote);
            }

            done += (int)wrote;
        }

        arrived = count;
        return SwapResult.Done;
    }

    private SwapResult ReadRun(Channel channel, int first, ReadOnlySpan<nint> pages, out int arrived)
    {
        arrived = 0;
        long offset = (long)first * PageContent.Size;
        int length = pages.Length * PageContent.Size, done = 0;
        var result = SwapResult.Done;
        while (done < length)
        {
            Interlocked.Increment(ref _readCalls);
            long got = _storage.Read(channel.Page(0) + done, length - done, offset + done);
            if (got == -PositionalIo.Interrupted)
            {
                continue;
            }

            if (got <= 0)
            {
                result = got == 0 ? Damaged(first + done / PageContent.Size, "is beyond the end of the file") : Failure(got);
                break;
            }

            done += (int)got;
        }

        Span<byte> nonce = stackalloc byte[NonceBytes];
        for (; arrived < done / PageContent.Size; arrived++)
        {
            var seal = SealOf(first + arrived);
            try
            {
                channel.Cipher.Decrypt(
                    NonceOf(nonce, seal->Nonce), new ReadOnlySpan<byte>(channel.Page(arrived), PageContent.Size),
                    new ReadOnlySpan<byte>(seal->Tag, TagBytes), new Span<byte>((void*)pages[arrived], PageContent.Size));
            }
            catch (AuthenticationTagMismatchException)
            {
                return Damaged(first + arrived, "is not as it was written");
            }
        }

        return result;
    }

    private SwapResult CheckTaken(ReadOnlySpan<int> slots)
    {
        lock (_slotsLock)
        {
            foreach (int slot in slots)
            {
                if (!_slots.IsTaken(slot))
                {
                    return Damaged(slot, "is not in use");
                }
            }
        }

        return SwapResult.Done;
    }

    // Called with the write lock held: slots are taken under it only, so that nobody writes where a hole is being punched.
    private int Punch(int from, int to)
    {
        int pages = 0;
        lock (_slotsLock)
        {
            (_freed, _trimming) = (0, false);
        }

        while (true)
        {
            int slot, count;
            lock (_slotsLock)
            {
                if (!_slots.TryFindPunchable(from, to, _slots.InUse == 0 ? 1 : ShortestHole, out slot, out count))
                {
                    return pages;
                }
            }

            if (!_storage.Punch((long)slot * PageContent.Size, (long)count * PageContent.Size))
            {
                return pages;
            }

            lock (_slotsLock)
            {
                _slots.SetPunched(slot, count);
            }

            pages += count;
            from = slot + count;
        }
    }

    private SwapResult Failure(long error)
    {
        if (error == 0)
        {
            return SwapResult.NoRoom;
        }

        _lastError = _storage.Describe(error);
        return _storage.IsNoRoom(error) ? SwapResult.NoRoom : SwapResult.IoError;
    }

    private SwapResult Damaged(int slot, string what)
    {
        _lastError = $"Slot {slot} {what}.";
        return SwapResult.Damaged;
    }

    private void CountFailure(SwapResult result)
    {
        if (result != SwapResult.Done)
        {
            Interlocked.Increment(ref _failures);
        }
    }

    /// <summary>A cipher, which only one thread may use at a time, and room for ciphertext.</summary>
    private sealed class Channel : IDisposable
    {
        private readonly AnonymousMemory _memory;

        public Channel(byte[] key, int pages)
        {
            Cipher = new AesGcm(key, TagBytes);
            _memory = AnonymousMemory.Allocate((nuint)pages * PageContent.Size);
        }

        public AesGcm Cipher { get; }

        public byte* Page(int index) => (byte*)_memory.Address + index * PageContent.Size;

        /// <summary>Gives the room's memory back until it is used again.</summary>
        public void ReleaseMemory() => _ = MemoryAdvice.Release(_memory.Address, _memory.Length);

        public void Dispose()
        {
            Cipher.Dispose();
            _memory.Dispose();
        }
    }
}
