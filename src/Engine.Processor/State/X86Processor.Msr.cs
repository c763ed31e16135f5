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

    private const uint ApicBaseMsr = 0x1B, TscDeadline = 0x6E0;

    /// <summary>IBRS, STIBP, SSBD and BHI_DIS_S: kept, and without effect on what never speculates.</summary>
    private const ulong SpeculationControls = 7 | 1ul << 10;

    internal ModelSpecificRegisters Msrs => _msrs;

    internal ulong ReadTimestamp() => _timestamp.Read() + _msrs.TscAdjust;

    /// <summary>CS, SS and flags were set together by a system call or its return.</summary>
    internal void EnterPrivilege()
    {
        // The trap follows these instructions when TF is set behind them, not before (SYSCALL masks it, SYSRET restores it).
        _stepArmed = (State->SystemFlags & Rflags.Trap) != 0;
        DeriveMode();
    }

    private static bool IsApicMsr(uint index) => index is ApicBaseMsr or TscDeadline or (>= 0x800 and <= 0x8FF);

    private bool ReadMsr(uint index, out ulong value)
    {
        if (IsApicMsr(index))
        {
            value = 0;
            bool was = LeaveGuest();
            bool readable = LocalApic is { } apic && apic.TryReadMsr(index, out value);
            ReturnToGuest(was);
            if (index == TscDeadline && value != 0)
            {
                value += _msrs.TscAdjust;
            }

            return readable;
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
            case 0x10A: value = ArchitecturalCapabilities; return true;
            case 0x174: value = m.SysenterCs; return true;
            case 0x175: value = m.SysenterEsp; return true;
            case 0x176: value = m.SysenterEip; return true;
            case 0x1A0: value = m.MiscEnable; return true;
            case 0x1D9 or 0x33: value = 0; return true;
            case 0xDA0: value = 0; return true;
            case 0xC000_0080: value = State->Efer; return true;
            case 0xC000_0081: value = m.Star; return true;
            case 0xC000_0082: value = m.Lstar; return true;
            case 0xC000_0083: value = m.Cstar; return true;
            case 0xC000_0084: value = m.SyscallMask; return true;
            case 0xC000_0100: value = State->Segments[(int)SegmentName.Fs].Base; return true;
            case 0xC000_0101: value = State->Segments[(int)SegmentName.Gs].Base; return true;
            case 0xC000_0102: value = State->KernelGsBase; return true;
            case 0xC000_0103: value = m.TscAux; return true;
        }

        return TryReadMemoryType(index, out value) || TryReadMachineCheck(index, out value);
    }

    private bool WriteMsr(uint index, ulong value)
    {
        if (IsApicMsr(index))
        {
            bool addressable = index != ApicBaseMsr || (value & ~_physicalMask) == 0;
            bool was = LeaveGuest();
            bool known = addressable && LocalApic is { } apic && apic.TryWriteMsr(index, ToApic(index, value));
            ReturnToGuest(was);
            // It may have been an end of interrupt, a task priority, or a deadline that has passed.
            SetAttention(Attention.Interrupt);
            return known;
        }

        ModelSpecificRegisters m = _msrs;
        switch (index)
        {
            case 0x10: AdjustTimestamp(value - _timestamp.Read()); return true;
            case 0x3A: return value == m.FeatureControl;
            case 0x3B: AdjustTimestamp(value); return true;
            case 0x48: return SetIf((value & ~SpeculationControls) == 0, ref m.SpeculationControl, value);
            case 0x49: return (value & ~1ul) == 0;
            case 0x79: return true;
            case 0x8B: return true;
            case 0x174: m.SysenterCs = (uint)value; return true;
            case 0x175: return SetCanonical(ref m.SysenterEsp, value);
            case 0x176: return SetCanonical(ref m.SysenterEip, value);
            case 0x1A0: m.MiscEnable = value; return true;
            case 0x1D9 or 0x33: return true;
            // IA32_XSS: there are no supervisor components.
            case 0xDA0: return value == 0;
            case 0xC000_0080: return LoadEfer(value);
            case 0xC000_0081: m.Star = value; return true;
            case 0xC000_0082: return SetCanonical(ref m.Lstar, value);
            case 0xC000_0083: return SetCanonical(ref m.Cstar, value);
            case 0xC000_0084: m.SyscallMask = (uint)value; return true;
            case 0xC000_0100: return SetCanonical(ref State->Segments[(int)SegmentName.Fs].Base, value);
            case 0xC000_0101: return SetCanonical(ref State->Segments[(int)SegmentName.Gs].Base, value);
            case 0xC000_0102: return SetCanonical(ref State->KernelGsBase, value);
            case 0xC000_0103: return SetIf(value >> 32 == 0, ref m.TscAux, value);
        }

        return TryWriteMemoryType(index, value) || TryWriteMachineCheck(index, value);
    }

    private static bool SetCanonical(ref ulong place, ulong value) => SetIf(IsCanonical(value), ref place, value);

    // The APIC's deadlines are times of the machine's counter; the guest's are of its own, adjusted one.
    private ulong ToApic(uint index, ulong value)
    {
        if (index != TscDeadline || value == 0)
        {
            return value;
        }

        ulong deadline = value - _msrs.TscAdjust;
        return deadline == 0 ? 1 : deadline;
    }

    private void AdjustTimestamp(ulong adjust)
    {
        ulong moved = _msrs.TscAdjust - adjust;
        _msrs.TscAdjust = adjust;
        bool was = LeaveGuest();
        if (LocalApic is { } apic && apic.TryReadMsr(TscDeadline, out ulong deadline) && deadline != 0)
        {
            apic.TryWriteMsr(TscDeadline, deadline + moved == 0 ? 1 : deadline + moved);
        }

        ReturnToGuest(was);
    }
}
