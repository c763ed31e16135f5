using Hypervisor.Engine.Memory.Policy;

namespace Hypervisor.Tests.Unit.Memory.Policy;

/// <summary>What <see cref="MemoryEntitlement"/> computes, from the definition: the level at which the siblings' amounts come to what there is is found by halving.</summary>
internal sealed class SlowDivision
{
    private readonly List<Node> _nodes = [];
    private readonly MachineMemoryInput[] _machines;
    private readonly int _pools;
    private readonly double _k;

    public SlowDivision(MemoryPoolPlan[] pools, MachineMemoryInput[] machines, int tax)
    {
        (_machines, _pools, _k) = (machines, pools.Length, 1 / (1 - (tax / 100.0)));
        _nodes.Add(new Node { Shares = 1 });
        foreach (MemoryPoolPlan pool in pools)
        {
            _nodes.Add(new Node { Parent = _nodes[pool.Parent + 1], Shares = pool.Shares, Limit = pool.LimitBytes, Floor = pool.ReservationBytes });
        }

        foreach (MachineMemoryInput machine in machines)
        {
            double demand = MemoryEntitlement.DemandOf(in machine);
            _nodes.Add(new Node
            {
                Parent = _nodes[machine.Plan.Pool + 1],
                Shares = machine.Plan.Shares,
                Demand = machine.OverheadBytes + demand,
                Floor = machine.OverheadBytes + Math.Min(machine.Plan.ReservationBytes, demand),
                Active = machine.OverheadBytes + Math.Min(machine.ActiveBytes, demand),
            });
        }

        foreach (Node node in _nodes.Skip(1))
        {
            node.Parent!.Children.Add(node);
        }

        Measure(_nodes[0]);
    }

    private sealed class Node
    {
        public double Shares, Floor, Demand, Active, Amount, Limit = double.MaxValue;

        public Node? Parent { get; init; }

        public List<Node> Children { get; } = [];
    }

    public long[] Divide(double available)
    {
        _nodes[0].Amount = Math.Min(available, _nodes[0].Demand);
        Divide(_nodes[0]);
        return [.. _machines.Select((machine, i) => (long)Math.Max(0, _nodes[1 + _pools + i].Amount - machine.OverheadBytes))];
    }

    private static void Measure(Node node)
    {
        if (node.Children.Count == 0)
        {
            node.Floor = Math.Min(node.Floor, node.Demand);
            return;
        }

        node.Children.ForEach(Measure);
        node.Demand = Math.Min(node.Limit, node.Children.Sum(static child => child.Demand));
        node.Floor = Math.Min(node.Demand, Math.Max(node.Floor, node.Children.Sum(static child => child.Floor)));
        node.Active = Math.Min(node.Demand, node.Children.Sum(static child => child.Active));
    }

    private void Divide(Node node)
    {
        double low = 0, high = 1e30;
        for (int i = 0; i < 400; i++)
        {
            double level = (low + high) / 2;
            (low, high) = node.Children.Sum(child => At(child, level)) < node.Amount ? (level, high) : (low, level);
        }

        foreach (Node child in node.Children)
        {
            child.Amount = At(child, high);
            Divide(child);
        }
    }

    private double At(Node node, double level)
    {
        double price = level * node.Shares;
        return Math.Clamp(price <= node.Active ? price : node.Active + ((price - node.Active) / _k), node.Floor, node.Demand);
    }
}
