namespace Hypervisor.Engine.Scheduling;

// NUMA homes. A machine runs on the processors of its home node while those have time for it, and on others rather than not at all.
internal sealed partial class SchedulingPolicy
{
    // A move costs the machine its warm caches and remote memory for a while: one that gains less than this is not made.
    private const double LeastGain = 0.1;

    private long _lastRebalance;

    /// <summary>Moves homes of machines from the node whose machines are owed most to that with most room; to be called now and then.</summary>
    /// <returns>Homes changed.</returns>
    public int Rebalance(long now)
    {
        long passed = now - _lastRebalance;
        if (Topology.NodeCount == 1 || passed < _options.RebalancePeriod)
        {
            return 0;
        }

        Advance(now);
        _lastRebalance = now;
        List<SchedulingMachine> machines = [.. Machines(Root)];
        double[] demands = [.. machines.Select(machine => DemandOf(machine, now, passed))];
        Dictionary<SchedulingMachine, double> entitled = Entitlement.Divide(Root, machines.Zip(demands).ToDictionary(static pair => pair.First, static pair => pair.Second), CapacityMHz);
        double[] load = new double[Topology.NodeCount];
        foreach ((SchedulingMachine machine, double mhz) in entitled)
        {
            if (machine.HomeNode >= 0)
            {
                load[machine.HomeNode] += mhz / RoomOf(machine.HomeNode);
            }
        }

        int moved = 0;
        for (int attempt = 0; attempt < machines.Count && MoveOne(entitled, load, now); attempt++)
        {
            moved++;
        }

        return moved;
    }

    private bool MoveOne(Dictionary<SchedulingMachine, double> entitled, double[] load, long now)
    {
        int from = Array.IndexOf(load, load.Max()), to = Array.IndexOf(load, load.Min());

        // The move is good that leaves the fuller of the two nodes emptiest.
        double best = load[from] - LeastGain;
        SchedulingMachine? chosen = null;
        foreach ((SchedulingMachine machine, double mhz) in entitled)
        {
            if (machine.HomeNode == from && mhz > 0 && CanLiveOn(machine, to))
            {
                double after = Math.Max(load[from] - (mhz / RoomOf(from)), load[to] + (mhz / RoomOf(to)));
                if (after < best)
                {
                    (best, chosen) = (after, machine);
                }
            }
        }

        if (chosen is null)
        {
            return false;
        }

        load[from] -= entitled[chosen] / RoomOf(from);
        load[to] += entitled[chosen] / RoomOf(to);
        chosen.HomeNode = to;
        chosen.HomeMigrations++;
        ChangeClass(chosen, now);
        return true;
    }

    // What a machine ran and what it waited for, as MHz.
    private double DemandOf(SchedulingMachine machine, long now, long period)
    {
        long time = 0;
        foreach (World world in machine.Worlds)
        {
            WorldTimes times = world.TimesAt(now);
            time += times.Run + times.Ready + times.CoStop;
        }

        double demand = (double)(time - machine.LastDemandTime) / period * Topology.ProcessorMHz;
        machine.LastDemandTime = time;
        return demand;
    }

    // A machine with more processors than a node has no home: it runs everywhere.
    private void ChooseHome(SchedulingMachine machine)
    {
        machine.HomeNode = -1;
        if (Topology.NodeCount > 1)
        {
            int[] worlds = new int[Topology.NodeCount];
            foreach (SchedulingMachine other in Machines(Root))
            {
                if (other != machine && other.HomeNode >= 0)
                {
                    worlds[other.HomeNode] += other.Worlds.Count;
                }
            }

            machine.HomeNode = Enumerable.Range(0, Topology.NodeCount)
                .Where(node => CanLiveOn(machine, node))
                .OrderBy(node => worlds[node] / RoomOf(node))
                .FirstOrDefault(-1);
        }

        machine.AffinityClass = machine.ActiveWorlds == 0 ? ClassFor(machine.Affinity, machine.HomeNode).Id : machine.AffinityClass;
    }

    private bool CanLiveOn(SchedulingMachine machine, int node)
    {
        ProcessorSet home = Topology.Nodes[node];
        ProcessorSet usable = machine.Affinity is { } affinity ? home.And(affinity) : home;
        return usable.And(_enabled).Count >= machine.Worlds.Count;
    }

    private double RoomOf(int node) => Math.Max(1, Topology.Nodes[node].And(_enabled).Count) * (double)Topology.ProcessorMHz;

    private static IEnumerable<SchedulingMachine> Machines(SchedulingPool pool) =>
        pool.Children.SelectMany(static child => child is SchedulingPool inner ? Machines(inner) : [(SchedulingMachine)child]);
}
