using System.Diagnostics;
using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Tests.Unit.Scheduling;

/// <summary>
/// Drives the scheduling policy through simulated time: processors, machines whose worlds run and sleep, no threads and no clock.
/// </summary>
internal sealed class SchedulerSimulation
{
    public const long Microsecond = 1000, Millisecond = 1_000_000, Second = 1_000_000_000;

    private readonly PriorityQueue<Event, (long Time, long Order)> _events = new();
    private readonly int[] _generation;
    private readonly Outside[] _outside;
    private readonly Dictionary<World, Load> _loads = [];
    private readonly Random _random;
    private long _order;
    private long _limitEvent = long.MaxValue;
    private long _spent;

    public SchedulerSimulation(HostTopology topology, int seed = 1, SchedulingOptions? options = null)
    {
        Policy = new SchedulingPolicy(topology, options) { TimeStolenFrom = StolenSinceDispatch };
        _generation = new int[topology.Count];
        _outside = new Outside[topology.Count];
        _random = new Random(seed);
    }

    private enum EventKind
    {
        Wake,
        Look,
        Done,
        Leave,
        LimitRelease,
        Rebalance,
        Outside,
        Action,
    }

    private readonly record struct Event(EventKind Kind, World? World, int Slot, int Generation, Action? Action);

    private sealed class Load
    {
        /// <summary>Mean processor time between two sleeps, and mean sleep, ns; a hog has no sleep.</summary>
        public long Run, Sleep;

        public long Left;

        public long WokeAt = -1;

        /// <summary>
        /// Time on processors that other programs of the host had in truth, ns, up to when it left the last one; and what they had had of
        /// its processor when it was dispatched.
        /// </summary>
        public long Stolen, OutsideBefore;
    }

    /// <summary>Other programs of the host on a processor: how long they have had it, up to when they have it, ns.</summary>
    private struct Outside
    {
        public long Total, Until;

        public readonly bool HasProcessor(long now) => Until > now;

        public readonly long TotalAt(long now) => Total - Math.Max(0, Until - now);

        public void Take(long now, long time)
        {
            long until = Math.Max(Until, now + time);
            Total += until - Math.Max(Until, now);
            Until = until;
        }
    }

    public SchedulingPolicy Policy { get; }

    public long Now { get; private set; }

    /// <summary>Calls of the policy, and what they took of real time.</summary>
    public long Decisions { get; private set; }

    public TimeSpan TimeInPolicy => Stopwatch.GetElapsedTime(0, _spent);

    /// <summary>Measures the policy; costs more than the policy itself.</summary>
    public bool Measures { get; set; }

    /// <summary>
    /// Longest that another program of the host has the processor of a world when it is asked to leave, ns: it leaves so much later, and did not run meanwhile.
    /// </summary>
    public long LongestDisturbance { get; set; }

    /// <summary>
    /// From now on other programs of the host have every processor now and then, each for itself: for these times at the mean, ns. A world
    /// that is there meanwhile keeps its slot, makes no progress and does not leave.
    /// </summary>
    public void AddOutsideLoad(long busy, long free)
    {
        for (int slot = 0; slot < _outside.Length; slot++)
        {
            TakeNowAndThen(slot, busy, free);
        }
    }

    /// <summary>How long worlds with sleeps waited for a processor after each wake, ns.</summary>
    public Dictionary<World, List<long>> WakeLatencies { get; } = [];

    public SchedulingMachine AddHog(SchedulingPool pool, string name, CpuEntitlement settings, int worlds = 1) => Add(pool, name, settings, worlds, Second, 0);

    public SchedulingMachine AddSleeper(SchedulingPool pool, string name, CpuEntitlement settings, long run, long sleep, int worlds = 1) =>
        Add(pool, name, settings, worlds, run, sleep);

    public void At(long time, Action action) => Schedule(time, new Event(EventKind.Action, null, 0, 0, action));

    public void RunUntil(long end)
    {
        if (Policy.Topology.NodeCount > 1 && Now == 0)
        {
            Schedule(Policy.Options.RebalancePeriod, new Event(EventKind.Rebalance, null, 0, 0, null));
        }

        while (_events.TryPeek(out Event happened, out (long Time, long Order) at) && at.Time <= end)
        {
            _events.Dequeue();
            Now = at.Time;
            Handle(happened);
        }

        Now = end;
    }

    /// <summary>Processor time of a machine so far, ns.</summary>
    public long RunTime(SchedulingMachine machine) => machine.Worlds.Sum(world => world.TimesAt(Now).Run);

    /// <summary>Processor time that a machine had in truth, without what other programs had of it, ns.</summary>
    public long UsedTime(SchedulingMachine machine) =>
        RunTime(machine) - machine.Worlds.Sum(world => _loads[world].Stolen + (world.State == WorldState.Running ? StolenSinceDispatch(world, Now) : 0));

    /// <summary>Time that other programs of the host have had of all processors so far, ns.</summary>
    public long OutsideTime => _outside.Sum(outside => outside.TotalAt(Now));

    public void Wake(World world)
    {
        _loads[world].WokeAt = Now;
        if (_loads[world].Left == 0)
        {
            _loads[world].Left = Draw(_loads[world].Run);
        }

        long start = Begin();
        WakeDecision decision = Policy.Wake(world, Now);
        End(start);
        switch (decision.Action)
        {
            case WakeAction.Dispatch:
                Dispatch(decision.Slot);
                break;
            case WakeAction.Preempt:
                LeaveWhenItCan(decision.Slot);
                break;
        }

        DispatchIdle();
    }

    public void Block(World world)
    {
        int slot = world.Slot;
        bool ran = world.State == WorldState.Running;
        Policy.Withdraw(world, WorldState.Blocked, Now);
        if (ran)
        {
            _loads[world].Stolen += StolenSinceDispatch(world, Now);
            _generation[slot]++;
            Dispatch(slot);
        }

        DispatchIdle();
    }

    /// <summary>After a machine was removed: nothing wakes it any more.</summary>
    public void Forget(SchedulingMachine machine)
    {
        foreach (World world in machine.Worlds)
        {
            _loads.Remove(world);
        }
    }

    private SchedulingMachine Add(SchedulingPool pool, string name, CpuEntitlement settings, int worlds, long run, long sleep)
    {
        SchedulingMachine machine = Policy.AddMachine(pool, name, worlds, settings, Now);
        foreach (World world in machine.Worlds)
        {
            _loads[world] = new Load { Run = run, Sleep = sleep };
            if (sleep > 0)
            {
                WakeLatencies[world] = [];
            }

            Schedule(Now + (long)(_random.NextDouble() * Math.Max(sleep, Millisecond)), new Event(EventKind.Wake, world, 0, 0, null));
        }

        return machine;
    }

    private void Schedule(long time, Event what) => _events.Enqueue(what, (Math.Max(time, Now), _order++));

    private void Handle(Event what)
    {
        switch (what.Kind)
        {
            case EventKind.Wake:
                if (_loads.ContainsKey(what.World!) && what.World!.State is (WorldState.Idle or WorldState.Blocked))
                {
                    Wake(what.World);
                }

                break;
            case EventKind.Look when _generation[what.Slot] == what.Generation:
                long start = Begin();
                bool mustStop = Policy.MustStop(what.Slot, Now);
                End(start);
                if (mustStop)
                {
                    if (LongestDisturbance > 0)
                    {
                        _outside[what.Slot].Take(Now, (long)(_random.NextDouble() * LongestDisturbance));
                    }

                    LeaveWhenItCan(what.Slot);
                }
                else
                {
                    Schedule(Math.Max(Now + 1, Policy.RunningOn(what.Slot)!.SliceEnd), what);
                }

                DispatchIdle();
                break;
            case EventKind.Done when _generation[what.Slot] == what.Generation:
                Load load = _loads[what.World!];
                long left = load.Left - (Now - what.World!.RunningSince - StolenSinceDispatch(what.World, Now));
                if (left > 0)
                {
                    Schedule(Math.Max(Now, _outside[what.Slot].Until) + left, what);
                    break;
                }

                Leave(what.Slot, WorldState.Idle);
                Schedule(Now + Draw(load.Sleep), new Event(EventKind.Wake, what.World, 0, 0, null));
                DispatchIdle();
                break;
            case EventKind.Leave when _generation[what.Slot] == what.Generation:
                Leave(what.Slot, WorldState.Ready);
                DispatchIdle();
                break;
            case EventKind.LimitRelease when Now >= _limitEvent:
                _limitEvent = long.MaxValue;
                DispatchIdle();
                break;
            case EventKind.Rebalance:
                Policy.Rebalance(Now);
                DispatchIdle();
                Schedule(Now + Policy.Options.RebalancePeriod, what);
                break;
            case EventKind.Outside:
                what.Action!();
                break;
            case EventKind.Action:
                what.Action!();
                DispatchIdle();
                break;
        }
    }

    private void TakeNowAndThen(int slot, long busy, long free) =>
        Schedule(Now + Exponential(free), new Event(EventKind.Outside, null, slot, 0, () =>
        {
            _outside[slot].Take(Now, Exponential(busy));
            Schedule(_outside[slot].Until, new Event(EventKind.Outside, null, slot, 0, () => TakeNowAndThen(slot, busy, free)));
        }));

    private long Exponential(long mean) => (long)(-Math.Log(1 - _random.NextDouble()) * mean);

    private long StolenSinceDispatch(World world, long now) => _outside[world.Slot].TotalAt(now) - _loads[world].OutsideBefore;

    private void LeaveWhenItCan(int slot)
    {
        if (_outside[slot].HasProcessor(Now))
        {
            Schedule(_outside[slot].Until, new Event(EventKind.Leave, null, slot, _generation[slot], null));
        }
        else
        {
            Leave(slot, WorldState.Ready);
        }
    }

    private void Leave(int slot, WorldState next)
    {
        World world = Policy.RunningOn(slot)!;
        Load load = _loads[world];
        long stolen = StolenSinceDispatch(world, Now);
        load.Left = load.Sleep == 0 ? Second : Math.Max(0, load.Left - (Now - world.RunningSince - stolen));
        _generation[slot]++;
        long start = Begin();
        Policy.Stop(world, next, Now);
        End(start);
        load.Stolen += stolen;
        Dispatch(slot);
    }

    private void Dispatch(int slot)
    {
        long start = Begin();
        World? world = Policy.Dispatch(slot, Now);
        End(start);
        if (world is null)
        {
            return;
        }

        Load load = _loads[world];
        if (load.WokeAt >= 0 && load.Sleep > 0)
        {
            WakeLatencies[world].Add(Now - load.WokeAt);
        }

        load.WokeAt = -1;
        load.OutsideBefore = _outside[slot].TotalAt(Now);
        int generation = ++_generation[slot];
        if (load.Sleep > 0)
        {
            Schedule(Now + load.Left, new Event(EventKind.Done, world, slot, generation, null));
        }

        Schedule(world.SliceEnd, new Event(EventKind.Look, world, slot, generation, null));
    }

    private void DispatchIdle()
    {
        while (true)
        {
            long start = Begin();
            int slot = Policy.FindWork(Now);
            End(start);
            if (slot < 0)
            {
                break;
            }

            Dispatch(slot);
        }

        if (Policy.NextLimitRelease < _limitEvent)
        {
            _limitEvent = Policy.NextLimitRelease;
            Schedule(_limitEvent, new Event(EventKind.LimitRelease, null, 0, 0, null));
        }
    }

    private long Draw(long mean) => mean <= 1 ? 1 : mean == Second ? Second : (long)(mean * (0.5 + _random.NextDouble()));

    private long Begin() => Measures ? Stopwatch.GetTimestamp() : 0;

    private void End(long start)
    {
        Decisions++;
        if (Measures)
        {
            _spent += Stopwatch.GetTimestamp() - start;
        }
    }
}
