using System.Diagnostics;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Memory.Stores;
using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Engine.Memory;

/// <summary>
/// Divides a budget of host memory among the machines of this process and of those it shares a host folder with: looks at what they take and use, asks the policy, and has
/// balloons filled, equal pages shared, and pages compressed and swapped. A thread of its own, while there are machines. Thread-safe.
/// </summary>
internal sealed class MemoryManager : IDisposable
{
    /// <summary>A second, ns.</summary>
    public const long Second = 1_000_000_000;

    private const long NoBudget = 1L << 50;

    /// <summary>Time that the machines' turns of taking pages are to take together, and the bounds of one turn, ms.</summary>
    private const int TurnsMilliseconds = 1000, LeastTurnMilliseconds = 20, MostTurnMilliseconds = 250;

    private const long PageSize = (long)GuestMemory.PageSize;

    private readonly Lock _lock = new();
    private readonly Lock _deciding = new();
    private readonly MemoryPolicy _policy;
    private readonly SharedFrames _frames = new();
    private readonly MemoryMeter _meter = new();
    private readonly OvercommitAverages _overcommit = new();
    private readonly MemoryStateReport _report = new();
    private readonly AutoResetEvent _wake = new(false);
    private readonly Func<long> _clock;
    private readonly bool _isDriven;
    private readonly MemoryConfigurationSource _source;
    private readonly List<ManagedMemory> _machines = [];
    private readonly Neighbourhood _neighbours = new();
    private ManagedMemory[] _deciders = [];
    private MachineMemoryInput[] _inputs = [];
    private MachineMemoryDecision[] _decisions = [];
    private HostMemoryDecision _decision;
    private Thread? _thread;
    private long _last = long.MinValue;
    private int _nextNumber;
    private bool _ended;

    /// <summary>A manager without machines.</summary>
    /// <param name="source">What the inventory says.</param>
    /// <param name="options">Constants of the policy.</param>
    /// <param name="clock">Time, ns; given by tests, which then call <see cref="Decide()"/> themselves.</param>
    public MemoryManager(MemoryConfigurationSource source, MemoryPolicyOptions? options = null, Func<long>? clock = null)
    {
        (_source, _policy) = (source, new MemoryPolicy(options));
        _isDriven = clock is not null;
        _clock = clock ?? (static () => (long)(Stopwatch.GetTimestamp() * ((double)Second / Stopwatch.Frequency)));
        _meter.Look = DecideSoon;
        source.Changed += DecideSoon;
    }

    /// <summary>Where the swap file of a machine is to be; null for none. Set by the host, which knows its folder.</summary>
    public Func<Guid, string?> SwapPathOf { get; set; } = static _ => null;

    /// <summary>A guest is asked for hints of what is free not more often than this, ns: it allocates all of it to answer.</summary>
    internal long HintInterval { get; set; } = 30 * Second;

    /// <summary>Other processes that divide the same budget; null for none. Set by the host, which knows its folder.</summary>
    public IMemoryNeighbours? Neighbours
    {
        set => _neighbours.Others = value;
    }

    /// <summary>Told of changes of the host's state as <see cref="MemoryStateReport"/> has them: the one before, the one now, bytes free.</summary>
    public Action<HostMemoryState, HostMemoryState, long>? StateChanged { get; set; }

    /// <summary>What the inventory says now.</summary>
    public MemoryConfiguration Configuration => _source.Current;

    /// <summary>Pages that machines have, as counted at each of them.</summary>
    internal long CountedPages => _meter.Used;

    /// <summary>A machine that is powered on now may have large pages.</summary>
    internal bool AllowsLargePages
    {
        get
        {
            lock (_lock)
            {
                return _source.Current.Settings.AllowsLargePages && (_machines.Count == 0 || _decision.State == HostMemoryState.High);
            }
        }
    }

    /// <summary>Time, ns.</summary>
    public long Now => _clock();

    /// <summary>Takes a machine in, assembled and not running yet.</summary>
    public ManagedMemory Add(in ManagedMemoryOptions options)
    {
        var machine = new ManagedMemory(this, options, Interlocked.Increment(ref _nextNumber), _meter, _frames);
        lock (_lock)
        {
            _machines.Add(machine);
            FollowOvercommit();
            if (_thread is null && !_isDriven && !_ended)
            {
                _thread = new Thread(Run) { IsBackground = true, Name = "memory manager" };
                _thread.Start();
            }
        }

        DecideSoon();
        return machine;
    }

    /// <summary>Has the thread decide now. From any thread; does not wait.</summary>
    public void DecideSoon() => _wake.Set();

    /// <summary>Decides once and does what was decided.</summary>
    /// <returns>When to decide next, ns from now.</returns>
    public long Decide()
    {
        lock (_deciding)
        {
            lock (_lock)
            {
                _deciders = [.. _machines];
                FollowOvercommit();
            }

            return _deciders.Length == 0 ? Second : Decide(_source.Current);
        }
    }

    /// <summary>Counters now.</summary>
    public HostMemoryStatistics Statistics()
    {
        ManagedMemory[] machines;
        lock (_lock)
        {
            machines = [.. _machines];
        }

        var frames = _frames.Statistics;
        HugePageMap? largePages = machines.Any(static machine => machine.LargePages.MayExist) ? HugePageMap.TryRead() : null;
        var statistics = machines.Select(machine => machine.Statistics(largePages)).ToArray();
        long merged = statistics.Sum(static machine => machine.Pages?.MergedByHost ?? 0), sharedFrames = frames.Frames + FramesOf(merged);
        long consumed = statistics.Sum(static machine => machine.ConsumedBytes), overhead = statistics.Sum(static machine => machine.OverheadBytes);
        return new HostMemoryStatistics
        {
            BudgetBytes = BudgetOf(_source.Current),
            UsedBytes = consumed + overhead + (sharedFrames * PageSize),
            ConsumedBytes = consumed,
            SharedFrameBytes = sharedFrames * PageSize,
            OverheadBytes = overhead,
            OthersBytes = _neighbours.UsedBytes,
            OthersMemoryBytes = _neighbours.MemoryBytes,
            MinFreeBytes = FreeMemoryThresholds.MinFree(BudgetOf(_source.Current)),
            State = machines.Length == 0 ? HostMemoryState.High : _decision.State,
            SharedPages = frames.References + frames.ZeroReferences + merged,
            SharedFrames = sharedFrames,
            ZeroPages = frames.ZeroReferences,
            ReservedBytes = ReservedBy(machines, _source.Current),
            OvercommitAverages = _overcommit.At(_clock()),
            Machines = statistics,
        };
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _source.Changed -= DecideSoon;
        Thread? thread;
        lock (_lock)
        {
            _ended = true;
            thread = _thread;
        }

        _wake.Set();
        thread?.Join();
        lock (_lock)
        {
            // A machine that could not be stopped keeps its pages, and those of the others it shares them with.
            if (_machines.Count == 0)
            {
                _frames.Dispose();
            }
        }
    }

    internal void Remove(ManagedMemory machine)
    {
        // Whoever decides just now is done with the machine afterwards.
        lock (_deciding)
        {
            lock (_lock)
            {
                _machines.Remove(machine);
                FollowOvercommit();
            }

            if (_machines.Count == 0)
            {
                _neighbours.Leave();
            }
        }

        DecideSoon();
    }

    private long Decide(MemoryConfiguration configuration)
    {
        long now = _clock(), passed = _last == long.MinValue ? Second : Math.Clamp(now - _last, 0, Second);
        _last = now;
        int count = _deciders.Length;
        MakeRoomFor(count);
        bool isMerging = configuration.Settings.ShareByKernel && Array.Exists(_deciders, static machine => machine.Pages is { IsMergeable: true }) && KernelSamePages.IsRunning;
        for (int i = 0; i < count; i++)
        {
            Look(_deciders[i], configuration, isMerging, now);
        }

        // Before what is taken is added up: a page taken meanwhile counts twice rather than not at all.
        long used = 0, merged = 0, privatePages = _meter.Used;
        for (int i = 0; i < count; i++)
        {
            _inputs[i] = _deciders[i].Input();
            used += _inputs[i].ConsumedBytes + _inputs[i].OverheadBytes;
            merged += _deciders[i].Pages?.MergedPages ?? 0;
        }

        long shared = (_frames.Statistics.Frames + FramesOf(merged)) * PageSize;
        _neighbours.Exchange(configuration, _deciders, _inputs.AsSpan(0, count), shared, now);
        used += shared + _neighbours.UsedBytes;
        int all = count + _neighbours.Count;
        MakeRoomFor(all);
        _neighbours.Describe(configuration, _inputs.AsSpan(count, all - count));
        var host = new HostMemoryInput { BudgetBytes = BudgetOf(configuration), UsedBytes = used, ProcessorMHz = configuration.ProcessorMHz, Settings = configuration.Settings };
        _decision = _policy.Decide(host, configuration.Pools, _inputs.AsSpan(0, all), _decisions, now);

        // What is not private pages stays as it is until the next decision, as far as the meter is concerned.
        _meter.ScarceFrom = privatePages + ((_decision.FreeBytes - _decision.BlockBelowFreeBytes) / PageSize);
        _meter.ExhaustedFrom = privatePages + (_decision.FreeBytes / PageSize);
        _meter.LookFrom = _decision.State == HostMemoryState.Low
            ? long.MaxValue
            : privatePages + Math.Max(1, (_decision.FreeBytes - _decision.DecideBelowFreeBytes) / PageSize);
        if (_report.Follow(_decision.State, now) is { } told && _neighbours.IsEldest)
        {
            StateChanged?.Invoke(told.Before, told.Now, _decision.FreeBytes);
        }

        // Whoever drives the clock wants all done at once.
        TimeSpan patience = _isDriven ? Timeout.InfiniteTimeSpan : TimeSpan.FromMilliseconds(Math.Clamp(TurnsMilliseconds / count, LeastTurnMilliseconds, MostTurnMilliseconds));
        for (int i = 0; i < count; i++)
        {
            Apply(_deciders[i], _decisions[i], passed, patience);
        }

        return _decision.NextAfter;
    }

    private void MakeRoomFor(int machines)
    {
        if (_inputs.Length < machines)
        {
            Array.Resize(ref _inputs, machines);
            Array.Resize(ref _decisions, machines);
        }
    }

    // What goes wrong with a machine's memory (damaged content, a kernel that refuses) ends that machine, not the process.
    private static void Look(ManagedMemory machine, MemoryConfiguration configuration, bool isMerging, long now)
    {
        try
        {
            machine.Follow(configuration, isMerging);
            if (!machine.HasFailed)
            {
                machine.Count(now);
                machine.Sample(configuration.Settings.SamplePeriodSeconds, now);
            }
        }
        catch (Exception error)
        {
            machine.Fail(error);
        }
    }

    private void Apply(ManagedMemory machine, in MachineMemoryDecision decision, long passed, TimeSpan patience)
    {
        if (machine.HasFailed)
        {
            return;
        }

        try
        {
            machine.Apply(decision, _decision.State, passed, patience);
        }
        catch (Exception error)
        {
            machine.Fail(error);
        }
    }

    // A frame may serve pages of other programs too: machines count for the part of all merged pages that is theirs.
    private static long FramesOf(long merged) =>
        merged > 0 && KernelSamePages.Counters is (var frames, > 0 and var pages) ? (long)Math.Ceiling((double)merged * frames / pages) : 0;

    // Under _lock.
    private void FollowOvercommit()
    {
        long budget = BudgetOf(_source.Current), memory = _neighbours.MemoryBytes;
        foreach (ManagedMemory machine in _machines)
        {
            memory += machine.Plan.MemoryBytes;
        }

        _overcommit.Hold(budget <= 0 ? 0 : Math.Max(0, ((double)memory / budget) - 1), _clock());
    }

    // A pool takes what it reserves or what is promised in it, whichever is more: that is where its own reservation expanded.
    private static long ReservedBy(ManagedMemory[] machines, MemoryConfiguration configuration)
    {
        MemoryPoolPlan[] pools = configuration.Pools;
        long[] inside = new long[pools.Length];
        long reserved = 0;
        foreach (ManagedMemory machine in machines)
        {
            MachineMemoryPlan plan = configuration.Machines.GetValueOrDefault(machine.Id) ?? machine.Plan;
            long wanted = plan.ReservationBytes + machine.PromisedOverheadBytes;
            if (plan.Pool >= 0 && plan.Pool < pools.Length)
            {
                inside[plan.Pool] += wanted;
            }
            else
            {
                reserved += wanted;
            }
        }

        for (int i = pools.Length - 1; i >= 0; i--)
        {
            long taken = Math.Max(inside[i], pools[i].ReservationBytes);
            if (pools[i].Parent >= 0)
            {
                inside[pools[i].Parent] += taken;
            }
            else
            {
                reserved += taken;
            }
        }

        return reserved;
    }

    // Before the inventory has said anything there is as much as one likes.
    private static long BudgetOf(MemoryConfiguration configuration) => Math.Min(configuration.BudgetBytes, NoBudget);

    private void Run()
    {
        long wait = 0;
        while (true)
        {
            _wake.WaitOne(TimeSpan.FromTicks(wait / 100));
            lock (_lock)
            {
                if (_ended || _machines.Count == 0)
                {
                    _thread = null;
                    return;
                }
            }

            wait = Decide();
        }
    }
}
