using System.Collections;
using System.Management.Automation;
using System.Management.Automation.Language;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Monitoring;
using Hypervisor.Engine.Monitoring.Counters;
using Hypervisor.Engine.Monitoring.Statistics;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>Proposes values for a parameter, in whatever host.</summary>
internal interface IValueCompleter
{
    /// <summary>Values that begin with a text.</summary>
    IEnumerable<string> Complete(string beginning, string? hostPath);
}

/// <summary>Proposes names that are few and soon listed.</summary>
public abstract class NameCompleter : IArgumentCompleter, IValueCompleter
{
    /// <inheritdoc/>
    public IEnumerable<CompletionResult> CompleteArgument(
        string commandName, string parameterName, string wordToComplete, CommandAst commandAst, IDictionary fakeBoundParameters)
    {
        ArgumentNullException.ThrowIfNull(wordToComplete);
        return Complete(wordToComplete.Trim('\'', '"'), fakeBoundParameters?["HostPath"] as string)
            .Select(static name => new CompletionResult(Quote(name), name, CompletionResultType.ParameterValue, name));
    }

    IEnumerable<string> IValueCompleter.Complete(string beginning, string? hostPath) => Complete(beginning, hostPath);

    private protected abstract IEnumerable<string> Names(string? hostPath);

    private IEnumerable<string> Complete(string beginning, string? hostPath)
    {
        try
        {
            return [.. Names(hostPath).Where(name => name.StartsWith(beginning, StringComparison.OrdinalIgnoreCase))];
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or MachineException)
        {
            // The command itself says what is wrong with the folder; the Tab key has nothing to propose.
            return [];
        }
    }

    private static string Quote(string name) =>
        name.All(static c => char.IsLetterOrDigit(c) || c is '-' or '_' or '.' or '/') ? name : $"'{name.Replace("'", "''", StringComparison.Ordinal)}'";
}

/// <summary>Proposes EsxTop's panels.</summary>
public sealed class EsxTopPanelCompleter : NameCompleter
{
    private protected override IEnumerable<string> Names(string? hostPath) => EsxTopPanels.Of(HypervisorHost.Open(hostPath)).Select(static panel => panel.Name);
}

/// <summary>Proposes ESXi's counters.</summary>
public sealed class EsxTopCounterCompleter : NameCompleter
{
    private protected override IEnumerable<string> Names(string? hostPath) => new EsxTopCounters(HypervisorHost.Open(hostPath)).All.Select(static counter => counter.Name);
}

/// <summary>Proposes topologies of ESXi's counters.</summary>
public sealed class EsxTopTopologyCompleter : NameCompleter
{
    private protected override IEnumerable<string> Names(string? hostPath) => new EsxTopCounters(HypervisorHost.Open(hostPath)).Topologies().Select(static topology => topology.Name);
}

/// <summary>Proposes the intervals of statistics.</summary>
public sealed class StatisticsIntervalCompleter : NameCompleter
{
    private protected override IEnumerable<string> Names(string? hostPath) => StatisticsInterval.Rollups.Select(static interval => interval.Name);
}

/// <summary>Proposes datastores in use.</summary>
public sealed class DatastoreNameCompleter : NameCompleter
{
    private protected override IEnumerable<string> Names(string? hostPath) => HypervisorHost.Open(hostPath).GetDatastoreIoControl().Select(static datastore => datastore.Datastore);
}
