namespace Hypervisor.Engine.Processor;

// Debug registers and what they watch for (Intel SDM vol. 3A, chapter 18). While nothing is armed nothing is looked at: breakpoints on
// code cut blocks down to single instructions, those on data keep their pages out of the translation buffer, so that each access goes
// the slow way and is compared there.
public sealed unsafe partial class X86Processor
{
    internal const ulong Dr6Detected = 1 << 13, Dr6SingleStep = 1 << 14, Dr6TaskSwitch = 1 << 15;

    private const ulong Dr6Fixed = 0xFFFF_0FF0, Dr6Writable = 0xE00F, Dr6Breakpoints = 0xF, Dr7Fixed = 0x400, Dr7Writable = 0xFFFF_23FF;

    private const ulong Dr7LocalEnables = 0x155, Dr7GeneralDetect = 1 << 13;

    private const int Breakpoints = 4;

    // Bits of DR6 that the trap after the running instruction is to set.
    private ulong _debugPending;

    private bool _watchesCode, _watchesData, _watchesPorts, _mustInterpret;

    // Interrupts and traps are held back by a load of SS, where the shadow of STI holds interrupts only.
    private bool _stackShadow;

    private enum BreakpointKind
    {
        Execute, Write, Port, ReadWrite,
    }

    /// <summary>
    /// Every instruction is to be looked at by itself: TF is set, a breakpoint is armed, or alignment is checked. Code in this state
    /// runs in the interpreter only.
    /// </summary>
    internal bool MustInterpret => _mustInterpret;

    /// <summary>#DB before an access to a debug register while DR7.GD guards them.</summary>
    internal void CheckDebugAccess()
    {
        if ((State->Debug[7] & Dr7GeneralDetect) != 0)
        {
            ReportDebug(Dr6Detected);
            Raise(Vector.Debug);
        }
    }

    /// <summary>Sets DR0–DR3, DR6 or DR7; bits that are fixed stay so.</summary>
    internal void SetDebug(int number, ulong value)
    {
        State->Debug[number] = number switch
        {
            6 => (value & Dr6Writable) | Dr6Fixed,
            7 => (value & Dr7Writable) | Dr7Fixed,
            _ => value,
        };
        if (number != 6)
        {
            DeriveBreakpoints();
        }
    }

    /// <summary>STI holds back interrupts until the instruction after it is through.</summary>
    internal void ShadowInterrupts(ulong next)
    {
        State->ShadowRip = next;
        _stackShadow = false;
    }

    /// <summary>A load of SS holds back interrupts and debug traps until the instruction after it is through (vol. 3A, 6.8.3).</summary>
    internal void ShadowStackLoad(ulong next)
    {
        State->ShadowRip = next;
        _stackShadow = true;
    }

    /// <summary>A repeated instruction is left before its end: RF lets what is left of it pass.</summary>
    internal void LeaveRepeated()
    {
        if (_watchesCode)
        {
            State->SystemFlags |= Rflags.Resume;
        }
    }

    // The instruction at hand has done nothing yet, and is left: no trap is due for it, and it is not stopped at twice.
    private void BeginAgain(DecodedInstruction* i)
    {
        State->Retired += (ulong)(i->Ordinal - 1);
        State->Rip = InstructionPointer(i);
        _stepArmed = false;
        _debugPending &= Dr6TaskSwitch;
        LeaveRepeated();
    }

    // What is armed, after a change of the debug registers or of CR4.DE.
    private void DeriveBreakpoints()
    {
        bool watchedData = _watchesData;
        _watchesCode = _watchesData = _watchesPorts = false;
        for (int n = 0; n < Breakpoints; n++)
        {
            if (IsArmed(n))
            {
                BreakpointKind kind = KindOf(n);
                _watchesCode |= kind == BreakpointKind.Execute;
                _watchesData |= kind is BreakpointKind.Write or BreakpointKind.ReadWrite;
                _watchesPorts |= kind == BreakpointKind.Port && (State->Cr4 & Cr4De) != 0;
            }
        }

        if (watchedData || _watchesData)
        {
            FlushTranslations();
        }

        SelectTranslationSet();
    }

    private void DeriveInterpretation() =>
        _mustInterpret = _watchesCode || _watchesData || _watchesPorts || _checksAlignment || (State->SystemFlags & Rflags.Trap) != 0;

    private bool IsArmed(int number) => ((State->Debug[7] >> (number * 2)) & 3) != 0;

    private BreakpointKind KindOf(int number) => (BreakpointKind)((State->Debug[7] >> (16 + (number * 4))) & 3);

    // 1, 2, 8 and 4 bytes (vol. 3A, 18.2.4).
    private ulong LengthOf(int number) => ((State->Debug[7] >> (18 + (number * 4))) & 3) switch
    {
        0 => 1,
        1 => 2,
        2 => 8,
        _ => 4,
    };

    /// <summary>
    /// Before an instruction that is looked at by itself: false where a breakpoint stands at it, with #DB pending; otherwise sees to it
    /// that the loop looks up behind it.
    /// </summary>
    private bool BeginWatched(ulong linear)
    {
        bool steps = (State->SystemFlags & Rflags.Trap) != 0;
        if (_watchesCode)
        {
            bool passes = (State->SystemFlags & Rflags.Resume) != 0 || (_inShadow && _stackShadow);
            State->SystemFlags &= ~Rflags.Resume;
            ulong hits = passes ? 0 : CodeHits(linear);
            if (hits != 0)
            {
                ReportDebug(hits);
                _pendingVector = Vector.Debug;
                _pendingHasErrorCode = false;
                return false;
            }
        }

        _stepArmed = steps;
        if (steps || _watchesCode || _watchesData)
        {
            SetAttention(Attention.SingleStep);
        }

        return true;
    }

    private ulong CodeHits(ulong linear)
    {
        ulong hits = 0;
        for (int n = 0; n < Breakpoints; n++)
        {
            if (IsArmed(n) && KindOf(n) == BreakpointKind.Execute && State->Debug[n] == linear)
            {
                hits |= 1ul << n;
            }
        }

        return hits;
    }

    /// <summary>Whether a page holds bytes that are watched: it must not be entered into the translation buffer.</summary>
    private bool IsWatchedPage(ulong linear)
    {
        for (int n = 0; n < Breakpoints; n++)
        {
            if (IsArmed(n) && KindOf(n) is BreakpointKind.Write or BreakpointKind.ReadWrite && ((State->Debug[n] ^ linear) & ~PageMask) == 0)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Compares an access with the breakpoints on data; what it hits is trapped after the instruction.</summary>
    private void NoteAccess(ulong linear, int size, bool write)
    {
        for (int n = 0; n < Breakpoints; n++)
        {
            BreakpointKind kind = KindOf(n);
            if (IsArmed(n) && (kind == BreakpointKind.ReadWrite || (write && kind == BreakpointKind.Write)))
            {
                NoteHit(n, linear, (ulong)size);
            }
        }
    }

    /// <summary>Compares an access with the breakpoints on ports.</summary>
    private void NotePort(ushort port, int size)
    {
        for (int n = 0; n < Breakpoints; n++)
        {
            if (IsArmed(n) && KindOf(n) == BreakpointKind.Port)
            {
                NoteHit(n, port, (ulong)size);
            }
        }
    }

    // The breakpoint's address is taken as a multiple of its length (vol. 3A, 18.2.5).
    private void NoteHit(int number, ulong address, ulong size)
    {
        ulong length = LengthOf(number);
        ulong first = State->Debug[number] & ~(length - 1);
        if (address < first + length && first < address + size)
        {
            _debugPending |= 1ul << number;
            SetAttention(Attention.SingleStep);
        }
    }

    // Delivers the trap that is due behind an instruction.
    private void AttendTraps()
    {
        if (!_stepArmed && _debugPending == 0)
        {
            if (!_watchesCode && !_watchesData && (State->SystemFlags & Rflags.Trap) == 0)
            {
                TakeAttention(Attention.SingleStep);
            }

            return;
        }

        bool steps = _stepArmed;
        _stepArmed = false;
        if (_stackShadow && State->ShadowRip == State->Rip)
        {
            // What the load of SS itself hit waits; its step is that of the next instruction.
            return;
        }

        ReportDebug(_debugPending | (steps ? Dr6SingleStep : 0));
        _debugPending = 0;
        _activity = Activity.Running;
        DeliverTrap(Vector.Debug);
    }

    // B0 to B3 say what this exception was raised for; the other conditions stay until software clears them (vol. 3A, 18.2.3).
    private void ReportDebug(ulong conditions) => State->Debug[6] = (State->Debug[6] & ~Dr6Breakpoints) | conditions;

    // A task switch disables the breakpoints of one task; the T bit of the new one raises #DB before its first instruction.
    private void LeaveDebugTask(bool trap)
    {
        SetDebug(7, State->Debug[7] & ~Dr7LocalEnables);
        if (trap)
        {
            _debugPending |= Dr6TaskSwitch;
            SetAttention(Attention.SingleStep);
        }
    }
}
