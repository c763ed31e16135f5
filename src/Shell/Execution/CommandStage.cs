using System.Management.Automation;
using Hypervisor.Cmdlets;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Shell.Commands;
using Hypervisor.Shell.Language;

namespace Hypervisor.Shell.Execution;

/// <summary>A command at its place in a pipeline: takes objects, hands objects on.</summary>
internal sealed class CommandStage : ICommandOutput, IDisposable
{
    private readonly CommandDefinition _definition;
    private readonly HypervisorCmdlet _cmdlet;
    private readonly ParameterBinder _binder;
    private readonly IScreen _screen;
    private readonly Action<object> _next;
    private Answer? _answerToAll;

    public CommandStage(CommandSyntax syntax, bool expectsInput, IScreen screen, Action<object> next)
    {
        _definition = CommandCatalog.Find(syntax.Name) ?? throw UnknownCommand.Named(syntax.Name);
        _screen = screen;
        _next = next;
        ExpectsInput = expectsInput;
        _cmdlet = _definition.Create();
        _cmdlet.Output = this;
        _binder = new ParameterBinder(_definition, _cmdlet, expectsInput);
        _binder.BindArguments(syntax.Arguments);
    }

    public bool ExpectsInput { get; }

    /// <summary>Errors that count, so far.</summary>
    public int ErrorCount { get; private set; }

    public string Name => _definition.Name;

    public void Begin() => _cmdlet.RunBegin();

    /// <summary>Works on an object of the pipeline.</summary>
    public void Process(object input)
    {
        bool bound;
        try
        {
            bound = _binder.BindInput(input);
        }
        catch (UsageException exception)
        {
            WriteError(new CommandError(exception, "InvalidInput", ErrorCategory.InvalidArgument, input));
            return;
        }

        if (!bound)
        {
            string hint = input is string ? " A name is taken as an argument, not from the pipeline." : "";
            WriteError(new CommandError(
                new UsageException($"{Name} takes no {input.GetType().Name} from the pipeline.{hint}"), "InputObjectNotBound", ErrorCategory.InvalidArgument, input));
            return;
        }

        _cmdlet.RunProcess();
    }

    /// <summary>Works once, without a pipeline before it.</summary>
    public void Process() => _cmdlet.RunProcess();

    public void End() => _cmdlet.RunEnd();

    public void Stop() => _cmdlet.RunStop();

    public void Dispose() => _cmdlet.Dispose();

    public void WriteObject(object value) => _next(value);

    public void WriteError(CommandError error)
    {
        switch (_binder.Common.ErrorAction)
        {
            case ErrorPreference.Stop:
                throw new CommandTerminatedException(error);
            case ErrorPreference.Ignore:
                return;
            case ErrorPreference.Continue:
                _screen.Error(Name, error.Message);
                break;
        }

        ErrorCount++;
    }

    public void WriteWarning(string message) => _screen.Warning(message);

    public void WriteVerbose(string message)
    {
        if (_binder.Common.Verbose)
        {
            _screen.Verbose(message);
        }
    }

    public void WriteProgress(string activity, string status, int percent) => _screen.Progress(activity, status, percent);

    public bool ShouldProcess(string target, string action, ConfirmImpact? impact = null)
    {
        if (_binder.Common.WhatIf)
        {
            _screen.WhatIf(action, target);
            return false;
        }

        // Without -Confirm, what has a high impact is asked about, as by PowerShell's default $ConfirmPreference.
        if (!(_binder.Common.Confirm ?? ((impact ?? _definition.ConfirmImpact) == ConfirmImpact.High)))
        {
            return true;
        }

        if (_answerToAll is { } remembered)
        {
            return remembered == Answer.YesToAll;
        }

        if (!_screen.CanAsk)
        {
            throw new CommandTerminatedException(new CommandError(
                new InvalidOperationException($"\"{action}\" on '{target}' asks for confirmation, and there is nobody to ask. Add -Confirm:false."), "NobodyToAsk", ErrorCategory.InvalidOperation, target));
        }

        Answer answer = _screen.Ask($"{action} '{target}'?");
        if (answer is Answer.YesToAll or Answer.NoToAll)
        {
            _answerToAll = answer;
        }

        return answer is Answer.Yes or Answer.YesToAll;
    }

    public bool IsBound(string parameter) => _binder.IsBound(parameter);

    public bool IsSwitchOn(string parameter) => _binder.IsSwitchOn(parameter);
}
