using System.Globalization;
using System.Management.Automation;
using Hypervisor.Cmdlets.Console;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Monitoring;
using Hypervisor.Engine.Monitoring.Counters;
using Hypervisor.Engine.Monitoring.Screen;

namespace Hypervisor.Cmdlets;

/// <summary>
/// Get-EsxTop: what the machines of this process do with the host, as rates over an interval; -Interactive shows them on a full screen with
/// esxtop's keys, which "hv top" stands for. Machines that another process runs are seen there. -Counter, -CounterName and -TopologyInfo are
/// PowerCLI's forms, with ESXi's names: its counters as they are, and how they belong together. Counters and fields that have no true value here
/// are not there: cores and packages (PCPU), memory of NUMA nodes and its locality, power of machines, hidden worlds, C-, P- and T-states,
/// the host's interrupts, paths and partitions of devices, uplinks.
/// </summary>
/// <example>
/// <code>Get-EsxTop</code>
/// The CPU panel over two seconds, a line for each machine.
/// </example>
/// <example>
/// <code>Get-EsxTop -Expand -Delay 5 -Iterations 12 | Where-Object PctReady -gt 10</code>
/// Virtual processors that waited for a physical one, for a minute.
/// </example>
/// <example>
/// <code>Get-EsxTop Memory | Format-Table Name, ConsumedMB, MemctlMB, SwappedMB, ZippedMB</code>
/// What memory was taken back from machines, and how.
/// </example>
/// <example>
/// <code>Get-EsxTop Disk -Expand -Delay 5</code>
/// Every disk: operations, bandwidth, and where their time went (DAVG, KAVG, GAVG, QAVG).
/// </example>
/// <example>
/// <code>Get-EsxTop -Batch -Delay 5 -Iterations 60 > esxtop.csv</code>
/// Five minutes for programs that read esxtop's batch mode or Windows' performance monitor.
/// </example>
/// <example>
/// <code>Get-EsxTop -Interactive</code>
/// The full screen. h explains the keys, q leaves; machines go on.
/// </example>
/// <example>
/// <code>Get-EsxTop -Raw</code>
/// The counters themselves, which only grow.
/// </example>
/// <example>
/// <code>Get-EsxTop -Counter | Format-Table Name, Fields</code>
/// ESXi's counters, and the fields that have values here.
/// </example>
/// <example>
/// <code>Get-EsxTop -CounterName SchedGroup, VCPU | Format-List</code>
/// The values of two of them now.
/// </example>
/// <example>
/// <code>(Get-EsxTop -TopologyInfo -Topology SchedGroup).Entries | ForEach-Object CPUClient</code>
/// The worlds of machines: CPUClientID is VCPUID of the counter VCPU.
/// </example>
[Cmdlet(VerbsCommon.Get, "EsxTop", DefaultParameterSetName = Rates)]
[OutputType(typeof(EsxTopCpu), typeof(EsxTopMemory), typeof(EsxTopDisk), typeof(EsxTopVMDisk), typeof(EsxTopNetwork), typeof(EsxTopPower), typeof(EsxTopInterrupt), ParameterSetName = [Rates])]
[OutputType(
    typeof(EsxTopCpuCounters), typeof(EsxTopMemoryHostCounters), typeof(EsxTopMemoryCounters), typeof(EsxTopDiskCounters), typeof(EsxTopNetworkCounters), typeof(EsxTopPowerCounters), typeof(EsxTopInterruptCounters),
    ParameterSetName = [Counters])]
[OutputType(typeof(string), ParameterSetName = [Csv])]
[OutputType(typeof(void), ParameterSetName = [Screen])]
[OutputType(typeof(EsxTopCounter), ParameterSetName = [CounterInfo])]
[OutputType(
    typeof(PcpuCounter), typeof(LcpuCounter), typeof(PMemCounter), typeof(SchedGroupCounter), typeof(VcpuCounter), typeof(MemClientCounter), typeof(ScsiDeviceCounter), typeof(VscsiCounter), typeof(NetPortCounter),
    ParameterSetName = [CounterValues])]
[OutputType(typeof(EsxTopTopology), ParameterSetName = [Topologies])]
public sealed class GetEsxTopCommand : HypervisorCmdlet
{
    private const string Rates = "Rates", Counters = "Raw", Csv = "Batch", Screen = "Interactive";
    private const string CounterInfo = "CounterInfo", CounterValues = "CounterValues", Topologies = "TopologyInfo";
    private const double DefaultDelay = 2, LeastDelay = 0.1, MostDelay = 86_400;

    /// <summary>
    /// Panel: Cpu, Memory (machines; -Raw gives the host first), Disk (datastores; expanded, the disks on them), Adapter (all datastores together), VMDisk (machines; expanded, their disks),
    /// Network (ports), Power (the host, as far as it tells; expanded, its processors) or Interrupt (machines; expanded, their devices and virtual processors).
    /// </summary>
    [Parameter(Position = 0, ParameterSetName = Rates)]
    [Parameter(Position = 0, ParameterSetName = Counters)]
    [Parameter(Position = 0, ParameterSetName = Csv)]
    [Parameter(Position = 0, ParameterSetName = Screen)]
    [ValidateNotNullOrEmpty]
    [ArgumentCompleter(typeof(EsxTopPanelCompleter))]
    public string Panel { get; set; } = "Cpu";

    /// <summary>Seconds between two snapshots, 0.1 or more; 2 when not given. On the screen 0.5 or more; when not given, 5 or what the key W has kept.</summary>
    [Parameter(ParameterSetName = Rates)]
    [Parameter(ParameterSetName = Counters)]
    [Parameter(ParameterSetName = Csv)]
    [Parameter(ParameterSetName = Screen)]
    public double Delay { get; set; } = DefaultDelay;

    /// <summary>How often; once when not given. The screen ends by itself after so many.</summary>
    [Parameter(ParameterSetName = Rates)]
    [Parameter(ParameterSetName = Counters)]
    [Parameter(ParameterSetName = Csv)]
    [Parameter(ParameterSetName = Screen)]
    [ValidateRange(1, int.MaxValue)]
    public int Iterations { get; set; } = 1;

    /// <summary>A line for each virtual processor or disk, not for each machine or datastore.</summary>
    [Parameter(ParameterSetName = Rates)]
    [Parameter(ParameterSetName = Screen)]
    public SwitchParameter Expand { get; set; }

    /// <summary>Gives the counters as they are, without waiting for an interval.</summary>
    [Parameter(Mandatory = true, ParameterSetName = Counters)]
    public SwitchParameter Raw { get; set; }

    /// <summary>Writes lines of CSV as esxtop does in batch mode: the columns of perfmon, all panels.</summary>
    [Parameter(Mandatory = true, ParameterSetName = Csv)]
    public SwitchParameter Batch { get; set; }

    /// <summary>Shows a full screen in the terminal, with esxtop's keys, until q is pressed.</summary>
    [Parameter(Mandatory = true, ParameterSetName = Screen)]
    public SwitchParameter Interactive { get; set; }

    /// <summary>Lists ESXi's counters with the fields that have values here.</summary>
    [Parameter(Mandatory = true, ParameterSetName = CounterInfo)]
    public SwitchParameter Counter { get; set; }

    /// <summary>Names of counters, with wildcards: PCPU, LCPU, PMem, SchedGroup, VCPU, MemClient, SCSIDevice (datastores), VSCSI (disks of machines), NetPort. Gives their values now, or lists them with -Counter.</summary>
    [Parameter(Mandatory = true, ParameterSetName = CounterValues)]
    [Parameter(ParameterSetName = CounterInfo)]
    [ValidateNotNullOrEmpty]
    [ArgumentCompleter(typeof(EsxTopCounterCompleter))]
    public string[]? CounterName { get; set; }

    /// <summary>Gives how things that are counted belong together.</summary>
    [Parameter(Mandatory = true, ParameterSetName = Topologies)]
    public SwitchParameter TopologyInfo { get; set; }

    /// <summary>Names of topologies, with wildcards: PCPU, SchedGroup, CPUClient, SCSIDevice, NetPortset, NetPort; all when not given.</summary>
    [Parameter(ParameterSetName = Topologies)]
    [ValidateNotNullOrEmpty]
    [ArgumentCompleter(typeof(EsxTopTopologyCompleter))]
    public string[]? Topology { get; set; }

    private protected override void Process()
    {
        if (IsOn(TopologyInfo))
        {
            TellOfOthers();
            EmitAll(Chosen(new EsxTopCounters(VIHost).Topologies(), Topology, "topology"));
            return;
        }

        if (IsOn(Counter) || CounterName is not null)
        {
            IEnumerable<EsxTopCounter> chosen = Chosen(new EsxTopCounters(VIHost).All, CounterName, "counter");
            if (IsOn(Counter))
            {
                EmitAll(chosen);
                return;
            }

            TellOfOthers();
            EmitAll(chosen.SelectMany(static counter => counter.Take()));
            return;
        }

        if (!(Delay is >= LeastDelay and <= MostDelay))
        {
            throw new InvalidConfigurationException($"A delay of {Delay} seconds: it can be {LeastDelay} to {MostDelay}.");
        }

        if (IsOn(Interactive))
        {
            ShowScreen();
            return;
        }

        if (IsOn(Batch))
        {
            WriteBatch();
            return;
        }

        EsxTopPanel panel = EsxTopPanels.Find(VIHost, Panel);
        TellOfOthers();
        IReadOnlyList<IEsxTopCounters> before = panel.Take();
        for (int i = 0; i < Iterations; i++)
        {
            if (IsOn(Raw))
            {
                EmitAll(i == 0 ? before : panel.Take());
                if (i + 1 < Iterations)
                {
                    Wait();
                }

                continue;
            }

            Wait();
            IReadOnlyList<IEsxTopCounters> after = panel.Take();
            EmitAll(panel.Compare(before, after, IsOn(Expand)));
            before = after;
        }
    }

    private void ShowScreen()
    {
        if (Delay < TopSettings.LeastDelay)
        {
            throw new InvalidConfigurationException(string.Create(CultureInfo.InvariantCulture, $"A delay of {Delay} seconds: a screen's can be {TopSettings.LeastDelay} to {MostDelay}."));
        }

        string panel = EsxTopPanels.Find(VIHost, Panel).Name;
        if (!InteractiveTop.IsPossible)
        {
            throw new InvalidConfigurationException("Get-EsxTop -Interactive needs a terminal, and here input or output is none. Without -Interactive it gives rows, with -Batch CSV.");
        }

        var options = new InteractiveTopOptions
        {
            Panel = IsBound(nameof(Panel)) ? panel : null,
            DelaySeconds = IsBound(nameof(Delay)) ? Delay : null,
            ExpandAll = IsOn(Expand),
            Iterations = IsBound(nameof(Iterations)) ? Iterations : null,
        };
        new InteractiveTop(VIHost, options).Run(UserStop);
    }

    private void WriteBatch()
    {
        IReadOnlyList<EsxTopPanel> panels = EsxTopPanels.Of(VIHost);
        TellOfOthers();
        var csv = new PerfmonCsv(Environment.MachineName);
        IReadOnlyList<IEsxTopCounters>[] before = [.. panels.Select(static panel => panel.Take())];
        for (int i = 0; i < Iterations; i++)
        {
            Wait();
            IReadOnlyList<IEsxTopCounters>[] after = [.. panels.Select(static panel => panel.Take())];
            EmitAll(csv.Lines(DateTime.UtcNow, panels.SelectMany((panel, index) => panel.Batch(before[index], after[index]))));
            before = after;
        }
    }

    // A name that matches nothing is an error that the command survives.
    private List<T> Chosen<T>(IReadOnlyList<T> all, string[]? names, string kind) where T : class
    {
        var chosen = new List<T>();
        foreach (string name in names ?? ["*"])
        {
            var pattern = new NamePattern(name);
            T[] found = [.. all.Where(one => pattern.IsMatch(one.ToString()!))];
            chosen.AddRange(found.Except(chosen));
            if (found.Length == 0 && !NamePattern.ContainsWildcards(name))
            {
                Complain(new CommandError(
                    new ItemNotFoundInInventoryException($"There is no {kind} '{name}'; there are {string.Join(", ", all)}."), "CounterNotFound", ErrorCategory.ObjectNotFound, name));
            }
        }

        return chosen;
    }

    // Else the rows of a machine that runs would be missing without a word.
    private void TellOfOthers()
    {
        foreach (string sentence in MachinesElsewhere.Describe(VIHost))
        {
            Warn(sentence);
        }
    }

    private void EmitAll(IEnumerable<object> values)
    {
        foreach (object value in values)
        {
            Emit(value);
        }
    }

    private void Wait()
    {
        if (UserStop.WaitHandle.WaitOne(TimeSpan.FromSeconds(Delay)))
        {
            throw new OperationCanceledException(UserStop);
        }
    }
}
