using Hypervisor.Engine.Monitoring.Statistics;
using Hypervisor.Engine.Storage.IoControl;
using static Hypervisor.Engine.Monitoring.Statistics.StatisticsCounters;

namespace Hypervisor.Tests.Unit.Monitoring.Statistics;

public sealed class DatastoreRatesTests : IDisposable
{
    private const string Data = BenchProcess.Datastore, DataId = BenchProcess.DatastoreId;
    private const long Second = 1_000_000_000, Millisecond = 1_000_000;

    private static readonly StatisticsInterval FiveMinutes = StatisticsInterval.Of(300);

    private readonly StatisticsBench _bench = new();

    public void Dispose() => _bench.Dispose();

    /// <summary>Reads of 64 KB (a cost of two each), a quarter of their time before the device has them.</summary>
    private static DiskIoStatistics Reads(long count, long milliseconds) => new()
    {
        Reads = count,
        BytesRead = count << 16,
        Cost = 2 * count,
        ReadTime = count * milliseconds * Millisecond,
        DeviceTime = count * milliseconds * Millisecond * 3 / 4,
        KernelTime = count * milliseconds * Millisecond / 4,
    };

    private static void Add(BenchMachine machine, DiskIoStatistics work) => machine.Disk = (machine.Disk ?? default) + work;

    [Fact]
    public void A_datastore_is_what_the_disks_of_all_processes_do_and_a_latency_is_of_all_their_requests()
    {
        BenchMachine a = _bench.PowerOn(), b = _bench.PowerOn(), c = _bench.PowerOn();
        _bench.Start(a, b);
        _bench.Start(c);
        _bench.Pass(2, () =>
        {
            Add(a, Reads(20, 4));
            Add(b, Reads(60, 8));
            Add(c, Reads(320, 16));
        });
        double latency = ((20 * 4) + (60 * 8) + (320 * 16)) / 400.0;
        foreach ((string entity, string instance) in new[] { (DataId, ""), (StatisticsBench.HostId, Data) })
        {
            Assert.Equal([20, 20], _bench.Values(entity, DatastoreReads, instance: instance));
            Assert.Equal([20, 20], _bench.Values(entity, DatastoreIops, instance: instance));
            Assert.Equal([20 * 64, 20 * 64], _bench.Values(entity, DatastoreRead, instance: instance));
            Assert.Equal([0, 0], _bench.Values(entity, DatastoreWrite, instance: instance));
            Assert.All(_bench.Values(entity, DatastoreReadLatency, instance: instance), value => Assert.Equal(latency, value, 9));
            Assert.All(_bench.Values(entity, DatastoreNormalizedLatency, instance: instance), value => Assert.Equal(latency * 1000 * 3 / 4 / 2, value, 9));
            Assert.Equal([32, 32], _bench.Values(entity, DatastoreQueueDepth, instance: instance));
            Assert.Equal([20 * 64, 20 * 64], _bench.Values(entity, DiskUsage, instance: instance));
        }

        Assert.Equal([1, 1], _bench.Values(a.Entity, DatastoreReads, instance: Data));
        Assert.Equal([16, 16], _bench.Values(c.Entity, DatastoreReadLatency, instance: Data));
        Assert.Equal([8, 8], _bench.Values(b.Entity, DatastoreLatency));
        Assert.Equal([16, 16], _bench.Values(StatisticsBench.HostId, DatastoreLatency));
    }

    [Fact]
    public void How_full_a_datastore_is_is_not_more_because_two_say_so()
    {
        _bench.Start(_bench.PowerOn());
        _bench.Start(_bench.PowerOn());
        _bench.Pass(15);
        Assert.Equal((4096, 3000, 3500), (_bench.Values(DataId, DiskCapacity)[0], _bench.Values(DataId, DiskUsed)[0], _bench.Values(DataId, DiskProvisioned)[0]));
        Assert.Equal([3000], _bench.Values(DataId, DiskUsed, FiveMinutes));

        // No disk is on it: there is nothing to say of requests.
        Assert.Empty(_bench.Values(DataId, DatastoreReads));
    }

    [Fact]
    public void A_longer_periods_latency_is_the_mean_of_its_requests_and_none_at_all_are_zero()
    {
        BenchMachine machine = _bench.PowerOn();
        _bench.Start(machine);
        _bench.Pass(1, () => Add(machine, Reads(1000, 2)));
        _bench.Pass(1, () => Add(machine, Reads(10, 100)));
        _bench.Pass(13);
        Assert.Equal([100, 2], _bench.Values(DataId, DatastoreReadLatency)[^2..]);
        Assert.All(_bench.Values(DataId, DatastoreReadLatency)[..^2], static value => Assert.Equal(0, value));
        Assert.Equal(3000 / 1010.0, Assert.Single(_bench.Values(DataId, DatastoreReadLatency, FiveMinutes)), 9);
        Assert.Equal(3000 / 1010.0, Assert.Single(_bench.Values(machine.Entity, DatastoreReadLatency, FiveMinutes, Data)), 9);
        Assert.All(_bench.Values(DataId, DatastoreWriteLatency), static value => Assert.Equal(0, value));
        Assert.Equal([0], _bench.Values(DataId, DatastoreWriteLatency, FiveMinutes));
    }

    [Fact]
    public void A_datastore_that_cannot_be_measured_says_nothing_of_space()
    {
        var machine = new MachineReading
        {
            Id = Guid.NewGuid(),
            Time = 30 * Second,
            PoweredOn = 10 * Second,
            Disks = [new DiskReading(0, Data, Reads(40, 1)), new DiskReading(1, "/other", Reads(20, 1))],
            Memory = new MemoryReading(1),
        };
        var host = new HostReading { Machines = [machine], ProcessorMHz = 1, CapacityMHz = 1, MemoryKB = 1, Uptime = TimeSpan.Zero, Datastores = [new DatastoreReading(Data, DataId, null, null)] };
        EntityValues[] values = [.. DatastoreRates.Of(host, new Dictionary<Guid, MachineReading>())];
        Assert.All(values, static entity => Assert.Equal(DataId, entity.EntityId));
        Assert.Equal(2, Assert.Single(values.SelectMany(static entity => entity.Values), static value => value.Counter == DatastoreReads).Value);
        Assert.DoesNotContain(values.SelectMany(static entity => entity.Values), static value => value.Counter == DiskUsed || value.Counter == DatastoreQueueDepth);
    }
}
