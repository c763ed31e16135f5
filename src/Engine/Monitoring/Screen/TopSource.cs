using System.Diagnostics;
using System.Globalization;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Engine.Monitoring.Screen;

/// <summary>Takes the snapshots that the screen shows. Panels that cost little are taken always, so that they have numbers when a key asks for them.</summary>
internal sealed class TopSource(HypervisorHost host, IReadOnlyList<EsxTopPanel> panels)
{
    private const string LoadFile = "/proc/loadavg";

    // Looking who runs what reads a file of every machine in the host folder.
    private static readonly TimeSpan ElsewhereInterval = TimeSpan.FromSeconds(5);

    private readonly Dictionary<string, IReadOnlyList<IEsxTopCounters>> _last = [];
    private Dictionary<int, TimeSpan> _processorTimes = [];
    private IReadOnlyList<string> _elsewhere = [];
    private long _elsewhereAt;

    /// <summary>The panels.</summary>
    public IReadOnlyList<EsxTopPanel> Panels => panels;

    /// <summary>Numbers from the last call until now.</summary>
    /// <param name="shown">The panel that is looked at.</param>
    public TopSnapshot Take(EsxTopPanel shown)
    {
        var pairs = new Dictionary<string, (IReadOnlyList<IEsxTopCounters> Before, IReadOnlyList<IEsxTopCounters> After)>();
        foreach (EsxTopPanel panel in panels)
        {
            if (panel.IsCostly && panel != shown)
            {
                _last.Remove(panel.Name);
                continue;
            }

            IReadOnlyList<IEsxTopCounters> now = panel.Take();
            if (_last.TryGetValue(panel.Name, out IReadOnlyList<IEsxTopCounters>? before))
            {
                pairs[panel.Name] = (before, now);
            }

            _last[panel.Name] = now;
        }

        IReadOnlyList<Machines.IMachine> machines = host.GetRunningHere();
        return new TopSnapshot
        {
            Time = DateTime.Now,
            UpTime = TimeSpan.FromMilliseconds(Environment.TickCount64),
            Machines = machines.Count,
            Worlds = machines.Sum(static machine => machine.Configuration.NumCpu),
            LoadAverages = ReadLoad(),
            Elsewhere = FindElsewhere(),
            Panels = pairs,
        };
    }

    // esxtop's 1.00 is every processor busy; Linux's is one processor.
    private static IReadOnlyList<double> ReadLoad()
    {
        try
        {
            return
            [
                .. File.ReadAllText(LoadFile).Split(' ').Take(3).Select(static text => double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture) / Environment.ProcessorCount),
            ];
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or FormatException)
        {
            // Not Linux, or a container that hides it.
            return [];
        }
    }

    private IReadOnlyList<string> FindElsewhere()
    {
        if (_elsewhereAt != 0 && Stopwatch.GetElapsedTime(_elsewhereAt) < ElsewhereInterval)
        {
            return _elsewhere;
        }

        TimeSpan elapsed = Stopwatch.GetElapsedTime(_elsewhereAt);
        _elsewhereAt = Stopwatch.GetTimestamp();
        var times = new Dictionary<int, TimeSpan>();
        try
        {
            _elsewhere = [.. MachinesElsewhere.ByHolder(host).Select(group => MachinesElsewhere.Sentence(group, Describe(group.Key, times, elapsed)))];
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or Machines.MachineException)
        {
            // A folder that cannot be read for a moment is no reason to stop showing what runs here.
            _elsewhere = [$"What other processes run cannot be seen: {exception.Message}"];
        }

        _processorTimes = times;
        return _elsewhere;
    }

    private string Describe(MachineHolder? holder, Dictionary<int, TimeSpan> times, TimeSpan elapsed)
    {
        string process = MachinesElsewhere.Describe(holder);
        if (holder is null || holder.HostName != Environment.MachineName || ProcessorTimeOf(holder.ProcessId) is not { } time)
        {
            return process;
        }

        times[holder.ProcessId] = time;
        return _processorTimes.TryGetValue(holder.ProcessId, out TimeSpan before) && elapsed > TimeSpan.Zero
            ? string.Create(CultureInfo.InvariantCulture, $"{process}, which uses {100 * (time - before) / elapsed:0} % of a processor")
            : process;
    }

    private static TimeSpan? ProcessorTimeOf(int id)
    {
        try
        {
            using Process process = Process.GetProcessById(id);
            return process.TotalProcessorTime;
        }
        catch (Exception exception) when (exception is ArgumentException or InvalidOperationException or System.ComponentModel.Win32Exception or NotSupportedException)
        {
            // It has ended, or is somebody else's and tells nothing.
            return null;
        }
    }
}
