using static Hypervisor.Engine.Monitoring.Statistics.StatisticsCounters;

namespace Hypervisor.Engine.Monitoring.Statistics;

/// <summary>
/// What the machines of this process have of the host. Each value is a part that can be added to those of other processes, so that the
/// host's samples are what the machines of all processes use together. Pure.
/// </summary>
internal static class HostRates
{
    private const int KBPerMB = 1024, BytesPerKB = 1024;

    private static readonly HashSet<StatisticsCounter> Summed =
    [
        CpuUsageMHz, CpuUsed, CpuReady, CpuCoStop, DiskUsage, DiskRead, DiskWrite, DiskReads, DiskWrites, DiskCommands,
        NetUsage, NetReceived, NetTransmitted, NetPacketsReceived, NetPacketsTransmitted, NetDroppedReceived, NetDroppedTransmitted,
    ];

    private static readonly StatisticsCounter[] SummedOfPools =
    [
        CpuUsageMHz, MemoryGranted, MemoryActive, MemoryConsumed, MemoryOverhead, MemoryShared, MemoryZero, MemoryBalloon, MemorySwapped, MemoryCompressed,
    ];

    /// <summary>What is so of the host whoever asks: not to be added to what other processes say.</summary>
    public static IReadOnlyList<StatisticsValue> CapacityOf(HostReading host)
    {
        var values = new List<StatisticsValue>();
        if (host.Capacity is { } capacity)
        {
            values.Add(new(CpuTotalCapacity, MachineRates.Aggregate, capacity.CpuMHz));
            values.Add(new(CpuReservedCapacity, MachineRates.Aggregate, capacity.CpuReservedMHz));
            values.Add(new(MemoryTotalCapacity, MachineRates.Aggregate, capacity.MemoryMB));
            values.Add(new(MemoryReservedCapacity, MachineRates.Aggregate, capacity.MemoryReservedMB));
            values.Add(new(MemoryUnreserved, MachineRates.Aggregate, capacity.MemoryUnreservedMB * KBPerMB));
        }

        if (host.Memory is { } memory)
        {
            values.Add(new(MemoryLowFree, MachineRates.Aggregate, (double)memory.MinFreeBytes / BytesPerKB));
        }

        return values;
    }

    /// <summary>What machines of this process have together that are in a pool; a part, as the host's.</summary>
    public static IReadOnlyList<StatisticsValue> Of(PoolReading pool, IReadOnlyDictionary<Guid, IReadOnlyList<StatisticsValue>> machines)
    {
        ILookup<StatisticsCounter, double> values = pool.Machines
            .SelectMany(machine => machines.GetValueOrDefault(machine, []))
            .Where(static value => value.Instance.Length == 0)
            .ToLookup(static value => value.Counter, static value => value.Value);
        return [.. SummedOfPools.Where(values.Contains).Select(counter => new StatisticsValue(counter, MachineRates.Aggregate, values[counter].Sum()))];
    }

    /// <summary>The part of the host that machines have.</summary>
    /// <param name="host">What there is, with the later readings of its machines.</param>
    /// <param name="before">The earlier readings.</param>
    /// <param name="machines">The machines' own values.</param>
    public static IReadOnlyList<StatisticsValue> Of(HostReading host, IReadOnlyDictionary<Guid, MachineReading> before, IEnumerable<IReadOnlyList<StatisticsValue>> machines)
    {
        var sums = new Dictionary<StatisticsCounter, double>();
        foreach (StatisticsValue value in machines.SelectMany(static values => values).Where(static value => value.Instance.Length == 0))
        {
            StatisticsCounter? counter = Summed.Contains(value.Counter) ? value.Counter : MemoryRates.Summed.GetValueOrDefault(value.Counter);
            if (counter is not null)
            {
                sums[counter] = sums.GetValueOrDefault(counter) + value.Value;
            }
        }

        var values = new List<StatisticsValue>();
        if (sums.TryGetValue(CpuUsageMHz, out double used) && host.CapacityMHz > 0)
        {
            values.Add(new(CpuUsage, MachineRates.Aggregate, 100 * used / host.CapacityMHz));
        }

        if (host.Memory is { } memory)
        {
            MemoryRates.AddHost(values, memory, host.MemoryKB);
        }

        values.AddRange(sums.Select(static sum => new StatisticsValue(sum.Key, MachineRates.Aggregate, sum.Value)));
        DatastoreRates.AddHost(values, host, before);
        values.Add(new(Uptime, MachineRates.Aggregate, Math.Floor(host.Uptime.TotalSeconds)));
        return values;
    }
}
