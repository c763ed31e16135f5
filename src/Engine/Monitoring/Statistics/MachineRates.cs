using System.Globalization;
using Hypervisor.Engine.Network;
using Hypervisor.Engine.Storage.IoControl;
using static Hypervisor.Engine.Monitoring.Statistics.StatisticsCounters;

namespace Hypervisor.Engine.Monitoring.Statistics;

/// <summary>What a machine did between two readings of its counters. Pure.</summary>
internal static class MachineRates
{
    /// <summary>Instance that stands for the whole.</summary>
    public const string Aggregate = "";

    private const int FirstAdapterKey = 4000;
    private const double NanosecondsPerMillisecond = 1e6, NanosecondsPerSecond = 1e9, BytesPerKB = 1024, KBPerMB = 1024;

    /// <summary>Values of the interval.</summary>
    /// <param name="before">The earlier reading; null, or one from before a power-on, counts from the power-on.</param>
    /// <param name="after">The later one.</param>
    /// <param name="processorMHz">Clock rate of a processor.</param>
    public static IReadOnlyList<StatisticsValue> Between(MachineReading? before, MachineReading after, int processorMHz)
    {
        MachineReading? earlier = before?.PoweredOn == after.PoweredOn ? before : null;
        var seconds = TimeSpan.FromSeconds((after.Time - (earlier?.Time ?? after.PoweredOn)) / NanosecondsPerSecond);
        if (seconds <= TimeSpan.Zero)
        {
            return [];
        }

        var values = new List<StatisticsValue>();
        AddProcessors(values, earlier?.Processors, after.Processors, processorMHz);
        MemoryRates.Add(values, earlier?.Memory, after.Memory, seconds.TotalSeconds, after.Processors.Count);
        AddDisks(values, earlier?.Disks ?? [], after.Disks, seconds);
        DatastoreRates.AddMachine(values, earlier, after);
        AddAdapters(values, earlier?.Adapters, after.Adapters, seconds.TotalSeconds);
        values.Add(new(Uptime, Aggregate, Math.Floor((after.Time - after.PoweredOn) / NanosecondsPerSecond)));
        return values;
    }

    /// <summary>vSphere's key of a disk: the controller and the unit on it.</summary>
    public static string DiskInstance(int index) => string.Create(CultureInfo.InvariantCulture, $"scsi0:{index}");

    /// <summary>vSphere's key of a network adapter: they are counted from 4000.</summary>
    public static string AdapterInstance(int index) => (FirstAdapterKey + index).ToString(CultureInfo.InvariantCulture);

    private static void AddProcessors(List<StatisticsValue> values, IReadOnlyList<ProcessorReading>? before, IReadOnlyList<ProcessorReading> after, int processorMHz)
    {
        if (after.Count == 0)
        {
            return;
        }

        ProcessorReading whole = default;
        for (int i = 0; i < after.Count; i++)
        {
            ProcessorReading passed = after[i] - (before is not null && i < before.Count ? before[i] : default);
            whole += passed;
            AddProcessor(values, i.ToString(CultureInfo.InvariantCulture), passed, 1, processorMHz);
        }

        AddProcessor(values, Aggregate, whole, after.Count, processorMHz);
        values.Add(new(CpuUsageMaximum, Aggregate, Share(whole.Used, whole.Age)));
    }

    private static void AddProcessor(List<StatisticsValue> values, string instance, ProcessorReading passed, int processors, int processorMHz)
    {
        // The age of a machine is that of all its processors together.
        values.Add(new(CpuUsage, instance, Share(passed.Used, passed.Age)));
        values.Add(new(CpuUsageMHz, instance, Share(passed.Used, passed.Age) / 100 * processors * processorMHz));
        values.Add(new(CpuUsed, instance, passed.Used / NanosecondsPerMillisecond));
        values.Add(new(CpuRun, instance, passed.Run / NanosecondsPerMillisecond));
        values.Add(new(CpuReady, instance, passed.Ready / NanosecondsPerMillisecond));
        values.Add(new(CpuReadiness, instance, Share(passed.Ready, passed.Age)));
        values.Add(new(CpuCoStop, instance, passed.CoStop / NanosecondsPerMillisecond));
        values.Add(new(CpuWait, instance, passed.Wait / NanosecondsPerMillisecond));
        values.Add(new(CpuIdle, instance, passed.Idle / NanosecondsPerMillisecond));
        values.Add(new(CpuMaxLimited, instance, passed.Limited / NanosecondsPerMillisecond));
    }

    private static void AddDisks(List<StatisticsValue> values, IReadOnlyList<DiskReading> before, IReadOnlyList<DiskReading> after, TimeSpan elapsed)
    {
        if (after.Count == 0)
        {
            return;
        }

        DiskIoStatistics allBefore = default, allAfter = default;
        double highest = 0;
        foreach (DiskReading disk in after)
        {
            DiskIoStatistics earlier = before.FirstOrDefault(known => known.Index == disk.Index).Statistics;
            allBefore += earlier;
            allAfter += disk.Statistics;
            var rates = new DiskIoRates(earlier, disk.Statistics, elapsed);
            highest = Math.Max(highest, rates.GuestLatency);
            string instance = DiskInstance(disk.Index);
            values.Add(new(VirtualDiskReads, instance, rates.ReadsPerSecond));
            values.Add(new(VirtualDiskWrites, instance, rates.WritesPerSecond));
            values.Add(new(VirtualDiskRead, instance, rates.MBReadPerSecond * KBPerMB));
            values.Add(new(VirtualDiskWrite, instance, rates.MBWrittenPerSecond * KBPerMB));
            values.Add(new(VirtualDiskReadLatency, instance, rates.ReadLatency));
            values.Add(new(VirtualDiskWriteLatency, instance, rates.WriteLatency));
        }

        AddDisk(values, Aggregate, new DiskIoRates(allBefore, allAfter, elapsed));
        values.Add(new(DiskLatency, Aggregate, highest));
    }

    /// <summary>The counters of the group <c>disk</c> that sum over disks.</summary>
    public static void AddDisk(List<StatisticsValue> values, string instance, DiskIoRates rates)
    {
        values.Add(new(DiskUsage, instance, (rates.MBReadPerSecond + rates.MBWrittenPerSecond) * KBPerMB));
        values.Add(new(DiskRead, instance, rates.MBReadPerSecond * KBPerMB));
        values.Add(new(DiskWrite, instance, rates.MBWrittenPerSecond * KBPerMB));
        values.Add(new(DiskReads, instance, rates.ReadsPerSecond));
        values.Add(new(DiskWrites, instance, rates.WritesPerSecond));
        values.Add(new(DiskCommands, instance, rates.CommandsPerSecond));
    }

    private static void AddAdapters(List<StatisticsValue> values, IReadOnlyList<NetworkAdapterStatistics>? before, IReadOnlyList<NetworkAdapterStatistics> after, double seconds)
    {
        if (after.Count == 0)
        {
            return;
        }

        var nothing = new NetworkAdapterStatistics(0, 0, 0, 0, 0, 0);
        NetworkAdapterStatistics whole = nothing;
        for (int i = 0; i < after.Count; i++)
        {
            NetworkAdapterStatistics now = after[i], then = before is not null && i < before.Count ? before[i] : nothing;
            var passed = new NetworkAdapterStatistics(
                now.TransmittedPackets - then.TransmittedPackets, now.TransmittedBytes - then.TransmittedBytes, now.TransmittedDropped - then.TransmittedDropped,
                now.ReceivedPackets - then.ReceivedPackets, now.ReceivedBytes - then.ReceivedBytes, now.ReceivedDropped - then.ReceivedDropped);
            whole = new NetworkAdapterStatistics(
                whole.TransmittedPackets + passed.TransmittedPackets, whole.TransmittedBytes + passed.TransmittedBytes, whole.TransmittedDropped + passed.TransmittedDropped,
                whole.ReceivedPackets + passed.ReceivedPackets, whole.ReceivedBytes + passed.ReceivedBytes, whole.ReceivedDropped + passed.ReceivedDropped);
            AddAdapter(values, AdapterInstance(i), passed, seconds);
        }

        AddAdapter(values, Aggregate, whole, seconds);
    }

    private static void AddAdapter(List<StatisticsValue> values, string instance, NetworkAdapterStatistics passed, double seconds)
    {
        values.Add(new(NetUsage, instance, (passed.ReceivedBytes + passed.TransmittedBytes) / BytesPerKB / seconds));
        values.Add(new(NetReceived, instance, passed.ReceivedBytes / BytesPerKB / seconds));
        values.Add(new(NetTransmitted, instance, passed.TransmittedBytes / BytesPerKB / seconds));
        values.Add(new(NetPacketsReceived, instance, passed.ReceivedPackets));
        values.Add(new(NetPacketsTransmitted, instance, passed.TransmittedPackets));
        values.Add(new(NetDroppedReceived, instance, passed.ReceivedDropped));
        values.Add(new(NetDroppedTransmitted, instance, passed.TransmittedDropped));
    }

    private static double Share(long part, long whole) => whole > 0 ? 100.0 * part / whole : 0;
}
