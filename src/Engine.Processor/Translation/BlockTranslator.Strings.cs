using Iced.Intel;

namespace Hypervisor.Engine.Processor.Translation;

// MOVS and STOS, and LODS and SCAS that are not repeated. The host executes the former on its own addresses, as a whole, where the guest's
// range lies in one page on either side; everything else goes to the interpreter: longer ones, and those that go downwards.
internal sealed unsafe partial class BlockTranslator
{
    private const byte RepeatPrefix = 0xF3, MoveOpcode = 0xA4, StoreOpcode = 0xAA, LoadOpcode = 0x8A, CompareOpcode = 0x3A;

    private bool TryEmitString(in Instruction instruction)
    {
        switch (instruction.Code)
        {
            case Code.Movsb_m8_m8 or Code.Movsw_m16_m16 or Code.Movsd_m32_m32 or Code.Movsq_m64_m64:
                return instruction.Op1Kind == (_wide ? OpKind.MemorySegRSI : OpKind.MemorySegESI)
                    && instruction.MemorySegment is not (Register.FS or Register.GS) && (_wide || instruction.MemorySegment != Register.CS)
                    && TryEmitString(instruction, moves: true);
            case Code.Stosb_m8_AL or Code.Stosw_m16_AX or Code.Stosd_m32_EAX or Code.Stosq_m64_RAX:
                return TryEmitString(instruction, moves: false);
            case Code.Lodsb_AL_m8 or Code.Lodsw_AX_m16 or Code.Lodsd_EAX_m32 or Code.Lodsq_RAX_m64:
                return instruction.Op1Kind == (_wide ? OpKind.MemorySegRSI : OpKind.MemorySegESI)
                    && instruction.MemorySegment is not (Register.FS or Register.GS) && (_wide || instruction.MemorySegment != Register.CS)
                    && TryEmitElement(instruction, HostRegister.Rsi, LoadOpcode);
            case Code.Scasb_AL_m8 or Code.Scasw_AX_m16 or Code.Scasd_EAX_m32 or Code.Scasq_RAX_m64:
                return instruction.Op1Kind == (_wide ? OpKind.MemoryESRDI : OpKind.MemoryESEDI)
                    && TryEmitElement(instruction, HostRegister.Rdi, CompareOpcode);
            default:
                return false;
        }
    }

    // One element, loaded into the accumulator or compared with it: MOV or CMP rAX, [pointer + R15].
    private bool TryEmitElement(in Instruction instruction, int pointer, byte opcode)
    {
        if (instruction.HasRepPrefix || instruction.HasRepnePrefix)
        {
            return false;
        }

        int size = MemorySizeExtensions.GetSize(instruction.MemorySize);
        EmitUpwardsCheck();
        if (!_wide)
        {
            _code.Move32(pointer, pointer);
        }

        EmitSpanCheck(pointer, size, repeats: false, write: false);
        EmitDistance();
        _code.AccumulatorOperand(opcode, pointer, HostRegister.Translation, size);
        _code.Lea(pointer, pointer, HostRegister.None, 0, size, _wide);
        return true;
    }

    private void EmitUpwardsCheck()
    {
        _code.LoadStateByte(HostRegister.Count, StateLayout.SystemFlags + InterruptByte);
        _code.LoadTableByte(HostRegister.Count, StateLayout.Downwards, HostRegister.Count);
        EmitLeaveUnlessZero();
    }

    private bool TryEmitString(in Instruction instruction, bool moves)
    {
        if (instruction.Op0Kind != (_wide ? OpKind.MemoryESRDI : OpKind.MemoryESEDI) || instruction.HasRepnePrefix)
        {
            return false;
        }

        int size = MemorySizeExtensions.GetSize(instruction.MemorySize);
        bool repeats = instruction.HasRepPrefix;
        byte* done = null;
        if (repeats)
        {
            done = EmitSkipWithoutCount();
            EmitCountCheck(size);
        }

        EmitUpwardsCheck();
        EmitCutString(moves, repeats);
        if (moves)
        {
            EmitSpanCheck(HostRegister.Rsi, size, repeats, write: false);
            _code.LoadTable(HostRegister.Address, Distances, HostRegister.Translation, 3);
        }

        EmitSpanCheck(HostRegister.Rdi, size, repeats, write: true);
        EmitDistance();
        if (moves)
        {
            _code.Lea(HostRegister.Rsi, HostRegister.Rsi, HostRegister.Address, 0, 0);
        }

        _code.Lea(HostRegister.Rdi, HostRegister.Rdi, HostRegister.Translation, 0, 0);
        if (repeats)
        {
            _code.Move(HostRegister.Count, HostRegister.GuestCount);
        }

        EmitStringInstruction(moves ? MoveOpcode : StoreOpcode, size, repeats);
        if (moves)
        {
            EmitSubtract(HostRegister.Rsi, HostRegister.Address);
        }

        EmitSubtract(HostRegister.Rdi, HostRegister.Translation);
        if (repeats)
        {
            _code.Move(HostRegister.GuestCount, HostRegister.Count);
        }

        EmitCutString(moves, repeats);
        if (repeats)
        {
            HostAssembler.Patch(done, _code.Position);
        }

        return true;
    }

    // No repetition is nothing to do: what is left of a copy in units of four bytes mostly is. Returns a jump behind the instruction.
    private byte* EmitSkipWithoutCount()
    {
        _code.Move(HostRegister.Count, HostRegister.GuestCount, _wide);
        byte* none = _code.JumpIfCountZero();
        byte* some = _code.JumpLater();
        _code.Land(none);
        byte* done = _code.JumpLater();
        HostAssembler.Patch(some, _code.Position);
        return done;
    }

    // In 32-bit code the registers are used, and left, without what is above their 32 bits.
    private void EmitCutString(bool moves, bool repeats)
    {
        if (_wide)
        {
            return;
        }

        _code.Move32(HostRegister.Rdi, HostRegister.Rdi);
        if (moves)
        {
            _code.Move32(HostRegister.Rsi, HostRegister.Rsi);
        }

        if (repeats)
        {
            _code.Move32(HostRegister.GuestCount, HostRegister.GuestCount);
        }
    }

    // Goes on with 1 to 4096 bytes: the look-up holds for ranges of at most a page. Shifts by 12, which RSP's low bits are, or less.
    private void EmitCountCheck(int size)
    {
        _code.Lea(HostRegister.Count, HostRegister.GuestCount, HostRegister.None, 0, -1, _wide);
        int shift = HostRegister.Rsp;
        if (size > 1)
        {
            shift = HostRegister.Translation;
            _code.MoveImmediate32(shift, TranslationBuffer.PageBits - int.TrailingZeroCount(size));
        }

        _code.ShiftRight(HostRegister.Count, HostRegister.Count, shift);
        EmitLeaveUnlessZero();
    }

    // The look-up for a range from the register's address on, as EmitLookup; the entry's index stays in the translation scratch.
    private void EmitSpanCheck(int address, int size, bool repeats, bool write)
    {
        EmitTag(address, write);
        if (repeats)
        {
            _code.Lea(HostRegister.Count, HostRegister.Count, address, 0, -1);
            _code.Lea(HostRegister.Count, HostRegister.Count, HostRegister.GuestCount, int.TrailingZeroCount(size), 0);
        }
        else
        {
            _code.Lea(HostRegister.Count, HostRegister.Count, address, 0, size - 1);
        }

        _code.ShiftRight(HostRegister.Count, HostRegister.Count, HostRegister.Rsp);
        EmitLeaveUnlessZero();
    }

    private void EmitLeaveUnlessZero()
    {
        byte* zero = _code.JumpIfCountZero();
        _code.Call(_slow);
        _code.Land(zero);
    }

    private void EmitStringInstruction(byte opcode, int size, bool repeats)
    {
        if (size == sizeof(ushort))
        {
            _code.WriteByte(0x66);
        }

        if (repeats)
        {
            _code.WriteByte(RepeatPrefix);
        }

        if (size == sizeof(ulong))
        {
            _code.WriteByte(0x48);
        }

        // The next opcode is that of the wider ones.
        _code.WriteByte(size == 1 ? opcode : (byte)(opcode + 1));
    }

    // Without a change of flags; the second register is lost.
    private void EmitSubtract(int from, int what)
    {
        _code.Not(what);
        _code.Lea(from, from, what, 0, 1);
    }
}
