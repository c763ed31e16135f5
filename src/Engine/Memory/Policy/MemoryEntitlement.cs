namespace Hypervisor.Engine.Memory.Policy;

/// <summary>
/// Divides memory among machines in a tree of pools by shares with a tax on idle memory. Waldspurger 2002, section 5.2: the price of a
/// machine's memory is what it uses of it plus k times the rest, k = 1 / (1 - tax), and where memory is short all pay the same price for a
/// share. Nobody gets less than its reservation as far as it has use for that, nor more than its limit and demand. A pool is to its parent
/// what a machine is, with the sums of what is in it.
/// </summary>
/// <remarks>
/// With the level L, the price a share, a machine of S shares and A bytes in use gets L·S up to A, and from there on 1/k of what L·S grows: the sum over
/// siblings is a line with three bends a sibling. Sorting the bends finds L: O(n log n) for n machines and pools. Arrays are
/// kept, so that only growth allocates. Overhead counts as memory in use that is reserved.
/// </remarks>
internal sealed class MemoryEntitlement
{
    private const int BendsPerNode = 3;
    private const double MostTax = 0.99;

    private Node[] _nodes = [];
    private int[] _firstChild = [], _children = [];
    private double[] _bends = [], _slopes = [];
    private int _poolCount;
    private double _idlePrice = 1;

    private struct Node
    {
        public int Parent;
        public double Shares, Floor, Demand, Active, Most, Amount, Fair;
    }

    /// <summary>Some pool has a limit.</summary>
    public bool HasPoolLimits { get; private set; }

    /// <summary>Takes in pools and machines.</summary>
    /// <param name="pools">Pools, each after the one it is in.</param>
    /// <param name="machines">Machines.</param>
    /// <param name="idleTaxPercent">Tax on memory that is not in use, %.</param>
    public void Measure(ReadOnlySpan<MemoryPoolPlan> pools, ReadOnlySpan<MachineMemoryInput> machines, int idleTaxPercent)
    {
        int count = 1 + pools.Length + machines.Length;
        Grow(count);
        _poolCount = 1 + pools.Length;
        _idlePrice = 1 / (1 - Math.Clamp(idleTaxPercent / 100.0, 0, MostTax));
        HasPoolLimits = false;
        _nodes[0] = new Node { Parent = -1, Shares = 1 };
        for (int i = 0; i < pools.Length; i++)
        {
            // One that is not after its parent counts as the host's, rather than as a circle.
            int parent = pools[i].Parent < i ? pools[i].Parent + 1 : 0;
            _nodes[i + 1] = new Node { Parent = Math.Max(0, parent), Shares = Math.Max(1, pools[i].Shares), Most = Math.Max(0, pools[i].LimitBytes) };
        }

        for (int i = 0; i < machines.Length; i++)
        {
            _nodes[_poolCount + i] = NodeOf(in machines[i], pools.Length);
        }

        for (int i = count - 1; i > 0; i--)
        {
            ref Node node = ref _nodes[i];
            if (i < _poolCount)
            {
                MemoryPoolPlan pool = pools[i - 1];
                HasPoolLimits |= pool.LimitBytes != MachineMemoryPlan.Unlimited;
                node.Demand = Math.Min(node.Demand, node.Most);
                node.Floor = Math.Min(Math.Max(node.Floor, pool.ReservationBytes), node.Demand);
                node.Active = Math.Min(node.Active, node.Demand);
            }

            ref Node parent = ref _nodes[node.Parent];
            parent.Demand += node.Demand;
            parent.Floor += node.Floor;
            parent.Active += node.Active;
        }

        SortChildren(count);
    }

    /// <summary>Divides what there is among the machines measured.</summary>
    /// <param name="available">Memory for guests and overhead, bytes.</param>
    /// <param name="machines">The machines measured.</param>
    /// <param name="results">Takes each machine's entitlement without its overhead, bytes.</param>
    /// <param name="fair">Takes what each machine could have if it alone wanted more than it does, bytes; not less than its entitlement.</param>
    public void Divide(double available, ReadOnlySpan<MachineMemoryInput> machines, Span<long> results, Span<long> fair)
    {
        _nodes[0].Fair = Math.Max(0, available);
        _nodes[0].Amount = Math.Min(_nodes[0].Fair, _nodes[0].Demand);
        for (int i = 0; i < _poolCount; i++)
        {
            DivideAmongChildren(i);
        }

        for (int i = 0; i < machines.Length; i++)
        {
            ref readonly Node node = ref _nodes[_poolCount + i];
            long overhead = Math.Max(0, machines[i].OverheadBytes);
            results[i] = Math.Max(0, (long)(node.Amount - overhead));
            fair[i] = Math.Max(0, (long)(Math.Max(node.Amount, node.Fair) - overhead));
        }
    }

    /// <summary>What a machine would take if it could: what it has, and what was taken from it.</summary>
    public static long DemandOf(in MachineMemoryInput machine)
    {
        MachineMemoryPlan plan = machine.Plan;
        long taken = Math.Clamp(machine.BalloonBytes, 0, plan.MemoryBytes) + Math.Max(0, machine.SwappedBytes)
            + Math.Max(0, machine.CompressedBytes - machine.CompressionCacheBytes);
        return Math.Clamp(machine.ConsumedBytes + taken, 0, Math.Min(plan.MemoryBytes, Math.Max(0, plan.LimitBytes)));
    }

    private static Node NodeOf(in MachineMemoryInput machine, int pools)
    {
        MachineMemoryPlan plan = machine.Plan;
        double overhead = Math.Max(0, machine.OverheadBytes), demand = DemandOf(in machine);
        return new Node
        {
            Parent = plan.Pool >= 0 && plan.Pool < pools ? plan.Pool + 1 : 0,
            Shares = Math.Max(1, plan.Shares),
            Floor = overhead + Math.Min(Math.Max(0, plan.ReservationBytes), demand),
            Demand = overhead + demand,
            Active = overhead + Math.Clamp(machine.ActiveBytes, 0, demand),
            Most = overhead + Math.Min(plan.MemoryBytes, Math.Max(0, plan.LimitBytes)),
        };
    }

    // Children of a pool stand together, by a counting sort.
    private void SortChildren(int count)
    {
        Span<int> first = _firstChild.AsSpan(0, _poolCount + 1);
        first.Clear();
        for (int i = 1; i < count; i++)
        {
            first[_nodes[i].Parent + 1]++;
        }

        for (int i = 0; i < _poolCount; i++)
        {
            first[i + 1] += first[i];
        }

        // Filled from the back, each pool's start moves to where it belongs: first[p + 1] is the end of p until then.
        for (int i = count - 1; i > 0; i--)
        {
            _children[--first[_nodes[i].Parent + 1]] = i;
        }

        for (int i = 0; i < _poolCount; i++)
        {
            first[i] = first[i + 1];
        }

        first[_poolCount] = count - 1;
    }

    private void DivideAmongChildren(int pool)
    {
        ReadOnlySpan<int> children = _children.AsSpan(_firstChild[pool], _firstChild[pool + 1] - _firstChild[pool]);
        double amount = _nodes[pool].Amount, unwanted = _nodes[pool].Fair, sum = 0;
        int bends = 0;
        foreach (int child in children)
        {
            ref readonly Node node = ref _nodes[child];
            sum += node.Floor;
            unwanted -= node.Demand;
            if (node.Floor < node.Demand)
            {
                bends = AddBends(in node, bends);
            }
        }

        Array.Sort(_bends, _slopes, 0, bends);
        double level = 0, slope = 0;
        for (int i = 0; i < bends; i++)
        {
            double next = sum + (slope * (_bends[i] - level));
            if (next >= amount)
            {
                break;
            }

            sum = next;
            level = _bends[i];
            slope += _slopes[i];
        }

        // Past the last bend nobody wants more.
        level += slope > 0 && sum < amount ? (amount - sum) / slope : 0;
        foreach (int child in children)
        {
            ref Node node = ref _nodes[child];
            double earned = Untaxed(in node, level * node.Shares);
            node.Amount = Math.Clamp(earned, node.Floor, node.Demand);

            // One that wants no more than it has may begin to: it could have what nobody wants, or else what the level gives.
            node.Fair = Math.Min(Math.Max(node.Floor, unwanted >= 0 ? node.Demand + unwanted : earned), node.Most);
        }
    }

    // Where a child begins to get more than its floor, where it has what it uses, and where it has all it wants.
    private int AddBends(in Node node, int bends)
    {
        double slow = node.Shares / _idlePrice;
        bool passesActive = node.Floor < node.Active && node.Active < node.Demand;
        Add(Price(in node, node.Floor) / node.Shares, node.Floor < node.Active ? node.Shares : slow);
        if (passesActive)
        {
            Add(node.Active / node.Shares, slow - node.Shares);
        }

        Add(Price(in node, node.Demand) / node.Shares, -(node.Demand > node.Active ? slow : node.Shares));
        return bends;

        void Add(double level, double slope)
        {
            _bends[bends] = level;
            _slopes[bends++] = slope;
        }
    }

    private double Price(in Node node, double amount) => amount <= node.Active ? amount : node.Active + (_idlePrice * (amount - node.Active));

    private double Untaxed(in Node node, double price) => price <= node.Active ? price : node.Active + ((price - node.Active) / _idlePrice);

    private void Grow(int count)
    {
        if (count > _nodes.Length)
        {
            int size = Math.Max(count, 2 * _nodes.Length);
            _nodes = new Node[size];
            _children = new int[size];
            _firstChild = new int[size + 1];
            _bends = new double[BendsPerNode * size];
            _slopes = new double[BendsPerNode * size];
        }
    }
}
