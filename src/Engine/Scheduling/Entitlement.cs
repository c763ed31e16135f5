namespace Hypervisor.Engine.Scheduling;

/// <summary>
/// What each machine is owed when demands are known: a pool's time is divided by shares, but nobody gets less than its reservation as
/// far as it wants that much, nor more than its limit or demand, and what one leaves goes to its siblings.
/// </summary>
internal static class Entitlement
{
    private const int Bisections = 60;

    /// <summary>Divides a host's or pool's time.</summary>
    /// <param name="root">What is divided.</param>
    /// <param name="demands">What each machine would use, MHz; machines that are left out want nothing.</param>
    /// <param name="capacity">What there is, MHz.</param>
    /// <returns>MHz of each machine in <paramref name="demands"/>.</returns>
    public static Dictionary<SchedulingMachine, double> Divide(SchedulingPool root, IReadOnlyDictionary<SchedulingMachine, double> demands, double capacity)
    {
        var result = new Dictionary<SchedulingMachine, double>();
        var measured = new Dictionary<SchedulingNode, (double Floor, double Demand)>();
        Measure(root, demands, measured);
        Divide(root, Math.Min(capacity, measured[root].Demand), measured, result);
        return result;
    }

    // From the leaves up: what a node wants, and what of that is reserved.
    private static void Measure(SchedulingNode node, IReadOnlyDictionary<SchedulingMachine, double> demands, Dictionary<SchedulingNode, (double Floor, double Demand)> measured)
    {
        double demand = 0, floor = node.Settings.ReservationMHz;
        if (node is SchedulingPool pool)
        {
            double inner = 0;
            foreach (SchedulingNode child in pool.Children)
            {
                Measure(child, demands, measured);
                demand += measured[child].Demand;
                inner += measured[child].Floor;
            }

            floor = Math.Max(floor, inner);
        }
        else
        {
            demands.TryGetValue((SchedulingMachine)node, out demand);
        }

        if (node.Settings.LimitMHz >= 0)
        {
            demand = Math.Min(demand, node.Settings.LimitMHz);
        }

        measured[node] = (Math.Min(floor, demand), demand);
    }

    private static void Divide(SchedulingNode node, double amount, Dictionary<SchedulingNode, (double Floor, double Demand)> measured, Dictionary<SchedulingMachine, double> result)
    {
        if (node is SchedulingMachine machine)
        {
            result[machine] = amount;
            return;
        }

        List<SchedulingNode> children = ((SchedulingPool)node).Children;

        // MHz a share at which the children together get the amount; it grows with the level, so bisection finds it.
        double low = 0, high = children.Count == 0 ? 0 : children.Max(child => measured[child].Demand / child.Settings.Shares) + 1;
        for (int i = 0; i < Bisections; i++)
        {
            double level = (low + high) / 2;
            if (children.Sum(child => At(child, level, measured)) < amount)
            {
                low = level;
            }
            else
            {
                high = level;
            }
        }

        foreach (SchedulingNode child in children)
        {
            Divide(child, At(child, high, measured), measured, result);
        }
    }

    private static double At(SchedulingNode node, double level, Dictionary<SchedulingNode, (double Floor, double Demand)> measured)
    {
        (double floor, double demand) = measured[node];
        return Math.Clamp(level * node.Settings.Shares, floor, demand);
    }
}
