namespace Hypervisor.Engine.Scheduling;

/// <summary>
/// Decides which world runs on which physical processor: a tree of pools and machines with shares, reservations and limits. It has
/// no threads and no clock; whoever drives it says what happened and when (ns, never backwards), and carries out what it decides.
/// A decision costs O(depth · log n) and allocates nothing. Not thread-safe.
/// </summary>
/// <remarks>
/// Each pool orders what waits in it by virtual time (processor time divided by shares), ahead of which goes what is behind its
/// reservation; what has reached its limit stands outside until its time has come. A world is charged for a whole slice when it is
/// dispatched and gets back what it did not use, so that several processors that choose at the same time do not all choose the same
/// machine. The part of the driver: <see cref="Wake"/> when a world has work, <see cref="Stop"/> when it leaves its processor,
/// <see cref="Dispatch"/> for a processor that is free, and again when <see cref="NextLimitRelease"/> has come.
/// </remarks>
internal sealed partial class SchedulingPolicy
{
    // Units of virtual time in a nanosecond at one share: keeps four digits at the most shares.
    private const long SharesScale = 1000;

    // Slices by which a node that is served for its reservation may get ahead of its shares.
    private const int ReservedAhead = 4;

    private readonly SchedulingOptions _options;
    private readonly ProcessorSlot[] _slots;
    private readonly ProcessorSet _enabled, _idle;
    private readonly IndexedHeap<InThrottled> _throttled = new();

    public SchedulingPolicy(HostTopology topology, SchedulingOptions? options = null)
    {
        Topology = topology;
        _options = options ?? new SchedulingOptions();
        _slots = [.. Enumerable.Range(0, topology.Count).Select(static _ => new ProcessorSlot())];
        _enabled = new ProcessorSet(topology.Count, Enumerable.Range(0, topology.Count));
        _idle = new ProcessorSet(topology.Count, Enumerable.Range(0, topology.Count));
        EnabledCount = topology.Count;
        ClassFor(null, -1);
    }

    public HostTopology Topology { get; }

    public SchedulingOptions Options => _options;

    /// <summary>The pool that everything is in; its limit is the host's budget.</summary>
    public SchedulingPool Root { get; } = new("Resources");

    /// <summary>Processors in use.</summary>
    public int EnabledCount { get; private set; }

    /// <summary>Times that a world ran on a processor that is not at home for it.</summary>
    public long RemoteDispatches { get; private set; }

    /// <summary>When the next limit lets go of what it holds, ns; <see cref="long.MaxValue"/> when none does.</summary>
    public long NextLimitRelease => _throttled.Count > 0 ? _throttled.TopKey : long.MaxValue;

    /// <summary>Some world wants a processor and has none.</summary>
    public bool HasWaiting => Root.ActiveWorlds > Root.RunningWorlds;

    /// <summary>
    /// Says for how long, since it was dispatched, something else has had the processor of a world that runs, ns: it is not charged for that. Null: never.
    /// </summary>
    public Func<World, long, long>? TimeStolenFrom { get; set; }

    /// <summary>World that runs on a processor, or null.</summary>
    public World? RunningOn(int slot) => _slots[slot].Running;

    /// <summary>
    /// A world has work. Says on which processor something is to be done: <see cref="Dispatch"/> on an idle one, or ask the world
    /// that runs there to stop.
    /// </summary>
    public WakeDecision Wake(World world, long now)
    {
        Advance(now);
        if (world.State is not (WorldState.Idle or WorldState.Blocked))
        {
            return default;
        }

        SchedulingMachine machine = world.Machine;
        for (SchedulingNode? node = machine; node is not null; node = node.Parent)
        {
            node.ActiveWorlds++;
        }

        UpdateReservations(machine, now);
        world.UsedSlice = false;
        // A processor that had nothing to do did not fall behind its siblings.
        world.Progress = Math.Max(world.Progress, FrontProgressOf(machine, now));
        int idle = FindIdle(world);
        if (idle < 0)
        {
            SettleRunning(machine, now);
        }

        MakeReady(world, now, woke: true);
        return IsHeldBack(machine) ? default
            : idle >= 0 ? new WakeDecision(WakeAction.Dispatch, idle)
            : FindVictim(world, now);
    }

    /// <summary>Gives a free processor to the world that is next, or leaves it idle and returns null.</summary>
    public World? Dispatch(int slot, long now)
    {
        Advance(now);
        ProcessorSlot processor = _slots[slot];
        if (processor.Running is not null || !_enabled.Contains(slot) || Root.IsThrottled)
        {
            return null;
        }

        World? world = Pick(processor.Home, processor.Home, now);
        if (world is null)
        {
            world = Pick(processor.Foreign, [], now);
            if (world is null)
            {
                return null;
            }

            RemoteDispatches++;
        }

        Start(world, slot, now);
        return world;
    }

    /// <summary>A world leaves its processor: it has no work (idle or blocked), or others are to have the processor (ready).</summary>
    public void Stop(World world, WorldState next, long now)
    {
        Advance(now);
        SchedulingMachine machine = world.Machine;
        Settle(world, now);
        ProcessorSlot slot = _slots[world.Slot];
        slot.Running = null;
        if (_enabled.Contains(world.Slot))
        {
            _idle.Add(world.Slot);
        }

        world.Progress += now - world.RunningSince - world.StolenTime;
        machine.FrontProgress = Math.Max(machine.FrontProgress, world.Progress - _options.Slice);
        world.StopRequested = false;
        for (SchedulingNode? node = machine; node is not null; node = node.Parent)
        {
            node.RunningWorlds--;
        }

        if (next != WorldState.Ready)
        {
            BecomeInactive(world, next, now);
        }
        else
        {
            world.UsedSlice |= now >= world.SliceEnd;
            world.Times.Preemptions++;
            StopInFavourOfOthers(world, now);
        }

        ReleaseCoStopped(machine, now);
    }

    /// <summary>A world does not want a processor any more. If it has one it leaves it, as in <see cref="Stop"/>.</summary>
    public void Withdraw(World world, WorldState next, long now)
    {
        Advance(now);
        SchedulingMachine machine = world.Machine;
        switch (world.State)
        {
            case WorldState.Ready:
                machine.Ready.Remove(world);
                if (machine.Ready.Count == 0)
                {
                    Dequeue(machine, machine.AffinityClass);
                }

                BecomeInactive(world, next, now);
                break;
            case WorldState.CoStopped:
                RemoveCoStopped(machine, Array.IndexOf(machine.CoStopped, world, 0, machine.CoStoppedCount));
                BecomeInactive(world, next, now);
                break;
            case WorldState.Running:
                Stop(world, next, now);
                return;
            default:
                world.Enter(next, now);
                return;
        }

        ReleaseCoStopped(machine, now);
    }

    /// <summary>A free processor that something waits for, or -1: after a limit let go, or a co-stop ended.</summary>
    public int FindWork(long now)
    {
        Advance(now);
        if (Root.IsThrottled || _idle.IsEmpty)
        {
            return -1;
        }

        int served = 0;
        for (int c = 0; c < Root.Queues.Length; c++)
        {
            if (Root.HasReady(c) && _idle.FirstCommon(_classes[c].Allowed) >= 0)
            {
                _served[served++] = c;
            }
        }

        // There may be idle processors for machines of all nodes and affinities, and a limit that lets one run: the most due of them all.
        return served == 0 ? -1 : IdleFor(FirstWaiting(Root, _served.AsSpan(0, served), now)!.AffinityClass);
    }

    /// <summary>
    /// When the driver is to look at a running world, ns: at the end of its slice when something waits for its processor or a limit
    /// counts, else <see cref="long.MaxValue"/>.
    /// </summary>
    public long NextLook(int slot)
    {
        World? world = _slots[slot].Running;
        return world is not null && !world.StopRequested && (IsWanted(slot) || IsLimited(world.Machine) || !_enabled.Contains(slot) || !MayBeOn(world, slot)) ? world.SliceEnd : long.MaxValue;
    }

    /// <summary>Whether the world on a processor, whose slice is over, has to stop. If not, it goes on for another slice.</summary>
    public bool MustStop(int slot, long now)
    {
        Advance(now);
        World? world = _slots[slot].Running;
        if (world is null || now < world.SliceEnd)
        {
            return false;
        }

        if (IsWanted(slot) || !MayBeOn(world, slot) || !_enabled.Contains(slot) || IsHeldBack(world.Machine))
        {
            world.StopRequested = true;
            return true;
        }

        Settle(world, now);
        Prepay(world, _options.Slice, now);
        ForgetTimeAlone(world);
        return false;
    }

    private readonly struct InThrottled(SchedulingNode node) : IHeapItem
    {
        private readonly SchedulingNode _node = node;

        public ref int Position => ref _node.ThrottlePosition;

        public static implicit operator InThrottled(SchedulingNode node) => new(node);

        public static implicit operator SchedulingNode(InThrottled item) => item._node;
    }

    private void Start(World world, int slot, long now)
    {
        SchedulingMachine machine = world.Machine;
        machine.Ready.Remove(world);
        if (machine.Ready.Count == 0)
        {
            Dequeue(machine, machine.AffinityClass);
        }

        machine.RunningLead = machine.RunningWorlds == 0 ? world.Progress - now : Math.Max(machine.RunningLead, world.Progress - now);
        for (SchedulingNode? node = machine; node is not null; node = node.Parent)
        {
            node.RunningWorlds++;
        }

        if (world.Slot != slot && world.Slot != World.NoSlot)
        {
            world.Times.Migrations++;
        }

        world.Times.Dispatches++;
        world.Enter(WorldState.Running, now);
        world.Slot = slot;
        world.RunningSince = world.ChargedUntil = now;
        world.StolenTime = 0;
        machine.FrontProgress = Math.Max(machine.FrontProgress, world.Progress);
        _slots[slot].Running = world;
        _idle.Remove(slot);
        Prepay(world, SliceOf(world), now);
        ReleaseCoStopped(machine, now);
    }

    private void BecomeInactive(World world, WorldState next, long now)
    {
        world.Enter(next, now);
        for (SchedulingNode? node = world.Machine; node is not null; node = node.Parent)
        {
            node.ActiveWorlds--;
        }

        UpdateReservations(world.Machine, now);
    }

    private void MakeReady(World world, long now, bool woke)
    {
        world.Enter(WorldState.Ready, now);
        SchedulingMachine machine = world.Machine;
        machine.Ready.Insert(world, world.Progress);
        Enqueue(machine, machine.AffinityClass, woke ? world : null);
    }

    private World? Pick(int[] classes, int[] advancing, long now)
    {
        SchedulingNode node = Root;
        while (node is SchedulingPool pool)
        {
            (QueueEntry? best, bool reserved) = FirstOf(pool, classes, now);
            if (best is null)
            {
                return null;
            }

            if (reserved)
            {
                BoundLead(best);
            }
            else
            {
                pool.ServedByShares = now;
                AdvanceFront(pool, advancing, best.AffinityClass, best.Node.VirtualTime);
            }

            node = best.Node;
        }

        return ((SchedulingMachine)node).Ready.Top;
    }

    // The machine that is next of those of some classes that wait in a pool.
    private SchedulingMachine? FirstWaiting(SchedulingPool pool, ReadOnlySpan<int> classes, long now)
    {
        SchedulingNode? node = pool;
        while (node is SchedulingPool inner)
        {
            node = FirstOf(inner, classes, now).Entry?.Node;
        }

        return (SchedulingMachine?)node;
    }

    // Who is next of those that wait in a pool: who is longest due by its reservation, else who had least for its shares.
    private (QueueEntry? Entry, bool Reserved) FirstOf(SchedulingPool pool, ReadOnlySpan<int> classes, long now)
    {
        QueueEntry? best = null;
        long bestKey = 0;
        bool reserved = false, mayReserve = now - pool.ServedByShares < _options.StarvationBound;
        ReadyQueue?[] queues = pool.Queues;
        foreach (int c in classes)
        {
            if (c >= queues.Length || queues[c] is not { IsEmpty: false } queue)
            {
                continue;
            }

            if (mayReserve && queue.FirstDue(now) is { } due)
            {
                if (!reserved || due.Node.ReservationTag - bestKey < 0)
                {
                    (best, bestKey, reserved) = (due, due.Node.ReservationTag, true);
                }
            }
            else if (!reserved && queue.FirstByShares() is { } first && (best is null || first.Node.VirtualTime - bestKey < 0))
            {
                (best, bestKey) = (first, first.Node.VirtualTime);
            }
        }

        return (best, reserved);
    }

    // What is served for its reservation although its shares alone would give it less gets ever further ahead of its siblings. If it
    // had to give that back one day, it would starve.
    private void BoundLead(QueueEntry entry)
    {
        SchedulingNode node = entry.Node;
        long ahead = (ReservedAhead + node.RunningWorlds) * _options.Slice * SharesScale / node.Settings.Shares;
        long bound = node.Parent!.QueueFor(entry.AffinityClass).Front + ahead;
        if (node.VirtualTime - bound > 0)
        {
            node.VirtualTime = bound;
        }
    }

    private static void AdvanceFront(SchedulingPool pool, int[] classes, int own, long virtualTime)
    {
        ReadyQueue?[] queues = pool.Queues;
        foreach (int c in classes)
        {
            if (c < queues.Length && queues[c] is { } queue && virtualTime - queue.Front > 0)
            {
                queue.Front = virtualTime;
            }
        }

        ReadyQueue of = pool.QueueFor(own);
        if (virtualTime - of.Front > 0)
        {
            of.Front = virtualTime;
        }
    }

    /// <summary>Puts a node, and the pools around it, into the queues; a woken world's credit goes to what was asleep with it.</summary>
    private void Enqueue(SchedulingNode node, int affinityClass, World? woken)
    {
        while (node.Parent is { } parent && !node.IsThrottled)
        {
            QueueEntry entry = node.EntryFor(affinityClass);
            if (entry.IsQueued)
            {
                return;
            }

            ReadyQueue queue = parent.QueueFor(affinityClass);
            if (!node.IsQueued)
            {
                long credit = woken is null || node.ActiveWorlds > 1 ? _options.RunCredit
                    : woken.Machine.LatencySensitivity == LatencySensitivity.High ? _options.WakeCredit * 4 : _options.WakeCredit;
                long least = queue.Front - (credit * SharesScale / node.Settings.Shares);
                if (least - node.VirtualTime > 0)
                {
                    node.VirtualTime = least;
                }
            }

            queue.Insert(entry);
            node = parent;
        }
    }

    private static void Dequeue(SchedulingNode node, int affinityClass)
    {
        while (node.Parent is { } parent)
        {
            QueueEntry entry = node.EntryFor(affinityClass);
            if (!entry.IsQueued)
            {
                return;
            }

            ReadyQueue queue = parent.QueueFor(affinityClass);
            queue.Remove(entry);
            if (!queue.IsEmpty)
            {
                return;
            }

            node = parent;
        }
    }

    private void EnqueueAll(SchedulingNode node)
    {
        if (node is SchedulingMachine { Ready.Count: > 0 } machine)
        {
            Enqueue(machine, machine.AffinityClass, null);
        }
        else if (node is SchedulingPool pool)
        {
            for (int c = 0; c < pool.Queues.Length; c++)
            {
                if (pool.HasReady(c))
                {
                    Enqueue(pool, c, null);
                }
            }
        }
    }

    private static void DequeueAll(SchedulingNode node)
    {
        while (node.IsQueued)
        {
            Dequeue(node, node.Queued[^1].Entry.AffinityClass);
        }
    }

    // Its affinity may have been changed while it ran.
    private bool MayBeOn(World world, int slot) => _classes[world.Machine.AffinityClass].Allowed.Contains(slot);

    private bool IsWanted(int slot) => !Root.IsThrottled && AnyReady(Root, _slots[slot].Home);

    private static bool IsHeldBack(SchedulingNode? node)
    {
        for (; node is not null; node = node.Parent)
        {
            if (node.IsThrottled)
            {
                return true;
            }
        }

        return false;
    }

    private static bool IsLimited(SchedulingNode? node)
    {
        for (; node is not null; node = node.Parent)
        {
            if (node.EffectiveLimit > 0)
            {
                return true;
            }
        }

        return false;
    }
}

/// <summary>What is to be done when a world has become ready.</summary>
internal enum WakeAction
{
    /// <summary>Nothing: it waits for its turn.</summary>
    None,

    /// <summary>Dispatch on the processor, which is idle.</summary>
    Dispatch,

    /// <summary>The world that runs on the processor is to stop.</summary>
    Preempt,
}

/// <param name="Action">What.</param>
/// <param name="Slot">On which processor.</param>
internal readonly record struct WakeDecision(WakeAction Action, int Slot);
