using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Monitoring;

/// <summary>A running machine's memory at one moment: the raw counters of the memory panel. Bytes; pages and times are counted since power-on.</summary>
public sealed class EsxTopMemoryCounters : IEsxTopCounters
{
    internal EsxTopMemoryCounters(MachineMemoryStatistics statistics, int? group, double framesPerSharedPage = 0)
    {
        (Statistics, GroupId) = (statistics, group);
        UpTimeInUsec = (long)statistics.UpTime.TotalMicroseconds;
        SharedSavedBytes = Pages is { } pages ? (long)((pages.Shared - ((pages.Shared - pages.SharedZero) * framesPerSharedPage)) * GuestMemory.PageSize) : null;
    }

    /// <inheritdoc/>
    public string Name => Statistics.Name;

    /// <summary>Number of the machine's group of worlds; null where nothing schedules it.</summary>
    public int? GroupId { get; }

    /// <summary>Identity of the machine.</summary>
    public Guid VMId => Statistics.Id;

    /// <summary>Time since power-on, µs.</summary>
    public long UpTimeInUsec { get; }

    /// <summary>Guest memory.</summary>
    public long MemorySizeBytes => Statistics.MemoryBytes;

    /// <summary>Guest memory that has memory of the host behind it, its own or shared; where the backend does not say, all that is not in the balloon.</summary>
    public long GrantedBytes => Pages is { } pages ? Bytes(pages.Private + pages.Shared) : Statistics.ConsumedBytes;

    /// <summary>Host memory that guest memory takes for itself: pages of its own, and what compressed ones need. Shared pages count for the host.</summary>
    public long ConsumedBytes => Statistics.ConsumedBytes;

    /// <summary>Host memory that guest memory is entitled to.</summary>
    public long TargetSizeBytes => Statistics.EntitlementBytes;

    /// <summary>Estimate of the guest memory in use that the host goes by; null before a sample has ended, and where the backend does not say.</summary>
    public long? TouchedBytes => Statistics.ActiveSamples is null ? null : Statistics.ActiveBytes;

    /// <summary>What the last sample showed of its guest memory in use; null before.</summary>
    public long? ActiveBytes => (long?)(Statistics.ActiveSamples?.Latest * Statistics.MemoryBytes);

    /// <summary>The guest has a balloon driver that runs.</summary>
    public bool HasMemctl => Statistics.HasBalloon;

    /// <summary>The balloon did not bring memory back when it was asked; it is not counted on for a while.</summary>
    public bool IsMemctlFailing => Statistics.IsBalloonFailing;

    /// <summary>What the driver says the balloon holds.</summary>
    public long MemctlBytes => Statistics.BalloonBytes;

    /// <summary>What it is to hold.</summary>
    public long MemctlTargetBytes => Statistics.BalloonTargetBytes;

    /// <summary>Most that it may hold.</summary>
    public long MemctlMaxBytes => Statistics.BalloonMaxBytes;

    /// <summary>Guest memory in the swap file; null where the backend does not say.</summary>
    public long? SwappedBytes => Bytes(Pages?.Swapped);

    /// <summary>Guest memory that is to be compressed or swapped in the end; null where it cannot be.</summary>
    public long? SwapTargetBytes => Pages is null ? null : Statistics.SwapTargetBytes;

    /// <summary>Read from the swap file; null where there is none.</summary>
    public long? SwapReadBytes => Bytes(Pages?.SwapIns);

    /// <summary>Written to the swap file.</summary>
    public long? SwapWrittenBytes => Bytes(Pages?.SwapOuts);

    /// <summary>Most host memory that compressed pages may take.</summary>
    public long? CacheSizeBytes => Pages?.CompressionCapacity;

    /// <summary>Host memory that they take.</summary>
    public long? CacheUsedBytes => Pages?.CompressedBytes;

    /// <summary>Guest memory that is held compressed.</summary>
    public long? ZippedBytes => Bytes(Pages?.Compressed);

    /// <summary>Guest memory compressed.</summary>
    public long? ZipBytes => Bytes(Pages?.Compressions);

    /// <summary>Guest memory decompressed because it was used.</summary>
    public long? UnzipBytes => Bytes(Pages?.Decompressions);

    /// <summary>Guest memory in pages of zeroes that share one.</summary>
    public long? ZeroBytes => Bytes(Pages?.SharedZero);

    /// <summary>Guest memory in pages that may be shared, those of zeroes among them.</summary>
    public long? SharedBytes => Bytes(Pages?.Shared);

    /// <summary>What it would take if nothing were shared, less its part of what is; frames are divided among those that share any.</summary>
    public long? SharedSavedBytes { get; }

    /// <summary>Guest memory in large pages of the host.</summary>
    public long? LargePagesBytes => Statistics.LargePageBytes;

    /// <summary>Host memory beside guest memory: estimated, but for the software processors' tables and code.</summary>
    public long OverheadBytes => Statistics.OverheadBytes;

    /// <summary>What admission counted for that at power-on.</summary>
    public long OverheadMaxBytes => Statistics.PromisedOverheadBytes;

    /// <summary>Time in which virtual processors waited because the host had no memory to give, over all of them, µs; null where they never do.</summary>
    public long? BlockedTimeInUsec => (long?)Pages?.BlockedTime.TotalMicroseconds;

    /// <summary>The same with the time for pages that were swapped or compressed.</summary>
    public long? SwapWaitTimeInUsec => (long?)Pages?.WaitedTime.TotalMicroseconds;

    internal MachineMemoryStatistics Statistics { get; }

    private GuestPageStatistics? Pages => Statistics.Pages;

    private static long Bytes(long pages) => pages * (long)GuestMemory.PageSize;

    private static long? Bytes(long? pages) => pages * (long)GuestMemory.PageSize;
}

/// <summary>The host's memory as machines use it, at one moment: the raw counters behind the lines above the memory panel.</summary>
public sealed class EsxTopMemoryHostCounters : IEsxTopCounters
{
    internal EsxTopMemoryHostCounters(HostMemoryStatistics statistics) => Statistics = statistics;

    /// <inheritdoc/>
    public string Name => EsxTopPowerPanel.HostName;

    /// <summary>How short of memory the host is: High, Clear, Soft, Hard or Low.</summary>
    public string State => Statistics.State.ToString();

    /// <summary>Memory that machines may take together.</summary>
    public long BudgetBytes => Statistics.BudgetBytes;

    /// <summary>What they take.</summary>
    public long UsedBytes => Statistics.UsedBytes;

    /// <summary>What is free of the budget; negative when machines took more.</summary>
    public long FreeBytes => Statistics.FreeBytes;

    /// <summary>What is to be free.</summary>
    public long MinFreeBytes => Statistics.MinFreeBytes;

    /// <summary>What is promised to the machines of this process and to pools.</summary>
    public long ReservedBytes => Statistics.ReservedBytes;

    /// <summary>Guest memory in pages that share frames.</summary>
    public long SharedBytes => Statistics.SharedPages * (long)GuestMemory.PageSize;

    /// <summary>Memory of those frames.</summary>
    public long SharedCommonBytes => Statistics.SharedFrameBytes;

    /// <summary>What sharing saves.</summary>
    public long SharedSavedBytes => Statistics.SharedSavedBytes;

    /// <summary>By what part of the budget the machines' memory exceeds it, on an average over 1, 5 and 15 minutes.</summary>
    public IReadOnlyList<double> OvercommitAverages => Statistics.OvercommitAverages;

    internal HostMemoryStatistics Statistics { get; }
}

/// <summary>A line of the memory panel: a machine. MB are of 1048576 bytes; null where the backend does not say.</summary>
public sealed class EsxTopMemory : IEsxTopRow
{
    private const double BytesPerMB = 1 << 20, MicrosecondsPerSecond = 1e6;

    internal EsxTopMemory(EsxTopMemoryCounters? before, EsxTopMemoryCounters after)
    {
        double seconds = (after.UpTimeInUsec - (before?.UpTimeInUsec ?? 0)) / MicrosecondsPerSecond;
        (Name, GroupId) = (after.Name, after.GroupId);
        MemorySizeMB = MB(after.MemorySizeBytes);
        GrantedMB = MB(after.GrantedBytes);
        ConsumedMB = MB(after.ConsumedBytes);
        TargetSizeMB = MB(after.TargetSizeBytes);
        TouchedMB = MB(after.TouchedBytes);
        ActiveMB = MB(after.ActiveBytes);
        if (after.Statistics.ActiveSamples is { } samples)
        {
            (PctActive, PctActiveSlow, PctActiveFast) = (Percent(samples.Latest), Percent(samples.Slow), Percent(samples.Fast));
            PctActiveNext = Percent(after.Statistics.ActiveFraction);
        }

        (HasMemctl, IsMemctlFailing) = (after.HasMemctl, after.IsMemctlFailing);
        MemctlMB = MB(after.MemctlBytes);
        MemctlTargetMB = MB(after.MemctlTargetBytes);
        MemctlMaxMB = MB(after.MemctlMaxBytes);
        SwappedMB = MB(after.SwappedBytes);
        SwapTargetMB = MB(after.SwapTargetBytes);
        SwapReadMBPerSec = Rate(before?.SwapReadBytes, after.SwapReadBytes, seconds);
        SwapWrittenMBPerSec = Rate(before?.SwapWrittenBytes, after.SwapWrittenBytes, seconds);
        CacheSizeMB = MB(after.CacheSizeBytes);
        CacheUsedMB = MB(after.CacheUsedBytes);
        ZippedMB = MB(after.ZippedBytes);
        ZipMBPerSec = Rate(before?.ZipBytes, after.ZipBytes, seconds);
        UnzipMBPerSec = Rate(before?.UnzipBytes, after.UnzipBytes, seconds);
        ZeroMB = MB(after.ZeroBytes);
        SharedMB = MB(after.SharedBytes);
        SharedSavedMB = MB(after.SharedSavedBytes);
        LargePagesMB = MB(after.LargePagesBytes);
        OverheadMB = MB(after.OverheadBytes);
        OverheadMaxMB = MB(after.OverheadMaxBytes);
    }

    /// <summary>GID: number of the machine's group of worlds; null where nothing schedules it.</summary>
    public int? GroupId { get; }

    /// <summary>NAME: the machine.</summary>
    public string Name { get; }

    /// <summary>MEMSZ: guest memory.</summary>
    public double MemorySizeMB { get; }

    /// <summary>GRANT: guest memory that has memory of the host behind it, its own or shared.</summary>
    public double GrantedMB { get; }

    /// <summary>CNSM: host memory that it takes for itself: pages of its own and what compressed ones need. A limit bounds this.</summary>
    public double ConsumedMB { get; }

    /// <summary>SZTGT: host memory that it is entitled to now.</summary>
    public double TargetSizeMB { get; }

    /// <summary>TCHD: estimate of the guest memory in use that the host goes by; null in the first minute.</summary>
    public double? TouchedMB { get; }

    /// <summary>ACTV: what the last sample showed of its guest memory in use; null in the first minute.</summary>
    public double? ActiveMB { get; }

    /// <summary>%ACTV: the same as part of guest memory.</summary>
    public double? PctActive { get; }

    /// <summary>%ACTVS: by a slow average.</summary>
    public double? PctActiveSlow { get; }

    /// <summary>%ACTVF: by a fast average.</summary>
    public double? PctActiveFast { get; }

    /// <summary>%ACTVN: what is expected, <see cref="TouchedMB"/> as part of guest memory.</summary>
    public double? PctActiveNext { get; }

    /// <summary>The guest has a balloon driver that runs.</summary>
    public bool HasMemctl { get; }

    /// <summary>MCTL?: <c>Y</c> when the guest has a balloon driver that runs, otherwise <c>N</c>.</summary>
    public string Memctl => HasMemctl ? "Y" : "N";

    /// <summary>The balloon did not bring memory back when it was asked; it is not counted on for a while.</summary>
    public bool IsMemctlFailing { get; }

    /// <summary>MCTLSZ: what the driver says the balloon holds. More than 0 is worth a look.</summary>
    public double MemctlMB { get; }

    /// <summary>MCTLTGT: what it is to hold.</summary>
    public double MemctlTargetMB { get; }

    /// <summary>MCTLMAX: most that it may hold.</summary>
    public double MemctlMaxMB { get; }

    /// <summary>SWCUR: guest memory in the swap file. More than 0 is worth a look.</summary>
    public double? SwappedMB { get; }

    /// <summary>SWTGT: guest memory that is to be compressed or swapped in the end.</summary>
    public double? SwapTargetMB { get; }

    /// <summary>SWR/s: read from the swap file because it was used. More than 0 is worth a look.</summary>
    public double? SwapReadMBPerSec { get; }

    /// <summary>SWW/s: written to the swap file.</summary>
    public double? SwapWrittenMBPerSec { get; }

    /// <summary>CACHESZ: most host memory that compressed pages may take.</summary>
    public double? CacheSizeMB { get; }

    /// <summary>CACHEUSD: host memory that they take.</summary>
    public double? CacheUsedMB { get; }

    /// <summary>Guest memory that is held compressed.</summary>
    public double? ZippedMB { get; }

    /// <summary>ZIP/s: guest memory compressed.</summary>
    public double? ZipMBPerSec { get; }

    /// <summary>UNZIP/s: guest memory decompressed because it was used.</summary>
    public double? UnzipMBPerSec { get; }

    /// <summary>ZERO: guest memory in pages of zeroes that share one.</summary>
    public double? ZeroMB { get; }

    /// <summary>SHRD: guest memory in pages that may be shared, those of zeroes among them.</summary>
    public double? SharedMB { get; }

    /// <summary>SHRDSVD: what sharing saves of it; what is shared counts in parts for those that share it.</summary>
    public double? SharedSavedMB { get; }

    /// <summary>LPAGE: guest memory in large pages of the host. esxtop does not show it.</summary>
    public double? LargePagesMB { get; }

    /// <summary>OVHD: host memory beside guest memory; estimated, but for the software processors' tables and code.</summary>
    public double OverheadMB { get; }

    /// <summary>OVHDMAX: what admission counted for it. Code that was translated since may take more.</summary>
    public double OverheadMaxMB { get; }

    internal static double MB(long bytes) => Math.Round(bytes / BytesPerMB, 2);

    private static double? MB(long? bytes) => bytes is { } known ? MB(known) : null;

    private static double Percent(double fraction) => Math.Round(100 * fraction, 2);

    private static double? Rate(long? before, long? after, double seconds) => after is { } now ? Math.Round((now - (before ?? 0)) / BytesPerMB / seconds, 2) : null;
}
