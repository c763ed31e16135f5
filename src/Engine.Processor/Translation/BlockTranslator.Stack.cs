using Iced.Intel;

namespace Hypervisor.Engine.Processor.Translation;

// PUSH, POP, LEAVE with operands of the mode's width, and divisions that do not fault. In 64-bit code a push stores below the stack
// pointer, in 32-bit code at the cut address in the address scratch; pops are alike.
internal sealed unsafe partial class BlockTranslator
{
    private bool TryEmitPush(in Instruction instruction)
    {
        switch (instruction.Code)
        {
            case Code.Push_r64 or Code.Push_rm64 or Code.Push_r32 or Code.Push_rm32 when instruction.Op0Kind == OpKind.Register && IsStackWide(instruction.Code):
            {
                EmitPushCheck();
                int guest = NumberOf(instruction.Op0Register);
                int home = HostRegister.Home(guest);
                if (home == HostRegister.None)
                {
                    _code.LoadState(HostRegister.Count, StateLayout.Register(guest));
                    home = HostRegister.Count;
                }

                EmitPushed(home);
                break;
            }

            case Code.Push_rm64 or Code.Push_rm32 when IsStackWide(instruction.Code):
            {
                if (!TryEmitAddress(instruction, out int address))
                {
                    return false;
                }

                EmitCheck(address, _slot, write: false, aligned: false);
                _code.Load(HostRegister.Count, address, HostRegister.Translation, _wide);
                _code.StoreState(StateLayout.Temporary, HostRegister.Count);
                EmitPushCheck();
                _site->Access = TranslatedAccess.None;
                _site->Size = 0;
                _code.LoadState(HostRegister.Count, StateLayout.Temporary);
                EmitPushed(HostRegister.Count);
                break;
            }

            case Code.Pushq_imm8 or Code.Pushq_imm32 when _wide:
                EmitPushCheck();
                // MOV QWORD PTR [R11 + R15 - 8], imm32.
                _code.Bytes(0x4B, 0xC7, 0x44, 0x3B, 0xF8);
                _code.Word((int)(long)instruction.GetImmediate(0));
                break;
            case Code.Pushd_imm8 or Code.Pushd_imm32 when !_wide:
                EmitPushCheck();
                // MOV DWORD PTR [R14 + R15], imm32.
                _code.Bytes(0x43, 0xC7, 0x04, 0x3E);
                _code.Word((int)instruction.GetImmediate(0));
                break;
            case Code.Pushd_ES or Code.Pushd_CS or Code.Pushd_SS or Code.Pushd_DS or Code.Pushd_FS or Code.Pushd_GS when !_wide:
                EmitPushCheck();
                _code.LoadStateWord(HostRegister.Count, StateLayout.Selector(RegisterExtensions.GetNumber(instruction.Op0Register)));
                EmitPushed(HostRegister.Count);
                break;
            default:
                return false;
        }

        EmitStackChange(-_slot);
        return true;
    }

    // The other widths of the stack are made by prefixes.
    private bool IsStackWide(Code code) => _wide
        ? code is Code.Push_r64 or Code.Push_rm64 or Code.Pop_r64 or Code.Pop_rm64
        : code is Code.Push_r32 or Code.Push_rm32 or Code.Pop_r32 or Code.Pop_rm32;

    private bool TryEmitPop(in Instruction instruction)
    {
        if (!IsStackWide(instruction.Code) || instruction.Op0Kind != OpKind.Register)
        {
            return false;
        }

        int from = EmitPopCheck();
        int guest = NumberOf(instruction.Op0Register);
        int home = HostRegister.Home(guest);
        if (home == HostRegister.GuestStack)
        {
            _code.Load(home, from, HostRegister.Translation, _wide);
            return true;
        }

        int to = home == HostRegister.None ? HostRegister.Count : home;
        _code.Load(to, from, HostRegister.Translation, _wide);
        EmitStackChange(_slot);
        if (home == HostRegister.None)
        {
            _code.StoreState(StateLayout.Register(guest), to);
        }

        return true;
    }

    private bool TryEmitLeave(in Instruction instruction)
    {
        if (instruction.Code != (_wide ? Code.Leaveq : Code.Leaved))
        {
            return false;
        }

        int from = EmitStackRead(HostRegister.Rbp);
        _code.Load(HostRegister.Count, from, HostRegister.Translation, _wide);
        _code.Lea(HostRegister.GuestStack, HostRegister.Rbp, HostRegister.None, 0, _slot, _wide);
        _code.Move(HostRegister.Rbp, HostRegister.Count);
        return true;
    }

    private void EmitPushCheck()
    {
        if (!TryUseWindow(_slot, aligned: false, out _, out _))
        {
            _code.Lea(HostRegister.Address, HostRegister.GuestStack, HostRegister.None, 0, -_slot, _wide);
            EmitCheck(HostRegister.Address, _slot, write: true, aligned: false);
        }

        _site->Access = TranslatedAccess.Push;
        _site->Size = (byte)_slot;
    }

    // Stores below the stack pointer, which moves later.
    private void EmitPushed(int from)
    {
        if (_wide)
        {
            _code.Store(HostRegister.GuestStack, HostRegister.Translation, from, -_slot);
        }
        else
        {
            _code.Store(HostRegister.Address, HostRegister.Translation, from, wide: false);
        }
    }

    // The host address that a push stores to, in the address scratch.
    private void EmitPushPlace()
    {
        if (_wide)
        {
            _code.Lea(HostRegister.Address, HostRegister.GuestStack, HostRegister.Translation, 0, -_slot);
        }
        else
        {
            _code.Lea(HostRegister.Address, HostRegister.Address, HostRegister.Translation, 0, 0);
        }
    }

    // Names the register that holds the address of the stack's top.
    private int EmitPopCheck()
    {
        int from = EmitStackRead(HostRegister.GuestStack);
        _site->Access = TranslatedAccess.Pop;
        _site->Size = (byte)_slot;
        return from;
    }

    private int EmitStackRead(int pointer)
    {
        int from = _wide ? pointer : HostRegister.Address;
        if (!TryUseWindow(_slot, aligned: false, out _, out _))
        {
            if (!_wide)
            {
                _code.Move32(from, pointer);
            }

            EmitCheck(from, _slot, write: false, aligned: false);
        }

        return from;
    }

    // A quotient that does not fit would raise the host's own exception: what is not plainly in range goes to the interpreter. The
    // flags are undefined afterwards, but kept for the interpreter, whose exception must show them as they were.
    private bool TryEmitDivision(in Instruction instruction)
    {
        bool wide = instruction.Code is Code.Div_rm64 or Code.Idiv_rm64;
        if (!wide && instruction.Code is not (Code.Div_rm32 or Code.Idiv_rm32))
        {
            return false;
        }

        int divisor;
        if (instruction.Op0Kind == OpKind.Register)
        {
            int guest = NumberOf(instruction.Op0Register);
            divisor = HostRegister.Home(guest);
            if (divisor == HostRegister.None)
            {
                _code.LoadState(HostRegister.Count, StateLayout.Register(guest));
                divisor = HostRegister.Count;
            }
        }
        else
        {
            if (!TryEmitAddress(instruction, out int address))
            {
                return false;
            }

            EmitCheck(address, wide ? 8 : 4, write: false, aligned: false);
            _site->Size = (byte)(wide ? 8 : 4);
            _site->Access = TranslatedAccess.Read;
            divisor = HostRegister.Count;
            if (wide)
            {
                _code.Load(divisor, address, HostRegister.Translation);
            }
            else
            {
                _code.Load32(divisor, address, HostRegister.Translation);
            }
        }

        _code.Bytes(0x9C); // PUSHFQ
        byte* outOfRange = null;
        if (instruction.Mnemonic == Mnemonic.Div)
        {
            // In range if and only if the upper half is below the divisor, which excludes zero.
            _code.Compare(HostRegister.Rdx, divisor, wide);
        }
        else
        {
            // In range when the upper half is the lower one's sign and the divisor neither 0 nor -1.
            _code.Move(HostRegister.Translation, HostRegister.Rax);
            _code.ShiftRightArithmetic(HostRegister.Translation, wide ? 63 : 31, wide);
            _code.Compare(HostRegister.Translation, HostRegister.Rdx, wide);
            outOfRange = _code.JumpShort(5);
            _code.Lea(HostRegister.Translation, divisor, HostRegister.None, 0, 1, wide);
            // CMP R15(D), 1; in range if above: compare the other way round for the same condition as DIV.
            _code.Bytes(wide ? (byte)0x49 : (byte)0x41, 0x83, 0xFF, 0x02);
            byte* above = _code.JumpShort(3);
            _code.Land(outOfRange);
            _code.Bytes(0x9D); // POPFQ
            _code.Call(_slow);
            _code.Land(above);
            EmitDivide(7, divisor, wide);
            return true;
        }

        byte* inRange = _code.JumpShort(2);
        _code.Bytes(0x9D); // POPFQ
        _code.Call(_slow);
        _code.Land(inRange);
        EmitDivide(6, divisor, wide);
        return true;
    }

    private void EmitDivide(int extension, int divisor, bool wide)
    {
        _code.Lea(HostRegister.Rsp, HostRegister.Rsp, sizeof(ulong));
        _code.Group3(extension, divisor, wide);
    }
}
