using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Monitoring.Statistics;
using Hypervisor.Engine.Network;
using Hypervisor.Engine.Storage.IoControl;
using Hypervisor.Tests.Unit.Support;
using Microsoft.Data.Sqlite;

namespace Hypervisor.Tests.Unit.Monitoring.Statistics;

/// <summary>A host folder with processes that sample machines of a test's making, and a clock that the test moves.</summary>
internal sealed class StatisticsBench : IDisposable
{
    public const string HostId = "HostSystem-test";
    public const int ProcessorMHz = 1000, Period = 20;

    private readonly List<BenchProcess> _processes = [];

    public StatisticsBench()
    {
        Folder = new HostFolder(Path.Combine(Path.GetTempPath(), "hv-stat-" + Guid.NewGuid().ToString("N")));
        Folder.Create();
    }

    public HostFolder Folder { get; }

    public ManualTimeProvider Clock { get; } = new();

    /// <summary>Events of all processes: kind and sentence.</summary>
    public List<(string Type, MachineEventSeverity Severity, string Message)> Events { get; } = [];

    public long Now => Clock.GetUtcNow().ToUnixTimeSeconds();

    public BenchProcess Start(params BenchMachine[] machines)
    {
        var process = new BenchProcess(this, machines);
        _processes.Add(process);
        process.Service.Sampler.Watch();
        return process;
    }

    public BenchMachine PowerOn() => new(Clock);

    /// <summary>Lets time pass in steps of a tick; before each, the test lets machines work.</summary>
    public void Pass(TimeSpan time, Action? work = null)
    {
        for (int i = 0; i < time / TimeSpan.FromSeconds(Period); i++)
        {
            work?.Invoke();
            Clock.Advance(TimeSpan.FromSeconds(Period));
        }
    }

    public void Pass(int ticks, Action? work = null) => Pass(TimeSpan.FromSeconds(ticks * Period), work);

    /// <summary>Values of a series, the newest first.</summary>
    public StatisticsSample[] Samples(string entity, StatisticsCounter counter, StatisticsInterval? interval = null, string instance = "") =>
        [.. Reader().Query(entity, entity, new StatisticsQuery { Interval = interval ?? StatisticsInterval.Realtime, Counters = [counter.Name], Instances = [instance] })];

    public double[] Values(string entity, StatisticsCounter counter, StatisticsInterval? interval = null, string instance = "") =>
        [.. Samples(entity, counter, interval, instance).Select(static sample => sample.ExactValue)];

    /// <summary>The service of a process that runs no machine.</summary>
    public StatisticsService Reader() => new(Folder, HostId, Clock, NoMachines, (_, _, _) => { });

    /// <summary>Runs a statement on the database as another program might.</summary>
    public long Sql(string sql)
    {
        using var connection = new SqliteConnection($"Data Source={Folder.Statistics};Pooling=False");
        connection.Open();
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        return command.ExecuteScalar() is long number ? number : 0;
    }

    public void Dispose()
    {
        _processes.ForEach(static process => process.Service.Dispose());
        Directory.Delete(Folder.Root, recursive: true);
    }

    private static HostReading NoMachines() => new() { Machines = [], ProcessorMHz = ProcessorMHz, CapacityMHz = ProcessorMHz, MemoryKB = 1, Uptime = TimeSpan.Zero };
}

/// <summary>A process with machines.</summary>
internal sealed class BenchProcess
{
    public BenchProcess(StatisticsBench bench, IEnumerable<BenchMachine> machines)
    {
        Machines.AddRange(machines);
        Service = new StatisticsService(bench.Folder, StatisticsBench.HostId, bench.Clock, Read, (type, severity, message) => bench.Events.Add((type, severity, message)));
    }

    public List<BenchMachine> Machines { get; } = [];

    public StatisticsService Service { get; }

    /// <summary>A pool that the machines of all processes are in.</summary>
    public const string Pool = "ResourcePool-test";

    /// <summary>A datastore that the disks of all machines are on, and its identity.</summary>
    public const string Datastore = "/data", DatastoreId = "Datastore-/data";

    /// <summary>Makes the reading of counters fail.</summary>
    public Exception? Failure { get; set; }

    private HostReading Read() => Failure is { } failure ? throw failure : new HostReading
    {
        Machines = [.. Machines.Select(static machine => machine.Read())],
        ProcessorMHz = StatisticsBench.ProcessorMHz,
        CapacityMHz = 4 * StatisticsBench.ProcessorMHz,
        MemoryKB = 1 << 20,
        Capacity = new CapacityReading(3600, 600, 900, 250, 640),
        Datastores = Machines.Count == 0 ? [] : [new DatastoreReading(Datastore, DatastoreId, 32, new DatastoreSpace(4096 << 10, 1024 << 10, 3000 << 10, 500 << 10))],
        Pools = Machines.Count == 0 ? [] : [new PoolReading(Pool, [.. Machines.Select(static machine => machine.Id)])],
        Uptime = TimeSpan.FromHours(1),
    };
}

/// <summary>A machine of one virtual processor and one adapter, whose counters a test moves.</summary>
internal sealed class BenchMachine(ManualTimeProvider clock)
{
    private readonly long _poweredOn = Nanoseconds(clock);

    public Guid Id { get; init; } = Guid.NewGuid();

    public string Entity => StatisticsService.EntityIdOf(Id);

    /// <summary>Time on a processor, and time of waiting for one, ns.</summary>
    public long Run { get; set; }

    public long Ready { get; set; }

    public long BytesReceived { get; set; }

    /// <summary>What its disk did; a machine of a test that says nothing of it has none.</summary>
    public DiskIoStatistics? Disk { get; set; }

    public MachineReading Read()
    {
        long now = Nanoseconds(clock);
        return new MachineReading
        {
            Id = Id,
            Time = now,
            PoweredOn = _poweredOn,
            Processors = [new ProcessorReading(now - _poweredOn, Run, Run, Ready, 0, 0, 0)],
            Adapters = [new NetworkAdapterStatistics(0, 0, 0, 0, BytesReceived, 0)],
            Disks = Disk is { } disk ? [new DiskReading(0, BenchProcess.Datastore, disk)] : [],
            Memory = new MemoryReading(1024),
        };
    }

    private static long Nanoseconds(ManualTimeProvider clock) => clock.GetTimestamp() * TimeSpan.NanosecondsPerTick;
}
