using Hypervisor.Engine.Monitoring;
using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Tests.Unit.Monitoring;

public sealed class EsxTopTests
{
    private static EsxTopCpuCounters Counters(string name, int group, int index, long up, long run, long ready, long coStop, long idle, long limited = 0) => new()
    {
        Name = name,
        GroupId = group,
        WorldId = group + index + 1,
        WorldName = $"vmx-vcpu-{index}:{name}",
        VMId = Guid.Empty,
        UpTimeInUsec = up,
        UsedTimeInUsec = run * 9 / 10,
        RunTimeInUsec = run,
        ReadyTimeInUsec = ready,
        CoStopTimeInUsec = coStop,
        WaitTimeInUsec = up - run - ready - coStop,
        IdleTimeInUsec = idle,
        MaxLimitedTimeInUsec = limited,
        GroupSwapWaitTimeInUsec = up / 4,
        Dispatches = 0,
        Migrations = 0,
        HomeNode = -1,
        LargestSkewInUsec = 0,
    };

    private static readonly EsxTopCpuCounters[] Before = [Counters("a", 100, 0, 1000, 500, 100, 0, 300), Counters("a", 100, 1, 1000, 0, 0, 0, 1000)];
    private static readonly EsxTopCpuCounters[] After =
    [
        Counters("a", 100, 0, 2000, 900, 400, 100, 400, 200), Counters("a", 100, 1, 2000, 1000, 0, 0, 1000), Counters("b (new)", 200, 0, 500, 500, 0, 0, 0),
    ];

    [Fact]
    public void Rates_are_of_the_interval_and_those_of_a_machine_are_the_sum_of_its_worlds()
    {
        var panel = new EsxTopCpuPanel(null);
        EsxTopCpu[] worlds = [.. panel.Compare(Before, After, expand: true).Cast<EsxTopCpu>()];
        Assert.Equal((40, 30, 10, 20, 10, 20), (worlds[0].PctRun, worlds[0].PctReady, worlds[0].PctCoStop, worlds[0].PctWait, worlds[0].PctIdle, worlds[0].PctMaxLimited));
        Assert.Equal((36, 4, 10), (worlds[0].PctUsed, worlds[0].PctOverlap, worlds[0].PctVMWait));
        Assert.All(worlds, static world => Assert.Equal(100, world.PctRun + world.PctReady + world.PctCoStop + world.PctWait, 1));
        EsxTopCpu[] machines = [.. panel.Compare(Before, After, expand: false).Cast<EsxTopCpu>()];
        Assert.Equal(("a", 2, 140.0), (machines[0].Name, machines[0].NumWorlds, machines[0].PctRun));
        Assert.Equal(("b (new)", 100.0), (machines[1].Name, machines[1].PctRun));

        // Waiting for memory is not told apart by world.
        Assert.Equal((null, null, 25.0), (worlds[0].PctSwapWait, worlds[1].PctSwapWait, worlds[2].PctSwapWait));
        Assert.Equal((25.0, 25.0), (machines[0].PctSwapWait, machines[1].PctSwapWait));
    }

    [Fact]
    public void Batch_mode_writes_esxtops_columns_quoted_and_keeps_those_of_the_first_line()
    {
        var panel = new EsxTopCpuPanel(null);
        var csv = new PerfmonCsv("host1");
        string[] first = [.. csv.Lines(new DateTime(2026, 3, 4, 5, 6, 7, DateTimeKind.Utc), panel.Batch(Before, After))];
        Assert.Equal(2, first.Length);
        string[] columns = first[0].Split(',');
        Assert.Equal("\"(PDH-CSV 4.0) (UTC)(0)\"", columns[0]);
        Assert.Equal(@"""\\host1\Group Cpu(100:a)\Members""", columns[1]);
        Assert.Equal(@"""\\host1\Group Cpu(100:a)\% Used""", columns[2]);
        Assert.Contains(@"""\\host1\Group Cpu(200:b [new])\% Ready""", columns);
        Assert.Contains(@"""\\host1\Vcpu(100:a:101:vmx-vcpu-0:a)\% CoStop""", columns);
        Assert.StartsWith("\"03/04/2026 05:06:07\",\"2.00\",\"126.00\",\"140.00\",\"0.00\"", first[1], StringComparison.Ordinal);

        Assert.Equal(["\"(PDH-CSV 4.0) (UTC)(0)\",\"\\\\h\\Memory\\Touched MBytes\"", "\"03/04/2026 05:06:07\",\" \""],
            new PerfmonCsv("h").Lines(new DateTime(2026, 3, 4, 5, 6, 7, DateTimeKind.Utc), [new EsxTopValue("Memory", "Touched MBytes", double.NaN)]));
        string later = Assert.Single(csv.Lines(DateTime.UtcNow, panel.Batch(Before, After.Where(static counters => counters.GroupId == 200).ToArray())));
        Assert.Equal(columns.Length, later.Split(',').Length);
        Assert.Contains("\" \"", later, StringComparison.Ordinal);
    }

    [Fact]
    public void What_the_scheduler_counts_sums_to_a_hundred_percent()
    {
        using var scheduler = new CpuScheduler(HostTopology.Uniform(1));
        using MachineSchedule machine = scheduler.Add(Guid.NewGuid(), "m", 2, MachinePlan.Default);
        var panel = new EsxTopCpuPanel(scheduler);
        IReadOnlyList<IEsxTopCounters> before = panel.Take();
        WorldPermit permit = machine.PermitFor(0, static () => { });
        Assert.True(permit.Acquire());
        // Some running time, which is counted on the host's clock; how much does not matter.
        Thread.Sleep(20);
        permit.Release(WorldState.Idle);
        EsxTopCpu[] rows = [.. panel.Compare(before, panel.Take(), expand: true).Cast<EsxTopCpu>()];
        Assert.All(rows, static row => Assert.InRange(row.PctRun + row.PctReady + row.PctCoStop + row.PctWait, 99, 101));
        Assert.True(rows[0].PctRun > 0);
        Assert.Equal(100, rows[1].PctWait);
    }
}
