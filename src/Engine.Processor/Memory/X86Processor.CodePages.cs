namespace Hypervisor.Engine.Processor;

// Marking pages from which code is decoded, so that stores to them are noticed.
public sealed unsafe partial class X86Processor
{
    /// <summary>
    /// Marks a page before it is decoded from. When this returns, all stores that did not see the mark are in memory, so that what is
    /// read then is either new or going to be dropped. A safe point.
    /// </summary>
    private void MarkCode(ulong page)
    {
        if (page >= _memory.PageAttributeCount || IsMarkedCode(page))
        {
            return;
        }

        // Whoever meets a mark that is not settled yet waits for the lock, too: a store may still be on its way past it.
        bool was = LeaveGuest();
        lock (_codeLock)
        {
            if (!IsMarkedCode(page))
            {
                SetAttributes(page, PageAttributes.Code, evenIfCleared: true);
                ForgetPage(page, onlyStores: true);
                _memory.CodePageMarked(page);

                // The mark is set here only: if it is there, it is the one that the others have taken notice of. If it is not, a store
                // was noticed since, and this processor is going to drop what it decodes now.
                SetAttributes(page, PageAttributes.CodeSettled, evenIfCleared: false);
            }
        }

        ReturnToGuest(was);
    }

    private bool IsMarkedCode(ulong page) =>
        ((PageAttributes)Volatile.Read(ref _memory.PageAttributeTable[page]) & PageAttributes.AllOfCode) == PageAttributes.AllOfCode;

    private void SetAttributes(ulong page, PageAttributes wanted, bool evenIfCleared)
    {
        ref byte attributes = ref _memory.PageAttributeTable[page];
        byte old = Volatile.Read(ref attributes);
        while (evenIfCleared || ((PageAttributes)old & PageAttributes.Code) != 0)
        {
            byte seen = Interlocked.CompareExchange(ref attributes, (byte)(old | (byte)wanted), old);
            if (seen == old)
            {
                return;
            }

            old = seen;
        }
    }
}
