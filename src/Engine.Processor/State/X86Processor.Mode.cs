using System.Runtime.CompilerServices;

namespace Hypervisor.Engine.Processor;

// What the processor's mode is, derived once when a register changes that decides it.
public sealed unsafe partial class X86Processor
{
    internal const ulong Cr0Pe = 1, Cr0Mp = 2, Cr0Em = 4, Cr0Ts = 8, Cr0Et = 0x10, Cr0Ne = 0x20, Cr0Wp = 0x10000, Cr0Am = 0x40000,
        Cr0Nw = 0x2000_0000, Cr0Cd = 0x4000_0000, Cr0Pg = 0x8000_0000;

    internal const ulong Cr4Vme = 1, Cr4Pvi = 2, Cr4Tsd = 4, Cr4De = 8, Cr4Pse = 0x10, Cr4Pae = 0x20, Cr4Mce = 0x40, Cr4Pge = 0x80,
        Cr4Pce = 0x100, Cr4Pcide = 0x20000, Cr4Osfxsr = 0x200, Cr4Osxmmexcpt = 0x400, Cr4Umip = 0x800, Cr4Fsgsbase = 0x10000, Cr4Osxsave = 0x40000,
        Cr4Smep = 0x100000, Cr4Smap = 0x200000;

    internal const ulong EferSce = 1, EferLme = 0x100, EferLma = 0x400, EferNxe = 0x800;

    private ulong _codeLimit = ulong.MaxValue;
    private bool _checksAlignment;

    // Code may reach the limit of its segment: each block is compared with it.
    private bool _limitsFetch;
    private bool _is64Bit, _isLongMode, _isRealOrVirtual8086 = true;

    /// <summary>64-bit code: long mode with CS.L.</summary>
    internal bool Is64Bit
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _is64Bit;
    }

    /// <summary>IA-32e mode, 64-bit or compatibility.</summary>
    internal bool IsLongMode => _isLongMode;

    /// <summary>Segments are loaded as paragraph numbers.</summary>
    internal bool IsRealOrVirtual8086 => _isRealOrVirtual8086;

    internal bool IsProtected => (State->Cr0 & Cr0Pe) != 0;

    internal bool IsVirtual8086 => (State->SystemFlags & Rflags.Virtual8086) != 0;

    internal int Cpl => State->Cpl;

    /// <summary>Bits of a code segment: 16, 32 or 64.</summary>
    internal int CodeBits => _is64Bit ? 64 : (State->Segments[(int)SegmentName.Cs].Attributes & SegmentState.Big) != 0 ? 32 : 16;

    /// <summary>Recomputes everything that follows from control registers, CS, SS and RFLAGS, and forgets translations.</summary>
    internal void RefreshMode()
    {
        DeriveMode();
        FlushTranslations();
    }

    /// <summary>The last address of the code segment; all ones in 64-bit code.</summary>
    internal ulong CodeLimit => _codeLimit;

    internal void DeriveMode()
    {
        _isLongMode = (State->Efer & EferLma) != 0;
        _isRealOrVirtual8086 = !IsProtected || IsVirtual8086;
        _is64Bit = _isLongMode && (State->Segments[(int)SegmentName.Cs].Attributes & SegmentState.Long) != 0;
        _codeLimit = _is64Bit ? ulong.MaxValue : State->Segments[(int)SegmentName.Cs].Limit;
        _limitsFetch = _codeLimit < uint.MaxValue;
        State->Cpl = !IsProtected ? 0 : IsVirtual8086 ? 3 : State->Segments[(int)SegmentName.Ss].Dpl;
        SelectTranslationSet();
    }

    internal void SetCpl(int cpl)
    {
        State->Cpl = cpl;
        SelectTranslationSet();
    }

    internal void SelectTranslationSet()
    {
        bool checksAlignment = State->Cpl == 3 && (State->Cr0 & Cr0Am) != 0 && (State->SystemFlags & Rflags.AlignmentCheck) != 0;
        if (checksAlignment && !_checksAlignment)
        {
            // While it is checked nothing is entered; what is there must go.
            FlushTranslations();
        }

        _checksAlignment = checksAlignment;
        DeriveInterpretation();
        var set = State->Cpl == 3 ? TranslationSet.User
            : (State->Cr4 & Cr4Smap) != 0 && (State->SystemFlags & Rflags.AlignmentCheck) == 0 ? TranslationSet.Supervisor
            : TranslationSet.SupervisorUser;
        State->Tlb = _tlb + ((int)set * TranslationBuffer.SetLength);
        RefreshStamp();
    }
}
