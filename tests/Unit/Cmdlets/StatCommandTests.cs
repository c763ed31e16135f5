using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Monitoring.Statistics;
using Hypervisor.Tests.Unit.Shell;

namespace Hypervisor.Tests.Unit.Cmdlets;

/// <summary>Get-Stat, Get-StatType and Get-StatInterval, on machines that the host samples.</summary>
public sealed class StatCommandTests : IDisposable
{
    private readonly ShellHost _shell = new();

    public StatCommandTests()
    {
        _shell.Run("New-VM web -MemoryMB 128; New-VM db -MemoryMB 256; New-VM off; Start-VM web; Start-VM db");
        for (int i = 0; i < 30; i++)
        {
            _shell.Temporary.Clock.Advance(TimeSpan.FromSeconds(20));
        }
    }

    public void Dispose() => _shell.Dispose();

    private List<StatisticsSample> Samples(string line) => [.. _shell.Run(line).Cast<StatisticsSample>()];

    [Theory]
    [InlineData("Get-Stat web -Memory", 30, 20)]
    [InlineData("Get-Stat -Entity web -Stat mem.granted.average -MaxSamples 3", 3, 20)]
    [InlineData("Get-VM web | Get-Stat -Stat mem.granted.average -IntervalMins 5", 2, 300)]
    [InlineData("Get-VM web | Get-Stat -Stat mem.* -IntervalSecs 300 -MaxSamples 1", 1, 300)]
    [InlineData("Get-Stat web -Stat mem.* -Realtime -Instance ''", 30, 20)]
    public void Samples_of_a_machine_are_found(string line, int count, int interval)
    {
        List<StatisticsSample> samples = Samples(line);
        Assert.Equal(count, samples.Count);
        Assert.All(samples, sample => Assert.Equal(("mem.granted.average", "KB", 128 << 10, interval, ""), (sample.MetricId, sample.Unit, sample.Value, sample.IntervalSecs, sample.Instance)));
        Assert.Equal("web", Assert.IsType<VirtualMachine>(samples[0].Entity).Name);
        Assert.True(samples.Count < 2 || samples[0].Timestamp > samples[1].Timestamp);
    }

    [Fact]
    public void The_host_has_what_its_machines_have_together()
    {
        StatisticsSample sample = Assert.Single(Samples("Get-VMHost | Get-Stat -Memory -MaxSamples 1"));
        Assert.Equal(((128 + 256) << 10, $"HostSystem-{Environment.MachineName}"), (sample.Value, sample.EntityId));
        Assert.IsType<VMHost>(sample.Entity);
        Assert.Equal(sample.Value, Assert.Single(Samples($"Get-Stat {Environment.MachineName} -Memory -MaxSamples 1")).Value);
    }

    [Fact]
    public void Without_an_entity_all_are_meant_and_a_pattern_means_what_it_matches()
    {
        Assert.Equal(["db", "web", Environment.MachineName], Samples("Get-Stat -Memory -MaxSamples 1").Select(static sample => sample.Entity.ToString()!));
        Assert.Equal(["web"], Samples("Get-Stat w* -Memory -MaxSamples 1").Select(static sample => sample.Entity.ToString()!).Where(static name => name != Environment.MachineName));
        Assert.Empty(Samples("Get-Stat off"));
        Assert.True(_shell.Succeeded);
        Assert.Empty(Samples("Get-VM nothing* | Get-Stat"));
    }

    [Fact]
    public void Counters_and_intervals_are_listed()
    {
        Assert.Equal(["mem.granted.average", "sys.uptime.latest"], _shell.Run("Get-StatType -Entity web").Cast<string>());
        Assert.Equal(["sys.uptime.latest"], _shell.Run("Get-VM | Get-StatType sys.* -Interval 'Past day'").Cast<string>());
        Assert.Empty(_shell.Run("Get-StatType -Entity web -Interval 1800"));
        Assert.Equal([300, 1800, 7200, 86_400], _shell.Run("Get-StatInterval").Cast<StatisticsInterval>().Select(static interval => interval.SamplingPeriodSecs));
        Assert.Equal("Past week", Assert.IsType<StatisticsInterval>(Assert.Single(_shell.Run("Get-StatInterval -SamplingPeriodSecs 1800"))).Name);
    }

    [Theory]
    [InlineData("Get-Stat nobody", "nobody")]
    [InlineData("Get-Stat web -Stat cpu.coffee.average", "no counter 'cpu.coffee.average'")]
    [InlineData("Get-Datastore coffee", "no datastore 'coffee'")]
    [InlineData("Get-Datastore -Id coffee", "no datastore 'coffee'")]
    [InlineData("Get-StatType web", "no counter 'web'")]
    [InlineData("Get-StatInterval 'Past century'", "no interval named 'Past century'")]
    [InlineData("Get-StatInterval -SamplingPeriodSecs 7", "no interval of 7 seconds")]
    [InlineData("Get-Stat web -Start 2026-11-22 -Finish 2026-11-21", "is after -Finish")]
    [InlineData("Get-Stat web -IntervalMins 7", "no interval of 420 seconds")]
    [InlineData("Get-StatType -Entity web -Interval Tomorrow", "no interval 'Tomorrow'")]
    [InlineData("Get-VIEvent -MaxSamples 1 | Get-Stat", "no statistics of a VIEvent")]
    public void What_cannot_be_is_an_error_that_says_why(string line, string reason)
    {
        Assert.Empty(_shell.Run(line));
        Assert.Contains(reason, Assert.Single(_shell.Screen.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public void The_host_tells_of_machines_of_other_processes_too()
    {
        using HypervisorHost other = _shell.Temporary.OpenAnother();
        _shell.Run("New-VM far -MemoryMB 512");
        other.PowerOn(other.FindMachines("far")[0]).Wait();
        var host = Assert.IsType<VMHost>(Assert.Single(_shell.Run("Get-VMHost")));
        Assert.Equal((3, 128 + 256 + 512), (host.NumVMPoweredOn, host.MemoryUsageMB));
    }

    [Fact]
    public void Datastores_are_found_as_objects_by_name_and_by_machine()
    {
        var datastore = (Datastore)_shell.Run("Get-Datastore").First(found => ((Datastore)found).Name == Engine.Storage.IoControl.DatastoreName.Of(_shell.Temporary.Folder));
        Assert.True(datastore.Accessible);
        Assert.Equal(("Available", datastore.Name), (datastore.State, datastore.Path));
        Assert.InRange(datastore.FreeSpaceMB, 0, datastore.CapacityMB);
        Assert.True(datastore.CapacityGB > 0 && datastore.ProvisionedMB > 0 && datastore.Type.Length > 0);
        foreach (string line in new[] { $"Get-Stat '{datastore.Name}' -Stat disk.used.latest -MaxSamples 1", $"Get-Datastore '{datastore.Name}' | Get-Stat -Stat disk.us* -MaxSamples 1", "Get-Datastore | Get-Stat -Stat disk.used.latest -MaxSamples 1" })
        {
            StatisticsSample sample = Assert.Single(Samples(line));
            Assert.Equal((datastore.Id, "KB", ""), (sample.EntityId, sample.Unit, sample.Instance));
            Assert.Equal(datastore, sample.Entity);
            Assert.True(sample.Value > 0);
        }

        Assert.Equal(["disk.capacity.latest", "disk.provisioned.latest", "disk.used.latest"], _shell.Run("Get-Datastore | Get-StatType").Cast<string>());
        Assert.Empty(_shell.Run("Get-VM web | Get-Datastore"));
        string file = _shell.Temporary.File("disk.img");
        _shell.Run($"New-VM stored -DiskPath '{file}'");
        string place = Engine.Storage.IoControl.DatastoreName.Of(file);
        Assert.Equal([place], _shell.Run("Get-Datastore -VM stored, web").Select(static found => found.ToString()));
        Assert.Equal([place], _shell.Run("Get-VM | Get-Datastore").Select(static found => found.ToString()));
        Assert.Equal(_shell.Run("Get-Datastore").Count, _shell.Run("Get-VMHost | Get-Datastore").Count);
        Assert.Equal([place], _shell.Run($"Get-Datastore -Id 'Datastore-{place}'").Select(static found => found.ToString()));
        Assert.True(_shell.Succeeded);
    }

    [Fact]
    public void A_damaged_database_is_an_error_that_names_it()
    {
        _shell.Run("Stop-VM web -Kill -Confirm:$false; Stop-VM db -Kill -Confirm:$false");
        _shell.Temporary.Clock.Advance(TimeSpan.FromSeconds(20));
        File.WriteAllBytes(Path.Combine(_shell.Temporary.Folder, "statistics.db"), new byte[8192].Select(static _ => (byte)7).ToArray());
        Assert.Empty(_shell.Run("Get-Stat web"));
        Assert.Contains("statistics.db", Assert.Single(_shell.Screen.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public void That_nothing_can_be_recorded_is_a_warning()
    {
        _shell.Temporary.Host.Statistics.Sampler.Opened = static database => database.Execute("PRAGMA query_only = ON");
        File.Delete(Path.Combine(_shell.Temporary.Folder, "statistics.db"));
        _shell.Temporary.Clock.Advance(TimeSpan.FromSeconds(20));
        _shell.Run("Get-Stat web");
        Assert.Contains("not being recorded", Assert.Single(_shell.Screen.Lines), StringComparison.Ordinal);
        Assert.Contains(_shell.Run("Get-VIEvent").Cast<VIEvent>(), static raised => raised.EventTypeId == "StatisticsNotRecordedEvent");
    }
}
