namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>What a guest's balloon driver says about the guest's memory (virtio 1.2, 5.5.6.4); null for what it did not say.</summary>
public sealed record BalloonStatistics
{
    /// <summary>Machine time of the report in nanoseconds.</summary>
    public long Time { get; init; }
    /// <summary>Bytes swapped in.</summary>
    public ulong? SwappedInBytes { get; init; }
    /// <summary>Bytes swapped out.</summary>
    public ulong? SwappedOutBytes { get; init; }
    /// <summary>Major page faults.</summary>
    public ulong? MajorFaults { get; init; }
    /// <summary>Minor page faults.</summary>
    public ulong? MinorFaults { get; init; }
    /// <summary>Bytes used for nothing.</summary>
    public ulong? FreeBytes { get; init; }
    /// <summary>Bytes of memory in all.</summary>
    public ulong? TotalBytes { get; init; }
    /// <summary>Bytes available without swapping.</summary>
    public ulong? AvailableBytes { get; init; }
    /// <summary>Bytes of disk caches.</summary>
    public ulong? CacheBytes { get; init; }
}
