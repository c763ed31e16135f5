using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Monitoring.Statistics;
using static Hypervisor.Engine.Monitoring.Statistics.StatisticsCounters;

namespace Hypervisor.Tests.Unit.Monitoring.Statistics;

public sealed class MemoryRatesTests
{
    private const long KB = 1024, MB = 1024 * KB, Second = 1_000_000_000;

    private static readonly GuestPageStatistics Pages = new()
    {
        Pages = 1000,
        Untouched = 100,
        Private = 500,
        Shared = 200,
        SharedZero = 50,
        Compressed = 120,
        Swapped = 80,
        CompressedBytes = 100 * KB,
        CompressionCapacity = MB,
        Compressions = 400,
        Decompressions = 280,
        SwapOuts = 200,
        SwapIns = 120,
        SharedCopies = 1,
        Released = 1,
        BlockedTime = TimeSpan.Zero,
        WaitedTime = TimeSpan.FromSeconds(9),
    };

    private static readonly MachineMemoryStatistics Memory = new()
    {
        Id = Guid.NewGuid(),
        Name = "a",
        MemoryBytes = 4000 * KB,
        OverheadBytes = 300 * KB,
        PromisedOverheadBytes = 300 * KB,
        ConsumedBytes = 2100 * KB,
        ActiveBytes = 1000 * KB,
        ActiveFraction = 0.25,
        ActiveSamples = new ActiveMemorySamples(0.2, 0.25, 0.22),
        EntitlementBytes = 2500 * KB,
        HasBalloon = true,
        BalloonBytes = 40 * KB,
        BalloonTargetBytes = 60 * KB,
        BalloonMaxBytes = 2000 * KB,
        IsBalloonFailing = false,
        SwapTargetBytes = 800 * KB,
        Pages = Pages,
        Guest = null,
    };

    private static IReadOnlyList<StatisticsValue> Values(MachineMemoryStatistics? before, MachineMemoryStatistics after) => MachineRates.Between(
        before is null ? null : new MachineReading { Id = after.Id, Time = 100 * Second, PoweredOn = 80 * Second, Memory = new MemoryReading(4000, before) },
        new MachineReading { Id = after.Id, Time = 120 * Second, PoweredOn = 80 * Second, Memory = new MemoryReading(4000, after) },
        processorMHz: 1000);

    private static double Value(IEnumerable<StatisticsValue> values, StatisticsCounter counter) => Assert.Single(values, value => value.Counter == counter).Value;

    [Fact]
    public void Memory_of_a_machine_is_told_in_kilobytes_and_what_moves_in_kilobytes_a_second()
    {
        IReadOnlyList<StatisticsValue> values = Values(Memory with { Pages = Pages with { Compressions = 0, Decompressions = 30, SwapOuts = 150, SwapIns = 120 } }, Memory);
        Assert.Equal((25, 1000, 2100, 300, 2500), (Value(values, MemoryUsage), Value(values, MemoryActive), Value(values, MemoryConsumed), Value(values, MemoryOverhead), Value(values, MemoryEntitled)));
        Assert.Equal((2800, 800, 200), (Value(values, MemoryGranted), Value(values, MemoryShared), Value(values, MemoryZero)));
        Assert.Equal((40, 60, 800), (Value(values, MemoryBalloon), Value(values, MemoryBalloonTarget), Value(values, MemorySwapTarget)));
        Assert.Equal((320, 480, 100), (Value(values, MemorySwapped), Value(values, MemoryCompressed), Value(values, MemoryZipped)));
        Assert.Equal((80, 50, 10, 0), (Value(values, MemoryCompression), Value(values, MemoryDecompression), Value(values, MemorySwapOut), Value(values, MemorySwapIn)));
        Assert.Equal(40, Value(Values(null, Memory), MemoryCompression));
        Assert.Equal(25, Value(Values(Memory with { Pages = Pages with { WaitedTime = TimeSpan.FromSeconds(4) } }, Memory), MemoryLatency));
    }

    [Fact]
    public void Where_pages_are_not_known_no_numbers_are_made_up_for_them()
    {
        IReadOnlyList<StatisticsValue> values = Values(null, Memory with { Pages = null, ActiveSamples = null });
        Assert.Equal(3960, Value(values, MemoryGranted));
        Assert.DoesNotContain(values, static value => value.Counter == MemorySwapped || value.Counter == MemoryShared || value.Counter == MemoryCompression || value.Counter == MemoryActive || value.Counter == MemoryUsage);
    }

    [Theory]
    [InlineData(HostMemoryState.High, 0)]
    [InlineData(HostMemoryState.Clear, 0)]
    [InlineData(HostMemoryState.Soft, 1)]
    [InlineData(HostMemoryState.Low, 3)]
    public void The_host_takes_what_machines_take_and_what_they_share(HostMemoryState state, int number)
    {
        var host = new HostReading
        {
            Machines = [],
            ProcessorMHz = 1000,
            CapacityMHz = 1000,
            MemoryKB = 10_000,
            Uptime = TimeSpan.Zero,
            Memory = new HostMemoryStatistics
            {
                BudgetBytes = 8000 * KB,
                UsedBytes = 5000 * KB,
                ConsumedBytes = 4200 * KB,
                SharedFrameBytes = 200 * KB,
                OverheadBytes = 600 * KB,
                MinFreeBytes = 1,
                State = state,
                SharedPages = 400,
                SharedFrames = 50,
                ZeroPages = 100,
                Machines = [Memory, Memory],
            },
        };
        IReadOnlyList<StatisticsValue> values = HostRates.Of(host, new Dictionary<Guid, MachineReading>(), [Values(null, Memory), Values(null, Memory)]);
        Assert.Equal((5000, 200, 50, number), (Value(values, MemoryConsumed), Value(values, MemorySharedCommon), Value(values, MemoryUsage), Value(values, MemoryState)));
        Assert.Equal((640, 2000, 80, 600), (Value(values, MemorySwapUsed), Value(values, MemoryActive), Value(values, MemoryBalloon), Value(values, MemoryOverhead)));
        Assert.DoesNotContain(values, static value => value.Counter == MemorySwapped || value.Counter == MemoryEntitled);
    }
}
