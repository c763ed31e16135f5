using System.Globalization;
using Microsoft.Data.Sqlite;

namespace Hypervisor.Engine.Monitoring.Statistics;

/// <summary>
/// Records ticks: in one transaction the samples, their part in every longer period, and the end of what is older than it is kept.
/// So a longer period is right at any moment, whoever writes to it and whenever a process ends.
/// </summary>
internal sealed class StatisticsWriter
{
    /// <summary>
    /// Times that are pruned of a level at each tick. One becomes too old at a time; a clock that is wrong for a moment must not cost
    /// everything.
    /// </summary>
    private const int MostTimesPruned = 4;

    /// <summary>What stands beside the numbers of <see cref="StatisticsRollup"/> in the statements below, for a weighted mean.</summary>
    private const int Weighted = 4;

    private const string MakeBatch = """
        CREATE TEMP TABLE IF NOT EXISTS batch(series INTEGER PRIMARY KEY, total REAL NOT NULL, count INTEGER NOT NULL, rollup INTEGER NOT NULL, shared INTEGER NOT NULL);
        """;

    // A machine's sample that is there already stays: the clock went back, and another process ran the machine at that time.
    // The host's is the sum of what processes bring; the first brings the sample, the others add to it. A weighted mean (4) is of all requests.
    private const string FindOthers = """
        DELETE FROM temp.batch WHERE shared = 0 AND EXISTS (SELECT 1 FROM sample WHERE level = $level AND time = $time AND sample.series = batch.series);
        UPDATE temp.batch SET count = 0 WHERE shared = 1 AND rollup <> 4 AND EXISTS (SELECT 1 FROM sample WHERE level = $level AND time = $time AND sample.series = batch.series);
        """;

    private const string AddSums = """
        INSERT INTO sample(level, time, series, total, count) SELECT $level, $time, series, total, count FROM temp.batch WHERE rollup IN (0, 1, 4)
        ON CONFLICT(level, time, series) DO UPDATE SET total = total + excluded.total, count = count + excluded.count;
        """;

    private const string AddLargest = """
        INSERT INTO sample(level, time, series, total, count) SELECT $level, $time, series, total, count FROM temp.batch WHERE rollup = 2
        ON CONFLICT(level, time, series) DO UPDATE SET total = max(total, excluded.total), count = count + excluded.count;
        """;

    // Where several processes have a part in a sample, the largest is the host's; longer periods take it from the sample.
    private const string AddLatest = """
        INSERT INTO sample(level, time, series, total, count)
        SELECT $level, $time, series, max(total, coalesce((SELECT sample.total FROM sample WHERE level = $realtime AND time = $now AND sample.series = batch.series), total)), count
        FROM temp.batch WHERE rollup = 3
        ON CONFLICT(level, time, series) DO UPDATE SET total = excluded.total, count = count + excluded.count;
        """;

    private const string Prune = """
        DELETE FROM sample WHERE level = $level AND time IN (SELECT DISTINCT time FROM sample WHERE level = $level AND time <= $time ORDER BY time LIMIT $most);
        """;

    private const string PruneSeries = "DELETE FROM series WHERE id NOT IN (SELECT series FROM sample);";

    private readonly StatisticsDatabase _database;
    private readonly long _writer;
    private readonly Dictionary<(string Entity, string Counter, string Instance), long> _series = [];
    private long _day;

    /// <summary>Writes to a database.</summary>
    /// <param name="database">Opened to write.</param>
    /// <param name="writer">Number of the one who brings samples; no other process has it.</param>
    public StatisticsWriter(StatisticsDatabase database, long writer)
    {
        _database = database;
        _writer = writer;
        _database.Execute(MakeBatch);
    }

    /// <summary>Records ticks, all or none. One that this writer has recorded already is passed over.</summary>
    /// <exception cref="SqliteException">Nothing was recorded.</exception>
    public void Write(IEnumerable<SampleBatch> batches)
    {
        bool committed = false;
        try
        {
            _database.InTransaction(() =>
            {
                foreach (SampleBatch batch in batches)
                {
                    if (Run("INSERT OR IGNORE INTO tick(time, writer) VALUES($time, $writer)", ("$time", batch.Time), ("$writer", _writer)) > 0)
                    {
                        Write(batch);
                        PruneBefore(batch.Time);
                    }
                }
            });
            committed = true;
        }
        finally
        {
            if (!committed)
            {
                // Series that were made in the transaction are gone with it.
                _series.Clear();
            }
        }
    }

    private void Write(SampleBatch batch)
    {
        FillBatch(batch);
        long realtime = StatisticsInterval.Realtime.SamplingPeriodSecs;
        Run(FindOthers, ("$level", realtime), ("$time", batch.Time));
        foreach (StatisticsInterval interval in StatisticsInterval.All)
        {
            long end = interval.EndOfPeriod(batch.Time);
            foreach (string statement in (string[])[AddSums, AddLargest, AddLatest])
            {
                Run(statement, ("$level", interval.SamplingPeriodSecs), ("$time", end), ("$realtime", realtime), ("$now", batch.Time));
            }
        }
    }

    private void FillBatch(SampleBatch batch)
    {
        Run("DELETE FROM temp.batch");
        using SqliteCommand insert = _database.Connection.CreateCommand();
        insert.CommandText = "INSERT INTO temp.batch(series, total, count, rollup, shared) VALUES($series, $total, $count, $rollup, $shared)";
        SqliteParameter series = insert.Parameters.Add("$series", SqliteType.Integer), total = insert.Parameters.Add("$total", SqliteType.Real),
            count = insert.Parameters.Add("$count", SqliteType.Integer), rollup = insert.Parameters.Add("$rollup", SqliteType.Integer), shared = insert.Parameters.Add("$shared", SqliteType.Integer);
        foreach (EntityValues entity in batch.Entities)
        {
            shared.Value = entity.IsShared ? 1 : 0;
            foreach (StatisticsValue value in entity.Values)
            {
                (series.Value, total.Value, count.Value) = (SeriesOf(entity.EntityId, value), value.Value * value.Weight, value.Weight);
                rollup.Value = value.Counter.IsWeighted ? Weighted : (int)value.Counter.Rollup;
                insert.ExecuteNonQuery();
            }
        }
    }

    private long SeriesOf(string entity, StatisticsValue value)
    {
        if (_series.TryGetValue((entity, value.Counter.Name, value.Instance), out long id))
        {
            return id;
        }

        (string, object)[] key = [("$entity", entity), ("$counter", value.Counter.Name), ("$instance", value.Instance)];
        Run("INSERT OR IGNORE INTO series(entity, counter, instance) VALUES($entity, $counter, $instance)", key);
        using SqliteCommand find = _database.Command("SELECT id FROM series WHERE entity = $entity AND counter = $counter AND instance = $instance", key);
        id = Convert.ToInt64(find.ExecuteScalar(), CultureInfo.InvariantCulture);
        _series[(entity, value.Counter.Name, value.Instance)] = id;
        return id;
    }

    private void PruneBefore(long time)
    {
        foreach (StatisticsInterval interval in StatisticsInterval.All)
        {
            Run(Prune, ("$level", interval.SamplingPeriodSecs), ("$time", time - interval.StorageTimeSecs), ("$most", MostTimesPruned));
        }

        Run("DELETE FROM tick WHERE time <= $time", ("$time", time - StatisticsInterval.Realtime.StorageTimeSecs));
        long day = StatisticsInterval.All[^1].EndOfPeriod(time);
        if (_day != 0 && day != _day)
        {
            // Machines come and go; those without any sample left are forgotten, here and in every other process before they could be used again.
            _series.Clear();
            Run(PruneSeries);
        }

        _day = day;
    }

    private int Run(string sql, params (string Name, object Value)[] parameters)
    {
        using SqliteCommand command = _database.Command(sql, parameters);
        return command.ExecuteNonQuery();
    }
}
