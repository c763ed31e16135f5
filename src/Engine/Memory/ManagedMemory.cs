using System.Diagnostics;
using Hypervisor.Engine.Devices.Virtio;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Memory.Stores;
using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Engine.Memory;

/// <summary>A running machine's memory as the host manages it: its pages, its balloon, and what was decided last.</summary>
internal sealed class ManagedMemory : IDisposable
{
    private const int SampleSize = ActiveMemoryEstimator.SampleSize;

    /// <summary>The state of not getting pages back, or not being able to give any, is told once in so long.</summary>
    private const long ReportInterval = 60_000;

    /// <summary>A balloon that has not failed for so long, ns, is told of again.</summary>
    private const long BalloonRecovery = 5 * 60 * MemoryManager.Second;

    /// <summary>Memory can be swapped out again when for so long, ns, no write failed.</summary>
    private const long SwapRecovery = 10 * MemoryManager.Second;

    /// <summary>What processors take more than was promised is taken back when it is so much, bytes, and not more often than this, ns: they are slower afterwards.</summary>
    private const long TrimBytes = 8 << 20, TrimInterval = 60 * MemoryManager.Second;

    private const long NanosecondsPerMillisecond = 1_000_000;

    private readonly MemoryManager _manager;
    private volatile VirtioBalloon? _balloon;
    private readonly Action<MachineEvent> _raise;
    private readonly ActiveMemoryEstimator _estimator = new();
    private readonly MachineMemoryHistory _history = new();
    private readonly IPagedPartition? _partition;
    private readonly long _deviceOverhead;
    private readonly int _run;
    private readonly long _since;
    private double _scanDue;
    private long _nextSample = long.MinValue, _nextCount = long.MinValue, _nextHints = long.MinValue, _nextTrim = long.MinValue;
    private readonly Action<Exception> _failed;
    private long _nextReadReport, _nextBlockReport;
    private long _nextSwapReport, _lastSwapTrouble;
    private string? _swapTrouble;
    private bool _toldSwapTrouble;
    private long? _balloonFailedAt;

    /// <summary>Takes charge of a machine's memory.</summary>
    public ManagedMemory(MemoryManager manager, in ManagedMemoryOptions options, int number, MemoryMeter meter, SharedFrames frames)
    {
        (_manager, Id, Name, _raise, Plan) = (manager, options.Id, options.Name, options.Raise, options.Plan);
        (PromisedOverheadBytes, _deviceOverhead, _partition) = (options.OverheadBytes, options.DeviceOverheadBytes, options.Partition as IPagedPartition);
        (_run, _since, _failed) = (number, manager.Now, options.Failed);
        LargePages = new LargePages(options.Memory, options.Partition is { Capabilities.UsesLargePages: true });
        options.Memory.LargePages = LargePages;
        LargePages.Allow(manager.AllowsLargePages);
        Pages = options.Partition is IPagedPartition partition ? MakePages(options, partition, number, meter, frames) : null;
    }

    /// <summary>The machine.</summary>
    public Guid Id { get; }

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>Its pages; null on a backend that does not let go of them.</summary>
    public GuestPages? Pages { get; }

    /// <summary>The host's large pages that its memory may be in.</summary>
    public LargePages LargePages { get; }

    /// <summary>Its balloon, once it has one.</summary>
    public VirtioBalloon? Balloon
    {
        set => _balloon = value;
    }

    /// <summary>What the inventory says about its memory now.</summary>
    public MachineMemoryPlan Plan { get; private set; }

    /// <summary>Host memory that is promised to the machine beside guest memory, bytes: an estimate made when it was assembled.</summary>
    public long PromisedOverheadBytes { get; }

    /// <summary>Host memory beside guest memory, bytes: what was promised, or more where its processors take more.</summary>
    public long OverheadBytes => Math.Max(PromisedOverheadBytes, _deviceOverhead + (_partition?.HostBytes ?? 0));

    /// <summary>What was decided last.</summary>
    public MachineMemoryDecision Decision { get; private set; }

    /// <summary>Host memory that guest memory takes.</summary>
    public long ConsumedBytes => Pages?.Statistics.ConsumedBytes ?? Math.Max(0, Plan.MemoryBytes - BalloonBytes);

    private long BalloonBytes => _balloon is null ? 0 : _balloon.ActualPages * (long)GuestMemory.PageSize;

    /// <summary>Its memory could not be seen to, and the machine was told to end: nothing is done to it any more.</summary>
    public bool HasFailed { get; private set; }

    /// <summary>Ends the machine because of a defect of its memory; the others go on.</summary>
    public void Fail(Exception error)
    {
        HasFailed = true;
        _failed(error);
    }

    /// <summary>Takes what the inventory says of it now.</summary>
    /// <param name="configuration">What it says.</param>
    /// <param name="isMerging">The host's kernel looks for equal pages.</param>
    public void Follow(MemoryConfiguration configuration, bool isMerging)
    {
        if (configuration.Machines.TryGetValue(Id, out var plan))
        {
            Plan = plan;
        }

        if (Pages is { } pages)
        {
            pages.SharingDomain = Plan.SharingDomain;

            // The kernel knows no domains. What it merged stays so when it stops to look.
            pages.Offer((isMerging || pages.IsOffered) && configuration.Settings.ShareByKernel && Plan.IsSharingEnabled && Plan.SharingDomain.Length == 0);
        }
    }

    /// <summary>Counts what takes a look at each page, not more often than that is cheap.</summary>
    public void Count(long now)
    {
        if (Pages is { IsCounted: true } pages && now >= _nextCount)
        {
            pages.CountPresent();
            _nextCount = now + (MemoryManager.Second * (1 + (Plan.MemoryBytes >> 30)));
        }
    }

    /// <summary>The policy's view of it.</summary>
    public MachineMemoryInput Input()
    {
        var statistics = Pages?.Statistics;
        return new MachineMemoryInput
        {
            Plan = Plan,
            History = _history,
            OverheadBytes = OverheadBytes,
            ConsumedBytes = ConsumedBytes,
            ActiveBytes = _estimator.ActiveBytes(Plan.MemoryBytes),
            HasBalloon = _balloon is { IsDriverRunning: true },
            BalloonBytes = BalloonBytes,
            CompressedBytes = (statistics?.Compressed ?? 0) * (long)GuestMemory.PageSize,
            CompressionCacheBytes = statistics?.CompressedBytes ?? 0,
            SwappedBytes = (statistics?.Swapped ?? 0) * (long)GuestMemory.PageSize,
            EvictionRoomBytes = Pages is null ? 0 : _swapTrouble is null && Pages.HasSwap ? Plan.MemoryBytes : Pages.CompressionRoomBytes,
        };
    }

    /// <summary>Counts the pages of the sample that were used, and begins another when it is time.</summary>
    public void Sample(int periodSeconds, long now)
    {
        if (Pages is null || periodSeconds <= 0)
        {
            return;
        }

        if (now >= _nextSample)
        {
            var (touched, sampled) = Pages.NextSample(SampleSize);
            _estimator.EndPeriod(touched, sampled);
            _nextSample = now + (periodSeconds * MemoryManager.Second);
        }
        else
        {
            var (touched, sampled) = Pages.PeekSample();
            _estimator.Update(touched, sampled);
        }
    }

    /// <summary>Does what was decided.</summary>
    /// <param name="decision">The decision.</param>
    /// <param name="state">The host's state.</param>
    /// <param name="passed">Time since the decision before, ns.</param>
    /// <param name="patience">For how long it may take pages, so that a slow swap disk does not keep the other machines waiting; infinite for as long as it takes.</param>
    public void Apply(in MachineMemoryDecision decision, HostMemoryState state, long passed, TimeSpan patience)
    {
        Decision = decision;
        if (_balloon is not null)
        {
            uint target = (uint)(decision.BalloonTargetBytes / (long)GuestMemory.PageSize);
            if (_balloon.TargetPages != target)
            {
                _balloon.TargetPages = target;
            }
        }

        TellBalloonTrouble(decision);
        LargePages.Allow(decision.AllowsLargePages);

        if (Pages is not { } pages)
        {
            return;
        }

        TrimOverhead(state);
        pages.Bound(decision.BlockAboveBytes, decision.CeilingBytes);
        Evict(pages, decision, state, patience);
        Scan(pages, decision, passed);
        if (decision.RestoreBytes > 0)
        {
            pages.Restore((int)(decision.RestoreBytes / (long)GuestMemory.PageSize), patience);
        }

        AskForHints(pages, decision, state);
    }

    /// <summary>Counters now.</summary>
    /// <param name="largePages">Where large pages are, as far as that is known.</param>
    public MachineMemoryStatistics Statistics(HugePageMap? largePages)
    {
        var decision = Decision;
        return new MachineMemoryStatistics
        {
            Id = Id,
            Name = Name,
            Run = _run,
            UpTime = TimeSpan.FromTicks((_manager.Now - _since) / TimeSpan.NanosecondsPerTick),
            MemoryBytes = Plan.MemoryBytes,
            OverheadBytes = OverheadBytes,
            PromisedOverheadBytes = PromisedOverheadBytes,
            ConsumedBytes = ConsumedBytes,
            LargePageBytes = LargePages.BytesIn(largePages),
            ActiveBytes = _estimator.ActiveBytes(Plan.MemoryBytes),
            ActiveFraction = _estimator.Fraction,
            ActiveSamples = _estimator.Samples,
            EntitlementBytes = decision.EntitlementBytes,
            HasBalloon = _balloon is { IsDriverRunning: true },
            BalloonBytes = BalloonBytes,
            BalloonTargetBytes = decision.BalloonTargetBytes,
            BalloonMaxBytes = Plan.BalloonMaxBytes,
            IsBalloonFailing = decision.IsBalloonFailing,
            SwapTargetBytes = decision.SwapTargetBytes,
            Pages = Pages?.Statistics,
            Guest = _balloon?.Statistics,
        };
    }

    /// <summary>See <see cref="GuestPages.IsAbandoned"/>.</summary>
    public void Abandon(bool abandoned)
    {
        if (Pages is not null)
        {
            Pages.IsAbandoned = abandoned;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Abandon(true);
        _manager.Remove(this);
        Pages?.Dispose();
    }

    private GuestPages? MakePages(in ManagedMemoryOptions options, IPagedPartition partition, int number, MemoryMeter meter, SharedFrames frames)
    {
        long bytes = (long)options.Memory.TotalBytes;
        SwapFile? swap = options.SwapPath is { } path ? SwapFile.Create(path, (int)(bytes / (long)GuestMemory.PageSize)) : null;
        var cache = new CompressionCache(bytes / 10);
        try
        {
            return new GuestPages(options.Memory, partition, number, meter, frames, cache, swap)
            {
                ReadFailed = OnReadFailed,
                Blocked = OnBlocked,
                Failed = options.Failed,
            };
        }
        catch (Exception error)
        {
            cache.Dispose();
            swap?.Dispose();
            if (error is NotSupportedException)
            {
                Raise(MachineEventSeverity.Info, $"Only its balloon gives memory of this machine back: {error.Message}.");
                return null;
            }

            throw;
        }
    }

    private void Evict(GuestPages pages, in MachineMemoryDecision decision, HostMemoryState state, TimeSpan patience)
    {
        int wanted = (int)(decision.EvictBytes / (long)GuestMemory.PageSize);
        string? found = pages.TakeSwapFailure();
        if (wanted > 0)
        {
            const ReclaimMethods All = ReclaimMethods.Share | ReclaimMethods.Compress | ReclaimMethods.Swap;
            long start = Stopwatch.GetTimestamp();
            int taken = pages.Reclaim(wanted, All, urgent: false, patience, out string? failure);
            bool isBounded = patience != Timeout.InfiniteTimeSpan;
            TimeSpan left = isBounded ? patience - Stopwatch.GetElapsedTime(start) : patience;
            if (taken < wanted && failure is null && (!isBounded || left > TimeSpan.Zero))
            {
                taken += pages.Reclaim(wanted - taken, All, urgent: true, left, out failure);
            }

            // It goes on after the others had their turn.
            if (taken < wanted && failure is null && isBounded && Stopwatch.GetElapsedTime(start) >= patience)
            {
                _manager.DecideSoon();
            }

            TellSwapTrouble(pages.SwapFailure ?? (_toldSwapTrouble ? null : found));
        }
        else if (found is not null && _swapTrouble is null)
        {
            // Where a machine gives a page for each that it takes, nobody else may write.
            TellSwapTrouble(found);
        }
        else if (_swapTrouble is not null || _toldSwapTrouble)
        {
            TellSwapTrouble(pages.TestSwap());
        }

        if (state >= HostMemoryState.Soft || wanted > 0)
        {
            // So that the next pages to be taken are idle ones.
            pages.Watch(Math.Max(wanted, pages.Count / 64));
        }
    }

    // Last of all: it has every page watched, and those that are used have to have time to show it before pages are taken. The driver does not
    // say what becomes free after it answered, so it is asked again now and then.
    private void AskForHints(GuestPages pages, in MachineMemoryDecision decision, HostMemoryState state)
    {
        bool isWanted = state >= HostMemoryState.Soft || decision.EvictBytes > 0
            || (pages.IsEngaged && (state == HostMemoryState.Clear || decision.BalloonTargetBytes > BalloonBytes));
        if (isWanted && _balloon is { CanHint: true, IsHinting: false } balloon && _manager.Now >= _nextHints)
        {
            _nextHints = _manager.Now + _manager.HintInterval;
            pages.BeginHinting();
            balloon.RequestHints();
        }
    }

    private void TrimOverhead(HostMemoryState state)
    {
        if (state > HostMemoryState.High && OverheadBytes - PromisedOverheadBytes >= TrimBytes && _manager.Now >= _nextTrim)
        {
            _nextTrim = _manager.Now + TrimInterval;
            _partition!.TrimHost();
        }
    }

    private void Scan(GuestPages pages, in MachineMemoryDecision decision, long passed)
    {
        _scanDue = Math.Min(_scanDue + (decision.ShareScanPagesPerSecond * ((double)passed / MemoryManager.Second)), pages.Count);
        int due = (int)_scanDue;
        if (due > 0)
        {
            _scanDue -= due;

            // While there is memory a few pages of zeroes are not worth breaking up large pages.
            if (!LargePages.AreAllowed)
            {
                pages.Share(due);
            }
        }
    }

    // A balloon that fails is tried again and again; that is told once.
    private void TellBalloonTrouble(in MachineMemoryDecision decision)
    {
        long now = _manager.Now;
        if (decision.IsBalloonFailing)
        {
            if (_balloonFailedAt is null)
            {
                const int Megabyte = 1 << 20;
                Raise(MachineEventSeverity.Warning,
                    $"The memory balloon did not bring back what it was asked for: its driver says that it holds {BalloonBytes / Megabyte} MB of {decision.BalloonTargetBytes / Megabyte} MB. Until it does, the machine's memory is compressed and swapped, which is slower. Either the guest needs what it has, or its driver does not work.");
            }

            _balloonFailedAt = now;
        }
        else if (now - _balloonFailedAt >= BalloonRecovery)
        {
            _balloonFailedAt = null;
        }
    }

    // On a disk that is nearly full a write now and then succeeds, whenever the guest gave a slot back: that is not told as an end of the trouble.
    private void TellSwapTrouble(string? trouble)
    {
        long now = _manager.Now;
        if (trouble is not null)
        {
            _lastSwapTrouble = now;
            if (!_toldSwapTrouble || now >= _nextSwapReport)
            {
                (_toldSwapTrouble, _nextSwapReport) = (true, now + (ReportInterval * NanosecondsPerMillisecond));
                Raise(MachineEventSeverity.Warning, $"Memory could not be swapped out: {trouble} What is not swapped stays in memory; the machine waits if there is none left.");
            }
        }
        else if (_toldSwapTrouble && now - _lastSwapTrouble >= SwapRecovery)
        {
            _toldSwapTrouble = false;
            Raise(MachineEventSeverity.Info, "Memory can be swapped out again.");
        }

        _swapTrouble = trouble;
    }

    private void OnReadFailed(string reason)
    {
        if (Elapsed(ref _nextReadReport))
        {
            Raise(MachineEventSeverity.Error, $"A page cannot be read back from the swap file: {reason} The machine waits and tries again; power it off if that is not going to work.");
        }
    }

    private void OnBlocked(string? reason)
    {
        _manager.DecideSoon();
        if (Elapsed(ref _nextBlockReport))
        {
            string why = reason is null ? "" : $" ({reason.TrimEnd('.')})";
            Raise(MachineEventSeverity.Warning, Plan.LimitBytes < Plan.MemoryBytes && ConsumedBytes >= Plan.LimitBytes
                ? $"The machine waits for memory: it has reached its limit of {Plan.LimitBytes >> 20} MB, and none of its own can be taken{why}. Raise the limit, or make room for swap files."
                : $"The machine waits for memory: the host has none left for it, and none of the machine's own can be taken{why}. Power off another machine, raise the host's memory budget, or make room for swap files.");
        }
    }

    private void Raise(MachineEventSeverity severity, string message) => _raise(new MachineEvent(severity, message));

    private static bool Elapsed(ref long next)
    {
        long now = Environment.TickCount64, due = Interlocked.Read(ref next);
        return now >= due && Interlocked.CompareExchange(ref next, now + ReportInterval, due) == due;
    }
}
