namespace Hypervisor.Engine.Scheduling;

// What processor time costs: tags of shares, reservations and limits, and what limits hold back.
internal sealed partial class SchedulingPolicy
{
    private void Prepay(World world, long slice, long now)
    {
        world.ChargedUntil += slice;
        world.SliceEnd = world.ChargedUntil;
        Charge(world.Machine, slice, now);
    }

    // Charges a running world up to now: gives back what it paid ahead, or takes what it ran beyond its slice, without what was stolen of
    // it. Taken first and given back later, that would not come out even: a reservation's tag is bounded upwards.
    private void Settle(World world, long now)
    {
        long stolen = TimeStolenFrom is null ? 0 : Math.Max(world.StolenTime, TimeStolenFrom(world, now));
        long beyond = now - world.ChargedUntil, owed = beyond - (stolen - world.StolenTime);
        (world.ChargedUntil, world.StolenTime) = (now, stolen);
        if (owed != 0)
        {
            Charge(world.Machine, owed, now);
        }

        if (beyond > 0 && !IsWanted(world.Slot))
        {
            ForgetTimeAlone(world);
        }
    }

    // It ran on because nothing competed with it. That is forgotten, as if it had been dispatched slice by slice: else whoever comes now
    // could run for as long, alone. Where siblings wait, which a limit held back meanwhile, it was not alone among them.
    private void ForgetTimeAlone(World world)
    {
        int[] home = _slots[world.Slot].Home;
        for (SchedulingNode node = world.Machine; node.Parent is { } parent; node = parent)
        {
            if (!AnyReady(parent, home))
            {
                AdvanceFront(parent, home, world.Machine.AffinityClass, node.VirtualTime - (_options.Slice * SharesScale / node.Settings.Shares));
            }
        }
    }

    private static bool AnyReady(SchedulingPool pool, int[] classes)
    {
        foreach (int c in classes)
        {
            if (pool.HasReady(c))
            {
                return true;
            }
        }

        return false;
    }

    private void Charge(SchedulingMachine machine, long time, long now)
    {
        for (SchedulingNode? node = machine; node is not null; node = node.Parent)
        {
            node.VirtualTime += time * SharesScale / node.Settings.Shares;
            if (node.ActiveReservation > 0)
            {
                ChargeReservation(node, time, now);
            }

            if (node.Parent is { } parent)
            {
                node.LowerKeys(parent);
            }

            if (node.EffectiveLimit > 0)
            {
                ChargeLimit(node, time, now);
            }
        }
    }

    private void ChargeReservation(SchedulingNode node, long time, long now)
    {
        long mhz = Topology.ProcessorMHz;
        long tag = Math.Max(node.ReservationTag, now - _options.ReservationCredit) + (time * mhz / node.ActiveReservation);

        // What it got beyond its reservation is not held against the reservation later.
        long most = now + _options.Slice + (_options.Slice * mhz / node.ActiveReservation);
        node.ReservationTag = Math.Min(tag, most);
    }

    private void ChargeLimit(SchedulingNode node, long time, long now)
    {
        node.LimitTag = Math.Max(node.LimitTag, now - _options.LimitCredit) + (time * Topology.ProcessorMHz / node.EffectiveLimit);
        if (node.IsThrottled)
        {
            _throttled.Update(node, node.LimitTag);
        }
        else if (node.LimitTag > now)
        {
            Throttle(node, now);
        }
    }

    private void Throttle(SchedulingNode node, long now)
    {
        DequeueAll(node);
        node.SetThrottled(true, now);
        _throttled.Insert(node, node.LimitTag);
    }

    private void Unthrottle(SchedulingNode node, long now)
    {
        _throttled.Remove(node);
        node.SetThrottled(false, now);
        EnqueueAll(node);
    }

    private void Advance(long now)
    {
        while (_throttled.Count > 0 && _throttled.TopKey <= now)
        {
            SchedulingNode released = _throttled.Top;
            Unthrottle(released, now);
            if (released is SchedulingPool { RunningWorlds: > 0 } pool)
            {
                RenewMoreDue(pool, now);
            }
        }
    }

    // What a limit lets go of is for all in the pool, for those too that run: one that is more due than what waits, and whose slice ends
    // before the limit lets go again (or is over, and other programs keep it from leaving), pays for its next slice first. Else those that
    // wait would have a turn whenever a processor is idle, whatever their shares.
    private void RenewMoreDue(SchedulingPool pool, long now)
    {
        foreach (ProcessorSlot slot in _slots)
        {
            if (slot.Running is { } late && now > late.ChargedUntil && late.Machine.IsWithin(pool))
            {
                Settle(late, now);
            }
        }

        while (!IsHeldBack(pool) && MostDueToRenew(pool, FirstWaiting(pool, _allClasses, now), now) is { } running)
        {
            long paid = Math.Max(0, running.SliceEnd - now);
            Settle(running, now);
            Prepay(running, paid + _options.Slice, now);
        }
    }

    private World? MostDueToRenew(SchedulingPool pool, SchedulingMachine? waiting, long now)
    {
        World? best = null;
        SchedulingMachine? mostDue = waiting;
        for (int i = 0; i < _slots.Length; i++)
        {
            if (_slots[i].Running is { } running && running.SliceEnd - now < _options.Slice && running.Machine.IsWithin(pool)
                && (mostDue is null || IsMoreDue(running.Machine, mostDue, now)) && !IsHeldBack(running.Machine) && _enabled.Contains(i) && MayBeOn(running, i))
            {
                (best, mostDue) = (running, running.Machine);
            }
        }

        return best;
    }

    // The reservations that count are those of machines that want to run. A pool's own counts when anything in it does.
    private void UpdateReservations(SchedulingNode? node, long now)
    {
        if (!_anyReservations)
        {
            return;
        }

        for (; node is not null; node = node.Parent)
        {
            long value = node.ActiveWorlds == 0 ? 0 : node.Settings.ReservationMHz;
            if (node is SchedulingPool pool)
            {
                value = Math.Max(value, pool.ChildrenReservation);
            }

            if (node.Settings.LimitMHz >= 0)
            {
                value = Math.Min(value, node.Settings.LimitMHz);
            }

            long before = node.ActiveReservation;
            if (value == before)
            {
                continue;
            }

            node.ActiveReservation = value;
            if (node.Parent is { } parent)
            {
                parent.ChildrenReservation += value - before;
                if (before == 0 || value == 0)
                {
                    JoinOrLeaveReservations(node, parent, now);
                }
            }
        }
    }

    private static void JoinOrLeaveReservations(SchedulingNode node, SchedulingPool parent, long now)
    {
        node.ReservationTag = Math.Max(node.ReservationTag, now);
        foreach (SchedulingNode.Waiting waiting in node.Queued)
        {
            ReadyQueue queue = parent.QueueFor(waiting.Entry.AffinityClass);
            if (node.ActiveReservation > 0)
            {
                queue.InsertReservation(waiting.Entry);
            }
            else
            {
                queue.RemoveReservation(waiting.Entry);
            }
        }
    }
}
