namespace Hypervisor.Engine.Monitoring.Statistics;

/// <summary>The counters there are. One more is a line here and a line where its values are computed (<see cref="MachineRates"/>).</summary>
public static class StatisticsCounters
{
    private const string Percent = "%", MHz = "MHz", Milliseconds = "millisecond", Microseconds = "microsecond", Kilobytes = "KB", Megabytes = "MB", KilobytesPerSecond = "KBps", Number = "number", Seconds = "second";

    private static readonly List<StatisticsCounter> Known = [];

    internal static readonly StatisticsCounter
        CpuUsage = Average("cpu.usage", Percent, StatisticsSets.Common | StatisticsSets.Cpu, "Processor time used, of what the virtual processors (of a host: the processors that machines may use) have"),
        CpuUsageMaximum = Add("cpu.usage", StatisticsRollup.Maximum, Percent, StatisticsSets.None, "The highest cpu.usage.average of a 20-second sample"),
        CpuUsageMHz = Average("cpu.usagemhz", MHz, StatisticsSets.Common | StatisticsSets.Cpu, "Processor time used, as a clock rate"),
        CpuUsed = Sum("cpu.used", Milliseconds, StatisticsSets.None, "Processor time that the operating system counted"),
        CpuRun = Sum("cpu.run", Milliseconds, StatisticsSets.None, "Time on a physical processor"),
        CpuReady = Sum("cpu.ready", Milliseconds, StatisticsSets.Cpu, "Time in which virtual processors wanted a physical one and had none"),
        CpuReadiness = Average("cpu.readiness", Percent, StatisticsSets.None, "cpu.ready as a share of the time of the virtual processors"),
        CpuCoStop = Sum("cpu.costop", Milliseconds, StatisticsSets.Cpu, "Time in which virtual processors were stopped for being ahead of their siblings"),
        CpuWait = Sum("cpu.wait", Milliseconds, StatisticsSets.None, "Time in which virtual processors wanted no physical one; idle time is in it"),
        CpuIdle = Sum("cpu.idle", Milliseconds, StatisticsSets.None, "Time in which the guest had halted virtual processors"),
        CpuMaxLimited = Sum("cpu.maxlimited", Milliseconds, StatisticsSets.None, "The part of cpu.ready in which a limit held virtual processors"),
        CpuTotalCapacity = Average("cpu.totalCapacity", MHz, StatisticsSets.None, "Processor time that can be reserved on the host, what is reserved included"),
        CpuReservedCapacity = Average("cpu.reservedCapacity", MHz, StatisticsSets.None, "Processor time of the host that pools and running machines have reserved"),

        MemoryUsage = Average("mem.usage", Percent, StatisticsSets.Common | StatisticsSets.Memory, "Memory in use: active memory of what a machine has; what machines take of a host's"),
        MemoryActive = Average("mem.active", Kilobytes, StatisticsSets.Memory, "Guest memory in use, an estimate by sampling"),
        MemoryGranted = Average("mem.granted", Kilobytes, StatisticsSets.Memory, "Guest memory that has memory of the host, alone or shared"),
        MemoryConsumed = Average("mem.consumed", Kilobytes, StatisticsSets.Memory, "Memory of the host that it takes"),
        MemoryOverhead = Average("mem.overhead", Kilobytes, StatisticsSets.None, "Memory of the host beside guest memory, an estimate"),
        MemoryEntitled = Average("mem.entitlement", Kilobytes, StatisticsSets.None, "Memory of the host that guest memory is entitled to"),
        MemoryShared = Average("mem.shared", Kilobytes, StatisticsSets.Memory, "Guest memory whose content is shared"),
        MemoryZero = Average("mem.zero", Kilobytes, StatisticsSets.None, "The part of mem.shared that is zeroes"),
        MemorySharedCommon = Average("mem.sharedcommon", Kilobytes, StatisticsSets.None, "Memory of the host that holds what is shared"),
        MemoryBalloon = Average("mem.vmmemctl", Kilobytes, StatisticsSets.Memory, "Guest memory that the balloon holds"),
        MemoryBalloonTarget = Average("mem.vmmemctltarget", Kilobytes, StatisticsSets.None, "Guest memory that the balloon is to hold"),
        MemorySwapped = Average("mem.swapped", Kilobytes, StatisticsSets.Memory, "Guest memory in the swap file"),
        MemorySwapUsed = Average("mem.swapused", Kilobytes, StatisticsSets.Memory, "Guest memory of all machines in swap files"),
        MemorySwapTarget = Average("mem.swaptarget", Kilobytes, StatisticsSets.None, "Guest memory that is to be compressed or swapped"),
        MemorySwapIn = Average("mem.swapinRate", KilobytesPerSecond, StatisticsSets.None, "Guest memory read from the swap file"),
        MemorySwapOut = Average("mem.swapoutRate", KilobytesPerSecond, StatisticsSets.None, "Guest memory written to the swap file"),
        MemoryCompressed = Average("mem.compressed", Kilobytes, StatisticsSets.Memory, "Guest memory that is held compressed"),
        MemoryZipped = Add("mem.zipped", StatisticsRollup.Latest, Kilobytes, StatisticsSets.None, "Memory of the host that holds what is compressed"),
        MemoryCompression = Average("mem.compressionRate", KilobytesPerSecond, StatisticsSets.None, "Guest memory compressed"),
        MemoryDecompression = Average("mem.decompressionRate", KilobytesPerSecond, StatisticsSets.None, "Guest memory decompressed because it was used"),
        MemoryLatency = Average("mem.latency", Percent, StatisticsSets.None, "Time in which virtual processors waited for memory that was swapped or compressed, or that the host did not have"),
        MemoryTotalCapacity = Average("mem.totalCapacity", Megabytes, StatisticsSets.None, "Memory that can be reserved on the host, what is reserved included"),
        MemoryReservedCapacity = Average("mem.reservedCapacity", Megabytes, StatisticsSets.None, "Memory of the host that pools and running machines have reserved, overhead included"),
        MemoryUnreserved = Average("mem.unreserved", Kilobytes, StatisticsSets.None, "Memory of the host that can still be reserved"),
        MemoryLowFree = Average("mem.lowfreethreshold", Kilobytes, StatisticsSets.None, "Free memory of the host below which machines give memory back"),
        MemoryState = Add("mem.state", StatisticsRollup.Latest, Number, StatisticsSets.None, "How short of memory the host is: 0 high (or clear), 1 soft, 2 hard, 3 low"),

        DiskUsage = Average("disk.usage", KilobytesPerSecond, StatisticsSets.Common | StatisticsSets.Disk, "Bytes read and written"),
        DiskRead = Average("disk.read", KilobytesPerSecond, StatisticsSets.Disk, "Bytes read"),
        DiskWrite = Average("disk.write", KilobytesPerSecond, StatisticsSets.Disk, "Bytes written"),
        DiskReads = Average("disk.numberReadAveraged", Number, StatisticsSets.None, "Reads a second"),
        DiskWrites = Average("disk.numberWriteAveraged", Number, StatisticsSets.None, "Writes a second"),
        DiskCommands = Average("disk.commandsAveraged", Number, StatisticsSets.None, "Requests a second: reads, writes and others"),
        DiskLatency = Add("disk.maxTotalLatency", StatisticsRollup.Latest, Milliseconds, StatisticsSets.None, "Mean time of a request, of the disk where that is highest"),
        VirtualDiskReads = Average("virtualDisk.numberReadAveraged", Number, StatisticsSets.None, "Reads of the disk a second"),
        VirtualDiskWrites = Average("virtualDisk.numberWriteAveraged", Number, StatisticsSets.None, "Writes of the disk a second"),
        VirtualDiskRead = Average("virtualDisk.read", KilobytesPerSecond, StatisticsSets.None, "Bytes read of the disk"),
        VirtualDiskWrite = Average("virtualDisk.write", KilobytesPerSecond, StatisticsSets.None, "Bytes written to the disk"),
        VirtualDiskReadLatency = Average("virtualDisk.totalReadLatency", Milliseconds, StatisticsSets.None, "Mean time of a read as the guest sees it"),
        VirtualDiskWriteLatency = Average("virtualDisk.totalWriteLatency", Milliseconds, StatisticsSets.None, "Mean time of a write as the guest sees it"),

        DiskCapacity = Add("disk.capacity", StatisticsRollup.Latest, Kilobytes, StatisticsSets.Common | StatisticsSets.Disk, "Space of the datastore"),
        DiskUsed = Add("disk.used", StatisticsRollup.Latest, Kilobytes, StatisticsSets.Common | StatisticsSets.Disk, "Space of the datastore that is in use, by whatever"),
        DiskProvisioned = Add("disk.provisioned", StatisticsRollup.Latest, Kilobytes, StatisticsSets.Common | StatisticsSets.Disk, "disk.used, and what disks of machines may still take by being written to"),
        DatastoreReads = Average("datastore.numberReadAveraged", Number, StatisticsSets.None, "Reads of the datastore a second"),
        DatastoreWrites = Average("datastore.numberWriteAveraged", Number, StatisticsSets.None, "Writes of the datastore a second"),
        DatastoreRead = Average("datastore.read", KilobytesPerSecond, StatisticsSets.None, "Bytes read of the datastore"),
        DatastoreWrite = Average("datastore.write", KilobytesPerSecond, StatisticsSets.None, "Bytes written to the datastore"),
        DatastoreReadLatency = Mean("datastore.totalReadLatency", Milliseconds, "Mean time of a read as guests see it"),
        DatastoreWriteLatency = Mean("datastore.totalWriteLatency", Milliseconds, "Mean time of a write as guests see it"),
        DatastoreLatency = Add("datastore.maxTotalLatency", StatisticsRollup.Latest, Milliseconds, StatisticsSets.None, "Mean time of a request, of the datastore where that is highest"),
        DatastoreIops = Average("datastore.datastoreIops", Number, StatisticsSets.None, "Requests of the datastore a second: reads, writes and others"),
        DatastoreNormalizedLatency = Mean("datastore.sizeNormalizedDatastoreLatency", Microseconds, "Mean time of a request at the device, of which one of more than 32 KB counts as several"),
        DatastoreQueueDepth = Add("datastore.datastoreMaxQueueDepth", StatisticsRollup.Latest, Number, StatisticsSets.None, "Requests that a process gives the device at once; storage I/O control governs that"),

        NetUsage = Average("net.usage", KilobytesPerSecond, StatisticsSets.Common | StatisticsSets.Network, "Bytes received and transmitted"),
        NetReceived = Average("net.received", KilobytesPerSecond, StatisticsSets.Network, "Bytes received"),
        NetTransmitted = Average("net.transmitted", KilobytesPerSecond, StatisticsSets.Network, "Bytes transmitted"),
        NetPacketsReceived = Sum("net.packetsRx", Number, StatisticsSets.None, "Packets received"),
        NetPacketsTransmitted = Sum("net.packetsTx", Number, StatisticsSets.None, "Packets transmitted"),
        NetDroppedReceived = Sum("net.droppedRx", Number, StatisticsSets.None, "Packets that the guest should have received and that were dropped"),
        NetDroppedTransmitted = Sum("net.droppedTx", Number, StatisticsSets.None, "Packets of the guest that were dropped"),

        Uptime = Add("sys.uptime", StatisticsRollup.Latest, Seconds, StatisticsSets.None, "Time since power-on (of a host: since the computer started)");

    /// <summary>All counters, by group.</summary>
    public static IReadOnlyList<StatisticsCounter> All => Known;

    private static StatisticsCounter Average(string name, string unit, StatisticsSets sets, string description) => Add(name, StatisticsRollup.Average, unit, sets, description);

    private static StatisticsCounter Sum(string name, string unit, StatisticsSets sets, string description) => Add(name, StatisticsRollup.Summation, unit, sets, description);

    private static StatisticsCounter Mean(string name, string unit, string description)
    {
        StatisticsCounter counter = Make(name, StatisticsRollup.Average, unit, StatisticsSets.None, description) with { IsWeighted = true };
        Known.Add(counter);
        return counter;
    }

    private static StatisticsCounter Add(string name, StatisticsRollup rollup, string unit, StatisticsSets sets, string description)
    {
        StatisticsCounter counter = Make(name, rollup, unit, sets, description);
        Known.Add(counter);
        return counter;
    }

#pragma warning disable CA1308 // vSphere writes the rollup in lower case.
    private static StatisticsCounter Make(string name, StatisticsRollup rollup, string unit, StatisticsSets sets, string description) =>
        new($"{name}.{rollup.ToString().ToLowerInvariant()}", unit, rollup, sets, description);
#pragma warning restore CA1308
}
