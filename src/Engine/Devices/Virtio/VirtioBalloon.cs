using System.Buffers.Binary;
using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>
/// A memory balloon (virtio 1.2, 5.5): the guest's driver gives up pages until it holds <see cref="TargetPages"/>, and their host
/// memory is released; it also reports pages that are free anyway, names them when it is asked (hints), and has statistics. A page is
/// 4096 bytes.
/// </summary>
public sealed partial class VirtioBalloon : VirtioWorkerDevice
{
    private const int InflateQueue = 0, DeflateQueue = 1, StatisticsQueue = 2;
    private const ulong FeatureStatistics = 1 << 1, FeatureDeflateOnOutOfMemory = 1 << 2, FeatureHinting = 1 << 3, FeaturePoison = 1 << 4, FeatureReporting = 1 << 5;
    private const int ConfigTarget = 0, ConfigActual = 4, ConfigHintCommand = 8, ConfigPoison = 12, ConfigBytes = 16;
    private const int StatisticSize = 10, MaxStatistics = 64;
    private const int MaxPagesPerRequest = 65536, MaxRanges = 256;

    // What a pass may be asked to release before it lets others run, in pages: a driver's request names 256 of them, or ranges. Each of a
    // hostile one's costs as much as a call of the system.
    private const long PagesPerPass = MaxPagesPerRequest;
    private const ulong PageSize = GuestMemory.PageSize;

    private readonly DescriptorChain _chain = new();
    private readonly byte[] _numbers = new byte[4096];
    private readonly byte[] _statistics = new byte[StatisticSize * MaxStatistics];
    private readonly PageRange[] _ranges = new PageRange[MaxRanges];
    private int _rangeCount;
    private readonly IMachineClock _clock;
    private readonly IMachineTimer _timer;
    private readonly long _interval;
    private ushort _heldStatistics;
    private bool _holdsStatistics;
    private bool _statisticsWanted;
    private readonly bool _offersReporting;
    private uint _target;
    private uint _actual;
    private uint _poison;
    private volatile BalloonStatistics? _latest;
    private long _releasedBytes;

    /// <summary>Makes an empty balloon.</summary>
    /// <param name="memory">The machine's memory.</param>
    /// <param name="clock">Time for polling and for the statistics.</param>
    /// <param name="statisticsInterval">How often the guest is asked for statistics; zero asks only on <see cref="RequestStatistics"/>.</param>
    /// <param name="offersReporting">The guest may report free pages by itself.</param>
    public VirtioBalloon(GuestMemory memory, IMachineClock clock, TimeSpan statisticsInterval, bool offersReporting = true)
        : base(VirtioDeviceType.Balloon, "balloon", memory, ConfigBytes, dedicatedThread: true, 128, 128, 64, HintQueueSize, 64)
    {
        // A thread of its own: what is reported free is out of the guest's reach until it is answered (a driver keeps up to 64 MB waiting), and
        // a release waits for whoever reclaims.
        ArgumentNullException.ThrowIfNull(clock);
        (_clock, _interval, _offersReporting) = (clock, statisticsInterval.Ticks * 100, offersReporting);

        // The driver names free pages as buffers to write to. Nobody writes there, and pinning them would keep them.
        for (int i = StatisticsQueue + 1; i < Queues.Count; i++)
        {
            Queues[i].NamesPages = true;
        }

        _timer = clock.CreateTimer(RequestStatistics);
        _hintTimer = clock.CreateTimer(Wake);
    }

    /// <summary>Pages the balloon should hold. Setting it asks the guest; it comes as far as it can.</summary>
    public uint TargetPages
    {
        get => Volatile.Read(ref _target);
        set
        {
            Volatile.Write(ref _target, value);
            StoreConfig(ConfigTarget, value);
            SignalConfigurationChange();
        }
    }

    /// <summary>Pages the driver says it holds. Its word, not a measurement.</summary>
    public uint ActualPages => Volatile.Read(ref _actual);

    /// <summary>The latest statistics; null before the first.</summary>
    public BalloonStatistics? Statistics => _latest;

    /// <summary>Bytes of host memory released since power-on by inflation, free page reports and hints; a page counts each time.</summary>
    public long ReleasedBytes => Interlocked.Read(ref _releasedBytes);

    /// <inheritdoc/>
    protected override ulong DeviceFeatures => FeatureStatistics | FeatureDeflateOnOutOfMemory | FeatureHinting | FeaturePoison | (_offersReporting ? FeatureReporting : 0);

    // What the guest wants to find in its free pages; ours are zeroes.
    private bool CanEmptyFreePages => !HasFeature(FeaturePoison) || Volatile.Read(ref _poison) == 0;

    /// <summary>Asks the driver for new statistics; they arrive later in <see cref="Statistics"/>. From any thread.</summary>
    public void RequestStatistics()
    {
        Volatile.Write(ref _statisticsWanted, true);
        Wake();
    }

    /// <inheritdoc/>
    protected override void OnConfigWritten(int offset, ReadOnlySpan<byte> source)
    {
        if (offset == ConfigActual && source.Length == 4)
        {
            Volatile.Write(ref _actual, BinaryPrimitives.ReadUInt32LittleEndian(source));
            StoreConfig(ConfigActual, source);
        }
        else if (offset >= ConfigPoison)
        {
            // In pieces too: a value that is taken for zero by mistake would cost the guest its content.
            StoreConfig(offset, source);
            Span<byte> poison = stackalloc byte[sizeof(uint)];
            ReadConfig(ConfigPoison, poison);
            Volatile.Write(ref _poison, BinaryPrimitives.ReadUInt32LittleEndian(poison));
        }
    }

    /// <inheritdoc/>
    protected override void OnStarted()
    {
        if (_interval > 0)
        {
            _timer.Arm(_clock.Now + _interval);
        }
    }

    /// <inheritdoc/>
    protected override void OnStopped()
    {
        _holdsStatistics = false;
        _timer.Disarm();
        Volatile.Write(ref _actual, 0);
        StoreConfig(ConfigActual, 0u);
        Volatile.Write(ref _poison, 0);
        StoreConfig(ConfigPoison, 0u);
        ForgetHints();
    }

    /// <inheritdoc/>
    protected override void Process()
    {
        bool more = Drain(Queues[InflateQueue]) | Drain(Queues[DeflateQueue]);
        ProcessStatistics(Queues[StatisticsQueue]);

        // Queue 3 is for hints and queue 4 for reports (virtio 1.2, 5.5.2); drivers that count only the queues they use report by queue 3 when
        // they do not hint.
        for (int i = HintQueue; i < Queues.Count; i++)
        {
            more |= Drain(Queues[i]);
        }

        SeeToHints();

        if (more)
        {
            Wake();
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _timer.Dispose();
        _hintTimer.Dispose();
        base.Dispose(disposing);
    }

    // True when requests are left for another pass.
    private bool Drain(VirtQueue queue)
    {
        int budget = PassBudget;
        long pages = PagesPerPass;
        do
        {
            while (budget > 0 && pages > 0 && TryPop(queue, _chain))
            {
                budget--;
                pages -= (_chain.ReadableBytes / sizeof(uint)) + (_chain.WritableBytes / (long)PageSize);
                if (queue.Index == InflateQueue)
                {
                    Inflate();
                }
                else if (queue.Index == HintQueue && HasFeature(FeatureHinting))
                {
                    TakeHint();
                }
                else if (queue.Index != DeflateQueue && HasFeature(FeatureReporting))
                {
                    ReleaseReported();
                }

                // A deflated page needs nothing done: its memory comes back when the guest touches it.
                queue.Push(_chain, 0);
            }

            PublishAndSignal(queue);
            if (budget == 0 || pages <= 0)
            {
                // Notifications are not asked for yet: the next pass looks by itself.
                return true;
            }
        }
        while (queue.EnableNotifications());
        return false;
    }

    // Neighbouring page numbers are released together; drivers list them upwards or downwards.
    private void Inflate()
    {
        uint bytes = Math.Min(_chain.ReadableBytes, MaxPagesPerRequest * 4u) & ~3u;
        ulong first = 0;
        uint count = 0;
        for (uint at = 0; at < bytes;)
        {
            int read = _chain.Read(at, _numbers.AsSpan(0, (int)Math.Min((uint)_numbers.Length, bytes - at)));
            for (int i = 0; i < read; i += 4)
            {
                ulong page = BinaryPrimitives.ReadUInt32LittleEndian(_numbers.AsSpan(i));
                if (count != 0 && page == first + count)
                {
                    count++;
                }
                else if (count != 0 && page + 1 == first)
                {
                    (first, count) = (page, count + 1);
                }
                else
                {
                    AddRange(first * PageSize, count);
                    (first, count) = (page, 1);
                }
            }

            at += (uint)read;
        }

        AddRange(first * PageSize, count);
        ReleaseRanges();
    }

    // Pages that are to keep another value than zero stay as they are (virtio 1.2, 5.5.6.7.2).
    private void ReleaseReported()
    {
        if (CanEmptyFreePages)
        {
            AddWritable();
            ReleaseRanges();
        }
    }

    private void AddWritable(bool hinted = false)
    {
        foreach (ref readonly var segment in _chain.Writable)
        {
            ulong start = (segment.GuestAddress + PageSize - 1) & ~(PageSize - 1);
            ulong end = (segment.GuestAddress + segment.Length) & ~(PageSize - 1);
            AddRange(start, start < end ? (uint)((end - start) / PageSize) : 0, hinted);
        }
    }

    private void AddRange(ulong address, uint pages, bool hinted = false)
    {
        if (pages != 0)
        {
            if (_rangeCount == _ranges.Length)
            {
                ReleaseRanges(hinted);
            }

            _ranges[_rangeCount++] = new PageRange(address, pages);
        }
    }

    // Page numbers are the guest's word: only its own writable memory is touched.
    private void ReleaseRanges(bool hinted = false)
    {
        if (_rangeCount > 0)
        {
            var ranges = _ranges.AsSpan(0, _rangeCount);
            Interlocked.Add(ref _releasedBytes, hinted ? Memory.ReleaseHinted(ranges) : Memory.Release(ranges));
            _rangeCount = 0;
        }
    }

    // The driver lends one buffer; it is given back as the question, and comes again with the answer (5.5.6.3).
    private void ProcessStatistics(VirtQueue queue)
    {
        do
        {
            while (!_holdsStatistics && TryPop(queue, _chain))
            {
                ReadStatistics();
                _chain.Clear();
                (_holdsStatistics, _heldStatistics) = (true, _chain.Head);
            }

            if (_holdsStatistics && Volatile.Read(ref _statisticsWanted))
            {
                Volatile.Write(ref _statisticsWanted, false);
                _holdsStatistics = false;
                queue.Push(_heldStatistics, 0);
                PublishAndSignal(queue);
                if (_interval > 0)
                {
                    _timer.Arm(_clock.Now + _interval);
                }
            }
        }
        while (!_holdsStatistics && queue.EnableNotifications());
    }

    private void ReadStatistics()
    {
        int bytes = _chain.Read(0, _statistics);
        if (bytes < StatisticSize)
        {
            return;
        }

        var statistics = new BalloonStatistics { Time = _clock.Now };
        for (int at = 0; at + StatisticSize <= bytes; at += StatisticSize)
        {
            ulong value = BinaryPrimitives.ReadUInt64LittleEndian(_statistics.AsSpan(at + 2));
            statistics = BinaryPrimitives.ReadUInt16LittleEndian(_statistics.AsSpan(at)) switch
            {
                0 => statistics with { SwappedInBytes = value },
                1 => statistics with { SwappedOutBytes = value },
                2 => statistics with { MajorFaults = value },
                3 => statistics with { MinorFaults = value },
                4 => statistics with { FreeBytes = value },
                5 => statistics with { TotalBytes = value },
                6 => statistics with { AvailableBytes = value },
                7 => statistics with { CacheBytes = value },
                _ => statistics,
            };
        }

        _latest = statistics;
    }
}
