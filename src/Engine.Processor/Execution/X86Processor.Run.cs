namespace Hypervisor.Engine.Processor;

// The loop: attention, next block, its instructions.
public sealed unsafe partial class X86Processor
{
    private Activity _activity;
    private int _runningThread;

    private StopReason RunLoop()
    {
        _runningThread = Environment.CurrentManagedThreadId;
        _implicitSupervisor = _pendingHasErrorCode && _implicitSupervisor;
        return TakeAttention(Attention.Stop) ? StopReason.Requested : StopReason.Halted;
    }

    private void DropCodePage(ulong page) => _invalidatedPages.Enqueue(page);

    private void FreeBlocks()
    {
    }

    private void FlushFetchTranslations()
    {
    }
}
