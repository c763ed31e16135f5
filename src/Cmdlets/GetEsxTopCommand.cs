using System.Globalization;
using System.Management.Automation;
using Hypervisor.Cmdlets.Console;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Monitoring;
using Hypervisor.Engine.Monitoring.Screen;

namespace Hypervisor.Cmdlets;

/// <summary>
/// Get-EsxTop: what the machines of this process do with the host, as rates over an interval; -Interactive shows them on a full screen with
/// esxtop's keys, which "hv top" stands for. Machines that another process runs are seen there.
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
[Cmdlet(VerbsCommon.Get, "EsxTop", DefaultParameterSetName = Rates)]
[OutputType(typeof(EsxTopCpu), typeof(EsxTopMemory), typeof(EsxTopDisk), typeof(EsxTopVMDisk), typeof(EsxTopNetwork), typeof(EsxTopPower), typeof(EsxTopInterrupt), ParameterSetName = [Rates])]
[OutputType(
    typeof(EsxTopCpuCounters), typeof(EsxTopMemoryHostCounters), typeof(EsxTopMemoryCounters), typeof(EsxTopDiskCounters), typeof(EsxTopNetworkCounters), typeof(EsxTopPowerCounters), typeof(EsxTopInterruptCounters),
    ParameterSetName = [Counters])]
[OutputType(typeof(string), ParameterSetName = [Csv])]
[OutputType(typeof(void), ParameterSetName = [Screen])]
public sealed class GetEsxTopCommand : HypervisorCmdlet
{
    private const string Rates = "Rates", Counters = "Raw", Csv = "Batch", Screen = "Interactive";
    private const double DefaultDelay = 2, LeastDelay = 0.1, MostDelay = 86_400;

    /// <summary>
    /// Panel: Cpu, Memory (machines; -Raw gives the host first), Disk (datastores; expanded, the disks on them), Adapter (all datastores together), VMDisk (machines; expanded, their disks),
    /// Network (ports), Power (the host, as far as it tells; expanded, its processors) or Interrupt (machines; expanded, their devices and virtual processors).
    /// </summary>
    [Parameter(Position = 0)]
    [ValidateNotNullOrEmpty]
    [ArgumentCompleter(typeof(EsxTopPanelCompleter))]
    public string Panel { get; set; } = "Cpu";

    /// <summary>Seconds between two snapshots, 0.1 or more; 2 when not given. On the screen 0.5 or more; when not given, 5 or what the key W has kept.</summary>
    [Parameter]
    public double Delay { get; set; } = DefaultDelay;

    /// <summary>How often; once when not given. The screen ends by itself after so many.</summary>
    [Parameter]
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

    private protected override void Process()
    {
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
