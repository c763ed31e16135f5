using System.Management.Automation;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Monitoring.Statistics;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>An error of a command, in the terms that PowerShell has for one.</summary>
/// <param name="Exception">What went wrong.</param>
/// <param name="Id">Stable name of the error for scripts.</param>
/// <param name="Category">Kind of error.</param>
/// <param name="Target">What the command was working on.</param>
internal sealed record CommandError(Exception Exception, string Id, ErrorCategory Category, object? Target)
{
    /// <summary>The sentence for a person.</summary>
    public string Message => Exception.Message;

    /// <summary>Chooses name and category by the kind of exception.</summary>
    public static CommandError From(Exception exception, object? target)
    {
        (string id, ErrorCategory category) = exception switch
        {
            NameTakenException => ("NameTaken", ErrorCategory.ResourceExists),
            InvalidConfigurationException => ("InvalidConfiguration", ErrorCategory.InvalidArgument),
            PowerStateException => ("InvalidPowerState", ErrorCategory.InvalidOperation),
            StatisticsException => ("StatisticsFailed", ErrorCategory.ReadError),
            MachineException => ("MachineFailed", ErrorCategory.InvalidOperation),
            TimeoutException => ("Timeout", ErrorCategory.OperationTimeout),
            OperationCanceledException => ("Stopped", ErrorCategory.OperationStopped),
            UnauthorizedAccessException => ("AccessDenied", ErrorCategory.PermissionDenied),
            FileNotFoundException or DirectoryNotFoundException => ("FileNotFound", ErrorCategory.ObjectNotFound),
            IOException => ("InputOutput", ErrorCategory.WriteError),
            ArgumentException => ("InvalidArgument", ErrorCategory.InvalidArgument),
            _ => ("Unexpected", ErrorCategory.NotSpecified),
        };
        return new CommandError(exception, id, category, target);
    }
}

/// <summary>Ends a pipeline outside PowerShell, as <c>ThrowTerminatingError</c> does in it.</summary>
internal sealed class CommandTerminatedException(CommandError error) : Exception(error.Message, error.Exception)
{
    /// <summary>Why.</summary>
    public CommandError Error { get; } = error;
}
