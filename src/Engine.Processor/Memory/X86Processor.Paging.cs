using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Processor;

// Linear to physical: the page walk (Intel SDM vol. 3A, chapter 4) and the filling of the translation buffer.
public sealed unsafe partial class X86Processor
{
    private const ulong PtePresent = 1, PteWrite = 2, PteUser = 4, PteAccessed = 0x20, PteDirty = 0x40, PteLarge = 0x80, PteGlobal = 0x100,
        PteNoExecute = 1ul << 63;

    private const uint FaultPresent = 1, FaultWrite = 2, FaultUser = 4, FaultReserved = 8, FaultFetch = 16;

    private static readonly byte* NoAttributes = AllocateZeroByte();

    private readonly ulong _physicalMask;

    // Sets that hold translations since they were last emptied, so that a flush clears no more than it must.
    private uint _usedSets = 7;

    // What was walked last, and what each entry of the translation buffer came from.
    private PageKind _walked;
    private readonly PageKind[] _tlbKinds = new PageKind[TranslationBuffer.Entries * TranslationBuffer.Sets];
    private bool _hasLarge;

    // An access by the processor itself (descriptor tables, TSS) is a supervisor access whatever the CPL.
    private bool _implicitSupervisor;

    private static byte* AllocateZeroByte()
    {
        // SAFETY: one byte that lives as long as the process: the attributes of pages beyond the attribute table.
        byte* zero = (byte*)NativeMemory.AllocZeroed(1);
        return zero;
    }

    /// <summary>Forgets all translations.</summary>
    internal void FlushTranslations()
    {
        for (int set = 0; set < TranslationBuffer.Sets; set++)
        {
            if ((_usedSets & (1u << set)) != 0)
            {
                // All ones is no page-aligned address either, and filling with bytes is quick.
                new Span<byte>(_tlb + (set * TranslationBuffer.Entries), TranslationBuffer.Entries * sizeof(TlbEntry)).Fill(0xFF);
            }
        }

        _usedSets = 0;
        _hasLarge = false;
        FlushFetchTranslations(keepGlobal: false);
    }

    /// <summary>Forgets all translations but those of global pages (a load of CR3).</summary>
    internal void FlushLocalTranslations()
    {
        for (int set = 0; set < TranslationBuffer.Sets; set++)
        {
            if ((_usedSets & (1u << set)) == 0)
            {
                continue;
            }

            int first = set * TranslationBuffer.Entries;
            for (int n = first; n < first + TranslationBuffer.Entries; n++)
            {
                if ((_tlbKinds[n] & PageKind.Global) == 0)
                {
                    _tlb[n].ReadTag = _tlb[n].WriteTag = TlbEntry.Invalid;
                }
            }
        }

        FlushFetchTranslations(keepGlobal: true);
    }

    /// <summary>Forgets the translations of one linear page, the whole of it if it is a large one (INVLPG).</summary>
    internal void FlushTranslation(ulong linear)
    {
        for (int set = 0; set < TranslationBuffer.Sets; set++)
        {
            int first = set * TranslationBuffer.Entries;
            TlbEntry* entry = _tlb + first + (int)((linear >> 12) & TranslationBuffer.IndexMask);
            entry->ReadTag = entry->WriteTag = TlbEntry.Invalid;
            for (int n = first; _hasLarge && n < first + TranslationBuffer.Entries; n++)
            {
                PageKind kind = _tlbKinds[n];
                int shift = (kind & PageKind.Huge) != 0 ? 30 : (kind & PageKind.Large) != 0 ? 22 : 64;
                if (shift < 64 && (_tlb[n].ReadTag ^ linear) >> shift == 0)
                {
                    _tlb[n].ReadTag = _tlb[n].WriteTag = TlbEntry.Invalid;
                }
            }
        }

        FlushFetchTranslations(keepGlobal: false);
    }

    /// <summary>
    /// The physical address of a linear one; raises what the access must raise. Data accesses to memory are entered into the
    /// translation buffer.
    /// </summary>
    internal ulong Translate(ulong linear, AccessKind kind)
    {
        bool writable;
        ulong physical;
        _walked = PageKind.None;
        if ((State->Cr0 & Cr0Pg) == 0)
        {
            linear = (uint)linear;
            physical = linear;
            writable = true;
        }
        else
        {
            physical = Walk(linear, kind, out writable);
        }

        if (kind != AccessKind.Execute)
        {
            Enter(linear, physical, writable);
        }

        return physical;
    }

    private void Enter(ulong linear, ulong physical, bool writable)
    {
        byte* host = _memory.GetPage(physical & ~PageMask, out bool memoryWritable);
        if (host == null)
        {
            return;
        }

        TlbEntry* entry = State->Tlb + ((linear >> 12) & TranslationBuffer.IndexMask);
        ulong tag = linear & ~PageMask;
        entry->ReadTag = tag;
        entry->WriteTag = writable && memoryWritable ? tag : TlbEntry.Invalid;
        entry->Addend = (ulong)host - tag;
        ulong page = physical >> 12;
        entry->Attributes = page < _memory.PageAttributeCount ? _memory.PageAttributeTable + page : NoAttributes;
        int index = (int)(entry - _tlb);
        _tlbKinds[index] = _walked;
        _hasLarge |= (_walked & (PageKind.Large | PageKind.Huge)) != 0;
        _usedSets |= 1u << (index / TranslationBuffer.Entries);
    }

    private void NoteLeaf(ulong entry, int shift)
    {
        _walked = ((entry & PteGlobal) != 0 && (State->Cr4 & Cr4Pge) != 0 ? PageKind.Global : PageKind.None)
            | (shift == 30 ? PageKind.Huge : shift > 12 ? PageKind.Large : PageKind.None);
    }

    // Returns the physical address; writable says whether later stores need no further walk (permitted, and dirty is set).
    private ulong Walk(ulong linear, AccessKind kind, out bool writable)
    {
        bool pae = (State->Cr4 & Cr4Pae) != 0;
        return IsLongMode ? WalkLong(linear, kind, out writable)
            : pae ? WalkPae((uint)linear, kind, out writable)
            : WalkLegacy((uint)linear, kind, out writable);
    }

    private ulong WalkLong(ulong linear, AccessKind kind, out bool writable)
    {
        if ((ulong)((long)linear << 16 >> 16) != linear)
        {
            RaiseNonCanonical();
        }

        return WalkLevels(linear, kind, State->Cr3 & _physicalMask & ~PageMask, 39, PteUser | PteWrite, out writable);
    }

    private ulong WalkPae(uint linear, AccessKind kind, out bool writable)
    {
        // The four page-directory pointers have no rights of their own (vol. 3A, 4.4.1).
        ulong pdpte = ReadPhysical64((State->Cr3 & 0xFFFF_FFE0) + ((linear >> 30) * 8));
        if ((pdpte & PtePresent) == 0)
        {
            RaisePageFault(linear, FaultCode(kind, 0));
        }

        return WalkLevels(linear, kind, pdpte & _physicalMask & ~PageMask, 21, PteUser | PteWrite, out writable);
    }

    private ulong WalkLevels(ulong linear, AccessKind kind, ulong table, int shift, ulong rights, out bool writable)
    {
        bool nxe = (State->Efer & EferNxe) != 0;
        ulong reserved = ~_physicalMask & 0x000F_FFFF_FFFF_F000 | (nxe ? 0 : PteNoExecute);
        ulong noExecute = 0;
        while (true)
        {
            ulong address = table + (((linear >> shift) & 0x1FF) * 8);
            ulong entry = ReadPhysical64(address);
            if ((entry & PtePresent) == 0)
            {
                RaisePageFault(linear, FaultCode(kind, 0));
            }

            bool leaf = shift == 12 || ((entry & PteLarge) != 0 && shift <= 30);
            ulong bad = reserved;
            if (leaf && shift > 12)
            {
                bad |= (1ul << shift) - 0x2000;
            }
            else if (shift == 39)
            {
                bad |= PteLarge;
            }

            if ((entry & bad) != 0)
            {
                RaisePageFault(linear, FaultCode(kind, FaultPresent | FaultReserved));
            }

            rights &= entry;
            noExecute |= entry & PteNoExecute;
            if (!leaf)
            {
                if ((entry & PteAccessed) == 0 && !SetEntryBits64(address, entry, PteAccessed))
                {
                    continue;
                }

                table = entry & _physicalMask & ~PageMask;
                shift -= 9;
                continue;
            }

            CheckRights(linear, kind, rights, noExecute != 0);
            ulong set = PteAccessed | (kind == AccessKind.Write ? PteDirty : 0);
            if ((entry & set) != set && !SetEntryBits64(address, entry, set))
            {
                continue;
            }

            NoteLeaf(entry, shift);
            writable = ((entry | set) & PteDirty) != 0 && MayWrite(rights);
            ulong offset = (1ul << shift) - 1;
            return (entry & _physicalMask & ~PageMask & ~offset) | (linear & offset);
        }
    }

    private ulong WalkLegacy(uint linear, AccessKind kind, out bool writable)
    {
        while (true)
        {
            ulong directoryAddress = (State->Cr3 & 0xFFFF_F000) + ((linear >> 22) * 4);
            uint directory = ReadPhysical32(directoryAddress);
            if ((directory & PtePresent) == 0)
            {
                RaisePageFault(linear, FaultCode(kind, 0));
            }

            bool large = (directory & PteLarge) != 0 && (State->Cr4 & Cr4Pse) != 0;
            ulong rights = directory & (PteUser | PteWrite);
            ulong address = directoryAddress;
            uint entry = directory;
            if (!large)
            {
                if ((directory & PteAccessed) == 0 && !SetEntryBits32(directoryAddress, directory, (uint)PteAccessed))
                {
                    continue;
                }

                address = (directory & 0xFFFF_F000) + (((linear >> 12) & 0x3FF) * 4);
                entry = ReadPhysical32(address);
                if ((entry & PtePresent) == 0)
                {
                    RaisePageFault(linear, FaultCode(kind, 0));
                }

                rights &= entry;
            }

            CheckRights(linear, kind, rights, noExecute: false);
            uint set = (uint)(PteAccessed | (kind == AccessKind.Write ? PteDirty : 0));
            if ((entry & set) != set && !SetEntryBits32(address, entry, set))
            {
                continue;
            }

            NoteLeaf(entry, large ? 22 : 12);
            writable = ((entry | set) & PteDirty) != 0 && MayWrite(rights);
            // PSE-36 (vol. 3A, 4.3): bits 13–20 of a 4 MB entry are address bits 32–39.
            return large
                ? (((ulong)entry & 0x1FE000) << 19 | entry & 0xFFC0_0000 | linear & 0x3F_FFFF) & _physicalMask
                : entry & 0xFFFF_F000 | linear & 0xFFF;
        }
    }

    private bool AsUser => State->Cpl == 3 && !_implicitSupervisor;

    private bool MayWrite(ulong rights) => (rights & PteWrite) != 0 || (!AsUser && (State->Cr0 & Cr0Wp) == 0);

    private void CheckRights(ulong linear, AccessKind kind, ulong rights, bool noExecute)
    {
        bool userPage = (rights & PteUser) != 0;
        bool allowed;
        if (AsUser)
        {
            allowed = userPage && (kind != AccessKind.Write || (rights & PteWrite) != 0) && (kind != AccessKind.Execute || !noExecute);
        }
        else if (kind == AccessKind.Execute)
        {
            allowed = !noExecute && !(userPage && (State->Cr4 & Cr4Smep) != 0);
        }
        else
        {
            // SMAP (vol. 3A, 4.6.1): AC lifts it for explicit accesses only.
            bool smap = userPage && (State->Cr4 & Cr4Smap) != 0
                && (_implicitSupervisor || (State->SystemFlags & Rflags.AlignmentCheck) == 0);
            allowed = !smap && (kind != AccessKind.Write || MayWrite(rights));
        }

        if (!allowed)
        {
            RaisePageFault(linear, FaultCode(kind, FaultPresent));
        }
    }

    private uint FaultCode(AccessKind kind, uint bits)
    {
        if (kind == AccessKind.Write)
        {
            bits |= FaultWrite;
        }
        else if (kind == AccessKind.Execute
            && (((State->Efer & EferNxe) != 0 && (State->Cr4 & Cr4Pae) != 0) || (State->Cr4 & Cr4Smep) != 0))
        {
            bits |= FaultFetch;
        }

        return bits | (AsUser ? FaultUser : 0);
    }

    private void RaiseNonCanonical()
    {
        DecodedInstruction* i = State->Current;
        Raise(i != null && i->Segment == (byte)SegmentName.Ss ? Vector.StackFault : Vector.GeneralProtection, 0);
    }

    private ulong ReadPhysical64(ulong physical)
    {
        byte* page = PhysicalPage(physical, out _);
        return page != null ? Volatile.Read(ref *(ulong*)(page + (physical & PageMask))) : _memory.ReadMmio(physical, 8);
    }

    private uint ReadPhysical32(ulong physical)
    {
        byte* page = PhysicalPage(physical, out _);
        return page != null ? Volatile.Read(ref *(uint*)(page + (physical & PageMask))) : (uint)_memory.ReadMmio(physical, 4);
    }

    private bool SetEntryBits64(ulong physical, ulong entry, ulong bits)
    {
        byte* page = PhysicalPage(physical, out bool writable);
        if (page == null || !writable)
        {
            return true;
        }

        bool done = Interlocked.CompareExchange(ref *(ulong*)(page + (physical & PageMask)), entry | bits, entry) == entry;
        NoteStore(physical >> 12);
        return done;
    }

    private bool SetEntryBits32(ulong physical, uint entry, uint bits)
    {
        byte* page = PhysicalPage(physical, out bool writable);
        if (page == null || !writable)
        {
            return true;
        }

        bool done = Interlocked.CompareExchange(ref *(uint*)(page + (physical & PageMask)), entry | bits, entry) == entry;
        NoteStore(physical >> 12);
        return done;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private byte* PhysicalPage(ulong physical, out bool writable) => _memory.GetPage(physical & ~PageMask, out writable);
}
