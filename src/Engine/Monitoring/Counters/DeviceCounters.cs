namespace Hypervisor.Engine.Monitoring.Counters;

/// <summary>A network port. Sending and receiving are the guest's.</summary>
public sealed record NetPortCounter
{
    /// <summary>Number of the port.</summary>
    public required int PortID { get; init; }

    /// <summary>The network or switch.</summary>
    public required string PortsetName { get; init; }

    /// <summary>The machine.</summary>
    public required string ClientName { get; init; }

    /// <summary>It leads out of the host: the ports of machines do not.</summary>
    public bool IsUplink => false;

    /// <summary>The host's adapter behind it; <c>n/a</c> without one.</summary>
    public required string TeamUplink { get; init; }

    /// <summary>The cable is plugged in.</summary>
    public required bool LinkUp { get; init; }

    /// <summary>The adapter's address.</summary>
    public required string MacAddress { get; init; }

    /// <summary>Frames that the guest sent.</summary>
    public required long NumOfSendPackets { get; init; }

    /// <summary>Bytes of those.</summary>
    public required long NumOfSendBytes { get; init; }

    /// <summary>Frames of the guest that were dropped.</summary>
    public required long NumOfDroppedSendPackets { get; init; }

    /// <summary>Frames that the guest was given.</summary>
    public required long NumOfRecvPackets { get; init; }

    /// <summary>Bytes of those.</summary>
    public required long NumOfRecvBytes { get; init; }

    /// <summary>Frames for the guest that were dropped.</summary>
    public required long NumOfDroppedRecvPackets { get; init; }
}

/// <summary>What was done with storage. Times are sums over requests.</summary>
public abstract record StorageCounter
{
    internal StorageCounter(EsxTopDiskCounters disk)
    {
        (NumOfActiveCommands, NumOfQueuedCommands) = (disk.ActiveCommands, disk.QueuedCommands);
        (NumOfCommands, NumOfReads, NumOfWrites, NumOfFailedCommands) = (disk.Commands, disk.ReadOps, disk.WriteOps, disk.FailedCommands);
        (NumOfReadBytes, NumOfWriteBytes) = (disk.BytesRead, disk.BytesWritten);
        (DeviceTimeInUsec, KernelTimeInUsec, QueueTimeInUsec) = (disk.DeviceTimeInUsec, disk.KernelTimeInUsec, disk.QueueTimeInUsec);
    }

    /// <summary>Requests at the device now.</summary>
    public int NumOfActiveCommands { get; }

    /// <summary>Requests that wait in the scheduler now.</summary>
    public int NumOfQueuedCommands { get; }

    /// <summary>Requests that ended.</summary>
    public long NumOfCommands { get; }

    /// <summary>Reads that ended.</summary>
    public long NumOfReads { get; }

    /// <summary>Writes that ended.</summary>
    public long NumOfWrites { get; }

    /// <summary>Requests that the host failed.</summary>
    public long NumOfFailedCommands { get; }

    /// <summary>Bytes read.</summary>
    public long NumOfReadBytes { get; }

    /// <summary>Bytes written.</summary>
    public long NumOfWriteBytes { get; }

    /// <summary>Time at the device, µs.</summary>
    public long DeviceTimeInUsec { get; }

    /// <summary>Time before that, µs.</summary>
    public long KernelTimeInUsec { get; }

    /// <summary>Part of the kernel time in the scheduler's queue, µs.</summary>
    public long QueueTimeInUsec { get; }
}

/// <summary>A datastore.</summary>
public sealed record ScsiDeviceCounter : StorageCounter
{
    internal ScsiDeviceCounter(EsxTopDiskCounters disk) : base(disk) => (DeviceName, QueueDepth) = (disk.Datastore, disk.QueueDepth);

    /// <summary>The datastore.</summary>
    public string DeviceName { get; }

    /// <summary>Requests that it is given at once.</summary>
    public int QueueDepth { get; }
}

/// <summary>A disk of a machine.</summary>
public sealed record VscsiCounter : StorageCounter
{
    internal VscsiCounter(EsxTopDiskCounters disk, int? group) : base(disk) =>
        (GroupID, VMName, VDiskName, DeviceName) = (group, disk.Name, disk.Disk ?? "", disk.Datastore);

    /// <summary>Number of the machine's group of worlds; null where nothing schedules it.</summary>
    public int? GroupID { get; }

    /// <summary>The machine.</summary>
    public string VMName { get; }

    /// <summary>The disk, such as <c>Hard disk 1</c>.</summary>
    public string VDiskName { get; }

    /// <summary>The datastore that it is on.</summary>
    public string DeviceName { get; }
}
