using System.Diagnostics.CodeAnalysis;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Inventory;

/// <summary>State of a task, with vSphere's names.</summary>
public enum TaskState
{
    /// <summary>Not begun.</summary>
    Queued,
    /// <summary>Under way.</summary>
    Running,
    /// <summary>Done; the result is there.</summary>
    Success,
    /// <summary>Failed or cancelled; the error says why.</summary>
    Error,
}

/// <summary>An operation of the engine: what it does, how far it is, and what came of it. Its properties follow the operation.</summary>
[SuppressMessage("Design", "CA1001:Types that own disposable fields should be disposable", Justification = "A cancellation source without a timer or a wait handle owns nothing; views of a task live on unowned.")]
public sealed class VITask
{
    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _cancellation = new();
    private volatile TaskOutcome _now = new(TaskState.Queued, 0, null, null, null);

    internal VITask(string name, string description, Guid? objectId, string? objectName)
    {
        Id = $"Task-{Guid.NewGuid():D}";
        Name = name;
        Description = description;
        EntityId = objectId;
        Entity = objectName;
        StartTime = DateTime.Now;
        _ = _completion.Task.ContinueWith(static finished => finished.Exception, TaskContinuationOptions.OnlyOnFaulted);
    }

    private sealed record TaskOutcome(TaskState State, int PercentComplete, DateTime? FinishTime, object? Result, Exception? Error);

    /// <summary>Identity, unique.</summary>
    public string Id { get; }

    /// <summary>Name of the operation, such as <c>PowerOnVM_Task</c>.</summary>
    public string Name { get; }

    /// <summary>What it does, for a person.</summary>
    public string Description { get; }

    /// <summary>Name of the object that it concerns.</summary>
    public string? Entity { get; }

    /// <summary>Identity of the machine that it concerns.</summary>
    public Guid? EntityId { get; }

    /// <summary>State now.</summary>
    public TaskState State => _now.State;

    /// <summary>0 to 100.</summary>
    public int PercentComplete => _now.PercentComplete;

    /// <summary>When it was asked for, local time.</summary>
    public DateTime StartTime { get; }

    /// <summary>When it ended, local time, or null.</summary>
    public DateTime? FinishTime => _now.FinishTime;

    /// <summary>What it made or changed, such as a <see cref="VirtualMachine"/>; null until it has succeeded.</summary>
    public object? Result => _now.Result;

    /// <summary>Why it failed, or null.</summary>
    public Exception? TerminatingError => _now.Error;

    /// <summary>The sentence of <see cref="TerminatingError"/>, or null.</summary>
    public string? ErrorMessage => _now.Error?.Message;

    /// <summary>It can be asked to stop.</summary>
    public bool IsCancelable => State is TaskState.Queued or TaskState.Running;

    /// <summary>Ends with the task: faulted when it failed.</summary>
    public Task Completion => _completion.Task;

    /// <summary>Asks the task to stop; it ends as failed if it still can.</summary>
    public void Cancel() => _cancellation.Cancel();

    /// <summary>Waits and returns the result.</summary>
    /// <exception cref="MachineException">The task failed; other exceptions of the operating system likewise come through.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellation"/> ended the wait (not the task).</exception>
    public object? Wait(CancellationToken cancellation = default)
    {
        _completion.Task.WaitAsync(cancellation).GetAwaiter().GetResult();
        return Result;
    }

    /// <inheritdoc/>
    public override string ToString() => Name;

    internal void Report(int percent) => _now = _now with { PercentComplete = Math.Clamp(percent, 0, 100) };

    internal async Task RunAsync(Func<VITask, CancellationToken, Task<object?>> body)
    {
        _now = _now with { State = TaskState.Running };
        try
        {
            object? result = await body(this, _cancellation.Token).ConfigureAwait(false);
            _now = new TaskOutcome(TaskState.Success, 100, DateTime.Now, result, null);
            _completion.SetResult();
        }
        catch (Exception exception)
        {
            _now = _now with { State = TaskState.Error, FinishTime = DateTime.Now, Error = exception };
            _completion.SetException(exception);
        }
    }
}
