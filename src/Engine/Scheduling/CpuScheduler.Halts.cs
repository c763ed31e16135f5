namespace Hypervisor.Engine.Scheduling;

// Backends with a local APIC in the kernel (KVM, WHP) keep a halted processor's thread inside. Such a thread sleeps and uses
// no processor time: that is how it is told from one that runs, where the operating system shows the time of threads (Linux).
internal sealed partial class CpuScheduler
{
    // How often to look, when others wait for a processor and when nobody does; the latter is for the accounts only.
    private const long LookWhenWanted = 1_000_000, LookOtherwise = 10_000_000;

    // A thread that used less than a tenth of the time, and sleeps, is halted; one that used more than this while halted was not.
    private const int RunningShare = 10;
    private const long RunningTime = 20_000;

    /// <summary>Looks at a thread that does not say when it halts.</summary>
    internal void Watch(WorldPermit permit)
    {
        lock (_lock)
        {
            _watched.Add(permit);
            LookSoon(Now);
        }
    }

    private long LookInside(long now)
    {
        if (_watched.Count == 0)
        {
            return long.MaxValue;
        }

        long interval = _policy.HasWaiting ? LookWhenWanted : LookOtherwise, due = now + interval;
        foreach (WorldPermit permit in _watched)
        {
            long used = permit.UsedTime;
            if (used < 0 || now - permit.LastLook < interval / 2)
            {
                continue;
            }

            World world = permit.World;
            if (permit.IsHaltedInside)
            {
                if (used - permit.LastUsed > RunningTime)
                {
                    WakeInside(permit, now);
                }
            }
            else if (world.State == WorldState.Running && permit.LastLook > world.RunningSince && (used - permit.LastUsed) * RunningShare < now - permit.LastLook && permit.IsAsleep)
            {
                int slot = world.Slot;
                _policy.Stop(world, WorldState.Idle, now);
                permit.IsHaltedInside = true;
                Dispatch(slot, now, null);
            }

            (permit.LastUsed, permit.LastLook) = (used, now);
        }

        DispatchIdle(now, null);
        return due;
    }

    // It runs already; if no processor is free for it, it has to come out and wait.
    private void WakeInside(WorldPermit permit, long now)
    {
        permit.IsHaltedInside = false;
        WakeDecision decision = _policy.Wake(permit.World, now);
        if (decision.Action == WakeAction.Dispatch)
        {
            Dispatch(decision.Slot, now, permit);
        }
        else if (decision.Action == WakeAction.Preempt)
        {
            PermitOf(_policy.RunningOn(decision.Slot)!).RequestLeave();
        }

        if (permit.World.State != WorldState.Running)
        {
            permit.RequestLeave();
        }
    }
}
