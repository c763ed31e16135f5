using Iced.Intel;

namespace Hypervisor.Engine.Processor.Translation;

// What kernels do all the time to the flags that are not arithmetic, and instructions that address bits.
internal sealed unsafe partial class BlockTranslator
{
    private const int InterruptByte = 1, AccessByte = 2;
    private const int AccessBit = (int)(Rflags.AlignmentCheck >> 16);
    private const int FixedFlag = (int)Rflags.Fixed;

    private bool TryEmitSystem(in Instruction instruction)
    {
        if (instruction.Code == (_wide ? Code.Pushfq : Code.Pushfd))
        {
            return TryEmitPushFlags();
        }

        if (instruction.Code == Code.Cld)
        {
            // Nearly always clear already.
            _code.LoadStateByte(HostRegister.Count, StateLayout.SystemFlags + InterruptByte);
            _code.LoadTableByte(HostRegister.Count, StateLayout.Downwards, HostRegister.Count);
            EmitLeaveUnlessZero();
            return true;
        }

        if (_set == (int)TranslationSet.User)
        {
            return false;
        }

        switch (instruction.Code)
        {
            case Code.Cli:
                _code.LoadStateByte(HostRegister.Count, StateLayout.SystemFlags + InterruptByte);
                _code.LoadTableByte(HostRegister.Count, StateLayout.WithoutInterrupt, HostRegister.Count);
                _code.StoreStateLowByte(StateLayout.SystemFlags + InterruptByte, HostRegister.Count);
                return true;
            case Code.Sti:
                return TryEmitSetInterrupt();
            case Code.Swapgs when _wide:
                _code.LoadState(HostRegister.Count, StateLayout.SegmentBase(SegmentName.Gs));
                _code.LoadState(HostRegister.Translation, StateLayout.KernelGsBase);
                _code.StoreState(StateLayout.KernelGsBase, HostRegister.Count);
                _code.StoreState(StateLayout.SegmentBase(SegmentName.Gs), HostRegister.Translation);
                return true;
            case Code.Stac or Code.Clac:
                return _restrictsUserPages && EmitAccess(instruction.Code == Code.Stac);
            default:
                return false;
        }
    }

    // An interrupt that waits goes the interpreter's way. One that comes later is seen at the next poll, which must not be in front
    // of the next instruction: STI holds interrupts back until it is through (Intel SDM vol. 2, STI).
    private bool TryEmitSetInterrupt()
    {
        if (_remaining == 0 || _nextIsBranch)
        {
            return false;
        }

        _code.LoadStateByte(HostRegister.Count, StateLayout.InterruptHeld);
        byte* none = _code.JumpIfCountZero();
        _code.Call(_slow);
        _code.Land(none);
        _code.LoadStateByte(HostRegister.Count, StateLayout.SystemFlags + InterruptByte);
        _code.LoadTableByte(HostRegister.Count, StateLayout.WithoutInterrupt, HostRegister.Count);
        _code.Lea(HostRegister.Count, HostRegister.Count, (int)(Rflags.Interrupt >> 8));
        _code.StoreStateLowByte(StateLayout.SystemFlags + InterruptByte, HostRegister.Count);
        return true;
    }

    // With SMAP the set tells what AC is. What follows runs with the other set.
    private bool EmitAccess(bool allow)
    {
        int after = (int)(allow ? TranslationSet.SupervisorUser : TranslationSet.Supervisor);
        if (_set != after)
        {
            _code.LoadStateByte(HostRegister.Count, StateLayout.SystemFlags + AccessByte);
            _code.Lea(HostRegister.Count, HostRegister.Count, allow ? AccessBit : -AccessBit);
            _code.StoreStateLowByte(StateLayout.SystemFlags + AccessByte, HostRegister.Count);
            _code.MoveImmediate(HostRegister.Count, (ulong)(_sets + (after * TranslationBuffer.SetLength)));
            _code.StoreState(StateLayout.Tlb, HostRegister.Count);
            _set = after;
        }

        return true;
    }

    private bool TryEmitPushFlags()
    {
        if (!HostFeatures.HasFastExtract)
        {
            return false;
        }

        EmitPushCheck();
        EmitPushPlace();
        _code.Bytes(0x9C, 0x59); // PUSHFQ; POP RCX
        _code.Extract(HostRegister.Count, HostRegister.Count, StateLayout.FlagsMask);
        _code.Deposit(HostRegister.Count, HostRegister.Count, StateLayout.FlagsMask);
        _code.LoadState(HostRegister.Translation, StateLayout.SystemFlags);
        _code.Lea(HostRegister.Count, HostRegister.Count, HostRegister.Translation, 0, FixedFlag);
        _code.Store(HostRegister.Address, HostRegister.None, HostRegister.Count, wide: _wide);
        EmitStackChange(-_slot);
        return true;
    }

    // MOV from a control register that reads as it is kept.
    private bool TryEmitControlRegister(in Instruction instruction)
    {
        int place = instruction.Op1Register switch
        {
            Register.CR0 => StateLayout.Cr0,
            Register.CR2 => StateLayout.Cr2,
            Register.CR3 => StateLayout.Cr3,
            Register.CR4 => StateLayout.Cr4,
            _ => HostRegister.None,
        };
        if (_set == (int)TranslationSet.User || place == HostRegister.None)
        {
            return false;
        }

        int guest = NumberOf(instruction.Op0Register);
        int home = HostRegister.Home(guest);
        int to = home == HostRegister.None ? HostRegister.Count : home;
        if (_wide)
        {
            _code.LoadState(to, place);
        }
        else
        {
            _code.LoadState32(to, place);
        }

        if (home == HostRegister.None)
        {
            _code.StoreState(StateLayout.Register(guest), to);
        }

        return true;
    }

    // MOV from a segment register.
    private bool TryEmitSelector(in Instruction instruction)
    {
        int selector = StateLayout.Selector(RegisterExtensions.GetNumber(instruction.Op1Register));
        if (instruction.Op0Kind == OpKind.Memory)
        {
            if (!TryUseWindow(sizeof(ushort), aligned: false, out int address, out int displacement))
            {
                if (!TryEmitAddress(instruction, out address))
                {
                    return false;
                }

                EmitCheck(address, sizeof(ushort), write: true, aligned: false);
            }

            _site->Size = sizeof(ushort);
            _site->Access = TranslatedAccess.Write;
            _code.LoadStateWord(HostRegister.Count, selector);
            _code.Store16(address, HostRegister.Translation, HostRegister.Count, displacement);
            return true;
        }

        if (instruction.Op0Kind != OpKind.Register)
        {
            return false;
        }

        int guest = NumberOf(instruction.Op0Register);
        int home = HostRegister.Home(guest);
        if (instruction.Code == Code.Mov_rm16_Sreg)
        {
            if (home == HostRegister.None)
            {
                return false;
            }

            // The upper bits stay.
            _code.LoadStateLow16(home, selector);
            return true;
        }

        int to = home == HostRegister.None ? HostRegister.Count : home;
        _code.LoadStateWord(to, selector);
        if (home == HostRegister.None)
        {
            _code.StoreState(StateLayout.Register(guest), to);
        }

        return true;
    }

    // BT, BTS, BTR, BTC of memory by a register: the bit's number reaches beyond the operand (Intel SDM vol. 2, 3.1.1.9).
    private bool TryEmitBitString(in Instruction instruction)
    {
        int size = MemorySizeExtensions.GetSize(instruction.MemorySize);
        if (!HostFeatures.HasFastExtract || size < 4 || !TryEmitAddress(instruction, out int address))
        {
            return false;
        }

        int guest = NumberOf(instruction.Op1Register);
        int home = HostRegister.Home(guest);
        int number = home;
        if (home == HostRegister.None)
        {
            _code.LoadState(HostRegister.Translation, StateLayout.Register(guest));
            number = HostRegister.Translation;
        }

        _code.MoveImmediate32(HostRegister.Count, size == 8 ? 6 : 5);
        _code.ShiftRightSigned(HostRegister.Translation, number, HostRegister.Count, wide: size == 8);
        if (size == 4)
        {
            _code.SignExtend(HostRegister.Translation, HostRegister.Translation);
        }

        _code.Lea(HostRegister.Address, address, HostRegister.Translation, size == 8 ? 3 : 2, 0, _wide);
        EmitCheck(HostRegister.Address, size, write: instruction.Mnemonic != Mnemonic.Bt, aligned: false);
        if (home == HostRegister.None)
        {
            _code.LoadState(HostRegister.Count, StateLayout.Register(guest));
            number = HostRegister.Count;
        }

        _code.Extract(HostRegister.Count, number, size == 8 ? StateLayout.BitIndex64 : StateLayout.BitIndex32);
        var copy = instruction;
        copy.SetOpRegister(1, size == 8 ? Register.RCX : Register.ECX);
        SetHostOperand(ref copy, HostRegister.Address, 0);
        copy.HasRepPrefix = false;
        copy.HasRepnePrefix = false;
        copy.HasXacquirePrefix = false;
        copy.HasXreleasePrefix = false;
        return _encoder.TryEncode(copy, 0, out _, out _);
    }
}
