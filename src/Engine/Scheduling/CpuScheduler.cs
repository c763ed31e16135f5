using System.Diagnostics;
using Hypervisor.Engine.Native.Timing;

namespace Hypervisor.Engine.Scheduling;

/// <summary>
/// Drives <see cref="SchedulingPolicy"/> with real threads: whoever wants to run guest code in this process asks here. A thread of
/// its own ends slices and lets limits go; it sleeps while nobody waits and no limit counts. Thread-safe.
/// </summary>
internal sealed partial class CpuScheduler : IDisposable
{
    // More than a machine can have processors: worlds are numbered within their group.
    private const int IdsPerGroup = 100;

    private readonly Lock _lock = new();
    private readonly SchedulingPolicy _policy;
    private readonly Dictionary<Guid, MachineSchedule> _machines = [];
    private readonly Dictionary<Guid, SchedulingPool> _pools = [];
    private readonly List<WorldPermit> _watched = [];
    private readonly PreciseEvent _wake = new();
    private WorldPermit? _granted;
    private Thread? _clock;
    private long _clockDue = long.MaxValue;
    private bool _limits;
    private int _nextGroup = IdsPerGroup;
    private volatile bool _ended;

    public CpuScheduler(HostTopology topology, SchedulingOptions? options = null) =>
        _policy = new SchedulingPolicy(topology, options) { TimeStolenFrom = StolenTime };

    /// <summary>Physical processors and their speed.</summary>
    public HostTopology Topology => _policy.Topology;

    /// <summary>Now, on the clock that all its times are of, ns.</summary>
    public static long Now => (long)(Stopwatch.GetTimestamp() * (1e9 / Stopwatch.Frequency));

    /// <summary>Times that a world ran away from its NUMA home.</summary>
    public long RemoteDispatches => _policy.RemoteDispatches;

    /// <summary>Takes a machine in, in the pool and with the shares that are planned for it.</summary>
    public MachineSchedule Add(Guid id, string name, int processors, MachinePlan plan)
    {
        lock (_lock)
        {
            long now = Now;
            SchedulingMachine machine = _policy.AddMachine(PoolOf(plan.Pool), name, processors, plan.Cpu, now);
            Apply(machine, plan, now);
            var schedule = new MachineSchedule(this, id, machine) { GroupId = _nextGroup };
            _nextGroup += IdsPerGroup;
            _machines[id] = schedule;
            EnsureClock();
            return schedule;
        }
    }

    /// <summary>Changes what a machine gets, if it runs here. Takes effect at once.</summary>
    public void Change(Guid id, string name, MachinePlan plan)
    {
        lock (_lock)
        {
            if (!_machines.TryGetValue(id, out MachineSchedule? schedule))
            {
                return;
            }

            long now = Now;
            schedule.Machine.Name = name;
            _policy.Move(schedule.Machine, PoolOf(plan.Pool), now);
            _policy.SetEntitlement(schedule.Machine, plan.Cpu, now);
            Apply(schedule.Machine, plan, now);
            LookSoon(now);
        }
    }

    /// <summary>Makes the pools those given, parents before children. A pool that is not among them goes when nothing is in it any more.</summary>
    public void SetPools(IReadOnlyList<PoolPlan> pools)
    {
        lock (_lock)
        {
            long now = Now;
            foreach (PoolPlan plan in pools)
            {
                SchedulingPool parent = PoolOf(plan.Parent);
                if (_pools.TryGetValue(plan.Id, out SchedulingPool? pool))
                {
                    pool.Name = plan.Name;
                    if (pool.Parent != parent)
                    {
                        _policy.Move(pool, parent, now);
                    }

                    _policy.SetEntitlement(pool, plan.Cpu, now);
                }
                else
                {
                    _pools[plan.Id] = _policy.AddPool(parent, plan.Name, plan.Cpu, now);
                }
            }

            HashSet<Guid> kept = [.. pools.Select(static plan => plan.Id)];
            foreach (Guid gone in _pools.Keys.Where(id => !kept.Contains(id)).ToArray())
            {
                Dissolve(_pools[gone], now);
                _pools.Remove(gone);
            }

            LookSoon(now);
        }
    }

    /// <summary>Uses only so many processors, and of those only so many MHz (negative: all).</summary>
    public void SetBudget(int processors, long limitMHz)
    {
        lock (_lock)
        {
            long now = Now;
            _policy.SetBudget(processors, limitMHz, now);
            LookSoon(now);
        }
    }

    /// <summary>Number of a machine's group of worlds; null for a machine that is not here.</summary>
    public int? FindGroup(Guid id)
    {
        lock (_lock)
        {
            return _machines.TryGetValue(id, out MachineSchedule? schedule) ? schedule.GroupId : null;
        }
    }

    /// <summary>What each world of the machines here has done so far.</summary>
    public IReadOnlyList<WorldSample> Sample()
    {
        lock (_lock)
        {
            long now = Now;
            var samples = new List<WorldSample>();
            foreach (MachineSchedule schedule in _machines.Values)
            {
                SchedulingMachine machine = schedule.Machine;
                foreach (World world in machine.Worlds)
                {
                    WorldTimes times = world.TimesAt(now);
                    long used = (world.Tag as WorldPermit)?.UsedTime ?? -1;
                    samples.Add(new WorldSample(
                        schedule.Id, schedule.GroupId, machine.Name, world.Index, now, now - world.Created, times, used < 0 ? times.Run : used, world.State, machine.HomeNode, machine.HomeMigrations, machine.LargestSkew));
                }
            }

            return samples;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _ended = true;
        _wake.Set();
        _clock?.Join();
        _wake.Dispose();
    }

    /// <summary>A thread wants to run, or to go on although it was asked to leave. True when it may at once.</summary>
    internal bool Request(WorldPermit permit)
    {
        bool mayRun;
        WorldPermit? granted;
        lock (_lock)
        {
            World world = permit.World;
            long now = Now;
            permit.Clear();
            if (world.State == WorldState.Running)
            {
                int slot = world.Slot;
                _policy.Stop(world, WorldState.Ready, now);
                permit.UsedAtStop = permit.UsedSeen;
                Dispatch(slot, now, permit);
            }
            else
            {
                WakeDecision decision = _policy.Wake(world, now);
                if (decision.Action == WakeAction.Dispatch)
                {
                    Dispatch(decision.Slot, now, permit);
                }
                else if (decision.Action == WakeAction.Preempt)
                {
                    PermitOf(_policy.RunningOn(decision.Slot)!).RequestLeave();
                }
            }

            DispatchIdle(now, permit);
            mayRun = world.State == WorldState.Running;
            granted = TakeGranted();
        }

        Wake(granted);
        return mayRun;
    }

    /// <summary>A thread does not want to run any more.</summary>
    internal void Withdraw(WorldPermit permit, WorldState next)
    {
        WorldPermit? granted;
        lock (_lock)
        {
            World world = permit.World;
            long now = Now;
            bool ran = world.State == WorldState.Running;
            int slot = world.Slot;
            _policy.Withdraw(world, next, now);
            permit.UsedAtStop = permit.UsedSeen;
            permit.Clear();
            if (ran)
            {
                Dispatch(slot, now, null);
            }

            DispatchIdle(now, null);
            granted = TakeGranted();
        }

        Wake(granted);
    }

    internal void Remove(MachineSchedule schedule)
    {
        WorldPermit? granted;
        lock (_lock)
        {
            long now = Now;
            foreach (World world in schedule.Machine.Worlds)
            {
                // A thread that hangs in its backend still has its processor; others need it.
                bool ran = world.State == WorldState.Running;
                _policy.Withdraw(world, WorldState.Blocked, now);
                if (ran)
                {
                    Dispatch(world.Slot, now, null);
                }
            }

            _watched.RemoveAll(permit => permit.World.Machine == schedule.Machine);
            _policy.Remove(schedule.Machine, now);
            _machines.Remove(schedule.Id);
            DispatchIdle(now, null);
            granted = TakeGranted();
        }

        Wake(granted);
    }

    private static WorldPermit PermitOf(World world) => (WorldPermit)world.Tag!;

    // Other programs of the host had the processor meanwhile: the machine is owed that time. What nobody competes for is not counted.
    private long StolenTime(World world, long now)
    {
        if (!_limits && !_policy.HasWaiting)
        {
            return 0;
        }

        WorldPermit permit = PermitOf(world);
        long used = permit.UsedTime, wall = now - world.RunningSince;
        if (used < 0)
        {
            return 0;
        }

        permit.UsedSeen = used;
        return Math.Clamp(wall - (used - permit.UsedAtStop), 0, wall);
    }

    private SchedulingPool PoolOf(Guid? id) => id is { } known && _pools.TryGetValue(known, out SchedulingPool? pool) ? pool : _policy.Root;

    private void Apply(SchedulingMachine machine, MachinePlan plan, long now)
    {
        machine.LatencySensitivity = plan.Latency;

        // A list may come from a host with more processors: what is not here cannot be used, and nothing usable means everywhere.
        int[] usable = [.. plan.Affinity.Where(cpu => cpu >= 0 && cpu < Topology.Count).Distinct()];
        bool everywhere = usable.Length == 0 || usable.Length == Topology.Count;
        ProcessorSet? affinity = everywhere ? null : new ProcessorSet(Topology.Count, usable);
        if (!Equals(machine.Affinity, affinity))
        {
            _policy.SetAffinity(machine, affinity, now);
            BindAnew();
        }
    }

    private void Dissolve(SchedulingPool pool, long now)
    {
        foreach (SchedulingNode child in pool.Children.ToArray())
        {
            _policy.Move(child, pool.Parent!, now);
        }

        _policy.Remove(pool, now);
    }

    // The thread of the permit given, if any, is the caller: it needs no wake-up.
    private void Dispatch(int slot, long now, WorldPermit? caller)
    {
        if (_policy.Dispatch(slot, now) is not { } world)
        {
            return;
        }

        WorldPermit permit = PermitOf(world);
        Bind(permit, slot);
        if (permit != caller && permit.Grant())
        {
            permit.NextGranted = _granted;
            _granted = permit;
        }
    }

    // Threads are woken after the lock was let go of. One that is woken on the processor of the thread that wakes it runs at once, in its
    // place: with the lock held, everybody else would wait for as long.
    private WorldPermit? TakeGranted()
    {
        WorldPermit? granted = _granted;
        _granted = null;
        return granted;
    }

    private static void Wake(WorldPermit? granted)
    {
        while (granted is { } permit)
        {
            granted = permit.NextGranted;
            permit.NextGranted = null;
            permit.WakeUp();
        }
    }

    private void DispatchIdle(long now, WorldPermit? caller)
    {
        while (_policy.FindWork(now) is >= 0 and int slot)
        {
            Dispatch(slot, now, caller);
        }

        FollowContention();

        // While nobody waits and nothing is limited, slices need no end, and the clock is left asleep.
        if (_limits || _policy.HasWaiting)
        {
            long due = NextEvent();
            if (due < _clockDue)
            {
                _clockDue = due;
                _wake.Set();
            }
        }
    }

    private long NextEvent()
    {
        long due = _policy.NextLimitRelease;
        for (int slot = 0; slot < Topology.Count; slot++)
        {
            due = Math.Min(due, _policy.NextLook(slot));
        }

        return due;
    }

    private void LookSoon(long now)
    {
        _limits = _policy.HasLimits;
        _clockDue = now;
        _wake.Set();
    }

    private void EnsureClock()
    {
        _limits = _policy.HasLimits;
        if (_clock is null)
        {
            _clock = new Thread(RunClock) { IsBackground = true, Name = "cpu scheduler", Priority = ThreadPriority.AboveNormal };
            _clock.Start();
        }
    }

    private void RunClock()
    {
        PreciseEvent.PrepareThread();
        while (!_ended)
        {
            long wait;
            WorldPermit? granted;
            lock (_lock)
            {
                long now = Now;
                Tick(now);
                long due = Math.Min(NextEvent(), LookInside(now));
                if (Topology.NodeCount > 1 && _machines.Count > 0)
                {
                    due = Math.Min(due, now + _policy.Options.RebalancePeriod);
                }

                _clockDue = due;
                wait = due == long.MaxValue ? -1 : Math.Max(0, due - now);
                granted = TakeGranted();
            }

            Wake(granted);
            _wake.Wait(wait);
        }
    }

    private void Tick(long now)
    {
        _policy.Rebalance(now);
        for (int slot = 0; slot < Topology.Count; slot++)
        {
            if (_policy.NextLook(slot) <= now && _policy.MustStop(slot, now))
            {
                PermitOf(_policy.RunningOn(slot)!).RequestLeave();
            }
        }

        while (_policy.FindWork(now) is >= 0 and int idle)
        {
            Dispatch(idle, now, null);
        }
    }
}

/// <summary>What a world has done since it was made.</summary>
/// <param name="MachineId">Its machine.</param>
/// <param name="GroupId">Number of the machine in the scheduler.</param>
/// <param name="MachineName">Name of that.</param>
/// <param name="Index">Index of the virtual processor.</param>
/// <param name="Time">When this was looked at, ns of the scheduler's clock.</param>
/// <param name="Age">Time since it was made, ns; the states' times sum to this.</param>
/// <param name="Times">Time in each state.</param>
/// <param name="Used">Processor time that the operating system counted, ns.</param>
/// <param name="State">What it does now.</param>
/// <param name="HomeNode">NUMA home of its machine, or -1.</param>
/// <param name="HomeMigrations">Times that was changed.</param>
/// <param name="LargestSkew">Most that a processor of its machine was ahead of a waiting sibling, ns.</param>
internal sealed record WorldSample(
    Guid MachineId, int GroupId, string MachineName, int Index, long Time, long Age, WorldTimes Times, long Used, WorldState State, int HomeNode, int HomeMigrations, long LargestSkew);
