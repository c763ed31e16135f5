using Hypervisor.Engine.Monitoring.Statistics;
using Hypervisor.Engine.Network;
using Hypervisor.Engine.Storage.IoControl;
using static Hypervisor.Engine.Monitoring.Statistics.StatisticsCounters;

namespace Hypervisor.Tests.Unit.Monitoring.Statistics;

public sealed class RatesTests
{
    private const long Second = 1_000_000_000, Millisecond = 1_000_000;

    private static readonly MachineReading Before = new()
    {
        Id = Guid.NewGuid(),
        Time = 100 * Second,
        PoweredOn = 60 * Second,
        Processors = [new ProcessorReading(40 * Second, Second, Second, Second, 0, Second, 0), new ProcessorReading(40 * Second, 0, 0, 0, 0, 0, 0)],
        Disks = [new DiskReading(0, "/", new DiskIoStatistics { Reads = 10, BytesRead = 1 << 20 }), new DiskReading(1, "/data", default)],
        Adapters = [new NetworkAdapterStatistics(1, 1000, 0, 2, 2000, 0), new NetworkAdapterStatistics(0, 0, 0, 0, 0, 0)],
        Memory = new MemoryReading(2048),
    };

    private static readonly MachineReading After = Before with
    {
        Time = 120 * Second,
        Processors =
        [
            new ProcessorReading(60 * Second, 11 * Second, 9 * Second, 3 * Second, Second, 4 * Second, 500 * Millisecond), new ProcessorReading(60 * Second, 10 * Second, 10 * Second, 0, 0, 0, 0),
        ],
        Disks =
        [
            new DiskReading(0, "/", new DiskIoStatistics { Reads = 30, BytesRead = 3 << 20, ReadTime = 100 * Millisecond, DeviceTime = 60 * Millisecond, KernelTime = 40 * Millisecond }),
            new DiskReading(1, "/data", new DiskIoStatistics { Writes = 40, BytesWritten = 4 << 20, WriteTime = 400 * Millisecond, DeviceTime = 400 * Millisecond }),
        ],
        Adapters = [new NetworkAdapterStatistics(11, 1000 + (20 << 10), 1, 6, 2000 + (40 << 10), 2), new NetworkAdapterStatistics(0, 0, 0, 5, 20 << 10, 0)],
        Memory = new MemoryReading(4096),
    };

    private static double Value(IEnumerable<StatisticsValue> values, StatisticsCounter counter, string instance = "") =>
        Assert.Single(values, value => value.Counter == counter && value.Instance == instance).Value;

    [Fact]
    public void Processors_are_told_apart_and_summed_for_the_machine()
    {
        IReadOnlyList<StatisticsValue> values = MachineRates.Between(Before, After, processorMHz: 3000);
        Assert.Equal((40, 50, 45), (Value(values, CpuUsage, "0"), Value(values, CpuUsage, "1"), Value(values, CpuUsage)));
        Assert.Equal((1200, 1500, 2700), (Value(values, CpuUsageMHz, "0"), Value(values, CpuUsageMHz, "1"), Value(values, CpuUsageMHz)));
        Assert.Equal((18_000, 20_000, 2000, 1000, 3000, 500), (Value(values, CpuUsed), Value(values, CpuRun), Value(values, CpuReady), Value(values, CpuCoStop), Value(values, CpuIdle), Value(values, CpuMaxLimited)));
        Assert.Equal((5, 45), (Value(values, CpuReadiness), Value(values, CpuUsageMaximum)));
        Assert.Equal(40_000, Value(values, CpuRun) + Value(values, CpuReady) + Value(values, CpuCoStop) + Value(values, CpuWait));
        Assert.Equal(60, Value(values, Uptime));
        Assert.Equal(4096, Value(values, MemoryGranted));
    }

    [Fact]
    public void Disks_and_adapters_have_vSpheres_instances()
    {
        IReadOnlyList<StatisticsValue> values = MachineRates.Between(Before, After, processorMHz: 3000);
        Assert.Equal((1, 102.4, 5), (Value(values, VirtualDiskReads, "scsi0:0"), Value(values, VirtualDiskRead, "scsi0:0"), Value(values, VirtualDiskReadLatency, "scsi0:0")));
        Assert.Equal((2, 204.8, 10), (Value(values, VirtualDiskWrites, "scsi0:1"), Value(values, VirtualDiskWrite, "scsi0:1"), Value(values, VirtualDiskWriteLatency, "scsi0:1")));
        Assert.Equal((307.2, 102.4, 3, 10), (Value(values, DiskUsage), Value(values, DiskRead), Value(values, DiskCommands), Value(values, DiskLatency)), new Near());
        Assert.Equal((1, 2, 3), (Value(values, NetTransmitted, "4000"), Value(values, NetReceived, "4000"), Value(values, NetUsage, "4000")));
        Assert.Equal((4, 9, 10, 2, 1), (Value(values, NetUsage), Value(values, NetPacketsReceived), Value(values, NetPacketsTransmitted), Value(values, NetDroppedReceived), Value(values, NetDroppedTransmitted)));
        Assert.Equal(1, Value(values, NetReceived, "4001"));
    }

    [Fact]
    public void A_machine_that_was_powered_on_in_between_counts_from_then()
    {
        MachineReading again = After with { PoweredOn = 110 * Second, Processors = [new ProcessorReading(10 * Second, 5 * Second, 5 * Second, 0, 0, 0, 0)] };
        IReadOnlyList<StatisticsValue> values = MachineRates.Between(Before, again, processorMHz: 3000);
        Assert.Equal((50, 1500, 5000, 10), (Value(values, CpuUsage), Value(values, CpuUsageMHz), Value(values, CpuUsed), Value(values, Uptime)));
        Assert.Equal(3, Value(values, VirtualDiskReads, "scsi0:0"));
        Assert.Equal(50, Value(MachineRates.Between(null, again, processorMHz: 3000), CpuUsage));
        Assert.Empty(MachineRates.Between(again, again, processorMHz: 3000));
    }

    [Fact]
    public void The_hosts_values_are_those_of_its_machines_together_of_what_there_is()
    {
        MachineReading other = After with { Id = Guid.NewGuid() };
        var host = new HostReading { Machines = [After, other], ProcessorMHz = 3000, CapacityMHz = 12_000, MemoryKB = 30_720, Uptime = TimeSpan.FromSeconds(999.9) };
        IReadOnlyList<StatisticsValue>[] machines = [MachineRates.Between(Before, After, 3000), MachineRates.Between(null, other, 3000)];
        IReadOnlyList<StatisticsValue> values = HostRates.Of(host, new Dictionary<Guid, MachineReading> { [Before.Id] = Before }, machines);
        double used = Value(machines[0], CpuUsageMHz) + Value(machines[1], CpuUsageMHz);
        Assert.Equal((used, used / 120), (Value(values, CpuUsageMHz), Value(values, CpuUsage)));
        Assert.Equal(8192, Value(values, MemoryGranted));
        Assert.Equal(999, Value(values, Uptime));
        // 20 reads in 20 s and 30 in 60 s are on one datastore: the longer time counts.
        Assert.Equal(50 / 60.0, Value(values, DiskReads, "/"), 3);
        Assert.Equal(80 / 60.0, Value(values, DiskWrites, "/data"), 3);
    }

    [Fact]
    public void A_pool_has_what_its_machines_have_together()
    {
        Guid other = Guid.NewGuid();
        var machines = new Dictionary<Guid, IReadOnlyList<StatisticsValue>>
        {
            [Before.Id] = [new(CpuUsageMHz, "", 300), new(CpuUsageMHz, "0", 300), new(CpuUsage, "", 10), new(MemoryConsumed, "", 1000), new(MemoryActive, "", 400)],
            [other] = [new(CpuUsageMHz, "", 50), new(MemoryConsumed, "", 20)],
        };
        IReadOnlyList<StatisticsValue> values = HostRates.Of(new PoolReading("pool", [Before.Id, other, Guid.NewGuid()]), machines);
        Assert.Equal([(CpuUsageMHz, 350), (MemoryActive, 400), (MemoryConsumed, 1020)], values.Select(static value => (value.Counter, value.Value)));
        Assert.Empty(HostRates.Of(new PoolReading("empty", []), machines));
    }

    [Fact]
    public void A_host_says_what_can_be_reserved_where_it_is_known()
    {
        var host = new HostReading { Machines = [], ProcessorMHz = 3000, CapacityMHz = 12_000, MemoryKB = 30_720, Uptime = TimeSpan.Zero };
        Assert.Empty(HostRates.CapacityOf(host));
        IReadOnlyList<StatisticsValue> values = HostRates.CapacityOf(host with { Capacity = new CapacityReading(12_000, 500, 900, 250, 640) });
        Assert.Equal((12_000, 500), (Value(values, CpuTotalCapacity), Value(values, CpuReservedCapacity)));
        Assert.Equal((900, 250, 640 * 1024), (Value(values, MemoryTotalCapacity), Value(values, MemoryReservedCapacity), Value(values, MemoryUnreserved)));
    }

    [Fact]
    public void Names_of_counters_are_vSpheres_and_each_is_there_once()
    {
        Assert.Equal(All.Count, All.Select(static counter => counter.Name).Distinct().Count());
        Assert.All(All, static counter => Assert.Matches(@"^[a-z][A-Za-z]*\.[a-z][A-Za-z]*\.(average|summation|maximum|latest)$", counter.Name));
        Assert.All(All, static counter => Assert.NotEmpty(counter.Description));
    }

    private sealed class Near : IEqualityComparer<(double, double, double, double)>
    {
        public bool Equals((double, double, double, double) x, (double, double, double, double) y) =>
            Math.Abs(x.Item1 - y.Item1) + Math.Abs(x.Item2 - y.Item2) + Math.Abs(x.Item3 - y.Item3) + Math.Abs(x.Item4 - y.Item4) < 1e-9;

        public int GetHashCode((double, double, double, double) obj) => 0;
    }
}
