namespace Hypervisor.Engine.Processor;

/// <summary>
/// Waits for processors of a machine to forget host addresses of guest memory. Any thread but one that runs a processor, which may
/// wait only while it is in a call to one of that processor's buses.
/// </summary>
/// <remarks>
/// Whoever changes the state of a page does it before calling, so that what <see cref="IMemoryBus.TryGetPage"/> answers from then on
/// is the new state. A processor that does not run, or is in a call, forgets before it touches memory again; for others the
/// call lasts until their next poll, microseconds if their threads are running.
/// </remarks>
public static class SafePoints
{
    /// <summary>
    /// When this returns, no processor holds a host address of these pages that it was given before the call, nor is in the middle of
    /// an access through one.
    /// </summary>
    /// <param name="processors">All processors of the machine.</param>
    /// <param name="pages">Guest-physical page numbers; empty for all pages. More than a few cost as much as all.</param>
    /// <exception cref="InvalidOperationException">The calling thread runs one of the processors, and is in the guest.</exception>
    public static void Forget(ReadOnlySpan<X86Processor> processors, ReadOnlySpan<ulong> pages)
    {
        CheckCaller(processors);
        foreach (var processor in processors)
        {
            // All are told before the first is waited for. The last order of a processor covers those before it.
            processor.OrderToForget(pages);
        }

        foreach (var processor in processors)
        {
            processor.AwaitOrders();
        }
    }

    /// <summary>
    /// What <see cref="IMemoryBus.CodePageMarked"/> has to do: when this returns, no processor can store to the page without looking at
    /// its attributes, and all stores that did not are in memory.
    /// </summary>
    /// <param name="processors">The other processors of the machine.</param>
    /// <param name="page">Guest-physical page number, whose attributes were set before.</param>
    /// <exception cref="InvalidOperationException">The calling thread runs one of the processors, and is in the guest.</exception>
    public static void RevokeWriteAccess(ReadOnlySpan<X86Processor> processors, ulong page)
    {
        CheckCaller(processors);
        foreach (var processor in processors)
        {
            if (processor.HoldsWriteAccess(page))
            {
                processor.OrderToForget([page], onlyStores: true);
                processor.AwaitOrders();
            }
        }
    }

    private static void CheckCaller(ReadOnlySpan<X86Processor> processors)
    {
        foreach (var processor in processors)
        {
            if (processor.IsInGuestHere)
            {
                throw new InvalidOperationException("A processor in the guest cannot wait for others.");
            }
        }
    }
}
