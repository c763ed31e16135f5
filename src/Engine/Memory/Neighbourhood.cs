using Hypervisor.Engine.Memory.Policy;

namespace Hypervisor.Engine.Memory;

/// <summary>
/// Machines of other processes as the policy sees them: it decides about them as their own process does, from the same numbers, and nobody
/// carries that out here.
/// </summary>
internal sealed class Neighbourhood
{
    private readonly Dictionary<Guid, MachineMemoryHistory> _histories = [];
    private IReadOnlyList<ProcessMemory> _others = [];
    private long _next = long.MinValue, _since = long.MinValue;
    private Guid _id;

    /// <summary>How to hear of them; null where nobody else is.</summary>
    public IMemoryNeighbours? Others { get; set; }

    /// <summary>How many machines they run.</summary>
    public int Count { get; private set; }

    /// <summary>Host memory that their machines take, overhead and what they share included.</summary>
    public long UsedBytes { get; private set; }

    /// <summary>Memory that their machines are configured with.</summary>
    public long MemoryBytes { get; private set; }

    /// <summary>
    /// No other process has run machines for longer. All see the same state of the host, and one of them tells of it: a newcomer, which has not
    /// seen what came before, never.
    /// </summary>
    public bool IsEldest { get; private set; } = true;

    /// <summary>Hears of them, once a second.</summary>
    /// <param name="configuration">What the inventory says.</param>
    /// <param name="machines">The machines of this process.</param>
    /// <param name="inputs">Their inputs, in the same order.</param>
    /// <param name="sharedBytes">Host memory of what they share.</param>
    /// <param name="now">Time, ns.</param>
    public void Exchange(MemoryConfiguration configuration, ReadOnlySpan<ManagedMemory> machines, ReadOnlySpan<MachineMemoryInput> inputs, long sharedBytes, long now)
    {
        if (Others is null || now < _next)
        {
            return;
        }

        _next = now + MemoryManager.Second;
        if (_since == long.MinValue)
        {
            (_since, _id) = (now, Guid.NewGuid());
        }

        var own = new MachineMemoryNote[machines.Length];
        for (int i = 0; i < own.Length; i++)
        {
            own[i] = NoteOf(machines[i].Id, inputs[i], configuration);
        }

        _others = Others.Exchange(new ProcessMemory(sharedBytes, own) { Since = _since, Id = _id });

        // A process of a version that does not say since when tells by itself; Id is empty then.
        IsEldest = !_others.Any(other => other.Id != Guid.Empty && (other.Since, other.Id).CompareTo((_since, _id)) < 0);
        (Count, UsedBytes, MemoryBytes) = (0, 0, 0);
        foreach (ProcessMemory process in _others)
        {
            UsedBytes += process.SharedBytes;
            foreach (MachineMemoryNote machine in process.Machines)
            {
                Count++;
                UsedBytes += machine.ConsumedBytes + machine.OverheadBytes;
                MemoryBytes += machine.MemoryBytes;
            }
        }

        foreach (Guid gone in _histories.Keys.Except(_others.SelectMany(static process => process.Machines).Select(static machine => machine.Id)).ToArray())
        {
            _histories.Remove(gone);
        }
    }

    /// <summary>Their machines' inputs.</summary>
    /// <param name="configuration">What the inventory says.</param>
    /// <param name="inputs">Takes as many as <see cref="Count"/> says.</param>
    public void Describe(MemoryConfiguration configuration, Span<MachineMemoryInput> inputs)
    {
        int n = 0;
        foreach (ProcessMemory process in _others)
        {
            foreach (MachineMemoryNote note in process.Machines)
            {
                inputs[n++] = InputOf(note, configuration);
            }
        }
    }

    /// <summary>This process runs no machines any more.</summary>
    public void Leave()
    {
        Others?.Leave();
        (_others, _next, _since, IsEldest) = ([], long.MinValue, long.MinValue, true);
        (Count, UsedBytes, MemoryBytes) = (0, 0, 0);
        _histories.Clear();
    }

    private static MachineMemoryNote NoteOf(Guid id, in MachineMemoryInput input, MemoryConfiguration configuration)
    {
        MachineMemoryPlan plan = input.Plan;
        Guid? pool = null;
        foreach (var (guid, index) in configuration.PoolIndexes)
        {
            if (index == plan.Pool)
            {
                pool = guid;
            }
        }

        return new MachineMemoryNote
        {
            Id = id,
            Pool = pool,
            MemoryBytes = plan.MemoryBytes,
            Shares = plan.Shares,
            ReservationBytes = plan.ReservationBytes,
            LimitBytes = plan.LimitBytes,
            BalloonMaxBytes = plan.BalloonMaxBytes,
            OverheadBytes = input.OverheadBytes,
            ConsumedBytes = input.ConsumedBytes,
            ActiveBytes = input.ActiveBytes,
            HasBalloon = input.HasBalloon,
            BalloonBytes = input.BalloonBytes,
            CompressedBytes = input.CompressedBytes,
            CompressionCacheBytes = input.CompressionCacheBytes,
            SwappedBytes = input.SwappedBytes,
            EvictionRoomBytes = input.EvictionRoomBytes,
        };
    }

    private MachineMemoryInput InputOf(MachineMemoryNote note, MemoryConfiguration configuration)
    {
        if (!_histories.TryGetValue(note.Id, out MachineMemoryHistory? history))
        {
            _histories[note.Id] = history = new MachineMemoryHistory();
        }

        return new MachineMemoryInput
        {
            Plan = new MachineMemoryPlan
            {
                MemoryBytes = note.MemoryBytes,
                Shares = note.Shares,
                ReservationBytes = note.ReservationBytes,
                LimitBytes = note.LimitBytes,
                BalloonMaxBytes = note.BalloonMaxBytes,
                Pool = note.Pool is { } pool ? configuration.PoolIndexes.GetValueOrDefault(pool, -1) : -1,
            },
            History = history,
            OverheadBytes = note.OverheadBytes,
            ConsumedBytes = note.ConsumedBytes,
            ActiveBytes = note.ActiveBytes,
            HasBalloon = note.HasBalloon,
            BalloonBytes = note.BalloonBytes,
            CompressedBytes = note.CompressedBytes,
            CompressionCacheBytes = note.CompressionCacheBytes,
            SwappedBytes = note.SwappedBytes,
            EvictionRoomBytes = note.EvictionRoomBytes,
        };
    }
}
