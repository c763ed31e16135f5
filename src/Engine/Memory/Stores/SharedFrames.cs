using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Hypervisor.Engine.Native;

namespace Hypervisor.Engine.Memory.Stores;

/// <summary>
/// The host's frames that many pages share: content by hash, always verified by comparing, with a count of references. Frame 0 is the
/// zero page, always there. A frame's content never changes while it has a reference; nobody writes through <see cref="Address"/>.
/// Thread-safe. All hashes are <see cref="PageContent.Hash"/>'s. A caller that wants groups of machines kept apart mixes a number
/// of the group into the hash, and looks for zero pages first, as those are known by their hash.
/// </summary>
/// <remarks>
/// Pages that are passed in may change meanwhile, as a running guest's do. A frame found is then equal to what the page was at the time
/// of comparing, and a frame created may not be found again by its hash; in both cases the frame is whole and its owner, who sees that
/// the page was touched, releases it.
/// </remarks>
internal sealed unsafe class SharedFrames : IDisposable
{
    /// <summary>No frame.</summary>
    public const int None = -1;

    /// <summary>The frame of zeroes.</summary>
    public const int ZeroFrame = 0;

    /// <summary>Most frames, 2^28.</summary>
    public const int MaximumFrames = PageArena.MaximumPages;

    /// <summary>Hints that are kept unless said otherwise: 16 MB, which grow as they are used.</summary>
    public const int DefaultHints = 1 << 20;

    private const int ShardBits = 6, Shards = 1 << ShardBits, MaximumWarm = 256;

    // Above this many references an equal page gets another frame.
    private const int MaximumReferences = int.MaxValue - (1 << 20);

    // In the arena's data of each page.
    [StructLayout(LayoutKind.Sequential)]
    private struct Frame
    {
        public ulong Hash;
        public int References;
        public int Next;
    }

    private readonly Shard[] _shards = new Shard[Shards];
    private readonly Lock _arenaLock = new();
    private readonly PageArena _arena;
    private readonly HintTable _hints;
    private long _frames, _references, _zeroReferences;

    /// <summary>A store that holds the zero frame only.</summary>
    /// <param name="maximumFrames">Most frames, the zero frame included.</param>
    /// <param name="hints">Most hints; rounded up to whole sets.</param>
    public SharedFrames(int maximumFrames = MaximumFrames, int hints = DefaultHints)
    {
        _arena = new PageArena(maximumFrames, MaximumWarm);
        _hints = new HintTable(hints, Shards);
        for (int i = 0; i < Shards; i++)
        {
            _shards[i] = new Shard();
        }

        int zero = _arena.Allocate();
        if (zero != ZeroFrame)
        {
            throw new InsufficientMemoryException("There is no memory for the first shared frame.");
        }

        new Span<byte>(_arena.Address(ZeroFrame), PageContent.Size).Clear();
        *_arena.Data<Frame>(ZeroFrame) = new Frame { Hash = PageContent.ZeroHash, References = 1, Next = None };
    }

    /// <summary>Counts, each exact, together only while nobody changes them.</summary>
    public SharedFrameStatistics Statistics
    {
        get
        {
            lock (_arenaLock)
            {
                return new SharedFrameStatistics(Volatile.Read(ref _frames), Volatile.Read(ref _references), Volatile.Read(ref _zeroReferences), _arena.HeldBytes);
            }
        }
    }

    /// <summary>Finds a frame with the page's content and takes a reference to it; <see cref="None"/> when there is none.</summary>
    public int Share(byte* page, ulong hash)
    {
        if (hash == PageContent.ZeroHash && PageContent.IsZero(page))
        {
            Interlocked.Increment(ref _zeroReferences);
            return ZeroFrame;
        }

        var shard = ShardOf(hash);
        lock (shard)
        {
            return Find(shard, page, hash);
        }
    }

    /// <summary>
    /// Finds a frame with the page's content, or makes one, and takes a reference to it. <see cref="None"/> when there are as many
    /// frames as may be or the host has no memory.
    /// </summary>
    public int Create(byte* page, ulong hash)
    {
        if (hash == PageContent.ZeroHash && PageContent.IsZero(page))
        {
            Interlocked.Increment(ref _zeroReferences);
            return ZeroFrame;
        }

        var shard = ShardOf(hash);
        lock (shard)
        {
            int found = Find(shard, page, hash);
            return found != None ? found : Add(shard, page, hash);
        }
    }

    /// <summary>Takes another reference to a frame that the caller has one of.</summary>
    public void AddReference(int frame)
    {
        if (frame == ZeroFrame)
        {
            Interlocked.Increment(ref _zeroReferences);
            return;
        }

        ref int references = ref FrameOf(frame)->References;
        int seen = Volatile.Read(ref references);
        while (true)
        {
            if (seen is <= 0 or int.MaxValue)
            {
                throw new InvalidOperationException($"Frame {frame} has {seen} references; another cannot be taken.");
            }

            int before = Interlocked.CompareExchange(ref references, seen + 1, seen);
            if (before == seen)
            {
                break;
            }

            seen = before;
        }

        Interlocked.Increment(ref _references);
    }

    /// <summary>Gives a reference back; with the last one the frame and its memory go.</summary>
    public void Release(int frame)
    {
        if (frame == ZeroFrame)
        {
            Interlocked.Decrement(ref _zeroReferences);
            return;
        }

        var data = FrameOf(frame);
        int seen = Volatile.Read(ref data->References);
        while (seen > 1)
        {
            int before = Interlocked.CompareExchange(ref data->References, seen - 1, seen);
            if (before == seen)
            {
                Interlocked.Decrement(ref _references);
                return;
            }

            seen = before;
        }

        if (seen <= 0)
        {
            throw new InvalidOperationException($"Frame {frame} has no reference to give back.");
        }

        ReleaseLast(frame, data);
    }

    /// <summary>References to a frame that the caller has one of.</summary>
    public long References(int frame) => frame == ZeroFrame ? Volatile.Read(ref _zeroReferences) : Volatile.Read(ref FrameOf(frame)->References);

    /// <summary>The content of a frame that the caller has a reference to; for reading.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Address(int frame) => _arena.Address(frame);

    /// <summary>
    /// Remembers a page that is not shared by its hash, in a bounded table, and answers the page that was remembered with that hash
    /// before it, if that was another. The earlier page may have changed since or be gone: hash and compare it before sharing.
    /// </summary>
    public bool Remember(ulong hash, PageHint page, out PageHint earlier)
    {
        lock (ShardOf(hash))
        {
            return _hints.Remember(ShardIndex(hash), hash, page, out earlier);
        }
    }

    /// <summary>Forgets a machine's pages; called before its number is given to another.</summary>
    public void ForgetHints(int machine)
    {
        for (int i = 0; i < Shards; i++)
        {
            lock (_shards[i])
            {
                _hints.Forget(i, machine);
            }
        }
    }

    /// <summary>Gives all memory back. Nobody may use a frame then or later.</summary>
    public void Dispose()
    {
        foreach (var shard in _shards)
        {
            shard.Dispose();
        }

        _hints.Dispose();
        _arena.Dispose();
    }

    private static int ShardIndex(ulong hash) => (int)(hash >> (64 - ShardBits));

    private Shard ShardOf(ulong hash) => _shards[ShardIndex(hash)];

    private Frame* FrameOf(int frame) => _arena.Data<Frame>(frame);

    private int Find(Shard shard, byte* page, ulong hash)
    {
        for (int frame = shard.First(hash); frame != None;)
        {
            var data = FrameOf(frame);
            if (data->Hash == hash && Volatile.Read(ref data->References) < MaximumReferences && PageContent.Equal(page, _arena.Address(frame)))
            {
                // Not zero: the last reference goes under the shard's lock only.
                Interlocked.Increment(ref data->References);
                Interlocked.Increment(ref _references);
                return frame;
            }

            frame = data->Next;
        }

        return None;
    }

    private int Add(Shard shard, byte* page, ulong hash)
    {
        int frame;
        lock (_arenaLock)
        {
            frame = _arena.Allocate();
        }

        if (frame == None)
        {
            return None;
        }

        PageContent.Copy(page, _arena.Address(frame));
        *FrameOf(frame) = new Frame { Hash = hash, References = 1, Next = None };
        if (!shard.TryAdd(hash, frame, this))
        {
            lock (_arenaLock)
            {
                _arena.Free(frame);
            }

            return None;
        }

        Interlocked.Increment(ref _frames);
        Interlocked.Increment(ref _references);
        return frame;
    }

    private void ReleaseLast(int frame, Frame* data)
    {
        // The hash stays while the frame has a reference, which the caller has.
        ulong hash = data->Hash;
        var shard = ShardOf(hash);
        lock (shard)
        {
            Interlocked.Decrement(ref _references);
            if (Interlocked.Decrement(ref data->References) > 0)
            {
                return;
            }

            shard.Remove(hash, frame, this);
        }

        lock (_arenaLock)
        {
            _arena.Free(frame);
        }

        Interlocked.Decrement(ref _frames);
    }

    /// <summary>Part of the hash table, chained through the frames; it is its own lock.</summary>
    private sealed class Shard : IDisposable
    {
        private const int FewestBuckets = 1024;

        private AnonymousMemory? _memory;
        private int* _buckets;
        private int _mask;
        private int _count;

        // Buckets hold the index plus one, so that fresh memory is an empty table.
        public int First(ulong hash) => _memory is null ? None : _buckets[(int)hash & _mask] - 1;

        public bool TryAdd(ulong hash, int frame, SharedFrames owner)
        {
            if (_memory is null)
            {
                if (!TryResize(FewestBuckets, owner))
                {
                    return false;
                }
            }
            else if (_count > _mask)
            {
                _ = TryResize((_mask + 1) * 2, owner);
            }

            Link(hash, frame, owner);
            _count++;
            return true;
        }

        public void Remove(ulong hash, int frame, SharedFrames owner)
        {
            int next = owner.FrameOf(frame)->Next;
            int at = First(hash);
            if (at == frame)
            {
                _buckets[(int)hash & _mask] = next + 1;
            }
            else
            {
                while (owner.FrameOf(at)->Next != frame)
                {
                    at = owner.FrameOf(at)->Next;
                }

                owner.FrameOf(at)->Next = next;
            }

            _count--;
            int buckets = _mask + 1;
            if (buckets > FewestBuckets && _count < buckets / 8)
            {
                _ = TryResize(buckets / 2, owner);
            }
        }

        public void Dispose() => _memory?.Dispose();

        private void Link(ulong hash, int frame, SharedFrames owner)
        {
            ref int bucket = ref _buckets[(int)hash & _mask];
            owner.FrameOf(frame)->Next = bucket - 1;
            bucket = frame + 1;
        }

        private bool TryResize(int buckets, SharedFrames owner)
        {
            AnonymousMemory memory;
            try
            {
                memory = AnonymousMemory.Allocate((nuint)buckets * sizeof(int));
            }
            catch (InsufficientMemoryException)
            {
                // Longer chains are the price; the table stays as it is.
                return false;
            }

            var old = _memory;
            int* oldBuckets = _buckets;
            int oldCount = old is null ? 0 : _mask + 1;
            _memory = memory;
            _buckets = (int*)memory.Address;
            _mask = buckets - 1;
            for (int i = 0; i < oldCount; i++)
            {
                for (int frame = oldBuckets[i] - 1; frame != None;)
                {
                    var data = owner.FrameOf(frame);
                    int next = data->Next;
                    Link(data->Hash, frame, owner);
                    frame = next;
                }
            }

            old?.Dispose();
            return true;
        }
    }
}
