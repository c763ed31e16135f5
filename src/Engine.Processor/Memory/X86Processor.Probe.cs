namespace Hypervisor.Engine.Processor;

// Linear to physical for whoever looks from outside: asks for no permission, sets no A bit, raises nothing, and reads no device.
public sealed unsafe partial class X86Processor
{
    private bool TryProbe(ulong linear, out ulong physical)
    {
        physical = (uint)linear;
        if ((State->Cr0 & Cr0Pg) == 0)
        {
            return true;
        }

        if (IsLongMode)
        {
            return (ulong)((long)linear << 16 >> 16) == linear && TryProbeLevels(linear, State->Cr3 & _physicalMask & ~PageMask, 39, ref physical);
        }

        if ((State->Cr4 & Cr4Pae) != 0)
        {
            return TryProbeEntry((State->Cr3 & 0xFFFF_FFE0) + (((uint)linear >> 30) * 8), sizeof(ulong), out ulong pointer)
                && TryProbeLevels((uint)linear, pointer & _physicalMask & ~PageMask, 21, ref physical);
        }

        if (!TryProbeEntry((State->Cr3 & 0xFFFF_F000) + (((uint)linear >> 22) * 4), sizeof(uint), out ulong entry))
        {
            return false;
        }

        if ((entry & PteLarge) != 0 && (State->Cr4 & Cr4Pse) != 0)
        {
            // PSE-36 (Intel SDM vol. 3A, 4.3): bits 13-20 of a 4 MB entry are address bits 32-39.
            physical = ((entry & 0x1FE000) << 19 | entry & 0xFFC0_0000 | linear & 0x3F_FFFF) & _physicalMask;
            return true;
        }

        if (!TryProbeEntry((entry & 0xFFFF_F000) + (((linear >> 12) & 0x3FF) * 4), sizeof(uint), out entry))
        {
            return false;
        }

        physical = entry & 0xFFFF_F000 | linear & PageMask;
        return true;
    }

    private bool TryProbeLevels(ulong linear, ulong table, int shift, ref ulong physical)
    {
        for (; ; shift -= 9)
        {
            if (!TryProbeEntry(table + (((linear >> shift) & 0x1FF) * 8), sizeof(ulong), out ulong entry))
            {
                return false;
            }

            if (shift == 12 || ((entry & PteLarge) != 0 && shift <= 30))
            {
                ulong offset = (1ul << shift) - 1;
                physical = (entry & _physicalMask & ~PageMask & ~offset) | (linear & offset);
                return true;
            }

            table = entry & _physicalMask & ~PageMask;
        }
    }

    private bool TryProbeEntry(ulong address, int size, out ulong entry)
    {
        byte* page = PhysicalPage(address, forWriting: false, out _);
        byte* at = page + (address & PageMask);
        entry = page == null ? 0 : size == sizeof(ulong) ? Volatile.Read(ref *(ulong*)at) : Volatile.Read(ref *(uint*)at);
        return (entry & PtePresent) != 0;
    }
}
