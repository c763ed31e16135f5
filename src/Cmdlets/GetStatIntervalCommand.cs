using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Monitoring.Statistics;

namespace Hypervisor.Cmdlets;

/// <summary>Get-StatInterval: the intervals that samples become, and how long they are kept.</summary>
/// <example>
/// <code>Get-StatInterval</code>
/// All of them.
/// </example>
[Cmdlet(VerbsCommon.Get, "StatInterval")]
[OutputType(typeof(StatisticsInterval))]
public sealed class GetStatIntervalCommand : HypervisorCmdlet
{
    /// <summary>Names, with wildcards.</summary>
    [Parameter(Position = 0)]
    [ValidateNotNullOrEmpty]
    [ArgumentCompleter(typeof(StatisticsIntervalCompleter))]
    public string[]? Name { get; set; }

    /// <summary>Lengths in seconds.</summary>
    [Parameter]
    public int[]? SamplingPeriodSecs { get; set; }

    private protected override void Process()
    {
        foreach (StatisticsInterval interval in StatisticsInterval.Rollups.Where(IsWanted))
        {
            Emit(interval);
        }

        foreach (string name in (Name ?? []).Where(static name => !NamePattern.ContainsWildcards(name) && !StatisticsInterval.Rollups.Any(interval => new NamePattern(name).IsMatch(interval.Name))))
        {
            Complain(NotFound($"named '{name}'; there are {string.Join(", ", StatisticsInterval.Rollups.Select(static interval => interval.Name))}", name));
        }

        foreach (int seconds in (SamplingPeriodSecs ?? []).Where(static seconds => !StatisticsInterval.Rollups.Any(interval => interval.SamplingPeriodSecs == seconds)))
        {
            Complain(NotFound($"of {seconds} seconds; there are {string.Join(", ", StatisticsInterval.Rollups.Select(static interval => interval.SamplingPeriodSecs))}", seconds));
        }
    }

    private static CommandError NotFound(string what, object target) =>
        new(new ItemNotFoundInInventoryException($"There is no interval {what}."), "IntervalNotFound", ErrorCategory.ObjectNotFound, target);

    private bool IsWanted(StatisticsInterval interval) =>
        (Name is null || Name.Any(name => new NamePattern(name).IsMatch(interval.Name)))
        && (SamplingPeriodSecs is null || SamplingPeriodSecs.Contains(interval.SamplingPeriodSecs));
}
