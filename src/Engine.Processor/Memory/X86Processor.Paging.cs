using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Processor;

// Linear to physical: the page walk (Intel SDM vol. 3A, chapter 4) and the filling of the translation buffer.
public sealed unsafe partial class X86Processor
{
    private const ulong PtePresent = 1, PteWrite = 2, PteUser = 4, PteAccessed = 0x20, PteDirty = 0x40, PteLarge = 0x80, PteGlobal = 0x100,
        PteNoExecute = 1ul << 63;

    private const uint FaultPresent = 1, FaultWrite = 2, FaultUser = 4, FaultReserved = 8, FaultFetch = 16;

    private readonly ulong _physicalMask;

    // How often others may change an entry between the look at it and the setting of its bits before these are set in whatever is there. A
    // processor's walk does not fail; one that began again for as long as somebody changes the entry could go on for ever.
    private const int MostChanges = 1000;

    // What was walked last.
    private PageKind _walked;

    // An access by the processor itself (descriptor tables, TSS) is a supervisor access whatever the CPL.
    private bool _implicitSupervisor;

    /// <summary>
    /// The physical address of a linear one; raises what the access must raise. Data accesses to memory are entered into the
    /// translation buffer.
    /// </summary>
    internal ulong Translate(ulong linear, AccessKind kind)
    {
        if (!TryTranslate(linear, kind, out ulong physical))
        {
            throw _guestException;
        }

        return physical;
    }

    /// <summary>As <see cref="Translate(ulong, AccessKind)"/>, but what must be raised is left pending, and the answer is false.</summary>
    internal bool TryTranslate(ulong linear, AccessKind kind, out ulong physical)
    {
        bool writable;
        _walked = PageKind.None;
        if ((State->Cr0 & Cr0Pg) == 0)
        {
            linear = (uint)linear;
            physical = linear;
            writable = true;
        }
        else if (!TryWalk(linear, kind, out physical, out writable))
        {
            return false;
        }

        if (kind != AccessKind.Execute)
        {
            Enter(linear, physical, kind, writable);
        }

        return true;
    }

    private void NoteLeaf(ulong entry, int shift)
    {
        _walked = ((entry & PteGlobal) != 0 && (State->Cr4 & Cr4Pge) != 0 ? PageKind.Global : PageKind.None)
            | (shift == 30 ? PageKind.Huge : shift > 12 ? PageKind.Large : PageKind.None);
    }

    // Finds the physical address; writable says whether later stores need no further walk (permitted, and dirty is set).
    private bool TryWalk(ulong linear, AccessKind kind, out ulong physical, out bool writable)
    {
        physical = 0;
        writable = false;
        bool pae = (State->Cr4 & Cr4Pae) != 0;
        return IsLongMode ? TryWalkLong(linear, kind, ref physical, ref writable)
            : pae ? TryWalkPae((uint)linear, kind, ref physical, ref writable)
            : TryWalkLegacy((uint)linear, kind, ref physical, ref writable);
    }

    private bool TryWalkLong(ulong linear, AccessKind kind, ref ulong physical, ref bool writable)
    {
        if ((ulong)((long)linear << 16 >> 16) != linear)
        {
            DecodedInstruction* i = State->Current;
            return Pend(i != null && i->Segment == (byte)SegmentName.Ss ? Vector.StackFault : Vector.GeneralProtection, 0);
        }

        return TryWalkLevels(linear, kind, State->Cr3 & _physicalMask & ~PageMask, 39, PteUser | PteWrite, ref physical, ref writable);
    }

    private bool TryWalkPae(uint linear, AccessKind kind, ref ulong physical, ref bool writable)
    {
        // The four page-directory pointers have no rights of their own (vol. 3A, 4.4.1).
        ulong pdpte = ReadPhysical64((State->Cr3 & 0xFFFF_FFE0) + ((linear >> 30) * 8));
        if ((pdpte & PtePresent) == 0)
        {
            return PendPageFault(linear, FaultCode(kind, 0));
        }

        return TryWalkLevels(linear, kind, pdpte & _physicalMask & ~PageMask, 21, PteUser | PteWrite, ref physical, ref writable);
    }

    private bool TryWalkLevels(
        ulong linear, AccessKind kind, ulong table, int shift, ulong rights, ref ulong physical, ref bool writable)
    {
        bool nxe = (State->Efer & EferNxe) != 0;
        ulong reserved = ~_physicalMask & 0x000F_FFFF_FFFF_F000 | (nxe ? 0 : PteNoExecute);
        ulong noExecute = 0;
        int changes = 0;
        while (true)
        {
            ulong address = table + (((linear >> shift) & 0x1FF) * 8);
            ulong entry = ReadPhysical64(address);
            if ((entry & PtePresent) == 0)
            {
                return PendPageFault(linear, FaultCode(kind, 0));
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
                return PendPageFault(linear, FaultCode(kind, FaultPresent | FaultReserved));
            }

            rights &= entry;
            noExecute |= entry & PteNoExecute;
            if (!leaf)
            {
                if ((entry & PteAccessed) == 0 && !SetEntryBits64(address, entry, PteAccessed, ref changes))
                {
                    continue;
                }

                table = entry & _physicalMask & ~PageMask;
                shift -= 9;
                continue;
            }

            if (!IsAllowed(kind, rights, noExecute != 0))
            {
                return PendPageFault(linear, FaultCode(kind, FaultPresent));
            }

            ulong set = PteAccessed | (kind == AccessKind.Write ? PteDirty : 0);
            if ((entry & set) != set && !SetEntryBits64(address, entry, set, ref changes))
            {
                continue;
            }

            NoteLeaf(entry, shift);
            writable = ((entry | set) & PteDirty) != 0 && MayWrite(rights);
            ulong offset = (1ul << shift) - 1;
            physical = (entry & _physicalMask & ~PageMask & ~offset) | (linear & offset);
            return true;
        }
    }

    private bool TryWalkLegacy(uint linear, AccessKind kind, ref ulong physical, ref bool writable)
    {
        int changes = 0;
        while (true)
        {
            ulong directoryAddress = (State->Cr3 & 0xFFFF_F000) + ((linear >> 22) * 4);
            uint directory = ReadPhysical32(directoryAddress);
            if ((directory & PtePresent) == 0)
            {
                return PendPageFault(linear, FaultCode(kind, 0));
            }

            bool large = (directory & PteLarge) != 0 && (State->Cr4 & Cr4Pse) != 0;
            ulong rights = directory & (PteUser | PteWrite);
            ulong address = directoryAddress;
            uint entry = directory;
            if (!large)
            {
                if ((directory & PteAccessed) == 0 && !SetEntryBits32(directoryAddress, directory, (uint)PteAccessed, ref changes))
                {
                    continue;
                }

                address = (directory & 0xFFFF_F000) + (((linear >> 12) & 0x3FF) * 4);
                entry = ReadPhysical32(address);
                if ((entry & PtePresent) == 0)
                {
                    return PendPageFault(linear, FaultCode(kind, 0));
                }

                rights &= entry;
            }

            if (!IsAllowed(kind, rights, noExecute: false))
            {
                return PendPageFault(linear, FaultCode(kind, FaultPresent));
            }

            uint set = (uint)(PteAccessed | (kind == AccessKind.Write ? PteDirty : 0));
            if ((entry & set) != set && !SetEntryBits32(address, entry, set, ref changes))
            {
                continue;
            }

            NoteLeaf(entry, large ? 22 : 12);
            writable = ((entry | set) & PteDirty) != 0 && MayWrite(rights);
            // PSE-36 (vol. 3A, 4.3): bits 13–20 of a 4 MB entry are address bits 32–39.
            physical = large
                ? (((ulong)entry & 0x1FE000) << 19 | entry & 0xFFC0_0000 | linear & 0x3F_FFFF) & _physicalMask
                : entry & 0xFFFF_F000 | linear & 0xFFF;
            return true;
        }
    }

    private bool AsUser => State->Cpl == 3 && !_implicitSupervisor;

    private bool MayWrite(ulong rights) => (rights & PteWrite) != 0 || (!AsUser && (State->Cr0 & Cr0Wp) == 0);

    private bool IsAllowed(AccessKind kind, ulong rights, bool noExecute)
    {
        bool userPage = (rights & PteUser) != 0;
        if (AsUser)
        {
            return userPage && (kind != AccessKind.Write || (rights & PteWrite) != 0) && (kind != AccessKind.Execute || !noExecute);
        }

        if (kind == AccessKind.Execute)
        {
            return !noExecute && !(userPage && (State->Cr4 & Cr4Smep) != 0);
        }

        // SMAP (vol. 3A, 4.6.1): AC lifts it for explicit accesses only.
        bool smap = userPage && (State->Cr4 & Cr4Smap) != 0
            && (_implicitSupervisor || (State->SystemFlags & Rflags.AlignmentCheck) == 0);
        return !smap && (kind != AccessKind.Write || MayWrite(rights));
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

    private ulong ReadPhysical64(ulong physical)
    {
        byte* page = PhysicalPage(physical, forWriting: false, out _);
        return page != null ? Volatile.Read(ref *(ulong*)(page + (physical & PageMask))) : ReadDevice(physical, 8);
    }

    private uint ReadPhysical32(ulong physical)
    {
        byte* page = PhysicalPage(physical, forWriting: false, out _);
        return page != null ? Volatile.Read(ref *(uint*)(page + (physical & PageMask))) : (uint)ReadDevice(physical, 4);
    }

    private bool SetEntryBits64(ulong physical, ulong entry, ulong bits, ref int changes)
    {
        byte* page = PhysicalPage(physical, forWriting: true, out bool writable);
        if (page == null || !writable)
        {
            return true;
        }

        ref ulong place = ref *(ulong*)(page + (physical & PageMask));
        bool done = Interlocked.CompareExchange(ref place, entry | bits, entry) == entry;
        if (!done && ++changes > MostChanges)
        {
            Interlocked.Or(ref place, bits);
            done = true;
        }

        NoteStore(physical >> 12);
        return done;
    }

    private bool SetEntryBits32(ulong physical, uint entry, uint bits, ref int changes)
    {
        byte* page = PhysicalPage(physical, forWriting: true, out bool writable);
        if (page == null || !writable)
        {
            return true;
        }

        ref uint place = ref *(uint*)(page + (physical & PageMask));
        bool done = Interlocked.CompareExchange(ref place, entry | bits, entry) == entry;
        if (!done && ++changes > MostChanges)
        {
            Interlocked.Or(ref place, bits);
            done = true;
        }

        NoteStore(physical >> 12);
        return done;
    }
}
