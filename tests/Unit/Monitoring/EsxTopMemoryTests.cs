using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Monitoring;
using Hypervisor.Engine.Monitoring.Screen;

namespace Hypervisor.Tests.Unit.Monitoring;

public sealed class EsxTopMemoryTests
{
    private const long Megabyte = 1 << 20;
    private const int PagesPerMB = 256;

    private static GuestPageStatistics Pages(int privateMB, int sharedMB, int zeroMB, int compressedMB, int swappedMB, int zips = 0, int swapOuts = 0, int swapIns = 0) => new()
    {
        Pages = 512 * PagesPerMB,
        Untouched = (512 - privateMB - sharedMB - compressedMB - swappedMB) * PagesPerMB,
        Private = privateMB * PagesPerMB,
        Shared = sharedMB * PagesPerMB,
        SharedZero = zeroMB * PagesPerMB,
        Compressed = compressedMB * PagesPerMB,
        Swapped = swappedMB * PagesPerMB,
        CompressedBytes = compressedMB * Megabyte / 4,
        CompressionCapacity = 51 * Megabyte,
        Compressions = zips * PagesPerMB,
        Decompressions = zips * PagesPerMB / 2,
        SwapOuts = swapOuts * PagesPerMB,
        SwapIns = swapIns * PagesPerMB,
        SharedCopies = 0,
        Released = 0,
        BlockedTime = TimeSpan.FromMilliseconds(3),
    };

    private static MachineMemoryStatistics Machine(string name, int run, double seconds, GuestPageStatistics? pages, ActiveMemorySamples? samples = null) => new()
    {
        Id = new Guid(run, 0, 0, new byte[8]),
        Name = name,
        Run = run,
        UpTime = TimeSpan.FromSeconds(seconds),
        MemoryBytes = 512 * Megabyte,
        OverheadBytes = 40 * Megabyte,
        PromisedOverheadBytes = 28 * Megabyte,
        ConsumedBytes = pages?.ConsumedBytes ?? 448 * Megabyte,
        LargePageBytes = pages is null ? null : 62 * Megabyte,
        ActiveBytes = samples is null ? 512 * Megabyte : 128 * Megabyte,
        ActiveFraction = samples is null ? 1 : 0.25,
        ActiveSamples = samples,
        EntitlementBytes = 300 * Megabyte,
        HasBalloon = pages is not null,
        BalloonBytes = 64 * Megabyte,
        BalloonTargetBytes = 96 * Megabyte,
        BalloonMaxBytes = 332 * Megabyte,
        IsBalloonFailing = false,
        SwapTargetBytes = 60 * Megabyte,
        Pages = pages,
        Guest = null,
    };

    private static HostMemoryStatistics Host(params MachineMemoryStatistics[] machines) => new()
    {
        BudgetBytes = 1000 * Megabyte,
        UsedBytes = 900 * Megabyte,
        ConsumedBytes = 800 * Megabyte,
        SharedFrameBytes = 20 * Megabyte,
        OverheadBytes = 80 * Megabyte,
        MinFreeBytes = 31 * Megabyte,
        State = HostMemoryState.Soft,
        SharedPages = 140 * PagesPerMB,
        SharedFrames = 20 * PagesPerMB,
        ZeroPages = 60 * PagesPerMB,
        ReservedBytes = 180 * Megabyte,
        OvercommitAverages = [0.5, 0.25, 0.125],
        Machines = machines,
    };

    private static EsxTopMemoryPanel Panel(HostMemoryStatistics? host) => new(() => host, static id => BitConverter.ToInt32(id.ToByteArray()) == 3 ? null : 100);

    private static readonly IReadOnlyList<IEsxTopCounters> Before = Panel(Host(Machine("web", 1, 10, Pages(200, 100, 40, 20, 10, zips: 30, swapOuts: 12, swapIns: 2)))).Take();

    private static readonly HostMemoryStatistics Later = Host(
        Machine("web", 1, 14, Pages(180, 100, 40, 40, 30, zips: 50, swapOuts: 36, swapIns: 6), new ActiveMemorySamples(0.1, 0.2, 0.25)),
        Machine("win (new)", 3, 2, null));

    private static readonly IReadOnlyList<IEsxTopCounters> After = Panel(Later).Take();

    [Fact]
    public void A_line_says_what_esxtop_says_in_megabytes()
    {
        EsxTopMemory row = Panel(null).Compare(Before, After, expand: false).Cast<EsxTopMemory>().First();
        Assert.Equal(("web", 100, 512.0, 280.0, 190.0, 300.0), (row.Name, row.GroupId, row.MemorySizeMB, row.GrantedMB, row.ConsumedMB, row.TargetSizeMB));
        Assert.Equal((128.0, 51.2, 10.0, 20.0, 25.0), (row.TouchedMB, row.ActiveMB, row.PctActive, row.PctActiveSlow, row.PctActiveFast));
        Assert.Equal(("Y", 64.0, 96.0, 332.0), (row.Memctl, row.MemctlMB, row.MemctlTargetMB, row.MemctlMaxMB));
        Assert.Equal((30.0, 60.0, 1.0, 6.0), (row.SwappedMB, row.SwapTargetMB, row.SwapReadMBPerSec, row.SwapWrittenMBPerSec));
        Assert.Equal((51.0, 10.0, 40.0, 5.0, 2.5), (row.CacheSizeMB, row.CacheUsedMB, row.ZippedMB, row.ZipMBPerSec, row.UnzipMBPerSec));

        // Four pages share a frame: of 60 MB that are not zeroes 15 are its part.
        Assert.Equal((40.0, 100.0, 85.0), (row.ZeroMB, row.SharedMB, row.SharedSavedMB));
        Assert.Equal((62.0, 40.0, 28.0), (row.LargePagesMB, row.OverheadMB, row.OverheadMaxMB));
    }

    [Fact]
    public void What_a_backend_does_not_say_has_no_number()
    {
        var row = (EsxTopMemory)Panel(null).Compare(Before, After, expand: true)[1];
        Assert.Equal(("win (new)", null, 512.0, 448.0, 448.0, "N"), (row.Name, row.GroupId, row.MemorySizeMB, row.GrantedMB, row.ConsumedMB, row.Memctl));
        Assert.All((double?[])[row.TouchedMB, row.ActiveMB, row.SwappedMB, row.SwapTargetMB, row.SwapReadMBPerSec, row.CacheUsedMB, row.ZipMBPerSec, row.SharedMB, row.SharedSavedMB, row.LargePagesMB], static value => Assert.Null(value));
        Assert.Single(Panel(null).Batch(Before, After), static value => value.Instance == "Group Memory(win [new])" && value.Counter == "Swapped MBytes" && double.IsNaN(value.Value));
    }

    [Fact]
    public void A_machine_that_was_powered_on_again_counts_from_then()
    {
        IReadOnlyList<IEsxTopCounters> after = Panel(Host(Machine("web", 2, 4, Pages(10, 0, 0, 0, 8, swapOuts: 8)))).Take();
        Assert.Equal(2.0, Assert.IsType<EsxTopMemory>(Assert.Single(Panel(null).Compare(Before, after, expand: false))).SwapWrittenMBPerSec);
        Assert.Empty(Panel(null).Compare(after, after, expand: false));
        Assert.Empty(Panel(null).Take());
        Assert.Empty(Panel(null).Summarize([], []));
    }

    [Fact]
    public void The_lines_above_are_of_the_host()
    {
        string[] lines = [.. Panel(null).Summarize(Before, After)];
        Assert.Equal("MEM overcommit avg: 0.50, 0.25, 0.13", lines[0]);
        Assert.Equal("PMEM  /MB:    1000 total,     100 free:     800 machines,    80 overhead,     0 other,    20 common", lines[1]);
        Assert.Equal("VMKMEM/MB:    1000 managed:    31 minfree,   180 rsvd,   820 ursvd, soft state", lines[2]);
        Assert.Equal("PSHARE/MB:     140 shared,      20 common:     120 saving", lines[3]);
        Assert.Equal("SWAP  /MB:      30 curr,        60 target:      1.00 r/s,    6.00 w/s", lines[4]);
        Assert.Equal("ZIP   /MB:      40 zipped,      30 saved", lines[5]);
        Assert.Equal("MEMCTL/MB:     128 curr,       192 target,     664 max", lines[6]);
    }

    [Fact]
    public void Batch_mode_has_esxtops_columns()
    {
        string[] lines = [.. new PerfmonCsv("h").Lines(DateTime.UtcNow, Panel(null).Batch(Before, After))];
        string[] names = lines[0].Split(','), values = lines[1].Split(',');
        Assert.Equal(@"""\\h\Memory\Memory Overcommit (1 Minute Avg)""", names[1]);
        foreach ((string column, string value) in ((string, string)[])
            [
                (@"Memory\Memory Overcommit (15 Minute Avg)", "0.13"), (@"Memory\Free MBytes", "100.00"), (@"Memory\Kernel State", "2.00"), (@"Memory\PShare Shared MBytes", "140.00"),
                (@"Memory\Swap MBytes Write/sec", "6.00"), (@"Memory\Memctl Target MBytes", "192.00"),
                (@"Group Memory(100:web)\Memory Size MBytes", "512.00"), (@"Group Memory(100:web)\Memctl Target MBytes", "96.00"), (@"Group Memory(100:web)\Swapped MBytes", "30.00"),
                (@"Group Memory(100:web)\Compressed Memory MBytes", "40.00"), (@"Group Memory(100:web)\% Active Estimate", "10.00"), (@"Group Memory(win [new])\Memory Granted Size MBytes", "448.00"),
            ])
        {
            int at = Array.IndexOf(names, $@"""\\h\{column}""");
            Assert.True(at > 0, column);
            Assert.Equal($"\"{value}\"", values[at]);
        }
    }

    [Fact]
    public void The_screen_shows_esxtops_columns_first()
    {
        string[] shown = [.. Hypervisor.Cmdlets.Console.TopColumns.Of(typeof(EsxTopMemory)).Where(static column => !TopRules.IsHiddenAtFirst(column)).Select(static column => column.Label)];
        Assert.Equal(
            ["GID", "NAME", "MEMSZ", "GRANT", "CNSM", "SZTGT", "TCHD", "ACTV", "MCTL?", "MCTLSZ", "MCTLTGT", "SWCUR", "SWTGT", "SWR/s", "SWW/s", "OVHD", "OVHDMAX"], shown);
    }

    [Fact]
    public void The_counters_themselves_begin_with_the_host()
    {
        var host = Assert.IsType<EsxTopMemoryHostCounters>(After[0]);
        Assert.Equal(("Host", "Soft", 100 * Megabyte), (host.Name, host.State, host.FreeBytes));
        var machine = Assert.IsType<EsxTopMemoryCounters>(After[1]);
        Assert.Equal((14_000_000L, 36 * Megabyte, 3000L), (machine.UpTimeInUsec, machine.SwapWrittenBytes, machine.BlockedTimeInUsec));
    }
}
