using System.Globalization;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Engine.Monitoring.Statistics;

/// <summary>An interval of the statistics: how much time a value covers, and how long it is kept. They are vCenter's.</summary>
public sealed class StatisticsInterval
{
    private const int Minute = 60, Hour = 60 * Minute, Day = 24 * Hour;

    private StatisticsInterval(string name, int samplingPeriod, int storageTime)
    {
        Name = name;
        SamplingPeriodSecs = samplingPeriod;
        StorageTimeSecs = storageTime;
    }

    /// <summary>Samples of 20 seconds, kept for an hour.</summary>
    public static StatisticsInterval Realtime { get; } = new("Realtime", 20, Hour);

    /// <summary>What samples become: 5 minutes for a day, 30 minutes for a week, 2 hours for a month, a day for a year.</summary>
    public static IReadOnlyList<StatisticsInterval> Rollups { get; } =
    [
        new("Past day", 5 * Minute, Day), new("Past week", 30 * Minute, 7 * Day), new("Past month", 2 * Hour, 30 * Day), new("Past year", Day, 365 * Day),
    ];

    /// <summary>All, the shortest first.</summary>
    public static IReadOnlyList<StatisticsInterval> All { get; } = [Realtime, .. Rollups];

    /// <summary>Name, such as <c>Past day</c>.</summary>
    public string Name { get; }

    /// <summary>Time that a value covers, seconds.</summary>
    public int SamplingPeriodSecs { get; }

    /// <summary>Time for which values are kept, seconds.</summary>
    public int StorageTimeSecs { get; }

    /// <summary>The interval of so many seconds.</summary>
    /// <exception cref="InvalidConfigurationException">There is none; the message names those there are.</exception>
    public static StatisticsInterval Of(long seconds) =>
        All.FirstOrDefault(interval => interval.SamplingPeriodSecs == seconds) ?? throw new InvalidConfigurationException(
            $"There is no interval of {seconds} seconds; there are {string.Join(", ", All.Select(static interval => interval.SamplingPeriodSecs.ToString(CultureInfo.InvariantCulture)))}.");

    /// <summary>The shortest one whose values reach back to a time.</summary>
    /// <param name="age">How far back.</param>
    public static StatisticsInterval Covering(TimeSpan age) => All.FirstOrDefault(interval => age.TotalSeconds <= interval.StorageTimeSecs) ?? All[^1];

    /// <summary>End of the period that a moment belongs to, seconds since 1970 in UTC. A moment between two belongs to the earlier.</summary>
    internal long EndOfPeriod(long time) => (time + SamplingPeriodSecs - 1) / SamplingPeriodSecs * SamplingPeriodSecs;

    /// <inheritdoc/>
    public override string ToString() => Name;
}
