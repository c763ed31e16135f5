namespace Hypervisor.Engine.Inventory;

/// <summary>The tasks of this process on a host, the last <see cref="Kept"/> of them.</summary>
public sealed class TaskLog
{
    /// <summary>Finished tasks beyond this many are forgotten, oldest first.</summary>
    public const int Kept = 1000;

    private readonly Lock _lock = new();
    private readonly LinkedList<VITask> _tasks = [];

    /// <summary>All tasks, oldest first.</summary>
    public IReadOnlyList<VITask> GetTasks()
    {
        lock (_lock)
        {
            return [.. _tasks];
        }
    }

    internal VITask Run(string name, string description, Guid? objectId, string? objectName, Func<VITask, CancellationToken, Task<object?>> body)
    {
        var task = new VITask(name, description, objectId, objectName);
        lock (_lock)
        {
            _tasks.AddLast(task);
            while (_tasks.Count > Kept && _tasks.First!.Value.State is TaskState.Success or TaskState.Error)
            {
                _tasks.RemoveFirst();
            }
        }

        _ = Task.Run(() => task.RunAsync(body));
        return task;
    }
}
