using System.Diagnostics;

namespace Hypervisor.Engine.Memory;

// What is where, counted at each move.
public sealed partial class GuestPages
{
    private readonly long[] _inState = new long[(int)PageState.Moving + 1];
    private long _zero, _copies, _decompressions, _compressions, _swapIns, _swapOuts, _released, _blockedMilliseconds, _waited;

    /// <summary>Pages in a state, moves under way not counted apart.</summary>
    public long PagesIn(PageState state) => Interlocked.Read(ref _inState[(int)state]);

    /// <summary>Counters now.</summary>
    public GuestPageStatistics Statistics => Snapshot(MergedPages);

    private GuestPageStatistics Snapshot(long merged) => new()
    {
        Pages = Count,
        Untouched = PagesIn(PageState.Untouched),
        Private = Math.Max(0, PagesIn(PageState.Private) - merged),
        Shared = PagesIn(PageState.Shared) + merged,
        MergedByHost = merged,
        SharedZero = Interlocked.Read(ref _zero),
        Compressed = PagesIn(PageState.Compressed),
        Swapped = PagesIn(PageState.Swapped),
        CompressedBytes = _cache.Statistics.UsedBytes,
        CompressionCapacity = _cache.Capacity,
        Compressions = Interlocked.Read(ref _compressions),
        Decompressions = Interlocked.Read(ref _decompressions),
        SwapOuts = Interlocked.Read(ref _swapOuts),
        SwapIns = Interlocked.Read(ref _swapIns),
        SharedCopies = Interlocked.Read(ref _copies),
        Released = Interlocked.Read(ref _released),
        BlockedTime = TimeSpan.FromMilliseconds(Interlocked.Read(ref _blockedMilliseconds)),
        WaitedTime = Stopwatch.GetElapsedTime(0, Interlocked.Read(ref _waited)),
    };

    private void Moved(PageState from, PageState to)
    {
        if (from != to)
        {
            Interlocked.Decrement(ref _inState[(int)from]);
            Interlocked.Increment(ref _inState[(int)to]);
            if (to == PageState.Private)
            {
                _meter.Add(1);
            }
            else if (from == PageState.Private)
            {
                _meter.Add(-1);
            }
        }
    }

    private void TakeStock() => _inState[(int)PageState.Untouched] = Count;
}
