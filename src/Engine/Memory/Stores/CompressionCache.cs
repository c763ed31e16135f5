namespace Hypervisor.Engine.Memory.Stores;

/// <summary>
/// A machine's compressed pages, in memory, up to a capacity that may change while the machine runs. Only pages that shrink to half or
/// less are kept. Thread-safe; compressing and decompressing run outside the lock.
/// </summary>
/// <remarks>
/// Every page is stored with a keyed hash of its content, which is checked on the way back: content that does not come back as it
/// went is never handed out.
/// </remarks>
internal sealed unsafe class CompressionCache : IDisposable
{
    /// <summary>No slot.</summary>
    public const int None = -1;

    private readonly Lock _lock = new();
    private readonly PageCompressor _compressor;
    private readonly CompressedBlocks _blocks = new();
    private readonly CompressedEntries _entries = new();
    private long _capacity;
    private long _compressedBytes;
    private long _compressions, _decompressions, _tooLarge;

    /// <summary>An empty cache.</summary>
    /// <param name="capacity">Bytes of memory for compressed pages, 0 or more.</param>
    /// <param name="compressor">The method; the system's best unless said otherwise.</param>
    public CompressionCache(long capacity, PageCompressor? compressor = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(capacity);
        _capacity = capacity;
        _compressor = compressor ?? PageCompressor.Default;
    }

    /// <summary>The method in use.</summary>
    public PageCompressor Compressor => _compressor;

    /// <summary>
    /// Bytes of memory for compressed pages. When it is lowered below what is used, nothing is lost: <see cref="ExcessBytes"/> says how
    /// much is to move to swap, <see cref="GetOldest"/> which pages first, and no page is taken in until they did.
    /// </summary>
    public long Capacity
    {
        get => Volatile.Read(ref _capacity);
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            Volatile.Write(ref _capacity, value);
        }
    }

    /// <summary>Bytes used above the capacity; 0 unless it was lowered.</summary>
    public long ExcessBytes
    {
        get
        {
            lock (_lock)
            {
                return Math.Max(0, _blocks.UsedBytes - _capacity);
            }
        }
    }

    /// <summary>Counts.</summary>
    public CompressionStatistics Statistics
    {
        get
        {
            lock (_lock)
            {
                return new CompressionStatistics(
                    _entries.Count, _blocks.UsedBytes, _capacity, _compressedBytes, _blocks.HeldBytes + _entries.HeldBytes,
                    Interlocked.Read(ref _compressions), Interlocked.Read(ref _decompressions), Interlocked.Read(ref _tooLarge));
            }
        }
    }

    /// <summary>Compresses and stores a page. The page may change meanwhile; what is stored is then some mixture that its owner throws away.</summary>
    /// <param name="page">The content.</param>
    /// <param name="number">The owner's number of the page, which comes back with the oldest pages.</param>
    /// <param name="slot">Where it is; <see cref="None"/> unless stored.</param>
    public CompressionOutcome Store(byte* page, long number, out int slot)
    {
        slot = None;
        var workspace = _compressor.Rent();
        try
        {
            PageContent.Copy(page, workspace.Page);
            ulong hash = PageContent.Hash(workspace.Page);
            int length = _compressor.Compress(workspace, workspace.Compressed, CompressedBlocks.LongestContent);
            Interlocked.Increment(ref _compressions);
            if (length <= 0)
            {
                Interlocked.Increment(ref _tooLarge);
                return CompressionOutcome.TooLarge;
            }

            lock (_lock)
            {
                int entry = _entries.Add();
                if (entry == None)
                {
                    return CompressionOutcome.Full;
                }

                if (!_blocks.TryStore(workspace.Compressed, length, entry, _capacity, out var place))
                {
                    _entries.Remove(entry);
                    return CompressionOutcome.Full;
                }

                ref var data = ref _entries[entry];
                data.Hash = hash;
                data.Page = number;
                data.Place = place;
                data.Length = (ushort)length;
                _compressedBytes += length;
                slot = entry;
                return CompressionOutcome.Stored;
            }
        }
        finally
        {
            _compressor.Return(workspace);
        }
    }

    /// <summary>
    /// Makes a stored page again; it stays stored. False when the slot is not in use or its content is damaged: an error of the engine
    /// or of the host's memory, after which the machine must not go on. The page is undefined then.
    /// </summary>
    public bool TryLoad(int slot, byte* page)
    {
        var workspace = _compressor.Rent();
        try
        {
            ulong hash;
            int length;
            lock (_lock)
            {
                if (!_entries.Contains(slot))
                {
                    return false;
                }

                ref var data = ref _entries[slot];
                hash = data.Hash;
                length = data.Length;
                _blocks.Read(data.Place, workspace.Compressed, length);
            }

            Interlocked.Increment(ref _decompressions);
            return _compressor.Decompress(workspace, workspace.Compressed, length, page) && PageContent.Hash(page) == hash;
        }
        finally
        {
            _compressor.Return(workspace);
        }
    }

    /// <summary>Gives a slot back.</summary>
    /// <exception cref="InvalidOperationException">The slot is not in use.</exception>
    public void Free(int slot)
    {
        lock (_lock)
        {
            if (!_entries.Contains(slot))
            {
                throw new InvalidOperationException($"Slot {slot} of the compression cache is not in use.");
            }

            ref var data = ref _entries[slot];
            _compressedBytes -= data.Length;
            var place = data.Place;
            _entries.Remove(slot);
            _blocks.Free(place, _entries);
        }
    }

    /// <summary>The page that has been stored longest; false when the cache is empty. It may be freed by another thread at any time.</summary>
    public bool TryGetOldest(out CompressedPage oldest)
    {
        Span<CompressedPage> one = stackalloc CompressedPage[1];
        int count = GetOldest(one);
        oldest = count > 0 ? one[0] : new CompressedPage(None, 0);
        return count > 0;
    }

    /// <summary>The pages that have been stored longest, oldest first; how many. Any may be freed by another thread at any time.</summary>
    public int GetOldest(Span<CompressedPage> oldest)
    {
        lock (_lock)
        {
            int count = 0;
            for (int entry = _entries.Oldest; entry != None && count < oldest.Length; entry = _entries[entry].Newer)
            {
                oldest[count++] = new CompressedPage(entry, _entries[entry].Page);
            }

            return count;
        }
    }

    /// <summary>Makes a page the newest, for one that cannot move out now. False when it is not stored any more.</summary>
    public bool Renew(CompressedPage page)
    {
        lock (_lock)
        {
            if (!_entries.Contains(page.Slot) || _entries[page.Slot].Page != page.Page)
            {
                return false;
            }

            _entries.Renew(page.Slot);
            return true;
        }
    }

    /// <summary>Gives all memory back; nobody may use the cache then or later.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _blocks.Dispose();
            _entries.Dispose();
        }
    }
}
