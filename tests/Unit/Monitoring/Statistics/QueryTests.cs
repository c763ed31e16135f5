using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Monitoring.Statistics;
using static Hypervisor.Engine.Monitoring.Statistics.StatisticsCounters;

namespace Hypervisor.Tests.Unit.Monitoring.Statistics;

public sealed class QueryTests : IDisposable
{
    private const long Second = 1_000_000_000;

    private readonly StatisticsBench _bench = new();
    private readonly BenchMachine _machine;

    public QueryTests()
    {
        _machine = _bench.PowerOn();
        _bench.Start(_machine);
        int tick = 0;
        _bench.Pass(30, () => _machine.Run += ++tick * Second / 10);
    }

    public void Dispose() => _bench.Dispose();

    private IReadOnlyList<StatisticsSample> Query(StatisticsQuery query) => _bench.Reader().Query(_machine, _machine.Entity, query);

    [Fact]
    public void Samples_come_by_counter_and_instance_and_the_newest_first()
    {
        IReadOnlyList<StatisticsSample> samples = Query(new StatisticsQuery { Counters = ["cpu.use*", "net.received.average"], MaxSamples = 2 });
        Assert.Equal(
            [("cpu.used.summation", "", 3000), ("cpu.used.summation", "", 2900), ("cpu.used.summation", "0", 3000), ("cpu.used.summation", "0", 2900),
                ("net.received.average", "", 0), ("net.received.average", "", 0), ("net.received.average", "4000", 0), ("net.received.average", "4000", 0)],
            samples.Select(static sample => (sample.MetricId, sample.Instance, (int)sample.Value)));
        Assert.All(samples, sample => Assert.Equal((_machine, _machine.Entity, 20), (sample.Entity, sample.EntityId, sample.IntervalSecs)));
        Assert.Equal(("millisecond", CpuUsed.Description), (samples[0].Unit, samples[0].Description));
    }

    [Fact]
    public void Sets_and_names_add_up()
    {
        string[] Names(StatisticsSets sets, params string[] names) =>
            [.. Query(new StatisticsQuery { Sets = sets, Counters = names.Length == 0 ? null : names, MaxSamples = 1 }).Select(static sample => sample.MetricId).Distinct()];
        Assert.Equal(["cpu.usage.average", "cpu.usagemhz.average", "net.usage.average"], Names(StatisticsSets.Common));
        Assert.Equal(["mem.granted.average", "sys.uptime.latest"], Names(StatisticsSets.Memory, "sys.*"));
        Assert.True(Names(StatisticsSets.None).Length > 15);
        Assert.Equal(Names(StatisticsSets.None).Order(StringComparer.Ordinal), _bench.Reader().CountersOf(_machine.Entity, new StatisticsQuery()));
        Assert.Empty(_bench.Reader().CountersOf("somebody else", new StatisticsQuery()));
    }

    [Theory]
    [InlineData("", 1)]
    [InlineData("0", 1)]
    [InlineData("*", 2)]
    [InlineData("7", 0)]
    public void Instances_are_asked_for_by_name(string instance, int count) =>
        Assert.Equal(count, Query(new StatisticsQuery { Counters = [CpuUsage.Name], Instances = [instance], MaxSamples = 1 }).Count);

    [Fact]
    public void Start_and_finish_are_ends_of_periods()
    {
        DateTimeOffset now = _bench.Clock.GetUtcNow();
        StatisticsQuery query = new() { Counters = [CpuUsed.Name], Instances = [""] };
        Assert.Equal([2800, 2700], Query(query with { Start = now.AddSeconds(-60), Finish = now.AddSeconds(-25) }).Select(static sample => sample.Value));
        Assert.Equal([3000], Query(query with { Start = now, Finish = now.AddYears(5) }).Select(static sample => sample.Value));
        Assert.Empty(Query(query with { Finish = now.AddDays(-1) }));
        Assert.Equal(30, Query(query with { Start = DateTimeOffset.MinValue }).Count);
    }

    [Fact]
    public void A_period_that_has_not_ended_has_no_value()
    {
        StatisticsQuery query = new() { Counters = [CpuUsed.Name], Instances = [""], Interval = StatisticsInterval.Of(300) };
        Assert.Equal(2, Query(query).Count);
        _bench.Pass(14);
        Assert.Equal(2, Query(query).Count);
        _bench.Pass(1);
        Assert.Equal(3, Query(query).Count);
        Assert.Empty(Query(query with { Interval = StatisticsInterval.Of(1800) }));
    }

    [Fact]
    public void The_newest_sample_is_one_of_the_last_minute()
    {
        Assert.Equal(new Dictionary<string, double> { [_machine.Entity] = 150 }, _bench.Reader().Newest([_machine.Entity, "somebody else"], CpuUsageMHz));
        _bench.Clock.ShiftClock(TimeSpan.FromSeconds(61));
        Assert.Empty(_bench.Reader().Newest([_machine.Entity], CpuUsageMHz));
    }

    [Fact]
    public void Without_a_database_there_is_nothing_to_find()
    {
        using var empty = new StatisticsBench();
        Assert.Empty(empty.Values("a", CpuUsage));
        Assert.False(File.Exists(empty.Folder.Statistics));
    }

    [Fact]
    public void Intervals_are_vCenters()
    {
        Assert.Equal([(20, 3600), (300, 86_400), (1800, 604_800), (7200, 2_592_000), (86_400, 31_536_000)], StatisticsInterval.All.Select(static interval => (interval.SamplingPeriodSecs, interval.StorageTimeSecs)));
        Assert.Equal([20, 300, 1800, 7200, 86_400, 86_400], ((double[])[1, 2, 25, 200, 2000, 20_000]).Select(static hours => StatisticsInterval.Covering(TimeSpan.FromHours(hours)).SamplingPeriodSecs));
        Assert.Contains("20, 300, 1800, 7200, 86400", Assert.Throws<InvalidConfigurationException>(() => StatisticsInterval.Of(60)).Message, StringComparison.Ordinal);
    }
}
