using System.Collections;
using System.Management.Automation;
using System.Management.Automation.Language;
using Hypervisor.Engine.Monitoring.Statistics;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>Proposes the names of counters.</summary>
public sealed class StatisticsCounterCompleter : IArgumentCompleter, IValueCompleter
{
    /// <inheritdoc/>
    public IEnumerable<CompletionResult> CompleteArgument(
        string commandName, string parameterName, string wordToComplete, CommandAst commandAst, IDictionary fakeBoundParameters)
    {
        ArgumentNullException.ThrowIfNull(wordToComplete);
        return StatisticsCounters.All
            .Where(counter => counter.Name.StartsWith(wordToComplete.Trim('\'', '"'), StringComparison.OrdinalIgnoreCase))
            .Select(static counter => new CompletionResult(counter.Name, counter.Name, CompletionResultType.ParameterValue, $"{counter.Description} ({counter.Unit})"));
    }

    IEnumerable<string> IValueCompleter.Complete(string beginning, string? hostPath) =>
        StatisticsCounters.All.Select(static counter => counter.Name).Where(name => name.StartsWith(beginning, StringComparison.OrdinalIgnoreCase));
}
