using Hypervisor.Engine.Inventory;

namespace Hypervisor.Engine.Storage.IoControl;

/// <summary>Where the congestion threshold of a datastore comes from.</summary>
public enum CongestionThresholdMode
{
    /// <summary>A number of milliseconds.</summary>
    Manual,
    /// <summary>The latency at which the datastore was seen to give a part of its peak throughput.</summary>
    Automatic,
}

/// <summary>Storage I/O control of a datastore.</summary>
public sealed record DatastoreIoSettings
{
    /// <summary>Range of the threshold, milliseconds.</summary>
    public const int MinThresholdMs = 1, MaxThresholdMs = 1000;

    /// <summary>Range of the queue depth, requests.</summary>
    public const int MinQueueDepth = 4, MaxQueueDepth = 1024;

    /// <summary>Range of the part of the peak throughput, percent.</summary>
    public const int MinPercentOfPeak = 50, MaxPercentOfPeak = 100;

    /// <summary>A datastore that nothing was said of: not controlled.</summary>
    public static DatastoreIoSettings Default { get; } = new();

    /// <summary>The latency of the device governs how many requests it is given, and shares divide them.</summary>
    public bool Enabled { get; init; }

    /// <summary>Where the threshold comes from.</summary>
    public CongestionThresholdMode CongestionThresholdMode { get; init; }

    /// <summary>Latency of the device above which the datastore counts as congested, milliseconds, in manual mode.</summary>
    public int CongestionThresholdMillisecond { get; init; } = 30;

    /// <summary>Part of the peak throughput, percent, whose latency is the threshold in automatic mode.</summary>
    public int PercentOfPeakThroughput { get; init; } = 90;

    /// <summary>Most requests at the device at once.</summary>
    public int QueueDepth { get; init; } = 64;

    /// <summary>Most I/O operations a second of all disks together, or -1.</summary>
    public long LimitIops { get; init; } = DiskIoSettings.Unlimited;

    /// <summary>Checks the values.</summary>
    /// <param name="datastore">What the message calls the datastore.</param>
    /// <exception cref="InvalidConfigurationException">A rule is broken.</exception>
    public void Check(string datastore)
    {
        Check(datastore, "congestion threshold", CongestionThresholdMillisecond, MinThresholdMs, MaxThresholdMs, " ms");
        Check(datastore, "part of the peak throughput", PercentOfPeakThroughput, MinPercentOfPeak, MaxPercentOfPeak, " percent");
        Check(datastore, "queue depth", QueueDepth, MinQueueDepth, MaxQueueDepth, " requests");
        if (LimitIops != DiskIoSettings.Unlimited && LimitIops is < 1 or > DiskIoSettings.MaxIops)
        {
            throw new InvalidConfigurationException($"{datastore}: a limit of {LimitIops} I/O operations a second; it can be 1 to {DiskIoSettings.MaxIops}, or $null for none.");
        }
    }

    private static void Check(string datastore, string what, int value, int least, int most, string unit)
    {
        if (value < least || value > most)
        {
            throw new InvalidConfigurationException($"{datastore}: a {what} of {value}{unit}; it can be {least} to {most}.");
        }
    }
}
