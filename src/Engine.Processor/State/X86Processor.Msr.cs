namespace Hypervisor.Engine.Processor;

// RDMSR and WRMSR (Intel SDM vol. 4). What is not known raises #GP(0).
public sealed unsafe partial class X86Processor
{
    private readonly ModelSpecificRegisters _msrs = new();

    /// <summary>
    /// IA32_ARCH_CAPABILITIES: not vulnerable to anything that speculation causes, which an interpreter does not have; so that a
    /// guest needs no mitigations. RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, IF_PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO,
    /// FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO.
    /// </summary>
    private const ulong ArchitecturalCapabilities = 1ul << 0 | 1ul << 1 | 1ul << 3 | 1ul << 4 | 1ul << 5 | 1ul << 6 | 1ul << 8 | 1ul << 13
        | 1ul << 14 | 1ul << 15 | 1ul << 20 | 1ul << 24 | 1ul << 26 | 1ul << 27 | 1ul << 62;

    internal ModelSpecificRegisters Msrs => _msrs;

    internal ulong ReadTimestamp() => _timestamp.Read() + _msrs.TscAdjust;

    /// <summary>CS, SS and flags were set together by a system call or its return.</summary>
    internal void EnterPrivilege()
    {
        _stepArmed = false;
        DeriveMode();
    }

    private static bool IsApicMsr(uint index) => index is 0x1B or 0x6E0 or (>= 0x800 and <= 0x8FF);

    private bool ReadMsr(uint index, out ulong value)
    {
        if (IsApicMsr(index))
        {
            value = 0;
            return LocalApic is { } apic && apic.TryReadMsr(index, out value);
        }

        ModelSpecificRegisters m = _msrs;
        switch (index)
        {
            case 0x10: value = ReadTimestamp(); return true;
            case 0x17: value = 0; return true;
            case 0x3A: value = m.FeatureControl; return true;
            case 0x3B: value = m.TscAdjust; return true;
            case 0x48: value = m.SpeculationControl; return true;
            case 0x8B: value = m.MicrocodeRevision; return true;
            case 0xCE: value = 0; return true;
            case 0xFE: value = 0x500 | ModelSpecificRegisters.VariableRanges; return true;
            case 0x10A: value = ArchitecturalCapabilities; return true;
            case 0x174: value = m.SysenterCs; return true;
            case 0x175: value = m.SysenterEsp; return true;
            case 0x176: value = m.SysenterEip; return true;
            case 0x179 or 0x17A: value = 0; return true;
            case 0x1A0: value = m.MiscEnable; return true;
            case 0x1D9 or 0x33: value = 0; return true;
            case 0x277: value = m.Pat; return true;
            case 0x2FF: value = m.MtrrDefault; return true;
            case 0xC000_0080: value = State->Efer; return true;
            case 0xC000_0081: value = m.Star; return true;
            case 0xC000_0082: value = m.Lstar; return true;
            case 0xC000_0083: value = m.Cstar; return true;
            case 0xC000_0084: value = m.SyscallMask; return true;
            case 0xC000_0100: value = State->Segments[(int)SegmentName.Fs].Base; return true;
            case 0xC000_0101: value = State->Segments[(int)SegmentName.Gs].Base; return true;
            case 0xC000_0102: value = m.KernelGsBase; return true;
            case 0xC000_0103: value = m.TscAux; return true;
        }

        if (index is >= 0x200 and < 0x200 + (2 * ModelSpecificRegisters.VariableRanges))
        {
            value = m.MtrrVariable[index - 0x200];
            return true;
        }

        int fixedRange = FixedRange(index);
        value = fixedRange >= 0 ? m.MtrrFixed[fixedRange] : 0;
        return fixedRange >= 0;
    }

    private static int FixedRange(uint index) => index switch
    {
        0x250 => 0,
        0x258 => 1,
        0x259 => 2,
        >= 0x268 and <= 0x26F => (int)(index - 0x268) + 3,
        _ => -1,
    };

    private bool WriteMsr(uint index, ulong value)
    {
        if (IsApicMsr(index))
        {
            bool known = LocalApic is { } apic && apic.TryWriteMsr(index, value);
            // It may have been an end of interrupt, a task priority, or a deadline that has passed.
            SetAttention(Attention.Interrupt);
            return known;
        }

        ModelSpecificRegisters m = _msrs;
        switch (index)
        {
            case 0x10: m.TscAdjust = value - _timestamp.Read(); return true;
            case 0x3A: return value == m.FeatureControl;
            case 0x3B: m.TscAdjust = value; return true;
            case 0x48: m.SpeculationControl = value & 7; return (value & ~7ul) == 0;
            case 0x49: return (value & ~1ul) == 0;
            case 0x79: return true;
            case 0x8B: return true;
            case 0x174: m.SysenterCs = (uint)value; return true;
            case 0x175: m.SysenterEsp = value; return IsCanonical(value);
            case 0x176: m.SysenterEip = value; return IsCanonical(value);
            case 0x17A: return value == 0;
            case 0x1A0: m.MiscEnable = value; return true;
            case 0x1D9 or 0x33: return true;
            case 0x277: return SetPat(value);
            case 0x2FF: m.MtrrDefault = value & 0xCFF; return true;
            case 0xC000_0080: return LoadEfer(value);
            case 0xC000_0081: m.Star = value; return true;
            case 0xC000_0082: return SetCanonical(ref m.Lstar, value);
            case 0xC000_0083: return SetCanonical(ref m.Cstar, value);
            case 0xC000_0084: m.SyscallMask = (uint)value; return true;
            case 0xC000_0100: return SetCanonical(ref State->Segments[(int)SegmentName.Fs].Base, value);
            case 0xC000_0101: return SetCanonical(ref State->Segments[(int)SegmentName.Gs].Base, value);
            case 0xC000_0102: return SetCanonical(ref m.KernelGsBase, value);
            case 0xC000_0103: m.TscAux = (uint)value; return value >> 32 == 0;
        }

        if (index is >= 0x200 and < 0x200 + (2 * ModelSpecificRegisters.VariableRanges))
        {
            m.MtrrVariable[index - 0x200] = value;
            return true;
        }

        int fixedRange = FixedRange(index);
        if (fixedRange >= 0)
        {
            m.MtrrFixed[fixedRange] = value;
        }

        return fixedRange >= 0;
    }

    private static bool SetCanonical(ref ulong place, ulong value)
    {
        if (!IsCanonical(value))
        {
            return false;
        }

        place = value;
        return true;
    }

    private bool SetPat(ulong value)
    {
        for (int n = 0; n < 64; n += 8)
        {
            if ((byte)(value >> n) is not (0 or 1 or 4 or 5 or 6 or 7))
            {
                return false;
            }
        }

        _msrs.Pat = value;
        return true;
    }
}
