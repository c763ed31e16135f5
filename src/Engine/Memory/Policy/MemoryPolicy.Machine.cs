namespace Hypervisor.Engine.Memory.Policy;

// One machine: its balloon, and what is evicted when the balloon does not do.
internal sealed partial class MemoryPolicy
{
    private MachineMemoryDecision DecideMachine(in MachineMemoryInput machine, int index, long urgent, bool allowsLargePages, long passed, long now)
    {
        MachineMemoryPlan plan = machine.Plan;
        long gap = _gaps[index], entitlement = _entitled[index];
        if (gap <= plan.MemoryBytes / _options.ReclaimDeadbandDivisor)
        {
            gap = 0;
        }

        long room = BalloonRoom(in machine, entitlement);
        bool failing = JudgeBalloon(in machine, Math.Min(gap, room), now);
        long byBalloon = failing ? 0 : Math.Min(gap, room);
        long evict = Evict(in machine, index, gap, byBalloon, urgent, passed);
        long target = BalloonTarget(in machine, index, Math.Min(gap, room), passed);
        long blockAbove = Math.Max(_fair[index], Math.Min(plan.ReservationBytes, plan.LimitBytes)), ceiling = Ceiling(in machine, index, blockAbove, byBalloon);
        return new MachineMemoryDecision
        {
            EntitlementBytes = entitlement,
            BalloonTargetBytes = target,
            EvictBytes = evict,
            SwapTargetBytes = Math.Max(0, machine.SwappedBytes) + Math.Max(0, machine.CompressedBytes) + evict,
            CeilingBytes = ceiling,
            AllowsLargePages = allowsLargePages,
            BlockAboveBytes = blockAbove,
            MustBlock = (_state == HostMemoryState.Low && machine.ConsumedBytes > blockAbove) || (machine.ConsumedBytes > ceiling && machine.EvictionRoomBytes <= 0),
            IsBalloonFailing = failing,
        };
    }

    // Where a machine has to pay for growth with pages of its own. A host that is short grants it no more than it is entitled to, so that who
    // uses most does not get most. What it has already and the balloon is to take it may use until then.
    private long Ceiling(in MachineMemoryInput machine, int index, long fair, long byBalloon)
    {
        long limit = _limitedFair[index], ceiling = limit >= machine.Plan.MemoryBytes ? MachineMemoryPlan.Unlimited : limit + (limit / _options.LimitSlackDivisor);
        return _state switch
        {
            HostMemoryState.High or HostMemoryState.Clear => ceiling,
            HostMemoryState.Soft when byBalloon > 0 => Math.Min(ceiling, Math.Max(fair, machine.ConsumedBytes)),
            _ => Math.Min(ceiling, fair),
        };
    }

    // Most that a balloon may be: what settings allow, and never so much that the guest could not use what is reserved for it.
    private static long BalloonMost(in MachineMemoryInput machine) => machine.HasBalloon
        ? Math.Clamp(machine.Plan.MemoryBytes - machine.Plan.ReservationBytes, 0, Math.Max(0, machine.Plan.BalloonMaxBytes))
        : 0;

    private static long BalloonSize(in MachineMemoryInput machine) => machine.HasBalloon ? Math.Clamp(machine.BalloonBytes, 0, machine.Plan.MemoryBytes) : 0;

    // How much it may grow. With all but the entitlement in the balloon the guest cannot take more than that, so more would bring nothing.
    private static long BalloonRoom(in MachineMemoryInput machine, long entitlement) =>
        Math.Max(0, Math.Min(BalloonMost(in machine), machine.Plan.MemoryBytes - entitlement) - BalloonSize(in machine));

    // Guest memory that takes none of the host's: a balloon may take it before what brings something back.
    private static long Untouched(in MachineMemoryInput machine) =>
        Math.Max(0, machine.Plan.MemoryBytes - MemoryEntitlement.DemandOf(in machine));

    // The balloon and the pages that are somewhere else come to more than the guest has. A sixteenth is for counts of different moments.
    private static bool IsLie(in MachineMemoryInput machine) =>
        BalloonSize(in machine) + machine.ConsumedBytes - machine.CompressionCacheBytes + machine.CompressedBytes + machine.SwappedBytes > machine.Plan.MemoryBytes + (machine.Plan.MemoryBytes / 16);

    // Whether the balloon, asked for so much, is to be counted on. It is judged by the memory that comes back, not by the size that its driver
    // reports, because a driver may lie; only untouched memory in the balloon counts by that, and one that lies has soon reported it all.
    private bool JudgeBalloon(in MachineMemoryInput machine, long asked, long now)
    {
        MachineMemoryHistory history = machine.History;
        if (now < history.DistrustedUntil || IsLie(in machine))
        {
            history.IsAsking = false;
            return true;
        }

        if (asked <= 0)
        {
            history.IsAsking = false;
            return false;
        }

        if (history.IsAsking && now - history.AskedSince >= _options.BalloonPatience)
        {
            double possible = (double)Step(machine.Plan, _options.InflateDivisor, Second) * (now - history.AskedSince) / Second;
            long useless = Math.Clamp(BalloonSize(in machine) - history.AskedAtBalloon, 0, history.AskedAtUntouched);
            history.IsAsking = false;
            if (history.AskedAtConsumed - machine.ConsumedBytes + useless < Math.Min(history.Asked, possible) / 4)
            {
                history.DistrustedUntil = now + _options.BalloonDistrust;
                return true;
            }
        }

        if (!history.IsAsking)
        {
            (history.IsAsking, history.AskedSince, history.Asked) = (true, now, asked);
            (history.AskedAtConsumed, history.AskedAtBalloon, history.AskedAtUntouched) = (machine.ConsumedBytes, BalloonSize(in machine), Untouched(in machine));
        }

        return false;
    }

    private long Evict(in MachineMemoryInput machine, int index, long gap, long byBalloon, long urgent, long passed)
    {
        // What the balloon cannot or does not give goes in steps; what the host needs at once too, and without bounds in the state low.
        long most = _state == HostMemoryState.Low ? gap : Step(machine.Plan, _options.EvictDivisor, passed);
        long evict = Math.Min(Math.Max(gap - byBalloon, urgent), most);

        // What is far above a limit, its own or a pool's, does not wait for anything.
        evict = Math.Max(evict, machine.ConsumedBytes - (_limited[index] + (_limited[index] / _options.LimitSlackDivisor)));
        return Pages(Math.Clamp(Math.Min(evict, gap), 0, Math.Max(0, machine.EvictionRoomBytes)));
    }

    private long BalloonTarget(in MachineMemoryInput machine, int index, long inflate, long passed)
    {
        MachineMemoryHistory history = machine.History;
        MachineMemoryPlan plan = machine.Plan;
        long current = BalloonSize(in machine), entitlement = _entitled[index], before = history.HasTarget ? history.BalloonTarget : current, target;
        if (!machine.HasBalloon)
        {
            history.HasTarget = false;
            return 0;
        }

        long below = entitlement - machine.ConsumedBytes;
        if (inflate > 0)
        {
            // Relative to what the balloon is, so that a driver that lags is not asked for more and more.
            target = Math.Min(current + Math.Min(inflate + Untouched(in machine), BalloonRoom(in machine, entitlement)), Math.Max(current, before) + Step(plan, _options.InflateDivisor, passed));
        }
        else if (current > 0 && _state <= HostMemoryState.Soft && (below >= current || below > plan.MemoryBytes / _options.DeflateDeadbandDivisor))
        {
            long step = Step(plan, _options.DeflateDivisor, passed) / (_state == HostMemoryState.Soft ? 2 : 1);
            target = Math.Max(current - Math.Min(current, below), Math.Min(current, before) - step);
        }
        else
        {
            target = current;
        }

        target = Pages(Math.Clamp(target, 0, BalloonMost(in machine)));
        (history.HasTarget, history.BalloonTarget) = (true, target);
        return target;
    }
}
