namespace Hypervisor.Engine.Storage.IoControl;

/// <summary>
/// The requests of one disk that wait for their datastore, first in first out, and the disk's three clocks (tags) of mClock. Pure state
/// of <see cref="MClock"/>: no locks, no time of its own.
/// </summary>
internal sealed class DiskQueue
{
    private const double NanosecondsPerSecond = 1e9;

    private IoRequest? _last;

    public DiskQueue(DiskIoSettings settings)
    {
        Settings = settings;
        Apply(settings);
    }

    public DiskIoSettings Settings { get; private set; }

    /// <summary>The request that is served next, or null.</summary>
    public IoRequest? First { get; private set; }

    public int Count { get; private set; }

    /// <summary>Earliest time at which the first request counts as reserved, nanoseconds.</summary>
    public long ReservationTag { get; set; }

    /// <summary>Earliest times that the limits of operations and of bytes allow for the first request, nanoseconds.</summary>
    public long LimitTag { get; set; }

    public long ByteLimitTag { get; set; }

    /// <summary>When the last request was taken out, nanoseconds; while none waits.</summary>
    public long IdleSince { get; set; }

    /// <summary>Virtual time at which the first request is due by shares: cost served divided by shares.</summary>
    public double ShareTag { get; set; }

    /// <summary>Nanoseconds that a unit of cost takes at the reservation and at the limit, and a byte at the bandwidth limit; 0 for none.</summary>
    public double ReservationInterval { get; private set; }

    public double LimitInterval { get; private set; }

    public double ByteInterval { get; private set; }

    /// <summary>Virtual time that a unit of cost takes.</summary>
    public double ShareInterval { get; private set; }

    /// <summary>Place in each heap that may hold the queue, or -1.</summary>
    public HeapPositions Positions { get; } = new();

    public void Append(IoRequest request)
    {
        request.Next = null;
        if (_last is null)
        {
            First = request;
        }
        else
        {
            _last.Next = request;
        }

        _last = request;
        Count++;
    }

    public IoRequest RemoveFirst()
    {
        IoRequest request = First!;
        First = request.Next;
        request.Next = null;
        _last = First is null ? null : _last;
        Count--;
        return request;
    }

    /// <summary>Takes all requests out; they are linked by <see cref="IoRequest.Next"/>.</summary>
    public IoRequest? RemoveAll()
    {
        IoRequest? all = First;
        First = _last = null;
        Count = 0;
        return all;
    }

    public void Apply(DiskIoSettings settings)
    {
        Settings = settings;
        ShareInterval = 1.0 / settings.Shares;
        ReservationInterval = settings.ReservationIops > 0 ? NanosecondsPerSecond / settings.ReservationIops : 0;
        LimitInterval = settings.LimitIops > 0 ? NanosecondsPerSecond / settings.LimitIops : 0;
        ByteInterval = settings.LimitBytesPerSecond > 0 ? NanosecondsPerSecond / settings.LimitBytesPerSecond : 0;
    }
}

/// <summary>Where a queue stands in the heaps of <see cref="MClock"/>.</summary>
internal sealed class HeapPositions
{
    public const int Absent = -1;

    private readonly int[] _positions = [Absent, Absent, Absent];

    public int this[HeapKind heap]
    {
        get => _positions[(int)heap];
        set => _positions[(int)heap] = value;
    }
}

/// <summary>The heaps of <see cref="MClock"/>.</summary>
internal enum HeapKind
{
    /// <summary>By reservation tag.</summary>
    Reserved,
    /// <summary>By share tag.</summary>
    Ready,
    /// <summary>By the time at which a limit allows the next request.</summary>
    Throttled,
}
