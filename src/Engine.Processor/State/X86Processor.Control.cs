namespace Hypervisor.Engine.Processor;

// Writes of control registers and EFER by the guest: checks and consequences (Intel SDM vol. 3A, 2.5).
public sealed unsafe partial class X86Processor
{
    private const ulong Cr0Writable = Cr0Pe | Cr0Mp | Cr0Em | Cr0Ts | Cr0Et | Cr0Ne | Cr0Wp | Cr0Am | Cr0Nw | Cr0Cd | Cr0Pg;

    private const ulong Cr4Writable = Cr4Vme | Cr4Pvi | Cr4Tsd | Cr4De | Cr4Pse | Cr4Pae | Cr4Mce | Cr4Pge | Cr4Pce | Cr4Osfxsr
        | Cr4Osxmmexcpt | Cr4Umip | Cr4Fsgsbase | Cr4Osxsave | Cr4Smep | Cr4Smap;

    internal void LoadCr0(ulong value)
    {
        if (value >> 32 != 0
            || (value & (Cr0Pg | Cr0Pe)) == Cr0Pg
            || (value & (Cr0Nw | Cr0Cd)) == Cr0Nw)
        {
            RaiseGeneralProtection();
        }

        value = (value & Cr0Writable) | Cr0Et;
        ulong changed = value ^ State->Cr0;
        if ((changed & Cr0Pg) != 0)
        {
            if ((value & Cr0Pg) == 0)
            {
                if (_is64Bit)
                {
                    RaiseGeneralProtection();
                }

                State->Efer &= ~EferLma;
            }
            else if ((State->Efer & EferLme) != 0)
            {
                if ((State->Cr4 & Cr4Pae) == 0 || (State->Segments[(int)SegmentName.Cs].Attributes & SegmentState.Long) != 0)
                {
                    RaiseGeneralProtection();
                }

                State->Efer |= EferLma;
            }
        }

        State->Cr0 = value;
        if ((changed & (Cr0Pe | Cr0Pg | Cr0Wp)) != 0)
        {
            RefreshMode();
        }
        else if ((changed & Cr0Am) != 0)
        {
            SelectTranslationSet();
        }
    }

    internal void LoadCr3(ulong value)
    {
        if (_isLongMode && (value & ~_physicalMask) != 0)
        {
            RaiseGeneralProtection();
        }

        State->Cr3 = value;
        FlushLocalTranslations();
    }

    internal void LoadCr4(ulong value)
    {
        if ((value & ~Cr4Writable) != 0 || (_isLongMode && (value & Cr4Pae) == 0))
        {
            RaiseGeneralProtection();
        }

        ulong changed = State->Cr4 ^ value;
        State->Cr4 = value;
        if ((changed & Cr4Smap) != 0)
        {
            // Translations know whether it is on.
            SetAttention(Attention.FlushBlocks);
        }

        RefreshMode();
        DeriveBreakpoints();
    }

    private bool LoadEfer(ulong value)
    {
        const ulong writable = EferSce | EferLme | EferNxe;
        if ((value & ~(writable | EferLma)) != 0 || (((value ^ State->Efer) & EferLme) != 0 && (State->Cr0 & Cr0Pg) != 0))
        {
            return false;
        }

        State->Efer = (value & writable) | (State->Efer & EferLma);
        RefreshMode();
        return true;
    }
}
