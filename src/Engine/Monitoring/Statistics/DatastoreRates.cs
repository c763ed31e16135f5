using Hypervisor.Engine.Storage.IoControl;
using static Hypervisor.Engine.Monitoring.Statistics.StatisticsCounters;

namespace Hypervisor.Engine.Monitoring.Statistics;

/// <summary>
/// What machines did with datastores between two readings: for each machine and for the host with datastores as instances, and for the
/// datastores themselves. What is of several processes can be added; latencies are means of all requests. Pure.
/// </summary>
internal static class DatastoreRates
{
    private const double BytesPerKB = 1024, KBPerMB = 1024, NanosecondsPerMicrosecond = 1e3;

    /// <summary>The counters of the group <c>datastore</c> of a machine.</summary>
    /// <param name="values">Where they are added.</param>
    /// <param name="before">The earlier reading; null counts from the power-on.</param>
    /// <param name="after">The later one.</param>
    public static void AddMachine(List<StatisticsValue> values, MachineReading? before, MachineReading after) =>
        AddAll(values, Activities([after], new[] { before }.OfType<MachineReading>().ToDictionary(static machine => machine.Id)));

    /// <summary>The counters of the groups <c>disk</c> and <c>datastore</c> of the host that have datastores as instances.</summary>
    /// <param name="values">Where they are added.</param>
    /// <param name="host">The later readings.</param>
    /// <param name="before">The earlier ones.</param>
    public static void AddHost(List<StatisticsValue> values, HostReading host, IReadOnlyDictionary<Guid, MachineReading> before)
    {
        Dictionary<string, Activity> activities = Activities(host.Machines, before);
        foreach ((string datastore, Activity activity) in activities)
        {
            MachineRates.AddDisk(values, datastore, activity.Rates);
            AddControl(values, datastore, activity, QueueDepthOf(host, datastore));
        }

        AddAll(values, activities);
    }

    /// <summary>The datastores. How full they are, the first process that comes says for all.</summary>
    /// <param name="host">The later readings.</param>
    /// <param name="before">The earlier ones.</param>
    public static IEnumerable<EntityValues> Of(HostReading host, IReadOnlyDictionary<Guid, MachineReading> before)
    {
        Dictionary<string, Activity> activities = Activities(host.Machines, before);
        foreach (DatastoreReading datastore in host.Datastores)
        {
            var values = new List<StatisticsValue>();
            if (activities.TryGetValue(datastore.Name, out Activity? activity))
            {
                MachineRates.AddDisk(values, MachineRates.Aggregate, activity.Rates);
                Add(values, MachineRates.Aggregate, activity);
                AddControl(values, MachineRates.Aggregate, activity, datastore.QueueDepth);
            }

            yield return new EntityValues(datastore.Id, IsShared: true, values);
            yield return new EntityValues(datastore.Id, IsShared: false, SpaceOf(datastore));
        }
    }

    private static StatisticsValue[] SpaceOf(DatastoreReading datastore) => datastore.Space is not { } space ? [] :
    [
        new(DiskCapacity, MachineRates.Aggregate, space.Capacity / BytesPerKB),
        new(DiskUsed, MachineRates.Aggregate, space.Used / BytesPerKB),
        new(DiskProvisioned, MachineRates.Aggregate, (space.Used + space.Uncommitted) / BytesPerKB),
    ];

    private static int? QueueDepthOf(HostReading host, string datastore) =>
        host.Datastores.FirstOrDefault(reading => DatastoreName.Comparer.Equals(reading.Name, datastore))?.QueueDepth;

    private static void AddAll(List<StatisticsValue> values, Dictionary<string, Activity> activities)
    {
        foreach ((string datastore, Activity activity) in activities)
        {
            Add(values, datastore, activity);
        }

        if (activities.Count > 0)
        {
            values.Add(new(DatastoreLatency, MachineRates.Aggregate, activities.Values.Max(static activity => activity.Rates.GuestLatency)));
        }
    }

    private static void Add(List<StatisticsValue> values, string instance, Activity activity)
    {
        DiskIoRates rates = activity.Rates;
        values.Add(new(DatastoreReads, instance, rates.ReadsPerSecond));
        values.Add(new(DatastoreWrites, instance, rates.WritesPerSecond));
        values.Add(new(DatastoreRead, instance, rates.MBReadPerSecond * KBPerMB));
        values.Add(new(DatastoreWrite, instance, rates.MBWrittenPerSecond * KBPerMB));
        values.Add(new(DatastoreReadLatency, instance, rates.ReadLatency, activity.After.Reads - activity.Before.Reads));
        values.Add(new(DatastoreWriteLatency, instance, rates.WriteLatency, activity.After.Writes - activity.Before.Writes));
    }

    private static void AddControl(List<StatisticsValue> values, string instance, Activity activity, int? queueDepth)
    {
        values.Add(new(DatastoreIops, instance, activity.Rates.CommandsPerSecond));
        long cost = activity.After.Cost - activity.Before.Cost, time = activity.After.DeviceTime - activity.Before.DeviceTime;
        values.Add(new(DatastoreNormalizedLatency, instance, cost > 0 ? time / NanosecondsPerMicrosecond / cost : 0, cost));
        if (queueDepth is { } depth)
        {
            values.Add(new(DatastoreQueueDepth, instance, depth));
        }
    }

    private static Dictionary<string, Activity> Activities(IReadOnlyList<MachineReading> machines, IReadOnlyDictionary<Guid, MachineReading> before)
    {
        var datastores = new Dictionary<string, Activity>(DatastoreName.Comparer);
        foreach (MachineReading machine in machines)
        {
            MachineReading? earlier = before.GetValueOrDefault(machine.Id) is { } known && known.PoweredOn == machine.PoweredOn ? known : null;
            long passed = machine.Time - (earlier?.Time ?? machine.PoweredOn);
            foreach (DiskReading disk in machine.Disks.Where(_ => passed > 0))
            {
                Activity sum = datastores.GetValueOrDefault(disk.Datastore) ?? new Activity(default, default, 0);
                DiskIoStatistics then = earlier?.Disks.FirstOrDefault(other => other.Index == disk.Index).Statistics ?? default;
                datastores[disk.Datastore] = new Activity(sum.Before + then, sum.After + disk.Statistics, Math.Max(sum.Time, passed));
            }
        }

        return datastores;
    }

    /// <summary>What disks did.</summary>
    /// <param name="Before">The earlier counters.</param>
    /// <param name="After">The later ones.</param>
    /// <param name="Time">The longest time between the two, ns.</param>
    private sealed record Activity(DiskIoStatistics Before, DiskIoStatistics After, long Time)
    {
        public DiskIoRates Rates { get; } = new(Before, After, TimeSpan.FromMicroseconds(Time / 1000));
    }
}
