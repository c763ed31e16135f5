namespace Hypervisor.Engine.Memory.Policy;

/// <summary>What the inventory says about memory at one moment: the policy's inputs that people set. Immutable.</summary>
internal sealed record MemoryConfiguration
{
    /// <summary>Before an inventory has said anything: no budget is enforced.</summary>
    public static MemoryConfiguration None { get; } = new() { BudgetBytes = long.MaxValue };

    /// <summary>Host memory for machines, bytes: the setting Mem.BudgetMB, or most of what the host has.</summary>
    public required long BudgetBytes { get; init; }

    /// <summary>All of the host's processors together, MHz.</summary>
    public long ProcessorMHz { get; init; }

    /// <summary>Settings of the host.</summary>
    public MemoryPolicySettings Settings { get; init; } = MemoryPolicySettings.Default;

    /// <summary>Pools, each after the one it is in. Not to be changed.</summary>
    public MemoryPoolPlan[] Pools { get; init; } = [];

    /// <summary>Where each pool is in <see cref="Pools"/>.</summary>
    public IReadOnlyDictionary<Guid, int> PoolIndexes { get; init; } = new Dictionary<Guid, int>();

    /// <summary>Machines that run in this process. A plan goes with the <see cref="Pools"/> beside it, and with no others.</summary>
    public IReadOnlyDictionary<Guid, MachineMemoryPlan> Machines { get; init; } = new Dictionary<Guid, MachineMemoryPlan>();
}

/// <summary>Where the inventory says what memory is to become, and whoever manages memory reads it. Thread-safe.</summary>
internal sealed class MemoryConfigurationSource
{
    private volatile MemoryConfiguration _current = MemoryConfiguration.None;

    /// <summary>The newest.</summary>
    public MemoryConfiguration Current => _current;

    /// <summary>Called after <see cref="Current"/> changed, on the thread that changed it; must not block.</summary>
    public event Action? Changed;

    /// <summary>Takes a new one.</summary>
    public void Publish(MemoryConfiguration configuration)
    {
        _current = configuration;
        Changed?.Invoke();
    }
}
