using Iced.Intel;

namespace Hypervisor.Engine.Processor.Translation;

// Instructions that are copied with other operands.
internal sealed unsafe partial class BlockTranslator
{
    private const int MaximumOperands = 5;

    // Registers of the instruction at hand that have no home: where each is for the moment.
    private readonly Substitute[] _substitutes = new Substitute[MaximumOperands];
    private int _substituteCount;

    /// <summary>Emits an instruction; false when the interpreter must do it. <paramref name="open"/>: the next one may follow.</summary>
    private bool TryEmit(in Instruction instruction, out bool open)
    {
        open = true;
        switch (instruction.FlowControl)
        {
            case FlowControl.Next:
                break;
            case FlowControl.UnconditionalBranch or FlowControl.ConditionalBranch or FlowControl.Call or FlowControl.IndirectBranch
                or FlowControl.IndirectCall or FlowControl.Return:
                open = false;
                return TryEmitBranch(instruction);
            default:
                return false;
        }

        switch (instruction.Mnemonic)
        {
            case Mnemonic.Nop or Mnemonic.Endbr64 or Mnemonic.Endbr32 or Mnemonic.Prefetcht0 or Mnemonic.Prefetcht1 or Mnemonic.Prefetcht2
                or Mnemonic.Prefetchnta or Mnemonic.Prefetchw:
                KeepHeldWindow();
                return true;
            case Mnemonic.Lea:
                return TryEmitLea(instruction);
            case Mnemonic.Push:
                return TryEmitPush(instruction);
            case Mnemonic.Pop:
                return TryEmitPop(instruction);
            case Mnemonic.Leave:
                return TryEmitLeave(instruction);
            case Mnemonic.Div or Mnemonic.Idiv:
                return TryEmitDivision(instruction);
            case Mnemonic.Cli or Mnemonic.Sti or Mnemonic.Stac or Mnemonic.Clac or Mnemonic.Pushfq or Mnemonic.Pushfd or Mnemonic.Swapgs
                or Mnemonic.Cld:
                return TryEmitSystem(instruction);
            case Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc when IsBitString(instruction) && instruction.Op0Kind == OpKind.Memory:
                return TryEmitBitString(instruction);
            case Mnemonic.Mov when instruction.Op1Kind == OpKind.Register && RegisterExtensions.IsSegmentRegister(instruction.Op1Register):
                return TryEmitSelector(instruction);
            case Mnemonic.Mov when instruction.Code == (_wide ? Code.Mov_r64_cr : Code.Mov_r32_cr):
                return TryEmitControlRegister(instruction);
            case Mnemonic.Movsb or Mnemonic.Movsw or Mnemonic.Movsd or Mnemonic.Movsq or Mnemonic.Stosb or Mnemonic.Stosw or Mnemonic.Stosd
                or Mnemonic.Stosq or Mnemonic.Lodsb or Mnemonic.Lodsw or Mnemonic.Lodsd or Mnemonic.Lodsq or Mnemonic.Scasb or Mnemonic.Scasw
                or Mnemonic.Scasd or Mnemonic.Scasq when instruction.IsStringInstruction:
                return TryEmitString(instruction);
            case Mnemonic.Vzeroupper when !_wide:
                EmitZeroUpper();
                return true;
            case Mnemonic.Vzeroall when !_wide:
                return false;
            default:
                return TranslatableInstructions.IsCopied(instruction.Code) && TryCopy(instruction);
        }
    }

    // 32-bit code has eight vector registers, and leaves the others as they are (Intel SDM vol. 2, VZEROUPPER): VMOVAPS of each to itself.
    private void EmitZeroUpper()
    {
        const int Registers = 8;
        for (int n = 0; n < Registers; n++)
        {
            _code.Bytes(0xC5, 0xF8, 0x28, (byte)(0xC0 | (n << 3) | n));
        }

        KeepHeldWindow();
    }

    private bool TryEmitLea(in Instruction instruction)
    {
        if (_isPlainWork)
        {
            EmitPlainLea(instruction);
            return true;
        }

        // The effective address without its segment.
        var copy = instruction;
        copy.SegmentPrefix = Register.None;
        int guest = RegisterExtensions.GetNumber(instruction.Op0Register);
        if (copy.MemorySegment is Register.FS or Register.GS || instruction.Op0Register.GetSize() == 2 || !TryEmitAddress(copy, out int address))
        {
            return false;
        }

        if (copy.MemoryIndex == Register.None || HostRegister.Home(RegisterExtensions.GetNumber(copy.MemoryIndex)) != HostRegister.None)
        {
            _heldAfter = _heldBefore;
        }

        int home = HostRegister.Home(guest);
        int to = home == HostRegister.None ? HostRegister.Address : home;
        if (instruction.Op0Register.GetSize() == 8)
        {
            if (to != address)
            {
                _code.Move(to, address);
            }
        }
        else
        {
            _code.Move32(to, address);
        }

        if (home == HostRegister.None)
        {
            _code.StoreState(StateLayout.Register(guest), to);
        }

        return true;
    }

    private bool TryCopy(in Instruction instruction)
    {
        var copy = instruction;
        copy.Code = InOtherModes(instruction.Code);
        var information = _information.GetInfo(instruction, InstructionInfoOptions.NoRegisterUsage | InstructionInfoOptions.NoMemoryUsage);
        int memoryOperand = -1;
        for (int n = 0; n < instruction.OpCount; n++)
        {
            var kind = instruction.GetOpKind(n);
            if (kind == OpKind.Memory)
            {
                memoryOperand = n;
            }
            else if (kind is not (OpKind.Register or OpKind.Immediate8 or OpKind.Immediate8to16 or OpKind.Immediate8to32 or OpKind.Immediate8to64
                or OpKind.Immediate16 or OpKind.Immediate32 or OpKind.Immediate32to64 or OpKind.Immediate64 or OpKind.Immediate8_2nd))
            {
                return false;
            }
        }

        bool countInUse = IsShiftByCount(instruction) || instruction.Code is Code.Cmpxchg16b_m128 or Code.Cmpxchg8b_m64;
        _substituteCount = 0;
        if (_isPlainWork)
        {
            AcquireOperands(instruction, ref information, countInUse);
        }

        if (!TryRename(ref copy, ref information, memoryOperand >= 0, ref countInUse))
        {
            return false;
        }

        if (memoryOperand >= 0)
        {
            if (!TryEmitOperand(ref copy, instruction, information.GetOpAccess(memoryOperand), fold: UsesTranslationScratch()))
            {
                return false;
            }
        }

        if (_isPlainWork)
        {
            KeepHeldWindow();
        }
        else if (memoryOperand < 0 && !IsTaken(HostRegister.Translation))
        {
            _heldAfter = _heldBefore;
        }

        LoadSubstitutes();
        if (countInUse)
        {
            _code.Move(HostRegister.Count, HostRegister.GuestCount);
        }

        copy.HasRepPrefix = false;
        copy.HasRepnePrefix = false;
        copy.HasXacquirePrefix = false;
        copy.HasXreleasePrefix = false;
        if (!_encoder.TryEncode(copy, 0, out _, out _))
        {
            return false;
        }

        StoreSubstitutes();
        if (instruction.Mnemonic is Mnemonic.Pcmpestri or Mnemonic.Pcmpestri64 or Mnemonic.Pcmpistri or Mnemonic.Vpcmpestri
            or Mnemonic.Vpcmpestri64 or Mnemonic.Vpcmpistri)
        {
            // The index comes in ECX.
            _code.Move32(HostRegister.GuestCount, HostRegister.Count);
        }

        return true;
    }

    // The encoding that 64-bit code has for an instruction of 32-bit code: 40h to 4Fh are prefixes there, and absolute addresses of the
    // accumulator's moves, which have no register to be replaced, have 64 bits.
    private static Code InOtherModes(Code code) => code switch
    {
        Code.Inc_r16 => Code.Inc_rm16,
        Code.Inc_r32 => Code.Inc_rm32,
        Code.Dec_r16 => Code.Dec_rm16,
        Code.Dec_r32 => Code.Dec_rm32,
        Code.Mov_AL_moffs8 => Code.Mov_r8_rm8,
        Code.Mov_AX_moffs16 => Code.Mov_r16_rm16,
        Code.Mov_EAX_moffs32 => Code.Mov_r32_rm32,
        Code.Mov_moffs8_AL => Code.Mov_rm8_r8,
        Code.Mov_moffs16_AX => Code.Mov_rm16_r16,
        Code.Mov_moffs32_EAX => Code.Mov_rm32_r32,
        _ => code,
    };

    private static bool IsShiftByCount(in Instruction instruction) =>
        instruction.OpCount >= 2 && instruction.GetOpKind(instruction.OpCount - 1) == OpKind.Register
        && instruction.GetOpRegister(instruction.OpCount - 1) == Register.CL
        && instruction.Mnemonic is Mnemonic.Shl or Mnemonic.Sal or Mnemonic.Shr or Mnemonic.Sar or Mnemonic.Rol or Mnemonic.Ror or Mnemonic.Rcl
            or Mnemonic.Rcr or Mnemonic.Shld or Mnemonic.Shrd;

    private bool UsesTranslationScratch()
    {
        for (int n = 0; n < _substituteCount; n++)
        {
            if (_substitutes[n].Host == HostRegister.Translation)
            {
                return true;
            }
        }

        return false;
    }

    // Replaces the memory operand by the host address, after the look-up.
    private bool TryEmitOperand(ref Instruction copy, in Instruction instruction, OpAccess access, bool fold)
    {
        int size = MemorySizeExtensions.GetSize(instruction.MemorySize);
        if (size is not (1 or 2 or 4 or 8 or 16 or 32) || instruction.IsVsib || access is OpAccess.None or OpAccess.NoMemAccess
            || IsBitString(instruction))
        {
            return false;
        }

        bool write = access is OpAccess.Write or OpAccess.CondWrite or OpAccess.ReadWrite or OpAccess.ReadCondWrite;
        _site->IsAligned = size >= 16 && TranslatableInstructions.IsAligned(instruction.Code);
        if (!TryUseWindow(size, _site->IsAligned, out int address, out int displacement))
        {
            if (!TryEmitAddress(instruction, out address))
            {
                return false;
            }

            EmitCheck(address, size, write, _site->IsAligned);
        }

        _site->Size = (byte)size;
        _site->Access = write ? TranslatedAccess.Write : TranslatedAccess.Read;
        if (fold)
        {
            _code.Lea(HostRegister.Address, address, HostRegister.Translation, 0, displacement);
            SetHostOperand(ref copy, HostRegister.Address, 0);
            copy.MemoryIndex = Register.None;
            _heldAfter = WindowAnalysis.None;
        }
        else
        {
            SetHostOperand(ref copy, address, displacement);
        }

        return true;
    }

    private static void SetHostOperand(ref Instruction copy, int address, int displacement)
    {
        copy.SegmentPrefix = Register.None;
        copy.MemoryDisplacement64 = (ulong)(long)displacement;
        copy.MemoryDisplSize = displacement == 0 ? 0 : displacement == (sbyte)displacement ? 1 : 8;
        copy.MemoryIndexScale = 1;
        copy.MemoryBase = Register.RAX + address;
        copy.MemoryIndex = Register.R15;
    }

    // BT and its kin with a register address bits beyond the operand.
    private static bool IsBitString(in Instruction instruction) =>
        instruction.Mnemonic is Mnemonic.Bt or Mnemonic.Btc or Mnemonic.Btr or Mnemonic.Bts && instruction.Op1Kind == OpKind.Register;

    // Gives every general register operand its host register.
    private bool TryRename(ref Instruction copy, ref InstructionInfo information, bool memory, ref bool countInUse)
    {
        bool prefix = memory;
        int high = -1;
        for (int n = 0; n < copy.OpCount; n++)
        {
            if (copy.GetOpKind(n) != OpKind.Register)
            {
                continue;
            }

            var register = copy.GetOpRegister(n);
            if (RegisterExtensions.IsXMM(register) || RegisterExtensions.IsYMM(register))
            {
                prefix = true;
                continue;
            }

            if (!RegisterExtensions.IsGPR(register))
            {
                return false;
            }

            if (register is >= Register.AH and <= Register.BH)
            {
                if (high >= 0)
                {
                    // Two of them: only as they stand.
                    if (prefix || register == Register.CH || copy.GetOpRegister(high) == Register.CH)
                    {
                        return false;
                    }

                    return true;
                }

                high = n;
                continue;
            }

            if (n == copy.OpCount - 1 && register == Register.CL && IsShiftByCount(copy))
            {
                continue;
            }

            int guest = NumberOf(register);
            int home = HostRegister.Home(guest);
            int host = home;
            if (home == HostRegister.None && !TrySubstitute(guest, information.GetOpAccess(n), register.GetSize(), memory, countInUse, high >= 0, out host))
            {
                return false;
            }

            var renamed = Rename(register, host);
            prefix |= host >= 8 || register.GetSize() == 8 || (register.GetSize() == 1 && host >= 4);
            copy.SetOpRegister(n, renamed);
        }

        return high < 0 || TrySubstituteHigh(ref copy, high, information.GetOpAccess(high), prefix, ref countInUse);
    }

    private bool TrySubstitute(int guest, OpAccess access, int size, bool memory, bool countInUse, bool highInUse, out int host)
    {
        bool write = access is OpAccess.Write or OpAccess.CondWrite or OpAccess.ReadWrite or OpAccess.ReadCondWrite;
        bool read = access != OpAccess.Write || size < 4;
        for (int n = 0; n < _substituteCount; n++)
        {
            if (_substitutes[n].Guest == guest)
            {
                _substitutes[n].Write |= write;
                _substitutes[n].Read |= read;
                host = _substitutes[n].Host;
                return true;
            }
        }

        // With a memory operand the address needs one scratch register, and two until it is folded into one.
        ReadOnlySpan<int> free = memory
            ? [HostRegister.Count, HostRegister.Translation]
            : [HostRegister.Translation, HostRegister.Address, HostRegister.Count];
        foreach (int candidate in free)
        {
            if ((candidate != HostRegister.Count || !(countInUse || highInUse)) && !IsTaken(candidate))
            {
                _substitutes[_substituteCount++] = new Substitute { Guest = guest, Host = candidate, Read = read, Write = write };
                host = candidate;
                return true;
            }
        }

        host = HostRegister.None;
        return false;
    }

    private bool IsTaken(int host)
    {
        for (int n = 0; n < _substituteCount; n++)
        {
            if (_substitutes[n].Host == host)
            {
                return true;
            }
        }

        return false;
    }

    // AH to BH cannot be named together with a REX prefix: CL stands in for one.
    private bool TrySubstituteHigh(ref Instruction copy, int operand, OpAccess access, bool prefix, ref bool countInUse)
    {
        var register = copy.GetOpRegister(operand);
        if (!prefix && register != Register.CH)
        {
            return true;
        }

        if (countInUse || IsTaken(HostRegister.Count))
        {
            return false;
        }

        _substitutes[_substituteCount++] = new Substitute
        {
            Guest = register - Register.AH,
            Host = HostRegister.Count,
            Read = true,
            Write = access is OpAccess.Write or OpAccess.CondWrite or OpAccess.ReadWrite or OpAccess.ReadCondWrite,
            IsHigh = true,
        };
        copy.SetOpRegister(operand, Register.CL);
        return true;
    }

    private void LoadSubstitutes()
    {
        for (int n = 0; n < _substituteCount; n++)
        {
            ref var one = ref _substitutes[n];
            if (one.IsHigh && one.Guest == 1)
            {
                _code.RotateRight(HostRegister.Count, HostRegister.GuestCount, 8, wide: false);
            }
            else if (one.IsHigh)
            {
                // MOVZX ECX, AH to BH.
                _code.Bytes(0x0F, 0xB6, (byte)(0xCC + one.Guest));
            }
            else if (one.Read && !one.IsKept)
            {
                _code.LoadState(one.Host, StateLayout.Register(one.Guest));
            }
        }
    }

    private void StoreSubstitutes()
    {
        for (int n = 0; n < _substituteCount; n++)
        {
            ref var one = ref _substitutes[n];
            if (!one.Write || one.IsKept)
            {
                continue;
            }

            if (one.IsHigh && one.Guest == 1)
            {
                _code.RotateRight(HostRegister.GuestCount, HostRegister.GuestCount, 8);
                _code.Bytes(0x41, 0x88, 0xCA); // MOV R10B, CL
                _code.RotateRight(HostRegister.GuestCount, HostRegister.GuestCount, 56);
            }
            else if (one.IsHigh)
            {
                // MOV AH to BH, CL.
                _code.Bytes(0x88, (byte)(0xCC + one.Guest));
            }
            else
            {
                _code.StoreState(StateLayout.Register(one.Guest), one.Host);
            }
        }
    }

    private static int NumberOf(Register register) => RegisterExtensions.GetNumber(RegisterExtensions.GetFullRegister(register));

    private static Register Rename(Register register, int host) => register.GetSize() switch
    {
        1 => host < 4 ? Register.AL + host : Register.SPL + (host - 4),
        2 => Register.AX + host,
        4 => Register.EAX + host,
        _ => Register.RAX + host,
    };

    private struct Substitute
    {
        public int Guest;
        public int Host;
        public bool Read, Write, IsHigh;

        // In a scratch register over several instructions.
        public bool IsKept;
    }
}
