using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Monitoring.Statistics;

namespace Hypervisor.Cmdlets;

/// <summary>Get-StatType: names of the counters that machines, resource pools, datastores or the host have samples of.</summary>
/// <example>
/// <code>Get-StatType -Entity web</code>
/// Counters of a machine in the last hour.
/// </example>
/// <example>
/// <code>Get-VMHost | Get-StatType -Name cpu.* -Interval 'Past week'</code>
/// What can be asked about the host's processors in the last week.
/// </example>
[Cmdlet(VerbsCommon.Get, "StatType")]
[OutputType(typeof(string))]
public sealed class GetStatTypeCommand : HypervisorCmdlet
{
    private readonly SortedSet<string> _found = new(StringComparer.Ordinal);
    private List<string>? _names;

    /// <summary>Names, with wildcards; all when not given.</summary>
    [Parameter(Position = 0)]
    [ValidateNotNullOrEmpty]
    [ArgumentCompleter(typeof(StatisticsCounterCompleter))]
    public string[]? Name { get; set; }

    /// <summary>Machines, resource pools, datastores or the host, or their names; all machines and the host when not given.</summary>
    [Parameter(Position = 1, ValueFromPipeline = true)]
    [StatisticsEntityTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    [ValidateNotNullOrEmpty]
    public object[]? Entity { get; set; }

    /// <summary>Only counters with samples from then on.</summary>
    [Parameter]
    public DateTime Start { get; set; }

    /// <summary>Only counters with samples until then.</summary>
    [Parameter]
    public DateTime Finish { get; set; }

    /// <summary>Intervals as Get-StatInterval gives them, or their names or seconds.</summary>
    [Parameter]
    [ArgumentCompleter(typeof(StatisticsIntervalCompleter))]
    public object[]? Interval { get; set; }

    /// <summary>Samples of 20 seconds; also when no interval is given.</summary>
    [Parameter]
    public SwitchParameter Realtime { get; set; }

    private protected override void Begin()
    {
        _names = Name is null ? null : [.. Name.Where(name => StatisticsEntities.IsKnownCounter(this, name))];
        StatisticsEntities.CheckTimes(IsBound(nameof(Start)) ? Start : null, IsBound(nameof(Finish)) ? Finish : null);
    }

    private protected override void Process()
    {
        if (_names is { Count: 0 })
        {
            // Each name was an error already.
            return;
        }

        StatisticsInterval[] intervals = [.. (Interval ?? []).SelectMany(IntervalsOf)];
        if (IsOn(Realtime) || intervals.Length == 0)
        {
            intervals = [StatisticsInterval.Realtime, .. intervals];
        }

        IEnumerable<StatisticsEntity> entities = Entity is null && !ExpectsInput ? StatisticsEntities.All(VIHost) : StatisticsEntities.Resolve(this, Entity);
        IEnumerable<string> names = entities.SelectMany(entity => intervals.SelectMany(interval => entity.Host.Statistics.CountersOf(entity.Id, new StatisticsQuery
        {
            Interval = interval,
            Counters = _names,
            Start = IsBound(nameof(Start)) ? Start : null,
            Finish = IsBound(nameof(Finish)) ? Finish : null,
        })));
        _found.UnionWith(names);
    }

    private protected override void End()
    {
        foreach (string name in _found)
        {
            Emit(name);
        }
    }

    private static IEnumerable<StatisticsInterval> IntervalsOf(object interval)
    {
        object value = ReferenceTransformation.Unwrap(interval);
        if (value is StatisticsInterval known)
        {
            return [known];
        }

        string text = Convert.ToString(value, System.Globalization.CultureInfo.InvariantCulture) ?? "";
        if (long.TryParse(text, System.Globalization.CultureInfo.InvariantCulture, out long seconds))
        {
            return [StatisticsInterval.Of(seconds)];
        }

        var pattern = new NamePattern(text);
        StatisticsInterval[] found = [.. StatisticsInterval.All.Where(candidate => pattern.IsMatch(candidate.Name))];
        return found.Length > 0 ? found : throw new InvalidConfigurationException(
            $"There is no interval '{text}'; there are {string.Join(", ", StatisticsInterval.All.Select(static candidate => candidate.Name))}.");
    }
}
