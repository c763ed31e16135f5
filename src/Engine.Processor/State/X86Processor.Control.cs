namespace Hypervisor.Engine.Processor;

// Writes of control registers and EFER by the guest: checks and consequences (Intel SDM vol. 3A, 2.5).
public sealed unsafe partial class X86Processor
{
    private const ulong Cr0Writable = Cr0Pe | Cr0Mp | Cr0Em | Cr0Ts | Cr0Et | Cr0Ne | Cr0Wp | Cr0Am | Cr0Nw | Cr0Cd | Cr0Pg;

    private const ulong Cr4Writable = Cr4Vme | Cr4Pvi | Cr4Tsd | Cr4De | Cr4Pse | Cr4Pae | Cr4Mce | Cr4Pge | Cr4Pce | Cr4Osfxsr
        | Cr4Osxmmexcpt | Cr4Umip | Cr4Fsgsbase | Cr4Pcide | Cr4Osxsave | Cr4Smep | Cr4Smap;

    private const ulong Cr3Context = 0xFFF, Cr3KeepsTranslations = 1ul << 63;

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
                if (_is64Bit || (State->Cr4 & Cr4Pcide) != 0)
                {
                    RaiseGeneralProtection();
                }

                State->Efer &= ~EferLma;
            }
            else if ((State->Efer & EferLme) == 0)
            {
                if (!ArePointersValid(State->Cr3, State->Cr4))
                {
                    RaiseGeneralProtection();
                }
            }
            else
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

    // PAE paging outside long mode: the four pointers are checked when CR3 is loaded or paging changes (vol. 3A, 4.4.1). They are read
    // at each walk all the same; nothing but their address is kept.
    private bool ArePointersValid(ulong cr3, ulong cr4)
    {
        const ulong reserved = 0x1E6;
        if ((cr4 & Cr4Pae) == 0 || _isLongMode)
        {
            return true;
        }

        for (uint n = 0; n < 4; n++)
        {
            ulong pointer = ReadPhysical64((cr3 & 0xFFFF_FFE0) + (n * 8));
            if ((pointer & PtePresent) != 0 && (pointer & (reserved | ~_physicalMask)) != 0)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>INVPCID (vol. 2). Forgets more than it must where contexts are told apart.</summary>
    internal void InvalidateContext(ulong kind, ulong context, ulong linear)
    {
        bool enabled = (State->Cr4 & Cr4Pcide) != 0;
        bool valid = kind switch
        {
            0 => (enabled || context == 0) && IsCanonical(linear),
            1 => enabled || context == 0,
            2 or 3 => true,
            _ => false,
        };
        if (!valid || (context & ~Cr3Context) != 0)
        {
            RaiseGeneralProtection();
        }

        switch (kind)
        {
            case 0: FlushTranslation(linear); break;
            case 2: FlushTranslations(); break;
            default: FlushLocalTranslations(); break;
        }
    }

    internal void LoadCr3(ulong value)
    {
        if ((State->Cr4 & Cr4Pcide) != 0)
        {
            // Translations may be kept for the process-context identifier; forgetting them all the same is allowed (vol. 3A, 4.10.4.1).
            value &= ~Cr3KeepsTranslations;
        }

        if ((_isLongMode && (value & ~_physicalMask) != 0)
            || ((State->Cr0 & Cr0Pg) != 0 && !ArePointersValid(value, State->Cr4)))
        {
            RaiseGeneralProtection();
        }

        State->Cr3 = value;
        FlushLocalTranslations();
    }

    internal void LoadCr4(ulong value)
    {
        const ulong pointers = Cr4Pae | Cr4Pge | Cr4Pse | Cr4Smep;
        ulong changed = value ^ State->Cr4;
        bool startsContexts = (changed & value & Cr4Pcide) != 0;
        if ((value & ~Cr4Writable) != 0 || (_isLongMode && (value & Cr4Pae) == 0)
            || (startsContexts && (!_isLongMode || (State->Cr3 & Cr3Context) != 0))
            || ((State->Cr0 & Cr0Pg) != 0 && (changed & pointers) != 0 && !ArePointersValid(State->Cr3, value)))
        {
            RaiseGeneralProtection();
        }

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
