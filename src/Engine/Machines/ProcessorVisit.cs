using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Machines;

/// <summary>Something to be done with a virtual processor on its own thread, between two instructions of the guest.</summary>
internal sealed class ProcessorVisit(Action<IVirtualProcessor> action)
{
    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when it was done, with its exception if it had one; cancelled when the processor's thread ended before.</summary>
    public Task Done => _done.Task;

    public void Carry(IVirtualProcessor processor)
    {
        try
        {
            action(processor);
            _done.TrySetResult();
        }
        catch (Exception error)
        {
            // Of whoever asked for it, who is told; the processor goes on.
            _done.TrySetException(error);
        }
    }

    public void Refuse() => _done.TrySetCanceled();
}
