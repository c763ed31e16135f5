using System.Management.Automation;
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
    }

    private bool IsWanted(StatisticsInterval interval) =>
        (Name is null || Name.Any(name => new NamePattern(name).IsMatch(interval.Name)))
        && (SamplingPeriodSecs is null || SamplingPeriodSecs.Contains(interval.SamplingPeriodSecs));
}
