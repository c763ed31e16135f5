namespace Hypervisor.Engine.Scheduling;

/// <summary>A running machine at the scheduler: one permit for each of its virtual processors.</summary>
internal sealed class MachineSchedule : IDisposable
{
    private readonly CpuScheduler _scheduler;
    private int _disposed;

    internal MachineSchedule(CpuScheduler scheduler, Guid id, SchedulingMachine machine)
    {
        _scheduler = scheduler;
        Id = id;
        Machine = machine;
    }

    /// <summary>Identity of the machine.</summary>
    public Guid Id { get; }

    /// <summary>Number of the machine, as esxtop has one for each group of worlds.</summary>
    public int GroupId { get; init; }

    internal SchedulingMachine Machine { get; }

    /// <summary>When it was made, ns of the scheduler's clock.</summary>
    internal long Created => Machine.Worlds[0].Created;

    /// <summary>Makes the permit of a virtual processor. Once each.</summary>
    /// <param name="index">Which.</param>
    /// <param name="kick">Makes the processor come back from the guest soon; from any thread, must not block.</param>
    /// <param name="haltsInside">The processor does not come back when the guest halts, but waits in the backend.</param>
    public WorldPermit PermitFor(int index, Action kick, bool haltsInside = false)
    {
        var permit = new WorldPermit(_scheduler, Machine.Worlds[index], kick, haltsInside);
        if (haltsInside)
        {
            _scheduler.Watch(permit);
        }

        return permit;
    }

    /// <summary>Takes the machine out of the schedule; its threads must have ended or released their permits.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _scheduler.Remove(this);
        }
    }
}

/// <summary>What the inventory says about a machine's processors.</summary>
/// <param name="Pool">Identity of the pool it is in; null for the host's root.</param>
/// <param name="Cpu">Shares, reservation, limit.</param>
/// <param name="Affinity">Physical processors it may use; empty for all.</param>
/// <param name="Latency">How much it suffers from waiting.</param>
internal sealed record MachinePlan(Guid? Pool, CpuEntitlement Cpu, IReadOnlyList<int> Affinity, LatencySensitivity Latency)
{
    public static MachinePlan Default { get; } = new(null, CpuEntitlement.Default, [], LatencySensitivity.Normal);
}

/// <summary>What the inventory says about a pool.</summary>
/// <param name="Id">Identity.</param>
/// <param name="Parent">Identity of the pool it is in; null for the host's root.</param>
/// <param name="Name">For people.</param>
/// <param name="Cpu">Shares, reservation, limit.</param>
internal sealed record PoolPlan(Guid Id, Guid? Parent, string Name, CpuEntitlement Cpu);
