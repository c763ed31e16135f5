namespace Hypervisor.Engine.Processor;

// Safe points: what other threads order a processor to forget, and how they know that it has.
//
// A processor is in the guest from the start of Run to its end, but for its calls to the buses and the local APIC, which may block.
// It holds host addresses of guest memory only in the translation buffer and, between two safe points, in an instruction's own
// variables. A safe point is a place between two instructions where the attention word is looked at, or the return from a call.
//
// An order is recorded, then announced by a bit of the attention word (a full fence), then _inGuest is looked at. The processor does
// the opposite when it comes in: it sets _inGuest, a full fence, then looks at the attention word. So either the processor sees the
// order before it touches memory, or whoever ordered sees that it is in the guest, and waits until the order was carried out or the
// processor has been outside once: what it stored before is visible then, and it carries out its orders before anything else.
//
// Nobody waits for ever. In the guest a processor waits for other threads only at locks that are held for a few instructions by
// threads that wait for nothing meanwhile (its list of orders, the bus lock), and code of any kind comes to a poll within a bounded
// number of instructions: backward and indirect branches, ends of blocks, runs of string instructions. Whoever waits for a processor
// is outside the guest: a processor's own thread may order only from a call. So of two processors that order from each other at
// the same time both are outside and neither waits; and one that is in the guest waits for none.
public sealed unsafe partial class X86Processor
{
    // More pages at once are forgotten by forgetting all: each costs a look at the whole buffer.
    private const int MaximumOrderedPages = 16;
    private const int AllPages = MaximumOrderedPages + 1;

    // In the number of an ordered page: it may still be read.
    private const ulong OnlyStores = 1ul << 63;

    // How often whoever waits spins and yields before it sleeps, a millisecond at a time: the processor's thread may have lost its
    // host processor.
    private const int SpinsBeforeSleep = 200;

    private readonly Lock _orders = new();
    private readonly ulong[] _orderedPages = new ulong[MaximumOrderedPages];
    private int _orderedCount;
    private long _ordered, _carriedOut;
    private int _inGuest;

    /// <summary>Changes when host addresses that the instruction at hand has found may have become wrong.</summary>
    internal uint SafePointCount { get; private set; }

    /// <summary>The calling thread runs the processor, and is in none of its calls: it must wait for no processor.</summary>
    internal bool IsInGuestHere =>
        Volatile.Read(ref _inGuest) != 0 && Environment.CurrentManagedThreadId == Volatile.Read(ref _runningThread);

    /// <summary>Orders the processor to forget the host addresses of pages. Any thread.</summary>
    /// <param name="pages">Guest-physical page numbers; empty for all pages.</param>
    /// <param name="onlyStores">The pages may still be read through what it holds.</param>
    internal void OrderToForget(ReadOnlySpan<ulong> pages, bool onlyStores = false)
    {
        lock (_orders)
        {
            if (State == null)
            {
                // Disposed: it forgets everything.
                return;
            }

            if (pages.IsEmpty || pages.Length > MaximumOrderedPages - _orderedCount)
            {
                _orderedCount = AllPages;
            }
            else
            {
                foreach (ulong page in pages)
                {
                    _orderedPages[_orderedCount++] = onlyStores ? page | OnlyStores : page;
                }
            }

            _ordered++;
            SetAttention(Attention.Orders);
        }
    }

    /// <summary>
    /// Waits until the processor holds no host address that the orders up to now told it to forget, and is in the middle of no access
    /// through one. Any thread that is not in the guest itself.
    /// </summary>
    internal void AwaitOrders()
    {
        long order = Volatile.Read(ref _ordered);
        var wait = default(SpinWait);
        while (Volatile.Read(ref _inGuest) != 0 && Volatile.Read(ref _carriedOut) < order)
        {
            wait.SpinOnce(SpinsBeforeSleep);
        }
    }

    /// <summary>
    /// The processor holds a host address through which it may store to a page, or has one of an instruction in progress. Any thread,
    /// after the page's attributes were set: the processor looks at them after it has entered such an address.
    /// </summary>
    internal bool HoldsWriteAccess(ulong page)
    {
        // An entry's page is written before its tag, and a tag goes after the stores that it admitted. What is read here in between
        // may at worst say yes too often.
        var pages = _pages.AsSpan();
        for (int from = 0; ;)
        {
            int found = pages[from..].IndexOf(page);
            if (found < 0)
            {
                return false;
            }

            from += found;
            int entry = from % TranslationBuffer.Entries;
            if (Volatile.Read(ref SetOf(from / TranslationBuffer.Entries)[TranslationBuffer.WriteTags + entry]) != TranslationBuffer.Invalid(entry))
            {
                return true;
            }

            from++;
        }
    }

    // Comes in: from now on the processor may touch memory.
    private void EnterGuest()
    {
        Interlocked.Exchange(ref _inGuest, 1);
        if ((Volatile.Read(ref State->Attention) & (int)Attention.Orders) != 0)
        {
            CarryOutOrders();
        }
    }

    // Goes out, to where the thread may wait for others. Host addresses of memory do not outlive this; whether it was in is for the return.
    private bool LeaveGuest()
    {
        bool was = _inGuest != 0;
        Volatile.Write(ref _inGuest, 0);
        return was;
    }

    private void ReturnToGuest(bool was)
    {
        if (was)
        {
            EnterGuest();
        }
    }

    private void CarryOutOrders()
    {
        TakeAttention(Attention.Orders);
        ulong* pages = stackalloc ulong[MaximumOrderedPages];
        int count;
        long order;
        lock (_orders)
        {
            count = _orderedCount;
            _orderedPages.AsSpan().CopyTo(new Span<ulong>(pages, MaximumOrderedPages));
            _orderedCount = 0;
            order = _ordered;
        }

        SafePointCount++;
        if (count == AllPages)
        {
            FlushTranslations();
        }
        else
        {
            for (int n = 0; n < count; n++)
            {
                ForgetPage(pages[n] & ~OnlyStores, (pages[n] & OnlyStores) != 0);
            }
        }

        Volatile.Write(ref _carriedOut, order);
    }

    // Takes a physical page out of the buffer. Blocks are copies and stay; but to run them again is to be a fetch.
    private void ForgetPage(ulong page, bool onlyStores)
    {
        var pages = _pages.AsSpan();
        for (int from = 0; ;)
        {
            int found = pages[from..].IndexOf(page);
            if (found < 0)
            {
                break;
            }

            from += found;
            int entry = from % TranslationBuffer.Entries;
            ulong* set = SetOf(from / TranslationBuffer.Entries);
            if (onlyStores)
            {
                TranslationBuffer.RemoveWrite(set, entry);
            }
            else
            {
                TranslationBuffer.Remove(set, entry);
            }

            from++;
        }

        if (!onlyStores && page < _memory.PageAttributeCount && (_memory.PageAttributeTable[page] & (byte)PageAttributes.Code) != 0)
        {
            FlushFetchTranslations(keepGlobal: false);
        }
    }
}
