using System.Globalization;
using Hypervisor.Engine.Native;
using Hypervisor.Engine.Processor;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>
/// Pages of memory that are at home (in a machine's memory) or in one of a few frames, and go to and fro at random: whenever one is to
/// be made present, others go, and with a thread of its own also at any other time. Some can only be read at first. What is left behind
/// is overwritten, and must stay as it was overwritten.
/// </summary>
internal sealed unsafe class MovingPages : IDisposable
{
    private const long WritableFrame = 1;
    private const int PageBytes = 4096, MaximumBatch = 6;

    private readonly byte* _home;
    private readonly long[] _entries;
    private readonly AnonymousMemory _frames;
    private readonly Stack<nint> _free = new();
    private readonly List<int> _present = [];
    private readonly Lock _gate = new();
    private readonly Random _random;
    private readonly ulong[] _batch = new ulong[MaximumBatch];
    private readonly Func<X86Processor[]> _processors;
    private volatile bool _stops;
    private Thread? _thread;

    /// <param name="home">The machine's memory.</param>
    /// <param name="pages">Pages of it.</param>
    /// <param name="frames">Pages that can be present at the same time.</param>
    /// <param name="seed">Of what happens.</param>
    /// <param name="processors">All that must forget where pages were; asked for whenever pages move.</param>
    public MovingPages(byte* home, int pages, int frames, int seed, Func<X86Processor[]> processors)
    {
        _home = home;
        _entries = new long[pages];
        _frames = AnonymousMemory.Allocate((nuint)(frames * PageBytes));
        _random = new Random(seed);
        _processors = processors;
        for (int n = 0; n < frames; n++)
        {
            Release(_frames.Address + (n * PageBytes));
        }
    }

    /// <summary>HYPERVISOR_MOVING_FRAMES: in all machines of the tests pages move, and so many are present at a time.</summary>
    public static MovingPages? IfWanted(byte* home, int pages, Func<X86Processor[]> processors) =>
        int.TryParse(Environment.GetEnvironmentVariable("HYPERVISOR_MOVING_FRAMES"), NumberStyles.None, CultureInfo.InvariantCulture, out int frames)
            ? new MovingPages(home, pages, frames, seed: 1, processors)
            : null;

    /// <summary>Pages that were brought in, and taken away.</summary>
    public int Arrivals { get; private set; }

    public int Departures { get; private set; }

    /// <summary>What was found wrong: somebody stored to where a page had been.</summary>
    public string? Failure { get; private set; }

    public byte* TryGetPage(ulong address, bool forWriting, out PagePresence presence)
    {
        long entry = Volatile.Read(ref _entries[address / PageBytes]);
        bool writable = (entry & WritableFrame) != 0;
        presence = entry == 0 || (forWriting && !writable) ? PagePresence.Absent : writable ? PagePresence.Writable : PagePresence.Shared;
        return presence == PagePresence.Absent ? null : (byte*)(entry & ~WritableFrame);
    }

    public void MakePresent(ulong address, bool forWriting)
    {
        int page = (int)(address / PageBytes);
        lock (_gate)
        {
            bool writable = forWriting || _random.Next(3) != 0;
            if (_free.Count == 0 || _random.Next(3) == 0)
            {
                Evict(1 + _random.Next(MaximumBatch));
            }

            long entry = _entries[page];
            if (entry == 0)
            {
                nint frame = Take();
                Move(_home + address, (byte*)frame);
                Volatile.Write(ref _entries[page], frame | (writable ? WritableFrame : 0));
                _present.Add(page);
                Arrivals++;
            }
            else if (forWriting && (entry & WritableFrame) == 0)
            {
                // Those that read it elsewhere must not go on there.
                nint frame = (nint)entry;
                Volatile.Write(ref _entries[page], 0);
                SafePoints.Forget(_processors(), [(ulong)page]);
                if (_free.Count > 0)
                {
                    nint other = Take();
                    Move((byte*)frame, (byte*)other);
                    Release(frame);
                    frame = other;
                }

                Volatile.Write(ref _entries[page], frame | WritableFrame);
            }
        }
    }

    /// <summary>Pages go all the time, until <see cref="Stop"/>.</summary>
    public void Start()
    {
        _thread = new Thread(() =>
        {
            while (!_stops)
            {
                lock (_gate)
                {
                    Evict(1 + _random.Next(MaximumBatch));
                }

                Thread.Yield();
            }
        });
        _thread.Start();
    }

    /// <summary>Brings all pages home for good; the processors have stopped.</summary>
    public void Stop()
    {
        _stops = true;
        _thread?.Join();
        ComeHome();
        while (_free.Count > 0)
        {
            Take();
        }
    }

    /// <summary>Brings all pages home; the processors have stopped.</summary>
    public void ComeHome()
    {
        lock (_gate)
        {
            while (_present.Count > 0)
            {
                Evict(MaximumBatch);
            }
        }
    }

    /// <summary>As <see cref="Stop"/>; fails the test if something was found wrong, and gives the frames back.</summary>
    public void Finish()
    {
        Stop();
        Assert.Null(Failure);
        Dispose();
    }

    public void Dispose() => _frames.Dispose();

    private void Evict(int count)
    {
        count = Math.Min(count, _present.Count);
        for (int n = 0; n < count; n++)
        {
            int at = _random.Next(_present.Count);
            _batch[n] = (ulong)_present[at];
            _present.RemoveAt(at);
        }

        nint* frames = stackalloc nint[MaximumBatch];
        for (int n = 0; n < count; n++)
        {
            frames[n] = (nint)(_entries[_batch[n]] & ~WritableFrame);
            Volatile.Write(ref _entries[_batch[n]], 0);
        }

        if (count > 0)
        {
            SafePoints.Forget(_processors(), _random.Next(4) == 0 ? [] : _batch.AsSpan(0, count));
        }

        for (int n = 0; n < count; n++)
        {
            Move((byte*)frames[n], _home + ((nint)_batch[n] * PageBytes));
            Release(frames[n]);
            Departures++;
        }
    }

    private nint Take()
    {
        nint frame = _free.Pop();
        if (new ReadOnlySpan<ulong>((void*)frame, PageBytes / 8).IndexOfAnyExcept(Poison(frame)) >= 0)
        {
            Failure ??= $"A store went to where a page was no more ({Departures} departures).";
        }

        return frame;
    }

    private void Release(nint frame)
    {
        new Span<ulong>((void*)frame, PageBytes / 8).Fill(Poison(frame));
        _free.Push(frame);
    }

    private static void Move(byte* from, byte* to)
    {
        Buffer.MemoryCopy(from, to, PageBytes, PageBytes);
        new Span<ulong>(from, PageBytes / 8).Fill(Poison((nint)from));
    }

    // Neither a page-table entry that is present, nor a canonical address, nor code that does nothing.
    private static ulong Poison(nint at) => 0xCCCC_0F0B_0000_0000 | ((ulong)at & 0xFFFF_F000) | 0xF4;
}
