using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Processor;

// Filling and emptying the translation buffer. What was entered since a set was last empty is logged, so that emptying costs what
// filling did.
public sealed unsafe partial class X86Processor
{
    private const int LoggedEntries = 1024;

    private const ulong NoPage = ulong.MaxValue;

    private readonly ulong* _tlb;

    // The physical page of each entry, for whoever takes it away; written before the write tag.
    private readonly ulong[] _pages = new ulong[TranslationBuffer.Entries * TranslationBuffer.Sets];
    private readonly PageKind[] _tlbKinds = new PageKind[TranslationBuffer.Entries * TranslationBuffer.Sets];
    private readonly ushort[] _entered = new ushort[LoggedEntries * TranslationBuffer.Sets];
    private readonly int[] _enteredCounts = new int[TranslationBuffer.Sets];

    // A bit for each 1 GB region (by its low bits) of which a large page was entered: only there INVLPG must look at all entries.
    private ulong _largeRegions;

    /// <summary>Forgets all translations.</summary>
    internal void FlushTranslations()
    {
        _translationFlushes++;
        for (int set = 0; set < TranslationBuffer.Sets; set++)
        {
            FlushSet(set, keepGlobal: false);
        }

        _largeRegions = 0;
        FlushFetchTranslations(keepGlobal: false);
    }

    /// <summary>Forgets all translations but those of global pages (a load of CR3).</summary>
    internal void FlushLocalTranslations()
    {
        _translationFlushes++;
        for (int set = 0; set < TranslationBuffer.Sets; set++)
        {
            FlushSet(set, keepGlobal: true);
        }

        FlushFetchTranslations(keepGlobal: true);
    }

    /// <summary>Forgets the translations of one linear page, the whole of it if it is a large one (INVLPG).</summary>
    internal void FlushTranslation(ulong linear)
    {
        _pageInvalidations++;
        bool large = (_largeRegions & RegionBit(linear)) != 0;
        for (int set = 0; set < TranslationBuffer.Sets; set++)
        {
            ulong* entries = SetOf(set);
            TranslationBuffer.Remove(entries, (int)((linear >> 12) & TranslationBuffer.IndexMask));
            for (int n = 0; large && n < TranslationBuffer.Entries; n++)
            {
                PageKind kind = _tlbKinds[(set * TranslationBuffer.Entries) + n];
                int shift = (kind & PageKind.Huge) != 0 ? 30 : (kind & PageKind.Large) != 0 ? 22 : 64;
                if (shift < 64 && ((0 - entries[n]) ^ linear) >> shift == 0)
                {
                    TranslationBuffer.Remove(entries, n);
                }
            }
        }

        FlushFetchTranslation(linear);
    }

    private static ulong RegionBit(ulong linear) => 1ul << (int)((linear >> 30) & 63);

    private ulong* SetOf(int set) => _tlb + (set * TranslationBuffer.SetLength);

    // The buffer holds the page of an address for this access.
    private bool IsTranslated(ulong linear, AccessKind kind)
    {
        ulong* entry = State->Tlb + ((linear >> 12) & TranslationBuffer.IndexMask);
        return linear + entry[kind == AccessKind.Write ? TranslationBuffer.WriteTags : 0] < TranslationBuffer.PageBytes;
    }

    private byte* TranslatedHost(ulong linear) =>
        (byte*)(linear + State->Tlb[((linear >> 12) & TranslationBuffer.IndexMask) + TranslationBuffer.Addends]);

    private void FlushSet(int set, bool keepGlobal)
    {
        ulong* entries = SetOf(set);
        ref int count = ref _enteredCounts[set];
        int kinds = set * TranslationBuffer.Entries;
        if (count <= LoggedEntries)
        {
            var log = _entered.AsSpan(set * LoggedEntries, count);
            int kept = 0;
            foreach (ushort entry in log)
            {
                if (keepGlobal && (_tlbKinds[kinds + entry] & PageKind.Global) != 0)
                {
                    log[kept++] = entry;
                }
                else
                {
                    TranslationBuffer.Remove(entries, entry);
                }
            }

            count = kept;
            return;
        }

        if (!keepGlobal)
        {
            TranslationBuffer.Clear(entries);
            count = 0;
            return;
        }

        for (int n = 0; n < TranslationBuffer.Entries; n++)
        {
            if ((_tlbKinds[kinds + n] & PageKind.Global) == 0)
            {
                TranslationBuffer.Remove(entries, n);
            }
        }
    }

    private void Enter(ulong linear, ulong physical, AccessKind kind, bool writable)
    {
        byte* host = PhysicalPage(physical, kind == AccessKind.Write, out bool memoryWritable);
        if (host == null || (_checksAlignment && !_implicitSupervisor) || (_watchesData && IsWatchedPage(linear)))
        {
            return;
        }

        int entry = (int)((linear >> 12) & TranslationBuffer.IndexMask);
        ulong* at = State->Tlb + entry;
        int set = (int)((State->Tlb - _tlb) / TranslationBuffer.SetLength);
        int index = (set * TranslationBuffer.Entries) + entry;
        ulong page = physical >> 12;
        ulong linearPage = linear & ~PageMask;
        TranslationBuffer.RemoveWrite(State->Tlb, entry);
        at[0] = 0 - linearPage;
        at[TranslationBuffer.Addends] = (ulong)host - linearPage;
        Volatile.Write(ref _pages[index], page);
        _tlbKinds[index] = _walked;
        if ((_walked & (PageKind.Large | PageKind.Huge)) != 0)
        {
            _largeRegions |= RegionBit(linear);
        }

        ref int count = ref _enteredCounts[set];
        if (count < LoggedEntries)
        {
            _entered[(set * LoggedEntries) + count] = (ushort)entry;
        }

        count = Math.Min(count + 1, LoggedEntries + 1);
        if (!writable || !memoryWritable)
        {
            return;
        }

        if (page >= _memory.PageAttributeCount)
        {
            at[TranslationBuffer.WriteTags] = 0 - linearPage;
        }
        else if (Volatile.Read(ref _memory.PageAttributeTable[page]) == 0)
        {
            Volatile.Write(ref at[TranslationBuffer.WriteTags], 0 - linearPage);
            Interlocked.MemoryBarrier();
            if (Volatile.Read(ref _memory.PageAttributeTable[page]) != 0)
            {
                at[TranslationBuffer.WriteTags] = TranslationBuffer.Invalid(entry);
            }
        }
    }
}
