using Hypervisor.Engine.Devices.Virtio;

namespace Hypervisor.Engine.Memory;

/// <summary>A running machine's memory at one moment. Bytes.</summary>
public sealed record MachineMemoryStatistics
{
    /// <summary>The machine.</summary>
    public required Guid Id { get; init; }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Number of this run of it: a machine that is powered on again has another.</summary>
    public int Run { get; init; }

    /// <summary>Time since its memory is managed, which begins with power-on.</summary>
    public TimeSpan UpTime { get; init; }

    /// <summary>Guest memory.</summary>
    public required long MemoryBytes { get; init; }

    /// <summary>Host memory beside guest memory: devices and tables (an estimate), the software processors' tables and code as they are now.</summary>
    public required long OverheadBytes { get; init; }

    /// <summary>The part of it that admission counted when the machine was powered on, bytes.</summary>
    public required long PromisedOverheadBytes { get; init; }

    /// <summary>Host memory that guest memory takes; where pages are not known (WHP) guest memory without the balloon.</summary>
    public required long ConsumedBytes { get; init; }

    /// <summary>The part of guest memory that is in large pages of the host; null where the host does not say.</summary>
    public long? LargePageBytes { get; init; }

    /// <summary>Estimate of the guest memory in use, by sampling.</summary>
    public required long ActiveBytes { get; init; }

    /// <summary>The same, as part of guest memory.</summary>
    public required double ActiveFraction { get; init; }

    /// <summary>What samples of its pages say; null before the first has ended, and where pages cannot be watched. <see cref="ActiveBytes"/> is all of it then.</summary>
    public ActiveMemorySamples? ActiveSamples { get; init; }

    /// <summary>Host memory that its guest memory is entitled to now.</summary>
    public required long EntitlementBytes { get; init; }

    /// <summary>The guest has a balloon driver that runs.</summary>
    public required bool HasBalloon { get; init; }

    /// <summary>What the driver says the balloon holds.</summary>
    public required long BalloonBytes { get; init; }

    /// <summary>What it is to hold.</summary>
    public required long BalloonTargetBytes { get; init; }

    /// <summary>Most it may hold.</summary>
    public required long BalloonMaxBytes { get; init; }

    /// <summary>The balloon did not bring memory back when it was asked; it is not counted on for a while.</summary>
    public required bool IsBalloonFailing { get; init; }

    /// <summary>Guest memory that is to be compressed or swapped in the end.</summary>
    public required long SwapTargetBytes { get; init; }

    /// <summary>Where the pages are; null where the backend does not say.</summary>
    public required GuestPageStatistics? Pages { get; init; }

    /// <summary>What the balloon driver last said of the guest; null before.</summary>
    public required BalloonStatistics? Guest { get; init; }
}

/// <summary>How much of its memory a machine used, as parts of it, 0 to 1.</summary>
/// <param name="Latest">In the last sample.</param>
/// <param name="Slow">By a slow average.</param>
/// <param name="Fast">By a fast average.</param>
public sealed record ActiveMemorySamples(double Latest, double Slow, double Fast);
