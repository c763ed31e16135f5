using Hypervisor.Engine.Monitoring;

namespace Hypervisor.Tests.Unit.Monitoring;

public sealed class EsxTopPowerTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("sysfs").FullName;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    private void Write(string path, string content)
    {
        string file = Path.Combine(_root, path);
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, content + "\n");
    }

    private void WriteProcessor(int number, long poll, long c6)
    {
        string cpu = $"devices/system/cpu/cpu{number}";
        Write($"{cpu}/cpuidle/state0/name", "POLL");
        Write($"{cpu}/cpuidle/state0/time", $"{poll}");
        Write($"{cpu}/cpuidle/state1/name", "C6");
        Write($"{cpu}/cpuidle/state1/time", $"{c6}");
    }

    [Fact]
    public void What_linux_tells_is_read_and_nothing_is_missing()
    {
        WriteProcessor(0, 10, 20);
        WriteProcessor(10, 1, 2);
        Write("devices/system/cpu/cpufreq/boost", "1");
        Write("devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "2400000");
        Write("devices/system/cpu/cpu0/cpufreq/stats/time_in_state", "800000 5\n2400000 7");
        Write("class/powercap/intel-rapl:0/name", "package-0");
        Write("class/powercap/intel-rapl:0/energy_uj", "123456");
        Write("class/powercap/intel-rapl:0/max_energy_range_uj", "200000");
        Write("class/powercap/intel-rapl:0:0/name", "core");
        Write("class/powercap/intel-rapl:1/name", "psys");
        var probe = new HostPowerProbe(_root);
        IReadOnlyList<HostProcessorPower> processors = probe.ReadProcessors();
        Assert.Equal([0, 10], processors.Select(static cpu => cpu.Number));
        Assert.Equal(2400, processors[0].MHz);
        Assert.Equal([new HostPowerState("POLL", 10), new HostPowerState("C6", 20)], processors[0].IdleStates);
        Assert.Equal([new HostPowerState("800", 50_000), new HostPowerState("2400", 70_000)], processors[0].Frequencies);
        IReadOnlyList<HostPackageEnergy> packages = probe.ReadPackages();
        Assert.Equal([new HostPackageEnergy("package-0", 123456, 200000)], packages);
        Assert.Equal("", HostPowerProbe.Missing(processors, packages));
    }

    [Fact]
    public void What_a_host_does_not_tell_is_named_and_has_no_number()
    {
        var panel = new EsxTopPowerPanel(new HostPowerProbe(_root));
        IReadOnlyList<IEsxTopCounters> before = panel.Take();
        var host = Assert.IsType<EsxTopPowerCounters>(Assert.Single(before));
        Assert.Equal("This host does not tell: watts (no RAPL in powercap); C-states (no cpuidle); P-states and MHz (no cpufreq)", host.Missing);
        var row = Assert.IsType<EsxTopPower>(Assert.Single(panel.Compare(before, [new EsxTopPowerCounters { Name = "Host", TimeInUsec = host.TimeInUsec + 1000, Missing = host.Missing, IsHost = true }], expand: true)));
        Assert.Equal((null, null, null, host.Missing), (row.Watts, row.MHz, row.PctC0, row.Missing));
        Assert.Empty(panel.Batch(before, before));

        // A counter whose file is broken is as good as none.
        Write("class/powercap/intel-rapl:0/name", "package-0");
        Write("class/powercap/intel-rapl:0/energy_uj", "much");
        Write("devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "100000");
        Assert.Contains("energy_uj", Assert.IsType<EsxTopPowerCounters>(panel.Take()[0]).Missing, StringComparison.Ordinal);
        Assert.Contains("time in P-states (no cpufreq statistics)", Assert.IsType<EsxTopPowerCounters>(panel.Take()[0]).Missing, StringComparison.Ordinal);
    }

    [Fact]
    public void Watts_and_residencies_are_of_the_interval_also_when_the_energy_counter_begins_again()
    {
        static EsxTopPowerCounters[] Snapshot(long second, long energy, long poll, long c6) =>
        [
            new() { Name = "Host", TimeInUsec = second * 1_000_000, IsHost = true },
            new() { Name = "package-0", TimeInUsec = second * 1_000_000, EnergyInMicrojoules = energy, EnergyRange = 100_000_000 },
            new() { Name = "PCPU 0", TimeInUsec = second * 1_000_000, MHz = 2000, CStates = [new("POLL", poll), new("C6", c6)], PStates = [new("800", c6 / 2)] },
            new() { Name = "PCPU 1", TimeInUsec = second * 1_000_000, MHz = 1000, CStates = [new("POLL", 0), new("C6", 0)] },
        ];

        var panel = new EsxTopPowerPanel(new HostPowerProbe(_root));
        EsxTopPowerCounters[] before = Snapshot(10, 90_000_000, 0, 5_000_000), after = Snapshot(12, 20_000_000, 200_000, 6_000_000);
        EsxTopPower[] rows = [.. panel.Compare(before, after, expand: true).Cast<EsxTopPower>()];
        Assert.Equal(["Host", "package-0", "PCPU 0", "PCPU 1"], rows.Select(static row => row.Name));
        Assert.Equal((15.0, 1500.0, 75.0), (rows[0].Watts, rows[0].MHz, rows[0].PctC0));
        Assert.Equal([new EsxTopPowerState("POLL", 5), new EsxTopPowerState("C6", 25)], rows[0].CStates);
        Assert.Equal((50.0, 100.0), (rows[2].PctC0, rows[3].PctC0));
        Assert.Equal(new EsxTopPowerState("800", 25), Assert.Single(rows[2].PStates));
        Assert.Equal("Power Usage: 15.0W", Assert.Single(panel.Summarize(before, after)));
        string heading = new PerfmonCsv("h").Lines(DateTime.UtcNow, panel.Batch(before, after)).First();
        Assert.Contains(@"\\h\Power\Power Usage Now Watts", heading, StringComparison.Ordinal);
        Assert.Contains(@"\\h\Physical Cpu(1)\% C-State C6", heading, StringComparison.Ordinal);
    }
}
