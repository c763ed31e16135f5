using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using static Hypervisor.Engine.Monitoring.Statistics.MachineRates;
using static Hypervisor.Engine.Monitoring.Statistics.StatisticsCounters;

namespace Hypervisor.Engine.Monitoring.Statistics;

/// <summary>Memory of machines and of the host, as the memory manager counts it. Pure.</summary>
internal static class MemoryRates
{
    private const long BytesPerKB = 1024, PageKB = (long)GuestMemory.PageSize / BytesPerKB;
    private const double Percent = 100;

    /// <summary>Counters that the host has the sum of, and under which name. What pages of several machines share is not in them.</summary>
    public static IReadOnlyDictionary<StatisticsCounter, StatisticsCounter> Summed { get; } = new Dictionary<StatisticsCounter, StatisticsCounter>
    {
        [MemoryGranted] = MemoryGranted,
        [MemoryActive] = MemoryActive,
        [MemoryOverhead] = MemoryOverhead,
        [MemoryShared] = MemoryShared,
        [MemoryZero] = MemoryZero,
        [MemoryBalloon] = MemoryBalloon,
        [MemorySwapped] = MemorySwapUsed,
        [MemorySwapIn] = MemorySwapIn,
        [MemorySwapOut] = MemorySwapOut,
        [MemoryCompressed] = MemoryCompressed,
        [MemoryCompression] = MemoryCompression,
        [MemoryDecompression] = MemoryDecompression,
    };

    /// <summary>Memory of a machine, and what was moved between two readings.</summary>
    /// <param name="values">Takes the values.</param>
    /// <param name="before">The earlier reading; null counts from power-on.</param>
    /// <param name="after">The later one.</param>
    /// <param name="seconds">Time between them.</param>
    /// <param name="processors">Virtual processors.</param>
    public static void Add(List<StatisticsValue> values, MemoryReading? before, MemoryReading after, double seconds, int processors)
    {
        void Add(StatisticsCounter counter, double value) => values.Add(new(counter, Aggregate, value));

        if (after.Managed is not { } memory)
        {
            Add(MemoryGranted, after.MemoryKB);
            return;
        }

        if (memory.ActiveSamples is not null)
        {
            Add(MemoryUsage, Percent * memory.ActiveBytes / Math.Max(1, memory.MemoryBytes));
            Add(MemoryActive, (double)memory.ActiveBytes / BytesPerKB);
        }

        Add(MemoryConsumed, (double)memory.ConsumedBytes / BytesPerKB);
        Add(MemoryOverhead, (double)memory.OverheadBytes / BytesPerKB);
        Add(MemoryEntitled, (double)memory.EntitlementBytes / BytesPerKB);
        Add(MemoryBalloon, (double)memory.BalloonBytes / BytesPerKB);
        Add(MemoryBalloonTarget, (double)memory.BalloonTargetBytes / BytesPerKB);
        Add(MemorySwapTarget, (double)memory.SwapTargetBytes / BytesPerKB);
        if (memory.Pages is not { } pages)
        {
            Add(MemoryGranted, (double)(memory.MemoryBytes - memory.BalloonBytes) / BytesPerKB);
            return;
        }

        GuestPageStatistics? earlier = before?.Managed?.Pages;
        double Rate(Func<GuestPageStatistics, long> count) => (count(pages) - (earlier is null ? 0 : count(earlier))) * PageKB / seconds;

        Add(MemoryGranted, (pages.Private + pages.Shared) * PageKB);
        Add(MemoryShared, pages.Shared * PageKB);
        Add(MemoryZero, pages.SharedZero * PageKB);
        Add(MemorySwapped, pages.Swapped * PageKB);
        Add(MemorySwapIn, Rate(static page => page.SwapIns));
        Add(MemorySwapOut, Rate(static page => page.SwapOuts));
        Add(MemoryCompressed, pages.Compressed * PageKB);
        Add(MemoryZipped, (double)pages.CompressedBytes / BytesPerKB);
        Add(MemoryCompression, Rate(static page => page.Compressions));
        Add(MemoryDecompression, Rate(static page => page.Decompressions));
        Add(MemoryLatency, Percent * (pages.WaitedTime - (earlier?.WaitedTime ?? default)).TotalSeconds / seconds / Math.Max(1, processors));
    }

    /// <summary>Memory of the host that its machines take beside what is summed of them.</summary>
    public static void AddHost(List<StatisticsValue> values, HostMemoryStatistics memory, long totalKB)
    {
        values.Add(new(MemoryConsumed, Aggregate, (double)memory.UsedBytes / BytesPerKB));
        values.Add(new(MemorySharedCommon, Aggregate, (double)memory.SharedFrameBytes / BytesPerKB));
        values.Add(new(MemoryUsage, Aggregate, Percent * memory.UsedBytes / BytesPerKB / Math.Max(1, totalKB)));
        // vSphere's numbers; the state clear, which came later, reclaims nothing from anybody and counts as high.
        values.Add(new(MemoryState, Aggregate, Math.Max(0, memory.State - HostMemoryState.Clear)));
    }
}
