using System.Management.Automation;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Get-Task: what this process is doing and has done on a host.</summary>
/// <example>
/// <code>Get-Task -Status Running</code>
/// What is being done now.
/// </example>
[Cmdlet(VerbsCommon.Get, "Task")]
[OutputType(typeof(VITask))]
public sealed class GetTaskCommand : HypervisorCmdlet
{
    /// <summary>Only tasks in this state.</summary>
    [Parameter(Position = 0, ValueFromPipeline = true)]
    public TaskState Status { get; set; }

    /// <summary>Only these tasks.</summary>
    [Parameter]
    public string[]? Id { get; set; }

    private protected override void Process()
    {
        IReadOnlyList<VITask> tasks = VIHost.Tasks.GetTasks();
        foreach (string id in Id ?? [])
        {
            if (!tasks.Any(task => string.Equals(task.Id, id, StringComparison.OrdinalIgnoreCase)))
            {
                Complain(new Hosting.CommandError(new Hosting.ItemNotFoundInInventoryException($"There is no task '{id}'."), "TaskNotFound", ErrorCategory.ObjectNotFound, id));
            }
        }

        foreach (VITask task in tasks)
        {
            bool wanted = (Id is null || Id.Contains(task.Id, StringComparer.OrdinalIgnoreCase)) && (!IsBound(nameof(Status)) || task.State == Status);
            if (wanted)
            {
                Emit(task);
            }
        }
    }
}
