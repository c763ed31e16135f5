using System.Collections;
using System.Management.Automation;
using System.Management.Automation.Language;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>Proposes values for a parameter, in whatever host.</summary>
internal interface IValueCompleter
{
    /// <summary>Values that begin with a text.</summary>
    IEnumerable<string> Complete(string beginning, string? hostPath);
}

/// <summary>Proposes the names of machines.</summary>
public sealed class VirtualMachineNameCompleter : IArgumentCompleter, IValueCompleter
{
    /// <inheritdoc/>
    public IEnumerable<CompletionResult> CompleteArgument(
        string commandName, string parameterName, string wordToComplete, CommandAst commandAst, IDictionary fakeBoundParameters)
    {
        ArgumentNullException.ThrowIfNull(wordToComplete);
        string? hostPath = fakeBoundParameters?["HostPath"] as string;
        return Complete(wordToComplete.Trim('\'', '"'), hostPath).Select(static name => new CompletionResult(Quote(name), name, CompletionResultType.ParameterValue, name));
    }

    IEnumerable<string> IValueCompleter.Complete(string beginning, string? hostPath) => Complete(beginning, hostPath);

    private static IEnumerable<string> Complete(string beginning, string? hostPath)
    {
        try
        {
            return HypervisorHost.Open(hostPath).FindMachines(beginning + "*").Select(static machine => machine.Name);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or MachineException)
        {
            // The command itself says what is wrong with the folder; the Tab key has nothing to propose.
            return [];
        }
    }

    internal static string Quote(string name) =>
        name.All(static c => char.IsLetterOrDigit(c) || c is '-' or '_' or '.' or '/') ? name : $"'{name.Replace("'", "''", StringComparison.Ordinal)}'";
}
