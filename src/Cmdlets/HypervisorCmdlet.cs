using System.Management.Automation;
using System.Runtime.CompilerServices;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>
/// What all commands have in common: the host folder, names in place of machines, waiting for tasks, errors and their categories,
/// and an end to waiting when the user presses Ctrl-C. Runs in PowerShell and, through <see cref="ICommandOutput"/>, in <c>hv</c>.
/// </summary>
public abstract class HypervisorCmdlet : PSCmdlet, IDisposable
{
    private static readonly TimeSpan ProgressInterval = TimeSpan.FromMilliseconds(250);
    private const int ProgressActivityId = 4711;

    private readonly CancellationTokenSource _stopping = new();
    private HypervisorHost? _host;
    private bool _machinesAreArguments;
    private bool _yesToAll, _noToAll;

    /// <summary>Folder that holds the machines; HYPERVISOR_HOME or the user's data folder when not given.</summary>
    [Parameter]
    [ValidateNotNullOrEmpty]
    public string? HostPath { get; set; }

    /// <summary>Set by <c>hv</c>; null in PowerShell.</summary>
    internal ICommandOutput? Output { get; set; }

    /// <summary>Cancelled when the user stops the pipeline.</summary>
    internal CancellationToken UserStop => _stopping.Token;

    /// <summary>The host that <see cref="HostPath"/> names.</summary>
    internal HypervisorHost VIHost => _host ??= HypervisorHost.Open(HostPath is null ? null : ResolvePath(HostPath));

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    internal void RunBegin() => BeginProcessing();

    internal void RunProcess() => ProcessRecord();

    internal void RunEnd() => EndProcessing();

    internal void RunStop() => StopProcessing();

    /// <summary>Frees what the command holds.</summary>
    protected virtual void Dispose(bool disposing)
    {
        if (disposing)
        {
            _stopping.Dispose();
        }
    }

    /// <summary>Done once before the first object of the pipeline.</summary>
    private protected virtual void Begin()
    {
    }

    /// <summary>Done for each object of the pipeline, or once.</summary>
    private protected virtual void Process()
    {
    }

    /// <summary>Done once after the last object of the pipeline.</summary>
    private protected virtual void End()
    {
    }

    /// <inheritdoc/>
    protected sealed override void BeginProcessing()
    {
        // Before the first object comes, what is bound was written by the user.
        _machinesAreArguments = IsBound("VM") || IsBound("Entity");
        Guard(Begin);
    }

    /// <summary>What is bound now was written by the user and did not come through the pipeline.</summary>
    internal bool NamesAreArguments => _machinesAreArguments;

    /// <inheritdoc/>
    protected sealed override void ProcessRecord() => Guard(Process);

    /// <inheritdoc/>
    protected sealed override void EndProcessing() => Guard(End);

    /// <inheritdoc/>
    protected sealed override void StopProcessing() => _stopping.Cancel();

    /// <summary>The parameter was given.</summary>
    internal bool IsBound(string parameter) => Output?.IsBound(parameter) ?? MyInvocation.BoundParameters.ContainsKey(parameter);

    /// <summary>The command stands behind another one in a pipeline.</summary>
    internal bool ExpectsInput => Output?.ExpectsInput ?? MyInvocation.ExpectingInput;

    /// <summary>The switch is on.</summary>
    internal bool IsOn(SwitchParameter value, [CallerArgumentExpression(nameof(value))] string name = "") =>
        Output?.IsSwitchOn(name) ?? value.IsPresent;

    /// <summary>Hands an object on.</summary>
    internal void Emit(object? value)
    {
        if (value is null)
        {
            return;
        }

        if (Output is { } output)
        {
            output.WriteObject(value);
        }
        else
        {
            WriteObject(value);
        }
    }

    /// <summary>Reports an error and goes on.</summary>
    internal void Complain(CommandError error)
    {
        if (Output is { } output)
        {
            output.WriteError(error);
        }
        else
        {
            WriteError(new ErrorRecord(error.Exception, error.Id, error.Category, error.Target));
        }
    }

    /// <summary>Reports an error and goes on; name and category follow from the exception.</summary>
    internal void Complain(Exception exception, object? target) => Complain(WithRemedy(CommandError.From(exception, target)));

    /// <summary>Shows a warning.</summary>
    internal void Warn(string message)
    {
        if (Output is { } output)
        {
            output.WriteWarning(message);
        }
        else
        {
            WriteWarning(message);
        }
    }

    /// <summary>Asks whether a change may be made.</summary>
    internal bool MayChange(string target, string action) => Output?.ShouldProcess(target, action) ?? ShouldProcess(target, action);

    /// <summary>Asks whether something may be destroyed, of a command that otherwise destroys nothing: asks the person unless told not to.</summary>
    internal bool MayDestroy(string target, string action)
    {
        if (Output is { } output)
        {
            return output.ShouldProcess(target, action, ConfirmImpact.High);
        }

        // PowerShell knows one impact a command; what it would ask at a high one is asked here.
        bool decided = MyInvocation.BoundParameters.ContainsKey("Confirm") || MyInvocation.BoundParameters.ContainsKey("WhatIf");
        object? preference = GetVariableValue("ConfirmPreference", ConfirmImpact.High);
        bool asks = !decided && LanguagePrimitives.ConvertTo<ConfirmImpact>(preference) == ConfirmImpact.High && !LanguagePrimitives.IsTrue(GetVariableValue("WhatIfPreference", false));
        return asks
            ? ShouldContinue($"Performing the operation \"{action}\" on target \"{target}\".", "Are you sure you want to perform this action?", ref _yesToAll, ref _noToAll)
            : ShouldProcess(target, action);
    }

    /// <summary>Does something for one object; its failure is reported and the command goes on with the next.</summary>
    internal void Attempt(object? target, Action action)
    {
        try
        {
            action();
        }
        catch (Exception exception) when (!UserStop.IsCancellationRequested && !EndsPipeline(exception))
        {
            Complain(exception, target);
        }
    }

    /// <summary>Gives out the task, or waits for it and gives out its result; a failed task is an error that the command survives.</summary>
    internal void Deliver(VITask task, bool runAsync, bool passResult = true)
    {
        if (runAsync)
        {
            Emit(task);
            return;
        }

        Attempt(task.Entity, () =>
        {
            object? result = Await(task);
            if (passResult)
            {
                Emit(result);
            }
        });
    }

    /// <summary>Waits for a task, showing how far it is.</summary>
    internal object? Await(VITask task)
    {
        bool shown = false;
        try
        {
            while (!WaitAWhile(task.Completion))
            {
                shown = true;
                ShowProgress(task.Description, task.State.ToString(), Math.Min(99, task.PercentComplete));
            }
        }
        catch (OperationCanceledException) when (UserStop.IsCancellationRequested)
        {
            task.Cancel();
            throw;
        }
        finally
        {
            if (shown)
            {
                ShowProgress(task.Description, task.State.ToString(), 100);
            }
        }

        return task.Wait(CancellationToken.None);
    }

    /// <summary>Machines to work on: those given as objects, and those whose name was given, with wildcards.</summary>
    /// <remarks>A name that matches nothing is an error that the command survives.</remarks>
    internal IEnumerable<VirtualMachine> Resolve(IEnumerable<VirtualMachine?>? machines)
    {
        foreach (VirtualMachine? machine in machines ?? [])
        {
            if (machine is null)
            {
                continue;
            }

            if (!machine.IsReference)
            {
                yield return machine;
                continue;
            }

            if (!_machinesAreArguments)
            {
                Complain(new CommandError(
                    new ArgumentException($"'{machine.Name}' came through the pipeline; there a machine is needed. A name is taken as an argument, or by Get-VM."),
                    "NameInPipeline", ErrorCategory.InvalidArgument, machine.Name));
                continue;
            }

            foreach (VirtualMachine found in FindByName(machine.Name))
            {
                yield return found;
            }
        }
    }

    /// <summary>Machines by name, with wildcards; a plain name that matches nothing is an error that the command survives.</summary>
    internal IReadOnlyList<VirtualMachine> FindByName(string name)
    {
        IReadOnlyList<VirtualMachine> found = VIHost.FindMachines(name);
        if (found.Count == 0 && !NamePattern.ContainsWildcards(name))
        {
            Complain(NotFound(name));
        }

        return found;
    }

    /// <summary>The error for a name that stands for nothing.</summary>
    internal CommandError NotFound(string name) => new(
        new ItemNotFoundInInventoryException($"There is no virtual machine named '{name}' on this host ({VIHost.Folder.Root})."), "MachineNotFound", ErrorCategory.ObjectNotFound, name);

    /// <summary>Makes a path of the host absolute, from where the user is.</summary>
    internal string ResolvePath(string path)
    {
        if (Output is null)
        {
            return GetUnresolvedProviderPathFromPSPath(path);
        }

        if (path == "~" || path.StartsWith("~/", StringComparison.Ordinal))
        {
            path = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile) + path[1..];
        }

        return Path.GetFullPath(path);
    }

    private static bool EndsPipeline(Exception exception) =>
        exception is CommandTerminatedException || exception.GetType().FullName is "System.Management.Automation.PipelineStoppedException";

    private void Guard(Action action)
    {
        try
        {
            action();
        }
        catch (OperationCanceledException) when (UserStop.IsCancellationRequested)
        {
            // The user stopped the pipeline; PowerShell and hv both know.
        }
        catch (Exception exception) when (IsOurs(exception))
        {
            CommandError error = WithRemedy(CommandError.From(exception, null));
            if (Output is not null)
            {
                throw new CommandTerminatedException(error);
            }

            ThrowTerminatingError(new ErrorRecord(error.Exception, error.Id, error.Category, error.Target));
        }
    }

    // "Access denied" to the host folder itself is about where machines are kept, which the user can choose.
    private CommandError WithRemedy(CommandError error) =>
        error.Exception is UnauthorizedAccessException denied && _host is { } host && denied.Message.Contains(host.Folder.Root, StringComparison.Ordinal)
            ? error with { Exception = new UnauthorizedAccessException($"{denied.Message} Machines are kept in {host.Folder.Root}; -{nameof(HostPath)} or {HostFolder.EnvironmentVariable} names another folder.", denied) }
            : error;

    private static bool IsOurs(Exception exception) =>
        exception.GetType().Namespace?.StartsWith("Hypervisor.Engine", StringComparison.Ordinal) == true
        || exception is IOException or UnauthorizedAccessException;

    private bool WaitAWhile(Task task)
    {
        // Faults are read later; here only the end counts.
        Task.WaitAny([task], (int)ProgressInterval.TotalMilliseconds, UserStop);
        return task.IsCompleted;
    }

    private void ShowProgress(string activity, string status, int percent)
    {
        if (Output is { } output)
        {
            output.WriteProgress(activity, status, percent);
            return;
        }

        WriteProgress(new ProgressRecord(ProgressActivityId, activity, status)
        {
            PercentComplete = percent,
            RecordType = percent >= 100 ? ProgressRecordType.Completed : ProgressRecordType.Processing,
        });
    }
}
