using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Engine.Inventory;

/// <summary>Storage I/O control of a datastore, with PowerCLI's property names. A snapshot.</summary>
public sealed class DatastoreIoControl
{
    internal DatastoreIoControl(string name, DatastoreIoSettings settings, DatastoreIo? running, int disksElsewhere)
    {
        Datastore = name;
        StorageIOControlEnabled = settings.Enabled;
        CongestionThresholdMode = settings.CongestionThresholdMode;
        CongestionThresholdMillisecond = running is null || settings.CongestionThresholdMode == CongestionThresholdMode.Manual
            ? settings.CongestionThresholdMillisecond
            : Math.Round(running.CongestionThreshold, 1);
        (PercentOfPeakThroughput, QueueDepth, LimitIOPerSecond) = (settings.PercentOfPeakThroughput, settings.QueueDepth, settings.LimitIops);
        CurrentQueueDepth = running?.QueueDepth ?? settings.QueueDepth;
        NumDisks = (running?.Disks.Count ?? 0) + disksElsewhere;
        Statistics = running?.Statistics;
    }

    /// <summary>Mount point of the file system.</summary>
    public string Datastore { get; }

    /// <summary>The device's latency governs how many requests it is given at once.</summary>
    public bool StorageIOControlEnabled { get; }

    /// <summary>Where the threshold comes from.</summary>
    public CongestionThresholdMode CongestionThresholdMode { get; }

    /// <summary>Latency above which the datastore counts as congested, milliseconds; in automatic mode the one found out by this process.</summary>
    public double CongestionThresholdMillisecond { get; }

    /// <summary>Part of the peak throughput, percent, whose latency is the threshold in automatic mode.</summary>
    public int PercentOfPeakThroughput { get; }

    /// <summary>Most requests at the device at once.</summary>
    public int QueueDepth { get; }

    /// <summary>Requests that the device is given at once now.</summary>
    public int CurrentQueueDepth { get; }

    /// <summary>Most I/O operations a second of all disks together, of up to 32 KB each; -1 for no limit.</summary>
    public long LimitIOPerSecond { get; }

    /// <summary>Disks of machines that are on, in this process and in others.</summary>
    public int NumDisks { get; }

    /// <summary>Counters of this process, or null when no machine has run on it.</summary>
    public DiskIoStatistics? Statistics { get; }

    /// <inheritdoc/>
    public override string ToString() => Datastore;
}
