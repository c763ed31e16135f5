namespace Hypervisor.Engine.Scheduling;

// The tree of pools and machines, and what of the host may be used. Changes take effect with the next decision.
internal sealed partial class SchedulingPolicy
{
    private readonly List<AffinityClass> _classes = [];
    private int[] _allClasses = [], _served = [];
    private bool _anyReservations;

    /// <summary>Sum of the speeds of the processors in use, MHz.</summary>
    public long CapacityMHz => (long)EnabledCount * Topology.ProcessorMHz;

    /// <summary>Some limit is lower than what could be used.</summary>
    public bool HasLimits => IsAnyLimited(Root);

    /// <summary>Makes a pool in another.</summary>
    public SchedulingPool AddPool(SchedulingPool parent, string name, CpuEntitlement settings, long now)
    {
        var pool = new SchedulingPool(name);
        Attach(pool, parent, now);
        SetEntitlement(pool, settings, now);
        return pool;
    }

    /// <summary>Makes a machine in a pool. Its worlds are blocked.</summary>
    public SchedulingMachine AddMachine(SchedulingPool parent, string name, int worlds, CpuEntitlement settings, long now)
    {
        var machine = new SchedulingMachine(name, worlds, now);
        Attach(machine, parent, now);
        ChooseHome(machine);
        SetEntitlement(machine, settings, now);
        return machine;
    }

    /// <summary>Takes out a machine whose worlds want no processor, or a pool with nothing in it.</summary>
    public void Remove(SchedulingNode node, long now)
    {
        Advance(now);
        if (node.ActiveWorlds > 0 || node is SchedulingPool { Children.Count: > 0 } || node.Parent is not { } parent)
        {
            throw new InvalidOperationException($"'{node.Name}' is in use.");
        }

        if (node.IsThrottled)
        {
            Unthrottle(node, now);
        }

        parent.Children.Remove(node);
        node.Parent = null;
    }

    /// <summary>Changes shares, reservation and limit.</summary>
    public void SetEntitlement(SchedulingNode node, CpuEntitlement settings, long now)
    {
        Advance(now);
        ArgumentOutOfRangeException.ThrowIfLessThan(settings.Shares, Shares.Min);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(settings.Shares, Shares.Max);
        ArgumentOutOfRangeException.ThrowIfNegative(settings.ReservationMHz);
        int sharesBefore = node.Settings.Shares;
        node.Settings = settings;
        _anyReservations |= settings.ReservationMHz > 0;
        if (node.Parent is { } parent && settings.Shares != sharesBefore)
        {
            // Processor time owed or had in advance stays the same; in virtual time it is now another amount.
            long front = FrontOf(node, parent);
            node.VirtualTime = front + ((node.VirtualTime - front) * sharesBefore / settings.Shares);
            node.LowerKeys(parent);
        }

        UpdateReservations(node, now);
        UpdateLimit(node, now);
    }

    /// <summary>Puts a machine or pool into another pool, running or not.</summary>
    public void Move(SchedulingNode node, SchedulingPool target, long now)
    {
        Advance(now);
        if (target.IsWithin(node))
        {
            throw new InvalidOperationException($"'{node.Name}' cannot be moved into itself.");
        }

        if (node.Parent is not { } source || source == target)
        {
            return;
        }

        // What runs is paid up to now by those who had it; its next slice is the new pool's.
        SettleWithin(node, now);
        DequeueAll(node);
        source.ChildrenReservation -= node.ActiveReservation;
        Count(source, -node.ActiveWorlds, -node.RunningWorlds);
        UpdateReservations(source, now);
        source.Children.Remove(node);

        Attach(node, target, now);
        target.ChildrenReservation += node.ActiveReservation;
        Count(target, node.ActiveWorlds, node.RunningWorlds);
        UpdateReservations(target, now);
        EnqueueAll(node);
    }

    /// <summary>Says which physical processors a machine may use; null for all.</summary>
    public void SetAffinity(SchedulingMachine machine, ProcessorSet? affinity, long now)
    {
        Advance(now);
        if (affinity is { Count: 0 })
        {
            throw new ArgumentException("A machine needs a processor.", nameof(affinity));
        }

        machine.Affinity = affinity;
        ChooseHome(machine);
        ChangeClass(machine, now);
    }

    /// <summary>Uses only the first processors of the host, and of those only so many MHz (negative: all).</summary>
    public void SetBudget(int processors, long limitMHz, long now)
    {
        Advance(now);
        EnabledCount = Math.Clamp(processors, 1, _slots.Length);
        for (int i = 0; i < _slots.Length; i++)
        {
            if (i >= EnabledCount)
            {
                _enabled.Remove(i);
                _idle.Remove(i);
                if (_slots[i].Running is { } running)
                {
                    running.SliceEnd = now;
                }
            }
            else
            {
                _enabled.Add(i);
                if (_slots[i].Running is null)
                {
                    _idle.Add(i);
                }
            }
        }

        Root.Settings = Root.Settings with { LimitMHz = limitMHz };
        UpdateLimit(Root, now);
    }

    private static bool IsAnyLimited(SchedulingNode node) =>
        node.EffectiveLimit > 0 || (node is SchedulingPool pool && pool.Children.Any(IsAnyLimited));

    private static long FrontOf(SchedulingNode node, SchedulingPool parent) =>
        node.AnyEntry is { } entry ? parent.QueueFor(entry.AffinityClass).Front : node.VirtualTime;

    private static void Attach(SchedulingNode node, SchedulingPool parent, long now)
    {
        node.MoveTo(parent, now);
        parent.Children.Add(node);
        // It begins where the pool is, neither with a debt nor with a claim.
        node.VirtualTime = parent.QueueFor((node as SchedulingMachine)?.AffinityClass ?? 0).Front;
    }

    private static void Count(SchedulingNode? node, int active, int running)
    {
        for (; node is not null; node = node.Parent)
        {
            node.ActiveWorlds += active;
            node.RunningWorlds += running;
        }
    }

    // Charges what runs in a node up to now, and has it looked at soon.
    private void SettleWithin(SchedulingNode node, long now)
    {
        if (node.RunningWorlds == 0)
        {
            return;
        }

        foreach (ProcessorSlot slot in _slots)
        {
            if (slot.Running is { } running && running.Machine.IsWithin(node))
            {
                Settle(running, now);
                running.SliceEnd = now;
            }
        }
    }

    private void UpdateLimit(SchedulingNode node, long now)
    {
        long limit = node.Settings.LimitMHz;
        long possible = node is SchedulingMachine machine ? (long)machine.Worlds.Count * Topology.ProcessorMHz : CapacityMHz;
        long effective = limit < 0 || limit >= possible ? 0 : Math.Max(1, limit);
        if (effective == node.EffectiveLimit)
        {
            return;
        }

        // What ran until now ran under the limit that was: one that ran for minutes without any would otherwise owe all of them to the new one.
        SettleWithin(node, now);
        node.EffectiveLimit = effective;
        node.LimitTag = now;
        if (node.IsThrottled)
        {
            Unthrottle(node, now);
        }
    }

    private AffinityClass ClassFor(ProcessorSet? affinity, int homeNode)
    {
        var all = new ProcessorSet(Topology.Count, Enumerable.Range(0, Topology.Count));
        ProcessorSet allowed = affinity ?? all;
        ProcessorSet preferred = homeNode < 0 ? allowed : allowed.And(Topology.Nodes[homeNode]);
        foreach (AffinityClass known in _classes)
        {
            if (known.Allowed.Equals(allowed) && known.Preferred.Equals(preferred))
            {
                return known;
            }
        }

        var added = new AffinityClass(_classes.Count, allowed, preferred);
        _classes.Add(added);
        _allClasses = [.. _allClasses, added.Id];
        _served = new int[_classes.Count];
        for (int i = 0; i < _slots.Length; i++)
        {
            if (preferred.Contains(i))
            {
                _slots[i].Home = [.. _slots[i].Home, added.Id];
            }
            else if (allowed.Contains(i))
            {
                _slots[i].Foreign = [.. _slots[i].Foreign, added.Id];
            }
        }

        return added;
    }

    private void ChangeClass(SchedulingMachine machine, long now)
    {
        int before = machine.AffinityClass;
        AffinityClass affinity = ClassFor(machine.Affinity, machine.HomeNode);
        if (affinity.Id == before)
        {
            return;
        }

        bool ready = machine.Ready.Count > 0;
        if (ready)
        {
            Dequeue(machine, before);
        }

        SchedulingPool parent = machine.Parent!;
        long lead = machine.VirtualTime - parent.QueueFor(before).Front;
        machine.AffinityClass = affinity.Id;
        machine.VirtualTime = parent.QueueFor(affinity.Id).Front + lead;
        if (ready)
        {
            Enqueue(machine, affinity.Id, null);
        }

        foreach (World world in machine.Worlds)
        {
            if (world.State == WorldState.Running && !affinity.Preferred.Contains(world.Slot))
            {
                // It moves when its driver looks at it next.
                Settle(world, now);
                world.SliceEnd = now;
            }
        }
    }
}
