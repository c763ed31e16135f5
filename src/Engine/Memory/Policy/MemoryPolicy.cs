namespace Hypervisor.Engine.Memory.Policy;

/// <summary>
/// Decides what each machine's memory is to become: pure, with explicit time and inputs. It remembers the host's state, and of each
/// machine what <see cref="MachineMemoryHistory"/> holds. Not thread-safe. A decision allocates nothing once its arrays have grown.
/// </summary>
internal sealed partial class MemoryPolicy
{
    private const long PageSize = (long)GuestMemory.PageSize, Second = 1_000_000_000, LongestStep = Second;
    private const int Percent = 100;

    // More memory than there is.
    private const double NoBound = 1L << 60;

    private readonly MemoryPolicyOptions _options;
    private readonly MemoryEntitlement _entitlement = new();
    private long[] _entitled = [], _fair = [], _limited = [], _limitedFair = [], _gaps = [];
    private HostMemoryState _state;
    private long _decided = long.MinValue;

    public MemoryPolicy(MemoryPolicyOptions? options = null) => _options = options ?? new MemoryPolicyOptions();

    /// <summary>The state after the last decision.</summary>
    public HostMemoryState State => _state;

    /// <summary>Decides.</summary>
    /// <param name="host">The host.</param>
    /// <param name="pools">Its pools, each after the one it is in.</param>
    /// <param name="machines">The machines that run, in any order.</param>
    /// <param name="decisions">Takes one decision for each machine, in the same order.</param>
    /// <param name="now">Time, ns, never less than at the decision before.</param>
    /// <returns>What concerns the whole host.</returns>
    /// <exception cref="ArgumentException"><paramref name="decisions"/> is too short.</exception>
    public HostMemoryDecision Decide(
        in HostMemoryInput host, ReadOnlySpan<MemoryPoolPlan> pools, ReadOnlySpan<MachineMemoryInput> machines, Span<MachineMemoryDecision> decisions, long now)
    {
        if (decisions.Length < machines.Length)
        {
            throw new ArgumentException("There is a decision for each machine.", nameof(decisions));
        }

        long minFree = FreeMemoryThresholds.MinFree(host.BudgetBytes), free = host.BudgetBytes - host.UsedBytes;
        _state = FreeMemoryThresholds.Next(_state, free, minFree);
        long passed = _decided == long.MinValue ? LongestStep : Math.Clamp(now - _decided, 0, LongestStep);
        _decided = now;
        Grow(machines.Length);
        DivideMemory(in host, pools, machines, free, minFree);

        long missing = Math.Max(0, Goal(minFree) - free), fast = Math.Max(0, Goal(FreeMemoryThresholds.Exit(HostMemoryState.Hard, minFree)) - free), reclaimable = 0;
        long gaps = FindGaps(machines);
        for (int i = 0; i < machines.Length; i++)
        {
            // In the states hard and low so much is evicted from each machine that together they leave the state hard.
            long evict = _state >= HostMemoryState.Hard && gaps > 0 ? (long)Math.Min(_gaps[i], (double)_gaps[i] * fast / gaps) : 0;
            decisions[i] = DecideMachine(in machines[i], i, evict, _state == HostMemoryState.High && host.Settings.AllowsLargePages, passed, now);
            long room = decisions[i].IsBalloonFailing ? 0 : BalloonRoom(in machines[i], _entitled[i]);
            reclaimable += Math.Min(_gaps[i], room + Math.Max(0, machines[i].EvictionRoomBytes));
        }

        ShareFreeMemory(machines, decisions, free, minFree, passed);
        ScanForSharing(in host, machines, decisions);
        return new HostMemoryDecision
        {
            State = _state,
            MinFreeBytes = minFree,
            FreeBytes = free,
            BlockBelowFreeBytes = _state == HostMemoryState.Low ? FreeMemoryThresholds.Exit(_state, minFree) : FreeMemoryThresholds.Entry(HostMemoryState.Low, minFree),
            DecideBelowFreeBytes = _state == HostMemoryState.Low ? long.MinValue : FreeMemoryThresholds.Entry(_state + 1, minFree),
            DecideAboveFreeBytes = FreeMemoryThresholds.Exit(_state, minFree),
            UnreclaimableBytes = _state >= HostMemoryState.Soft ? Math.Max(0, missing - reclaimable) : 0,
            NextAfter = _state switch
            {
                HostMemoryState.Low => _options.LowPeriod,
                HostMemoryState.Hard => _options.HardPeriod,
                _ => _options.Period,
            },
        };
    }

    // A little more than what a state is left at, so that it is left.
    private long Goal(long threshold) => threshold * _options.GoalPercent / Percent;

    // What is to be divided follows from what is free: however memory is counted, the machines together give back what is missing.
    private void DivideMemory(in HostMemoryInput host, ReadOnlySpan<MemoryPoolPlan> pools, ReadOnlySpan<MachineMemoryInput> machines, long free, long minFree)
    {
        double available = free - Goal(minFree);
        foreach (ref readonly MachineMemoryInput machine in machines)
        {
            available += (double)Math.Max(0, machine.ConsumedBytes) + Math.Max(0, machine.OverheadBytes);
        }

        _entitlement.Measure(pools, machines, host.Settings.SamplePeriodSeconds > 0 ? host.Settings.IdleTaxPercent : 0);
        _entitlement.Divide(available, machines, _entitled, _fair);

        // What limits alone leave: what is above has to go even where there is plenty.
        if (_entitlement.HasPoolLimits)
        {
            _entitlement.Divide(NoBound, machines, _limited, _limitedFair);
            return;
        }

        for (int i = 0; i < machines.Length; i++)
        {
            _limited[i] = MemoryEntitlement.DemandOf(in machines[i]);
            _limitedFair[i] = Math.Min(machines[i].Plan.MemoryBytes, machines[i].Plan.LimitBytes);
        }
    }

    // How far each machine is above what it may have now, and the sum.
    private long FindGaps(ReadOnlySpan<MachineMemoryInput> machines)
    {
        long sum = 0;
        for (int i = 0; i < machines.Length; i++)
        {
            long most = _state >= HostMemoryState.Soft ? Math.Min(_entitled[i], _limited[i]) : _limited[i];
            _gaps[i] = Math.Max(0, machines[i].ConsumedBytes - Math.Max(most, Math.Min(machines[i].Plan.ReservationBytes, machines[i].Plan.LimitBytes)));
            sum += _gaps[i];
        }

        return sum;
    }

    // Memory that is free beyond need brings back what was swapped out, in proportion to what machines may have.
    private void ShareFreeMemory(ReadOnlySpan<MachineMemoryInput> machines, Span<MachineMemoryDecision> decisions, long free, long minFree, long passed)
    {
        long spare = (free - FreeMemoryThresholds.Exit(HostMemoryState.Clear, minFree)) / 2;
        if (_state != HostMemoryState.High || spare <= 0)
        {
            return;
        }

        double wanted = 0;
        for (int i = 0; i < machines.Length; i++)
        {
            wanted += Restorable(in machines[i], _entitled[i], passed);
        }

        for (int i = 0; i < machines.Length && wanted > 0; i++)
        {
            decisions[i] = decisions[i] with { RestoreBytes = Pages((long)(Restorable(in machines[i], _entitled[i], passed) * Math.Min(1, spare / wanted))) };
        }
    }

    private long Restorable(in MachineMemoryInput machine, long entitlement, long passed)
    {
        long away = Math.Max(0, machine.SwappedBytes) + Math.Max(0, machine.CompressedBytes);
        return Math.Clamp(Math.Min(away, entitlement - machine.ConsumedBytes), 0, Step(machine.Plan, _options.EvictDivisor, passed));
    }

    // What may move in so much time.
    private long Step(MachineMemoryPlan plan, int divisor, long passed) =>
        (long)((double)Math.Max(_options.LeastStepBytes, plan.MemoryBytes / divisor) * passed / Second);

    private static long Pages(long bytes) => bytes / PageSize * PageSize;

    private void Grow(int count)
    {
        if (count > _gaps.Length)
        {
            int size = Math.Max(count, 2 * _gaps.Length);
            _entitled = new long[size];
            _fair = new long[size];
            _limited = new long[size];
            _limitedFair = new long[size];
            _gaps = new long[size];
        }
    }
}
