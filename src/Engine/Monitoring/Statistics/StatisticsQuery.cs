using Hypervisor.Engine.Inventory;
using Microsoft.Data.Sqlite;

namespace Hypervisor.Engine.Monitoring.Statistics;

/// <summary>What samples are asked for.</summary>
public sealed record StatisticsQuery
{
    /// <summary>Interval that the values are of.</summary>
    public StatisticsInterval Interval { get; init; } = StatisticsInterval.Realtime;

    /// <summary>Counters by name, with wildcards; null for all.</summary>
    public IReadOnlyList<string>? Counters { get; init; }

    /// <summary>Sets of counters, asked for beside those by name.</summary>
    public StatisticsSets Sets { get; init; }

    /// <summary>Instances by name, with wildcards; the empty name is the whole. Null for all.</summary>
    public IReadOnlyList<string>? Instances { get; init; }

    /// <summary>Only periods that end at this time or later.</summary>
    public DateTimeOffset? Start { get; init; }

    /// <summary>Only periods that end at this time or earlier.</summary>
    public DateTimeOffset? Finish { get; init; }

    /// <summary>At most so many of each series, the newest.</summary>
    public int? MaxSamples { get; init; }

    internal bool Wants(StatisticsCounter counter) =>
        (Counters is null && Sets == StatisticsSets.None) || (counter.Sets & Sets) != 0 || Counters?.Any(name => new NamePattern(name).IsMatch(counter.Name)) == true;

    internal bool WantsInstance(string instance) =>
        Instances is null || Instances.Any(name => name.Length == 0 ? instance.Length == 0 : new NamePattern(name).IsMatch(instance));
}

/// <summary>Reads samples of an entity.</summary>
internal static class StatisticsReader
{
    // Steps from one recorded time to the one before it, so that a query costs what it finds and not the time it spans.
    private const string Samples = """
        WITH RECURSIVE step(time) AS (
            SELECT max(time) FROM sample WHERE level = $level AND time <= $finish
            UNION ALL
            SELECT (SELECT max(sample.time) FROM sample WHERE level = $level AND sample.time < step.time) FROM step WHERE step.time >= $start)
        SELECT sample.time, sample.total, sample.count FROM step CROSS JOIN sample
        WHERE step.time >= $start AND sample.level = $level AND sample.time = step.time AND sample.series = $series
        LIMIT $most
        """;

    /// <summary>A series of an entity.</summary>
    public sealed record Series(long Id, StatisticsCounter Counter, string Instance);

    /// <summary>Series of an entity, by counter and instance. Those of counters that this version does not know are left out.</summary>
    public static IReadOnlyList<Series> FindSeries(StatisticsDatabase database, string entity)
    {
        using SqliteCommand command = database.Command("SELECT id, counter, instance FROM series WHERE entity = $entity", ("$entity", entity));
        var found = new List<Series>();
        using SqliteDataReader reader = command.ExecuteReader();
        while (reader.Read())
        {
            string name = reader.GetString(1);
            if (StatisticsCounters.All.FirstOrDefault(counter => counter.Name == name) is { } counter)
            {
                found.Add(new Series(reader.GetInt64(0), counter, reader.GetString(2)));
            }
        }

        return [.. found.OrderBy(static series => series.Counter.Name, StringComparer.Ordinal).ThenBy(static series => series.Instance.Length).ThenBy(static series => series.Instance, StringComparer.Ordinal)];
    }

    /// <summary>Samples of a series, the newest first.</summary>
    public static IEnumerable<(long Time, double Value)> Read(StatisticsDatabase database, Series series, StatisticsInterval interval, long start, long finish, int most)
    {
        using SqliteCommand command = database.Command(
            Samples, ("$level", interval.SamplingPeriodSecs), ("$start", start), ("$finish", finish), ("$series", series.Id), ("$most", most));
        using SqliteDataReader reader = command.ExecuteReader();
        while (reader.Read())
        {
            double total = reader.GetDouble(1);
            yield return (reader.GetInt64(0), series.Counter.Rollup == StatisticsRollup.Average ? Mean(total, reader.GetInt64(2)) : total);
        }
    }

    // A weighted mean of no requests is 0.
    private static double Mean(double total, long count) => count > 0 ? total / count : 0;
}
