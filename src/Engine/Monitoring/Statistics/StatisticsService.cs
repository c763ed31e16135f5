using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Microsoft.Data.Sqlite;

namespace Hypervisor.Engine.Monitoring.Statistics;

/// <summary>The statistics of a host: samples of the machines that run in this process, and what all processes recorded. Thread-safe.</summary>
public sealed class StatisticsService : IDisposable
{
    private readonly HostFolder _folder;
    private readonly TimeProvider _time;

    internal StatisticsService(HostFolder folder, string hostId, TimeProvider time, Func<HostReading> read, Action<string, MachineEventSeverity, string> record)
    {
        (_folder, _time) = (folder, time);
        Sampler = new StatisticsSampler(folder, hostId, time, read, record);
    }

    /// <summary>Why samples of this process cannot be recorded at present, or null.</summary>
    public string? Failure => Sampler.Failure;

    internal StatisticsSampler Sampler { get; }

    /// <summary>Identity of a machine in the statistics.</summary>
    public static string EntityIdOf(Guid machine) => machine.ToString("D");

    /// <summary>Samples of an entity: by counter and instance, the newest first. Read while they are enumerated.</summary>
    /// <param name="entity">What the samples are given out with.</param>
    /// <param name="entityId">Identity of a machine or the host.</param>
    /// <param name="query">What is asked for.</param>
    /// <exception cref="StatisticsException">The database cannot be read.</exception>
    public IReadOnlyList<StatisticsSample> Query(object entity, string entityId, StatisticsQuery query)
    {
        ArgumentNullException.ThrowIfNull(query);
        return Read<IReadOnlyList<StatisticsSample>>([], database =>
        {
            // A period that has not ended has no value yet.
            DateTimeOffset now = _time.GetUtcNow(), oldest = now.AddSeconds(-query.Interval.StorageTimeSecs);
            long start = Max(query.Start, oldest).ToUnixTimeSeconds(), finish = (query.Finish is { } until && until < now ? until : now).ToUnixTimeSeconds();
            return [.. StatisticsReader.FindSeries(database, entityId)
                .Where(series => query.Wants(series.Counter) && query.WantsInstance(series.Instance))
                .SelectMany(series => StatisticsReader.Read(database, series, query.Interval, start, finish, query.MaxSamples ?? int.MaxValue)
                    .Select(sample => new StatisticsSample(
                        entity, entityId, series.Counter, series.Instance, query.Interval, DateTimeOffset.FromUnixTimeSeconds(sample.Time), sample.Value)))];
        });
    }

    /// <summary>Counters that an entity has samples of.</summary>
    /// <inheritdoc cref="Query"/>
    public IReadOnlyList<string> CountersOf(string entityId, StatisticsQuery query)
    {
        ArgumentNullException.ThrowIfNull(query);
        return [.. Query(entityId, entityId, query with { MaxSamples = 1 }).Select(static sample => sample.MetricId).Distinct()];
    }

    /// <summary>The newest sample of a counter, of the whole of each entity that has one of the last minute.</summary>
    /// <inheritdoc cref="Query"/>
    internal IReadOnlyDictionary<string, double> Newest(IEnumerable<string> entityIds, StatisticsCounter counter)
    {
        var query = new StatisticsQuery { Counters = [counter.Name], Instances = [MachineRates.Aggregate], MaxSamples = 1, Start = _time.GetUtcNow().AddMinutes(-1) };
        return entityIds.SelectMany(id => Query(id, id, query)).ToDictionary(static sample => sample.EntityId, static sample => sample.ExactValue);
    }

    /// <inheritdoc/>
    public void Dispose() => Sampler.Dispose();

    private static DateTimeOffset Max(DateTimeOffset? a, DateTimeOffset b) => a is { } given && given > b ? given : b;

    private T Read<T>(T nothing, Func<StatisticsDatabase, T> read)
    {
        try
        {
            using StatisticsDatabase? database = StatisticsDatabase.OpenToRead(_folder.Statistics);
            return database is null ? nothing : read(database);
        }
        catch (SqliteException error)
        {
            string remedy = StatisticsDatabase.IsDamage(error) ? " It will be set aside, and a new one begun, when the next sample is recorded." : "";
            throw new StatisticsException($"The statistics in '{_folder.Statistics}' cannot be read: {error.Message}{remedy}", error);
        }
    }
}
