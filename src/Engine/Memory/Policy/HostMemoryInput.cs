namespace Hypervisor.Engine.Memory.Policy;

/// <summary>The host's memory at one moment.</summary>
internal readonly record struct HostMemoryInput
{
    /// <summary>Host memory for machines, bytes.</summary>
    public required long BudgetBytes { get; init; }

    /// <summary>What of it is taken, bytes: the machines' <see cref="MachineMemoryInput.ConsumedBytes"/> and overhead, shared frames, and what else counts.</summary>
    public required long UsedBytes { get; init; }

    /// <summary>All of the host's processors together, MHz; bounds the search for equal pages.</summary>
    public required long ProcessorMHz { get; init; }

    /// <summary>Settings of the host.</summary>
    public required MemoryPolicySettings Settings { get; init; }
}
