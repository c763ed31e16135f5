namespace Hypervisor.Engine.Scheduling;

/// <summary>What a world does.</summary>
internal enum WorldState
{
    /// <summary>Has nothing to do: halted.</summary>
    Idle,

    /// <summary>Does not want a processor for another reason: paused, powering on, blocked in the engine.</summary>
    Blocked,

    /// <summary>Wants a processor and has none.</summary>
    Ready,

    /// <summary>Has one.</summary>
    Running,

    /// <summary>Could run, but is ahead of a sibling that has no processor.</summary>
    CoStopped,
}

/// <summary>One schedulable thread: a virtual processor of a machine.</summary>
internal sealed class World
{
    internal const int NoSlot = -1;

    internal int HeapPosition = -1;

    private long _stateSince;
    private long _limitedBase;

    internal World(SchedulingMachine machine, int index, long now)
    {
        Machine = machine;
        Index = index;
        Created = _stateSince = now;
    }

    /// <summary>The machine it belongs to.</summary>
    public SchedulingMachine Machine { get; }

    /// <summary>Index among its machine's.</summary>
    public int Index { get; }

    public WorldState State { get; private set; } = WorldState.Blocked;

    /// <summary>Physical processor it runs on, or ran on last; <see cref="NoSlot"/> before the first time.</summary>
    public int Slot { get; internal set; } = NoSlot;

    /// <summary>When it has to let others run, ns; only of a running one.</summary>
    public long SliceEnd { get; internal set; }

    /// <summary>Since when it runs without a break, ns; only of a running one.</summary>
    public long RunningSince { get; internal set; }

    /// <summary>When it was made, ns.</summary>
    public long Created { get; }

    /// <summary>Whoever drives the policy may keep its own object here.</summary>
    public object? Tag { get; set; }

    /// <summary>Up to when its machine and pools have been charged for it, ns.</summary>
    internal long ChargedUntil { get; set; }

    /// <summary>Time since it was dispatched in which something else had its processor, as far as that is known, ns.</summary>
    internal long StolenTime { get; set; }

    /// <summary>Processor time by which siblings are compared, ns: what it ran, and what it would have run while it had nothing to do.</summary>
    internal long Progress { get; set; }

    /// <summary>It was asked to leave its processor.</summary>
    internal bool StopRequested { get; set; }

    /// <summary>It used up a slice since it woke: a hog, as far as one knows.</summary>
    internal bool UsedSlice { get; set; }

    internal WorldTimes Times;

    /// <summary>Processor time that the operating system says it used, ns; kept by the driver.</summary>
    internal long UsedTime;

    /// <summary>Its times up to a moment; they sum to the time since it was made.</summary>
    public WorldTimes TimesAt(long now)
    {
        WorldTimes times = Times;
        Add(ref times, now);
        return times;
    }

    internal void Enter(WorldState state, long now)
    {
        Add(ref Times, now);
        _stateSince = Math.Max(_stateSince, now);
        if (state == WorldState.Ready)
        {
            _limitedBase = Machine.LimitedTime(now);
        }

        State = state;
    }

    private void Add(ref WorldTimes times, long now)
    {
        long passed = now - _stateSince;
        if (passed <= 0)
        {
            return;
        }

        switch (State)
        {
            case WorldState.Idle:
                times.Idle += passed;
                break;
            case WorldState.Blocked:
                times.Blocked += passed;
                break;
            case WorldState.Running:
                times.Run += passed;
                break;
            case WorldState.CoStopped:
                times.CoStop += passed;
                break;
            default:
                times.Ready += passed;
                times.Limited += Machine.LimitedTime(now) - _limitedBase;
                break;
        }
    }
}

/// <summary>How long a world has been in each state, ns, and how often things happened to it.</summary>
internal struct WorldTimes
{
    public long Run, Ready, CoStop, Idle, Blocked;

    /// <summary>Part of <see cref="Ready"/> in which a limit held it.</summary>
    public long Limited;

    /// <summary>Times it was given a processor; times another one than before; times it had to leave one for another world.</summary>
    public long Dispatches, Migrations, Preemptions;

    public readonly long Wait => Idle + Blocked;

    public readonly long Total => Run + Ready + CoStop + Wait;
}
