using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Monitoring.Statistics;

namespace Hypervisor.Cmdlets;

/// <summary>Get-Stat: statistics of machines and of the host over time, newest first: samples of 20 seconds for an hour, and what they become for a year.</summary>
/// <example>
/// <code>Get-Stat web</code>
/// The last hour's common counters of a machine.
/// </example>
/// <example>
/// <code>Get-Stat web -Stat cpu.ready.summation, cpu.usage.average -Instance '' -MaxSamples 6</code>
/// The last two minutes of two counters, of the whole machine.
/// </example>
/// <example>
/// <code>Get-VM | Get-Stat -Stat cpu.usagemhz.average -Instance '' -Start (Get-Date).AddDays(-7) -IntervalMins 30</code>
/// A week in half hours.
/// </example>
/// <example>
/// <code>Get-VMHost | Get-Stat -Stat net.* -IntervalSecs 86400</code>
/// Traffic of all machines by day.
/// </example>
/// <example>
/// <code>Get-Datastore | Get-Stat -Stat disk.used.latest -Start (Get-Date).AddDays(-30) -IntervalMins 1440</code>
/// How datastores filled up in a month.
/// </example>
[Cmdlet(VerbsCommon.Get, "Stat")]
[OutputType(typeof(StatisticsSample))]
public sealed class GetStatCommand : HypervisorCmdlet
{
    private const int SecondsPerMinute = 60;

    private readonly List<StatisticsInterval> _intervals = [];
    private List<string>? _names;

    /// <summary>Machines, resource pools, datastores or the host, or their names; all machines and the host when not given.</summary>
    [Parameter(Position = 0, ValueFromPipeline = true)]
    [StatisticsEntityTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    [ValidateNotNullOrEmpty]
    public object[]? Entity { get; set; }

    /// <summary>The common counters: usage of processors, memory, disks and network. They are given when nothing else is asked for.</summary>
    [Parameter]
    public SwitchParameter Common { get; set; }

    /// <summary>Counters of memory.</summary>
    [Parameter]
    public SwitchParameter Memory { get; set; }

    /// <summary>Counters of processors.</summary>
    [Parameter]
    public SwitchParameter Cpu { get; set; }

    /// <summary>Counters of disks.</summary>
    [Parameter]
    public SwitchParameter Disk { get; set; }

    /// <summary>Counters of network adapters.</summary>
    [Parameter]
    public SwitchParameter Network { get; set; }

    /// <summary>Counters by name, with wildcards; Get-StatType lists them.</summary>
    [Parameter]
    [ValidateNotNullOrEmpty]
    [ArgumentCompleter(typeof(StatisticsCounterCompleter))]
    public string[]? Stat { get; set; }

    /// <summary>Only from then on. Without an interval the shortest one is taken that reaches back so far.</summary>
    [Parameter]
    public DateTime Start { get; set; }

    /// <summary>Only until then.</summary>
    [Parameter]
    public DateTime Finish { get; set; }

    /// <summary>At most so many of each counter and instance, the newest.</summary>
    [Parameter]
    [ValidateRange(1, int.MaxValue)]
    public int MaxSamples { get; set; }

    /// <summary>Intervals in minutes: 5, 30, 120 or 1440.</summary>
    [Parameter]
    public int[]? IntervalMins { get; set; }

    /// <summary>Intervals in seconds: 20, 300, 1800, 7200 or 86400.</summary>
    [Parameter]
    public int[]? IntervalSecs { get; set; }

    /// <summary>Parts by name, with wildcards: a virtual processor (0), a disk (scsi0:0), a network adapter (4000), a datastore (/); '' is the whole. All when not given.</summary>
    [Parameter]
    [AllowEmptyString]
    public string[]? Instance { get; set; }

    /// <summary>Samples of 20 seconds; also when nothing is said about intervals.</summary>
    [Parameter]
    public SwitchParameter Realtime { get; set; }

    private protected override void Begin()
    {
        StatisticsEntities.CheckTimes(IsBound(nameof(Start)) ? Start : null, IsBound(nameof(Finish)) ? Finish : null);
        IEnumerable<StatisticsInterval> asked = (IntervalSecs ?? []).Select(static seconds => StatisticsInterval.Of(seconds))
            .Concat((IntervalMins ?? []).Select(static minutes => StatisticsInterval.Of((long)minutes * SecondsPerMinute)));
        _intervals.AddRange((IsOn(Realtime) ? asked.Prepend(StatisticsInterval.Realtime) : asked).Distinct());
        if (_intervals.Count == 0)
        {
            _intervals.Add(IsBound(nameof(Start)) ? StatisticsInterval.Covering(DateTime.Now - Start) : StatisticsInterval.Realtime);
        }

        _names = Stat is null ? null : [.. Stat.Where(name => StatisticsEntities.IsKnownCounter(this, name))];
    }

    private protected override void Process()
    {
        if (_names is { Count: 0 })
        {
            // Each name was an error already.
            return;
        }

        IEnumerable<StatisticsEntity> entities = Entity is null && !ExpectsInput ? StatisticsEntities.All(VIHost) : StatisticsEntities.Resolve(this, Entity);
        foreach (StatisticsEntity entity in entities)
        {
            foreach (StatisticsInterval interval in _intervals)
            {
                foreach (StatisticsSample sample in entity.Host.Statistics.Query(entity.Entity, entity.Id, Query(interval)))
                {
                    UserStop.ThrowIfCancellationRequested();
                    Emit(sample);
                }
            }
        }
    }

    private protected override void End()
    {
        if (VIHost.Statistics.Failure is { } failure)
        {
            Warn($"Statistics of machines of this process are not being recorded: {failure}");
        }
    }

    private StatisticsQuery Query(StatisticsInterval interval)
    {
        StatisticsSets sets = (IsOn(Common) ? StatisticsSets.Common : 0) | (IsOn(Memory) ? StatisticsSets.Memory : 0) | (IsOn(Cpu) ? StatisticsSets.Cpu : 0)
            | (IsOn(Disk) ? StatisticsSets.Disk : 0) | (IsOn(Network) ? StatisticsSets.Network : 0);
        return new StatisticsQuery
        {
            Interval = interval,
            Counters = _names,
            Sets = sets == StatisticsSets.None && _names is null ? StatisticsSets.Common : sets,
            Instances = Instance,
            Start = IsBound(nameof(Start)) ? Start : null,
            Finish = IsBound(nameof(Finish)) ? Finish : null,
            MaxSamples = IsBound(nameof(MaxSamples)) ? MaxSamples : null,
        };
    }
}
