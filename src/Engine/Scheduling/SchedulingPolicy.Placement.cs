namespace Hypervisor.Engine.Scheduling;

// Where a woken world goes, and which worlds of a machine keep together.
internal sealed partial class SchedulingPolicy
{
    // The processor it ran on last is the best; then one at home; then any that it may use.
    private int FindIdle(World world)
    {
        AffinityClass affinity = _classes[world.Machine.AffinityClass];
        if (world.Slot >= 0 && _idle.Contains(world.Slot) && affinity.Preferred.Contains(world.Slot))
        {
            return world.Slot;
        }

        return IdleFor(affinity.Id);
    }

    private int IdleFor(int affinityClass)
    {
        int home = _idle.FirstCommon(_classes[affinityClass].Preferred);
        return home >= 0 ? home : _idle.FirstCommon(_classes[affinityClass].Allowed);
    }

    // Worlds that nobody competed with have run beyond what they were charged for; now somebody does.
    private void SettleRunning(SchedulingMachine machine, long now)
    {
        ProcessorSet home = _classes[machine.AffinityClass].Preferred;
        for (int i = home.Next(0); i >= 0; i = home.Next(i + 1))
        {
            if (_slots[i].Running is { } running && now > running.ChargedUntil)
            {
                Settle(running, now);
            }
        }
    }

    // Looks at every processor at home. The one whose world has run longest is best to take, and a hog's is better than that of one
    // that woke itself; but only from a world that is less due than the woken one.
    private WakeDecision FindVictim(World woken, long now)
    {
        ProcessorSet home = _classes[woken.Machine.AffinityClass].Preferred;
        long leastRun = woken.Machine.LatencySensitivity == LatencySensitivity.High ? 0 : _options.PreemptionGranularity;
        long bestScore = -1;
        World? best = null;
        for (int i = home.Next(0); i >= 0; i = home.Next(i + 1))
        {
            if (_slots[i].Running is not { } running || running.StopRequested || running.Machine == woken.Machine)
            {
                continue;
            }

            bool over = now >= running.SliceEnd;
            long ran = now - running.RunningSince;
            long score = ran + (over ? 1L << 40 : 0) + (running.UsedSlice ? _options.Slice * 2 : 0);
            if (score > bestScore && (over || (ran >= leastRun && IsMoreDue(woken.Machine, running.Machine, now))))
            {
                (best, bestScore) = (running, score);
            }
        }

        if (best is null)
        {
            return default;
        }

        best.StopRequested = true;
        return new WakeDecision(WakeAction.Preempt, best.Slot);
    }

    // Compares two machines where their pools meet.
    private static bool IsMoreDue(SchedulingMachine waiting, SchedulingMachine running, long now)
    {
        SchedulingNode a = waiting, b = running;
        if (a.Parent != b.Parent)
        {
            // Where they meet, both are as deep: the deeper one goes up first.
            int difference = DepthOf(a) - DepthOf(b);
            for (; difference > 0; difference--)
            {
                a = a.Parent!;
            }

            for (; difference < 0; difference++)
            {
                b = b.Parent!;
            }

            while (a.Parent != b.Parent)
            {
                (a, b) = (a.Parent!, b.Parent!);
            }
        }

        bool aReserved = a.ActiveReservation > 0 && a.ReservationTag <= now, bReserved = b.ActiveReservation > 0 && b.ReservationTag <= now;
        return aReserved != bReserved ? aReserved : a.VirtualTime - b.VirtualTime < 0;
    }

    private static int DepthOf(SchedulingNode node)
    {
        int depth = 0;
        for (SchedulingNode? above = node.Parent; above is not null; above = above.Parent)
        {
            depth++;
        }

        return depth;
    }

    // A world with a waiting sibling runs only until it is as far ahead of it as may be.
    private long SliceOf(World world)
    {
        SchedulingMachine machine = world.Machine;
        return machine.Ready.Count == 0
            ? _options.Slice
            : Math.Min(_options.Slice, Math.Max(_options.PreemptionGranularity, machine.Ready.TopKey - world.Progress + _options.MaxSkew));
    }

    // Relaxed co-scheduling: only the world that is ahead stops, and it goes on as soon as the one behind has a processor.
    private void StopInFavourOfOthers(World world, long now)
    {
        SchedulingMachine machine = world.Machine;
        if (machine.Ready.Count > 0)
        {
            long skew = world.Progress - machine.Ready.TopKey;
            machine.LargestSkew = Math.Max(machine.LargestSkew, skew);
            if (skew >= _options.MaxSkew)
            {
                // What keeps a processor from leaving (a busy host) must not keep it from running for as long again.
                world.Progress = Math.Min(world.Progress, machine.Ready.TopKey + _options.RunCredit);
                world.Enter(WorldState.CoStopped, now);
                machine.CoStopped[machine.CoStoppedCount++] = world;
                return;
            }
        }

        MakeReady(world, now, woke: false);
    }

    // Where a world that wakes joins in: a slice behind the furthest at most. Nobody looks at worlds that run alone: they may be seconds
    // further than when they were dispatched.
    private long FrontProgressOf(SchedulingMachine machine, long now) =>
        machine.RunningWorlds == 0 ? machine.FrontProgress : Math.Max(machine.FrontProgress, machine.RunningLead + now - _options.Slice);

    private void ReleaseCoStopped(SchedulingMachine machine, long now)
    {
        if (machine.CoStoppedCount == 0)
        {
            return;
        }

        bool all = machine.Ready.Count == 0;
        for (int i = machine.CoStoppedCount - 1; i >= 0; i--)
        {
            World world = machine.CoStopped[i];
            if (all || world.Progress - machine.Ready.TopKey < _options.MaxSkew / 2)
            {
                RemoveCoStopped(machine, i);
                MakeReady(world, now, woke: false);
            }
        }
    }

    private static void RemoveCoStopped(SchedulingMachine machine, int index)
    {
        machine.CoStopped[index] = machine.CoStopped[--machine.CoStoppedCount];
        machine.CoStopped[machine.CoStoppedCount] = null!;
    }
}
