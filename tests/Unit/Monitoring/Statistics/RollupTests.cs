using Hypervisor.Engine.Monitoring.Statistics;
using static Hypervisor.Engine.Monitoring.Statistics.StatisticsCounters;

namespace Hypervisor.Tests.Unit.Monitoring.Statistics;

public sealed class RollupTests : IDisposable
{
    private static readonly StatisticsCounter Average = CpuUsage, Sum = CpuReady, Largest = CpuUsageMaximum, Last = Uptime;

    private readonly StatisticsBench _bench = new();

    public void Dispose() => _bench.Dispose();

    /// <summary>Writes values of four counters at once, without a sampler between.</summary>
    private static SampleBatch Batch(long time, double value, string entity = "a") =>
        new(time, [new EntityValues(entity, false, [new(Average, "", value), new(Sum, "", value), new(Largest, "", value), new(Last, "", value)])]);

    private StatisticsDatabase Open() => StatisticsDatabase.OpenToWrite(_bench.Folder.Statistics);

    [Fact]
    public void Every_period_is_computed_from_the_samples_in_it_and_not_from_rounded_values()
    {
        var random = new Random(1);
        long first = _bench.Now + StatisticsBench.Period;
        double[] samples = [.. Enumerable.Range(0, 1080).Select(_ => (double)random.Next(0, 100_000))];
        using (StatisticsDatabase database = Open())
        {
            new StatisticsWriter(database, 1).Write(samples.Select((value, index) => Batch(first + (index * StatisticsBench.Period), value)));
        }

        _bench.Clock.Advance(TimeSpan.FromSeconds(StatisticsBench.Period * samples.Length));
        Assert.Equal(samples.Reverse().Take(180), _bench.Values("a", Average));
        foreach (StatisticsInterval interval in StatisticsInterval.Rollups.Take(3))
        {
            // Midnight is the beginning of a period of each interval; a running period has no value yet.
            double[][] periods = [.. samples.Chunk(interval.SamplingPeriodSecs / StatisticsBench.Period).Where(chunk => chunk.Length * StatisticsBench.Period == interval.SamplingPeriodSecs).Reverse()];
            Assert.NotEmpty(periods);
            Assert.Equal(periods.Select(static period => period.Sum() / period.Length), _bench.Values("a", Average, interval));
            Assert.Equal(periods.Select(static period => period.Sum()), _bench.Values("a", Sum, interval));
            Assert.Equal(periods.Select(static period => period.Max()), _bench.Values("a", Largest, interval));
            Assert.Equal(periods.Select(static period => period[^1]), _bench.Values("a", Last, interval));
            Assert.Equal(DateTimeOffset.FromUnixTimeSeconds(first - StatisticsBench.Period + interval.SamplingPeriodSecs).LocalDateTime, _bench.Samples("a", Average, interval)[^1].Timestamp);
        }
    }

    [Fact]
    public void A_year_of_hourly_samples_leaves_what_each_interval_keeps()
    {
        const int Hour = 3600;
        long begin = _bench.Now;
        int hours = 400 * 24;
        using (StatisticsDatabase database = Open())
        {
            var writer = new StatisticsWriter(database, 1);
            writer.Write(Enumerable.Range(1, hours).Select(hour => Batch(begin + (hour * Hour), hour)));
            // A machine that was there only in the beginning: nothing is left of it.
            Assert.Equal(4, database.Number("SELECT count(*) FROM series"));
        }

        _bench.Clock.Advance(TimeSpan.FromHours(hours));
        Assert.Equal([hours], _bench.Values("a", Average));
        Assert.Equal(24, _bench.Values("a", Average, StatisticsInterval.Of(300)).Length);
        Assert.Equal(7 * 24, _bench.Values("a", Average, StatisticsInterval.Of(1800)).Length);
        Assert.Equal(30 * 12, _bench.Values("a", Sum, StatisticsInterval.Of(7200)).Length);
        double[] days = _bench.Values("a", Average, StatisticsInterval.Of(86_400));
        Assert.Equal(365, days.Length);
        Assert.Equal(hours - 11.5, days[0]);
        Assert.Equal(4 * (1 + 24 + (7 * 24) + (30 * 12) + 365), _bench.Sql("SELECT count(*) FROM sample"));
        Assert.Equal(1, _bench.Sql("SELECT count(*) FROM tick"));
    }

    [Fact]
    public void Series_without_samples_are_forgotten()
    {
        const int Day = 86_400;
        long begin = _bench.Now;
        using StatisticsDatabase database = Open();
        var writer = new StatisticsWriter(database, 1);
        writer.Write([Batch(begin, 1, "gone")]);
        writer.Write(Enumerable.Range(1, 366).Select(day => Batch(begin + (day * Day), day, "stays")));
        Assert.Equal(4, database.Number("SELECT count(*) FROM series"));
        writer.Write([Batch(begin + (367 * Day), 1, "gone")]);
        Assert.Equal(8, database.Number("SELECT count(*) FROM series"));
    }

    [Fact]
    public void A_clock_that_is_wrong_for_a_moment_does_not_cost_what_was_kept()
    {
        long begin = _bench.Now;
        using StatisticsDatabase database = Open();
        var writer = new StatisticsWriter(database, 1);
        writer.Write(Enumerable.Range(1, 100).Select(tick => Batch(begin + (tick * 20), tick)));
        writer.Write([Batch(begin + (10L * 365 * 86_400), 1)]);
        Assert.Equal(97, database.Number("SELECT count(DISTINCT time) FROM sample WHERE level = 20"));
    }

    [Fact]
    public void A_tick_is_recorded_once_whatever_a_process_does()
    {
        long time = _bench.Now + StatisticsBench.Period;
        using StatisticsDatabase database = Open();
        var writer = new StatisticsWriter(database, 1);
        writer.Write([Batch(time, 5)]);
        writer.Write([Batch(time, 7), Batch(time + 20, 9)]);
        // Another process with the same machine at the same time: the clock went back.
        new StatisticsWriter(database, 2).Write([Batch(time, 1000)]);
        _bench.Clock.Advance(TimeSpan.FromMinutes(5));
        Assert.Equal([9, 5], _bench.Values("a", Average));
        Assert.Equal([14], _bench.Values("a", Sum, StatisticsInterval.Of(300)));
    }

    [Fact]
    public void A_failed_transaction_leaves_nothing_and_can_be_tried_again()
    {
        long time = _bench.Now;
        using StatisticsDatabase database = Open();
        var writer = new StatisticsWriter(database, 1);
        database.Execute("PRAGMA query_only = ON");
        Assert.ThrowsAny<Exception>(() => writer.Write([Batch(time, 5)]));
        database.Execute("PRAGMA query_only = OFF");
        Assert.Equal(0, database.Number("SELECT count(*) FROM series"));
        writer.Write([Batch(time, 5)]);
        Assert.Equal([5], _bench.Values("a", Average));
    }
}
