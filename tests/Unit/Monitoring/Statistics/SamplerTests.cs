using Hypervisor.Engine.Monitoring.Statistics;
using static Hypervisor.Engine.Monitoring.Statistics.StatisticsCounters;

namespace Hypervisor.Tests.Unit.Monitoring.Statistics;

public sealed class SamplerTests : IDisposable
{
    private const long Second = 1_000_000_000, Millisecond = 1_000_000;

    private static readonly StatisticsInterval FiveMinutes = StatisticsInterval.Of(300);

    private readonly StatisticsBench _bench = new();

    public void Dispose() => _bench.Dispose();

    [Fact]
    public void Samples_end_at_multiples_of_twenty_seconds_and_the_first_begins_at_power_on()
    {
        _bench.Clock.Advance(TimeSpan.FromSeconds(7));
        BenchMachine machine = _bench.PowerOn();
        _bench.Start(machine);
        machine.Run += 6500 * Millisecond;
        _bench.Clock.Advance(TimeSpan.FromSeconds(13));
        machine.Run += 5 * Second;
        _bench.Clock.Advance(TimeSpan.FromSeconds(20));
        Assert.Equal([25, 50], _bench.Values(machine.Entity, CpuUsage));
        Assert.Equal([5000, 6500], _bench.Values(machine.Entity, CpuUsed));
        Assert.Equal([33, 13], _bench.Values(machine.Entity, Uptime));
        Assert.Equal(_bench.Clock.GetUtcNow().LocalDateTime, _bench.Samples(machine.Entity, CpuUsage)[0].Timestamp);
    }

    [Fact]
    public void A_period_goes_on_in_the_next_process()
    {
        BenchMachine first = _bench.PowerOn();
        BenchProcess process = _bench.Start(first);
        _bench.Pass(6, () => first.Run += 10 * Second);
        process.Service.Dispose();
        process.Machines.Clear();
        _bench.Pass(3);
        var second = new BenchMachine(_bench.Clock) { Id = first.Id };
        _bench.Start(second);
        _bench.Pass(6, () => (second.Run, second.Ready) = (second.Run + (5 * Second), second.Ready + Second));
        Assert.Equal(12, _bench.Values(first.Entity, CpuUsage).Length);
        Assert.Equal([(6 * 50 + 6 * 25) / 12.0], _bench.Values(first.Entity, CpuUsage, FiveMinutes));
        Assert.Equal([6000], _bench.Values(first.Entity, CpuReady, FiveMinutes));
        Assert.Equal([50], _bench.Values(first.Entity, CpuUsageMaximum, FiveMinutes));
        Assert.Equal([120], _bench.Values(first.Entity, Uptime, FiveMinutes));
    }

    [Fact]
    public void The_host_is_what_the_machines_of_all_processes_use()
    {
        BenchMachine a = _bench.PowerOn(), b = _bench.PowerOn(), c = _bench.PowerOn();
        _bench.Start(a, b);
        BenchProcess other = _bench.Start(c);
        _bench.Pass(5, () => (a.Run, b.Run, c.Run) = (a.Run + (20 * Second), b.Run + (10 * Second), c.Run + (4 * Second)));
        other.Service.Dispose();
        other.Machines.Clear();
        _bench.Pass(10, () => (a.Run, b.Run) = (a.Run + (20 * Second), b.Run + (10 * Second)));
        double[] host = _bench.Values(StatisticsBench.HostId, CpuUsageMHz);
        Assert.Equal([.. Enumerable.Repeat(1500.0, 10), .. Enumerable.Repeat(1700.0, 5)], host);
        Assert.Equal(200, _bench.Values(c.Entity, CpuUsageMHz)[0]);
        Assert.Equal([((5 * 1700) + (10 * 1500)) / 15.0], _bench.Values(StatisticsBench.HostId, CpuUsageMHz, FiveMinutes));
        Assert.Equal(37.5, _bench.Values(StatisticsBench.HostId, CpuUsage)[0]);
        Assert.Equal([3600], _bench.Values(StatisticsBench.HostId, Uptime, FiveMinutes));
        Assert.Equal(host, _bench.Values(BenchProcess.Pool, CpuUsageMHz));

        // What there is of the host is not more because two say so.
        Assert.Equal(Enumerable.Repeat(900.0, 15), _bench.Values(StatisticsBench.HostId, MemoryTotalCapacity));
        Assert.Equal([640 * 1024], _bench.Values(StatisticsBench.HostId, MemoryUnreserved, FiveMinutes));
    }

    [Fact]
    public void Nothing_is_timed_and_nothing_is_open_while_no_machine_runs()
    {
        BenchProcess process = _bench.Start();
        Assert.True(_bench.Clock.HasTimer);
        _bench.Pass(1);
        Assert.False(_bench.Clock.HasTimer);
        Assert.False(File.Exists(_bench.Folder.Statistics));

        process.Machines.Add(_bench.PowerOn());
        process.Service.Sampler.Watch();
        _bench.Pass(3);
        Assert.True(File.Exists(_bench.Folder.Statistics + "-wal"));
        process.Machines.Clear();
        process.Service.Sampler.MachineEnded();
        _bench.Clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.False(File.Exists(_bench.Folder.Statistics + "-wal"));
        Assert.False(_bench.Clock.HasTimer);
        Assert.Empty(_bench.Events);
    }

    [Fact]
    public void A_machine_that_ends_between_ticks_takes_no_sample_of_the_others_in_the_middle()
    {
        BenchMachine machine = _bench.PowerOn();
        BenchProcess process = _bench.Start(machine);
        _bench.Pass(2, () => machine.Run += 10 * Second);
        machine.Run += 10 * Second;
        _bench.Clock.Advance(TimeSpan.FromSeconds(5));
        process.Service.Sampler.MachineEnded();
        _bench.Clock.Advance(TimeSpan.FromSeconds(5));
        _bench.Clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal([50, 50, 50], _bench.Values(machine.Entity, CpuUsage));
    }

    [Fact]
    public void A_clock_that_is_set_back_is_reported_and_counts_nothing_twice()
    {
        BenchMachine machine = _bench.PowerOn();
        _bench.Start(machine);
        void Work() => machine.Run += 10 * Second;
        _bench.Pass(12, Work);
        _bench.Clock.ShiftClock(TimeSpan.FromMinutes(-2));
        _bench.Pass(12, Work);
        Assert.Equal(18, _bench.Values(machine.Entity, CpuUsage).Length);
        Assert.Equal([50], _bench.Values(machine.Entity, CpuUsage, FiveMinutes));
        Assert.Equal([15 * 10_000], _bench.Values(machine.Entity, CpuUsed, FiveMinutes));
        Assert.Equal([500], _bench.Values(StatisticsBench.HostId, CpuUsageMHz, FiveMinutes));
        (string type, _, string message) = Assert.Single(_bench.Events);
        Assert.Equal("HostClockSetBackEvent", type);
        Assert.Contains("0.00:02:00", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Small_corrections_of_the_clock_are_not_worth_a_word()
    {
        BenchMachine machine = _bench.PowerOn();
        _bench.Start(machine);
        _bench.Pass(3, () => machine.Run += 10 * Second);
        _bench.Clock.ShiftClock(TimeSpan.FromSeconds(-1));
        _bench.Pass(3, () => machine.Run += 10 * Second);
        _bench.Clock.ShiftClock(TimeSpan.FromSeconds(2));
        _bench.Pass(3, () => machine.Run += 10 * Second);
        Assert.Equal([.. Enumerable.Repeat(50.0, 9)], _bench.Values(machine.Entity, CpuUsage));
        Assert.Empty(_bench.Events);
    }

    [Fact]
    public void A_clock_that_is_set_forward_leaves_a_gap_and_no_wrong_rate()
    {
        BenchMachine machine = _bench.PowerOn();
        _bench.Start(machine);
        _bench.Pass(2, () => machine.Run += 10 * Second);
        _bench.Clock.ShiftClock(TimeSpan.FromMinutes(10));
        _bench.Pass(2, () => machine.Run += 10 * Second);
        Assert.Equal([50, 50, 50, 50], _bench.Values(machine.Entity, CpuUsage));
        Assert.Equal(TimeSpan.FromSeconds(620), _bench.Samples(machine.Entity, CpuUsage)[1].Timestamp - _bench.Samples(machine.Entity, CpuUsage)[2].Timestamp);
    }

    [Fact]
    public void A_cost_of_a_tick_is_one_transaction()
    {
        BenchMachine[] machines = [.. Enumerable.Range(0, 20).Select(_ => _bench.PowerOn())];
        BenchProcess process = _bench.Start(machines);
        int commits = 0;
        process.Service.Sampler.Opened = database => SQLitePCL.raw.sqlite3_commit_hook(database.Connection.Handle, _ => ++commits > 1_000_000 ? 1 : 0, null);
        _bench.Pass(10);
        Assert.Equal(10, commits);
    }

    [Fact]
    public void A_defect_in_a_counter_is_reported_once_and_sampling_goes_on()
    {
        BenchMachine machine = _bench.PowerOn();
        BenchProcess process = _bench.Start(machine);
        process.Failure = new InvalidOperationException("no counter today");
        _bench.Pass(3);
        Assert.Contains("no counter today", Assert.Single(_bench.Events).Message, StringComparison.Ordinal);
        process.Failure = null;
        _bench.Pass(1, () => machine.Run += 40 * Second);
        Assert.Equal([50], _bench.Values(machine.Entity, CpuUsage));
        Assert.Null(process.Service.Failure);
    }
}
