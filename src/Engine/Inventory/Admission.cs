namespace Hypervisor.Engine.Inventory;

/// <summary>
/// Whether a host can keep what is reserved: pools promise what they have reserved, and what is expandable comes out of the pool above.
/// One resource at a time, MHz or MB.
/// </summary>
internal sealed class Admission
{
    private readonly string _reservations, _unit;
    private readonly Node _root;
    private readonly Dictionary<Guid, Node> _pools = [];

    /// <summary>A host that can promise so much.</summary>
    /// <param name="reservations">What is promised, such as <c>CPU reservations</c>.</param>
    /// <param name="unit">Its unit.</param>
    /// <param name="capacity">How much of it there is.</param>
    public Admission(string reservations, string unit, long capacity)
    {
        (_reservations, _unit) = (reservations, unit);
        _root = new Node("the host", capacity, false, null);
    }

    private sealed record Node(string Name, long Reservation, bool Expandable, long? Limit)
    {
        public List<Node> Pools { get; } = [];

        public long Machines { get; set; }

        public Node? Parent { get; set; }
    }

    /// <summary>Something that is promised and cannot be kept.</summary>
    /// <param name="Pool">Pool that lacks it.</param>
    /// <param name="Amount">How much is lacking.</param>
    /// <param name="Message">For a person.</param>
    public sealed record Shortfall(string Pool, long Amount, string Message);

    /// <summary>Adds a pool, after the one that it is in.</summary>
    public void AddPool(Guid id, Guid? parent, string name, long reservation, bool expandable, long? limit)
    {
        var node = new Node($"the resource pool '{name}'", reservation, expandable, limit) { Parent = Find(parent) };
        node.Parent.Pools.Add(node);
        _pools[id] = node;
    }

    /// <summary>Adds what a powered-on machine has reserved.</summary>
    public void AddMachine(Guid? pool, long reservation) => Find(pool).Machines += reservation;

    /// <summary>What cannot be kept; empty when everything can.</summary>
    public IReadOnlyList<Shortfall> Check()
    {
        var missing = new List<Shortfall>();
        Needs(_root, missing);
        return missing;
    }

    /// <summary>What a pool could still promise; null for the host's own pool.</summary>
    public long Unreserved(Guid? pool)
    {
        Node node = Find(pool);
        long free = Math.Max(0, node.Reservation - Used(node));
        if (node.Expandable && node.Parent is { } parent)
        {
            free += Unreserved(_pools.Where(pair => pair.Value == parent).Select(static pair => (Guid?)pair.Key).FirstOrDefault());
        }

        if (node.Limit is { } limit)
        {
            free = Math.Min(free, limit - Used(node));
        }

        return Math.Max(0, free);
    }

    /// <summary>What is reserved in a pool by what is directly in it.</summary>
    public long Used(Guid? pool) => Used(Find(pool));

    private static long Used(Node node) => node.Machines + node.Pools.Sum(static pool => pool.Expandable ? Math.Max(pool.Reservation, Used(pool)) : pool.Reservation);

    private Node Find(Guid? pool) => pool is { } id && _pools.TryGetValue(id, out Node? node) ? node : _root;

    // What a pool takes of the one above, and what it lacks.
    private long Needs(Node node, List<Shortfall> missing)
    {
        long used = node.Machines + node.Pools.Sum(pool => Needs(pool, missing));
        if (node.Limit is { } limit && used > limit)
        {
            missing.Add(new Shortfall(node.Name, used - limit, $"{Sentence(node, used)} its limit is {limit} {_unit}: {used - limit} {_unit} too much."));
        }

        if (node.Expandable)
        {
            return Math.Max(node.Reservation, used);
        }

        if (used > node.Reservation)
        {
            string has = node == _root
                ? $"it can promise {node.Reservation} {_unit}"
                : $"it has reserved {node.Reservation} {_unit}, which are not expandable";
            missing.Add(new Shortfall(node.Name, used - node.Reservation, $"{Sentence(node, used)} {has}: {used - node.Reservation} {_unit} too much."));
        }

        return node.Reservation;
    }

    private string Sentence(Node node, long used) => $"The {_reservations} in {node.Name} would come to {used} {_unit};";
}
