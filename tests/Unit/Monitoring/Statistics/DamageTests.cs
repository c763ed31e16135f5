using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Monitoring.Statistics;
using Microsoft.Data.Sqlite;
using static Hypervisor.Engine.Monitoring.Statistics.StatisticsCounters;

namespace Hypervisor.Tests.Unit.Monitoring.Statistics;

/// <summary>Databases that are damaged, that cannot be written, and that others made.</summary>
public sealed class DamageTests : IDisposable
{
    private readonly StatisticsBench _bench = new();

    public void Dispose() => _bench.Dispose();

    private string[] Aside => [.. Directory.GetFiles(_bench.Folder.Root, "statistics.damaged-*").Where(static file => file.EndsWith(".db", StringComparison.Ordinal))];

    [Theory]
    [InlineData(0, 100)]
    [InlineData(4096, 100_000)]
    public void A_damaged_database_is_set_aside_as_it_is_and_a_new_one_begun(int from, int count)
    {
        BenchMachine machine = _bench.PowerOn();
        BenchProcess process = _bench.Start(machine);
        _bench.Pass(30);
        process.Machines.Clear();
        _bench.Pass(1);
        byte[] damaged = File.ReadAllBytes(_bench.Folder.Statistics);
        damaged.AsSpan(from, Math.Min(count, damaged.Length - from)).Fill(0xA5);
        File.WriteAllBytes(_bench.Folder.Statistics, damaged);

        string reading = Assert.Throws<StatisticsException>(() => _bench.Values(machine.Entity, CpuUsage)).Message;
        Assert.Contains("will be set aside", reading, StringComparison.Ordinal);
        process.Machines.Add(machine);
        process.Service.Sampler.Watch();
        _bench.Pass(2);
        Assert.Equal(2, _bench.Values(machine.Entity, CpuUsage).Length);
        Assert.Equal(damaged, File.ReadAllBytes(Assert.Single(Aside)));
        (string type, MachineEventSeverity severity, string message) = Assert.Single(_bench.Events);
        Assert.Equal(("StatisticsDatabaseDamagedEvent", MachineEventSeverity.Error), (type, severity));
        Assert.Contains(Aside[0], message, StringComparison.Ordinal);
        Assert.Null(process.Service.Failure);
    }

    [Fact]
    public void Of_two_processes_one_sets_the_damaged_database_aside_and_both_go_on_in_the_new_one()
    {
        BenchMachine a = _bench.PowerOn(), b = _bench.PowerOn();
        BenchProcess first = _bench.Start(a), second = _bench.Start(b);
        _bench.Pass(30);
        foreach (BenchProcess process in (BenchProcess[])[first, second])
        {
            process.Machines.Clear();
        }

        _bench.Pass(1);
        File.WriteAllBytes(_bench.Folder.Statistics, [.. Enumerable.Repeat((byte)0x5A, 50_000)]);
        (BenchMachine c, BenchMachine d) = (_bench.PowerOn(), _bench.PowerOn());
        first.Machines.Add(c);
        second.Machines.Add(d);
        first.Service.Sampler.Watch();
        second.Service.Sampler.Watch();
        _bench.Pass(3);
        Assert.Equal((3, 3), (_bench.Values(c.Entity, CpuUsage).Length, _bench.Values(d.Entity, CpuUsage).Length));
        Assert.Single(Aside);
        Assert.Single(_bench.Events);
    }

    [Fact]
    public void A_process_does_not_go_on_writing_to_a_file_that_another_one_set_aside()
    {
        BenchMachine machine = _bench.PowerOn();
        _bench.Start(machine);
        _bench.Pass(2);
        using (DamagedDatabase.Lock(_bench.Folder))
        {
            DamagedDatabase.SetAside(_bench.Folder, _bench.Clock.GetUtcNow());
        }

        _bench.Pass(2);
        Assert.Equal(2, _bench.Values(machine.Entity, CpuUsage).Length);
        File.Delete(_bench.Folder.Statistics);
        _bench.Pass(1);
        Assert.Single(_bench.Values(machine.Entity, CpuUsage));
    }

    [Theory]
    [InlineData("PRAGMA query_only = ON", "may only be read")]
    [InlineData("PRAGMA max_page_count = 1", "disk is full")]
    public void What_cannot_be_written_is_kept_and_written_when_it_can(string fault, string reason)
    {
        BenchMachine machine = _bench.PowerOn();
        BenchProcess process = _bench.Start(machine);
        _bench.Pass(2);
        bool broken = true;
        process.Service.Sampler.Opened = database => database.Execute(broken ? fault : "SELECT 1");
        File.Delete(_bench.Folder.Statistics);
        _bench.Pass(20, () => machine.Ready += 1_000_000);
        (string type, MachineEventSeverity severity, string message) = Assert.Single(_bench.Events);
        Assert.Equal(("StatisticsNotRecordedEvent", MachineEventSeverity.Error), (type, severity));
        Assert.Contains(reason, message, StringComparison.Ordinal);
        Assert.Contains(reason, process.Service.Failure, StringComparison.Ordinal);

        broken = false;
        _bench.Pass(1);
        Assert.Equal(21, _bench.Values(machine.Entity, CpuReady).Length);
        Assert.Equal(20, _bench.Values(machine.Entity, CpuReady).Sum());
        Assert.Equal("StatisticsRecordedEvent", _bench.Events[^1].Type);
        Assert.Null(process.Service.Failure);
    }

    [Fact]
    public void A_process_that_holds_the_database_for_long_delays_the_others_and_no_more()
    {
        BenchMachine machine = _bench.PowerOn();
        BenchProcess process = _bench.Start(machine);
        process.Service.Sampler.Opened = static database => database.Connection.DefaultTimeout = 1;
        _bench.Pass(2);
        using (StatisticsDatabase other = StatisticsDatabase.OpenToWrite(_bench.Folder.Statistics))
        {
            other.InTransaction(() => _bench.Pass(1));
            Assert.Contains("other processes", Assert.Single(_bench.Events).Message, StringComparison.Ordinal);
            Assert.Equal(2, _bench.Values(machine.Entity, CpuReady).Length);
        }

        _bench.Pass(1);
        Assert.Equal(4, _bench.Values(machine.Entity, CpuReady).Length);
    }

    [Fact]
    public void The_error_that_ended_a_transaction_is_the_one_that_is_told()
    {
        using StatisticsDatabase database = StatisticsDatabase.OpenToWrite(_bench.Folder.Statistics);
        SqliteException error = Assert.Throws<SqliteException>(() => database.InTransaction(() => database.Execute("ROLLBACK; SELECT nothing")));
        Assert.Contains("nothing", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_kept_is_bounded_and_what_is_lost_is_said()
    {
        BenchMachine machine = _bench.PowerOn();
        BenchProcess process = _bench.Start(machine);
        bool broken = true;
        process.Service.Sampler.Opened = database => database.Execute(broken ? "PRAGMA query_only = ON" : "SELECT 1");
        _bench.Pass(200);
        broken = false;
        _bench.Pass(1);
        Assert.Contains("180 samples", _bench.Events[^1].Message, StringComparison.Ordinal);
        Assert.Contains("21 older ones are lost", _bench.Events[^1].Message, StringComparison.Ordinal);
        Assert.Equal(180, _bench.Sql("SELECT count(DISTINCT time) FROM sample WHERE level = 20"));
    }

    [Fact]
    public void A_process_that_ends_while_nothing_can_be_written_says_what_is_lost()
    {
        BenchProcess process = _bench.Start(_bench.PowerOn());
        process.Service.Sampler.Opened = static database => database.Execute("PRAGMA query_only = ON");
        _bench.Pass(5);
        process.Service.Dispose();
        Assert.Contains("5 samples of statistics are lost", _bench.Events[^1].Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("PRAGMA user_version = 2", "version 2")]
    [InlineData("PRAGMA application_id = 7", "another program")]
    public void A_database_that_is_not_understood_is_left_alone(string change, string reason)
    {
        BenchMachine machine = _bench.PowerOn();
        BenchProcess process = _bench.Start(machine);
        _bench.Pass(2);
        process.Machines.Clear();
        _bench.Pass(1);
        _bench.Sql(change);
        process.Machines.Add(machine);
        process.Service.Sampler.Watch();
        _bench.Pass(5);
        Assert.Contains(reason, Assert.Single(_bench.Events).Message, StringComparison.Ordinal);
        Assert.Contains(reason, Assert.Throws<StatisticsException>(() => _bench.Values(machine.Entity, CpuUsage)).Message, StringComparison.Ordinal);
        Assert.Empty(Aside);
        Assert.Equal(2, _bench.Sql("SELECT count(DISTINCT time) FROM sample WHERE level = 20"));
    }

    [Fact]
    public void A_folder_in_the_databases_place_is_an_error_that_says_so()
    {
        Directory.CreateDirectory(_bench.Folder.Statistics);
        _bench.Start(_bench.PowerOn());
        _bench.Pass(2);
        Assert.Contains("cannot be opened", Assert.Single(_bench.Events).Message, StringComparison.Ordinal);
    }
}
