using Iced.Intel;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

// Operands from their kinds.
internal sealed partial class CaseGenerator
{
    private const int RedZone = 0x400;

    private bool TryBuild(Code code, out Instruction instruction)
    {
        instruction = default;
        instruction.Code = code;
        var form = code.ToOpCode();

        // AMD's processors take misaligned operands here, against the SDM (exceptions of type 4).
        _alwaysAligned = code.CpuidFeatures().Contains(CpuidFeature.SHA);
        bool memory = false;
        for (int at = 0; at < form.OpCount; at++)
        {
            if (!TryOperand(ref instruction, at, form.GetOpKind(at), form, ref memory))
            {
                return false;
            }
        }

        return TryImplicit(ref instruction, form, memory);
    }

    private bool TryOperand(ref Instruction instruction, int at, OpCodeOperandKind kind, OpCodeInfo form, ref bool memory)
    {
        switch (kind)
        {
            case OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r32_or_mem
                or OpCodeOperandKind.r64_or_mem or OpCodeOperandKind.xmm_or_mem or OpCodeOperandKind.mm_or_mem or OpCodeOperandKind.ymm_or_mem
                when _random.Next(2) == 0:
            case OpCodeOperandKind.mem:
                memory = true;
                return TryMemory(ref instruction, at);
            case OpCodeOperandKind.mem_offs:
                memory = true;
                SetKind(ref instruction, at, OpKind.Memory);
                instruction.MemoryDisplSize = _bits / 8;
                instruction.MemoryDisplacement64 = Target(16, out _);
                return true;
            case OpCodeOperandKind.al:
                return SetRegister(ref instruction, at, Register.AL);
            case OpCodeOperandKind.cl:
                return SetRegister(ref instruction, at, Register.CL);
            case OpCodeOperandKind.ax:
                return SetRegister(ref instruction, at, Register.AX);
            case OpCodeOperandKind.dx:
                return SetRegister(ref instruction, at, Register.DX);
            case OpCodeOperandKind.eax:
                return SetRegister(ref instruction, at, Register.EAX);
            case OpCodeOperandKind.rax when _bits == 64:
                return SetRegister(ref instruction, at, Register.RAX);
            case OpCodeOperandKind.st0:
                return SetRegister(ref instruction, at, Register.ST0);
            case OpCodeOperandKind.sti_opcode:
                return SetRegister(ref instruction, at, Register.ST0 + _random.Next(8));
            case OpCodeOperandKind.r8_reg or OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r8_opcode:
                return SetRegister(ref instruction, at, Register.AL + _random.Next(_bits == 64 ? 20 : 8));
            case OpCodeOperandKind.r16_reg or OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r16_opcode or OpCodeOperandKind.r16_rm:
                return SetRegister(ref instruction, at, Register.AX + _random.Next(Registers));
            case OpCodeOperandKind.r32_reg or OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.r32_opcode or OpCodeOperandKind.r32_rm
                or OpCodeOperandKind.r32_vvvv:
                return SetRegister(ref instruction, at, Register.EAX + _random.Next(Registers));
            case OpCodeOperandKind.r64_reg or OpCodeOperandKind.r64_or_mem or OpCodeOperandKind.r64_opcode or OpCodeOperandKind.r64_rm
                or OpCodeOperandKind.r64_vvvv when _bits == 64:
                return SetRegister(ref instruction, at, Register.RAX + _random.Next(16));
            case OpCodeOperandKind.xmm_reg or OpCodeOperandKind.xmm_or_mem or OpCodeOperandKind.xmm_rm or OpCodeOperandKind.xmm_vvvv
                or OpCodeOperandKind.xmm_is4:
                return SetRegister(ref instruction, at, Register.XMM0 + _random.Next(Registers));
            case OpCodeOperandKind.ymm_reg or OpCodeOperandKind.ymm_or_mem or OpCodeOperandKind.ymm_rm or OpCodeOperandKind.ymm_vvvv
                or OpCodeOperandKind.ymm_is4:
                return SetRegister(ref instruction, at, Register.YMM0 + _random.Next(Registers));
            case OpCodeOperandKind.mem_vsib32x or OpCodeOperandKind.mem_vsib64x or OpCodeOperandKind.mem_vsib32y
                or OpCodeOperandKind.mem_vsib64y when _bits == 64:
                return TryGather(ref instruction, at, kind);
            case OpCodeOperandKind.mm_reg or OpCodeOperandKind.mm_or_mem or OpCodeOperandKind.mm_rm:
                return SetRegister(ref instruction, at, Register.MM0 + _random.Next(8));
            case OpCodeOperandKind.seg_rSI:
                SetKind(ref instruction, at, _bits == 64 ? OpKind.MemorySegRSI : OpKind.MemorySegESI);
                return TryPointer(Register.RSI);
            case OpCodeOperandKind.es_rDI:
                SetKind(ref instruction, at, _bits == 64 ? OpKind.MemoryESRDI : OpKind.MemoryESEDI);
                return TryPointer(Register.RDI);
            case OpCodeOperandKind.seg_rDI:
                // Away from the ends: a masked store may or may not fault on bytes that it does not store.
                SetKind(ref instruction, at, _bits == 64 ? OpKind.MemorySegRDI : OpKind.MemorySegEDI);
                return TryPin(Register.RDI, OracleLayout.Data + (ulong)_random.Next(RedZone, 0x1000 - RedZone));
            case OpCodeOperandKind.seg_rBX_al:
                SetKind(ref instruction, at, OpKind.Memory);
                instruction.MemoryBase = _bits == 64 ? Register.RBX : Register.EBX;
                instruction.MemoryIndex = Register.AL;
                return TryPointer(Register.RBX);
            default:
                return SetImmediate(ref instruction, at, kind, form);
        }
    }

    private bool SetImmediate(ref Instruction instruction, int at, OpCodeOperandKind kind, OpCodeInfo form)
    {
        ulong value = OperandValues.Integer(_random);
        switch (kind)
        {
            case OpCodeOperandKind.imm8_const_1:
                SetKind(ref instruction, at, OpKind.Immediate8);
                instruction.Immediate8 = 1;
                return true;
            case OpCodeOperandKind.imm8 when form.Mnemonic == Mnemonic.Enter:
                SetKind(ref instruction, at, OpKind.Immediate8_2nd);
                instruction.Immediate8_2nd = (byte)(_random.Next(2) == 0 ? 0 : _random.Next(40));
                return true;
            case OpCodeOperandKind.imm8:
                SetKind(ref instruction, at, OpKind.Immediate8);
                instruction.Immediate8 = (byte)(_random.Next(2) == 0 ? _random.Next(256) : (int)value & 0x3F);

                // The result of a 16-bit double shift by more than 16 is undefined.
                if (instruction.Code is Code.Shld_rm16_r16_imm8 or Code.Shrd_rm16_r16_imm8)
                {
                    instruction.Immediate8 &= 15;
                }

                return true;
            case OpCodeOperandKind.imm8sex16:
                SetKind(ref instruction, at, OpKind.Immediate8to16);
                instruction.Immediate8to16 = (sbyte)value;
                return true;
            case OpCodeOperandKind.imm8sex32:
                SetKind(ref instruction, at, OpKind.Immediate8to32);
                instruction.Immediate8to32 = (sbyte)value;
                return true;
            case OpCodeOperandKind.imm8sex64:
                SetKind(ref instruction, at, OpKind.Immediate8to64);
                instruction.Immediate8to64 = (sbyte)value;
                return true;
            case OpCodeOperandKind.imm16:
                SetKind(ref instruction, at, OpKind.Immediate16);
                instruction.Immediate16 = form.Mnemonic == Mnemonic.Enter ? (ushort)_random.Next(256) : (ushort)value;
                return true;
            case OpCodeOperandKind.imm32:
                SetKind(ref instruction, at, OpKind.Immediate32);
                instruction.Immediate32 = (uint)value;
                return true;
            case OpCodeOperandKind.imm32sex64:
                SetKind(ref instruction, at, OpKind.Immediate32to64);
                instruction.Immediate32to64 = (int)value;
                return true;
            case OpCodeOperandKind.imm64:
                SetKind(ref instruction, at, OpKind.Immediate64);
                instruction.Immediate64 = value;
                return true;
            default:
                return false;
        }
    }

    // What instructions use without naming it, or use in more ways than as data.
    private bool TryImplicit(ref Instruction instruction, OpCodeInfo form, bool memory)
    {
        if (instruction.IsStackInstruction && _stackLost)
        {
            return false;
        }

        switch (form.Mnemonic)
        {
            case Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc when memory && instruction.Op1Kind == OpKind.Register:
                // The register is a signed bit offset from the address; as much of it as the operand is wide.
                var offset = instruction.Op1Register.GetFullRegister();
                if (!TryPin(offset, (ulong)_random.Next(-RedZone, RedZone)))
                {
                    return false;
                }

                break;
            case Mnemonic.Enter or Mnemonic.Leave:
                if (form.Mnemonic == Mnemonic.Leave || instruction.Immediate8_2nd != 0)
                {
                    if (!TryPointer(Register.RBP))
                    {
                        return false;
                    }
                }

                break;
            case Mnemonic.Popf or Mnemonic.Popfd or Mnemonic.Popfq:
                // Only with flags that were pushed: a single-step or alignment trap would hit the code around the test.
                return false;
            case Mnemonic.Shld or Mnemonic.Shrd when instruction.Op0Kind == OpKind.Register && instruction.Op0Register.GetSize() == 2
                || instruction.Op1Register.GetSize() == 2:
                if (instruction.Op2Kind == OpKind.Register && !TryPin(Register.RCX, (ulong)_random.Next(16)))
                {
                    return false;
                }

                break;
            case Mnemonic.Vcvtps2ph:
                // Whether other elements still report after an unmasked exception in one differs between makers.
                _masksAll = true;
                break;
            case Mnemonic.Cvtpi2ps when memory:
                // Whether this touches the x87 tags differs between makers.
                return false;
            default:
                break;
        }

        if (form.CanUseRepPrefix && instruction.IsStringInstruction && _random.Next(2) == 0)
        {
            if (!TryPin(Register.RCX, (ulong)_random.Next(20)))
            {
                return false;
            }

            if (form.CanUseRepnePrefix && _random.Next(2) == 0)
            {
                instruction.HasRepnePrefix = true;
            }
            else
            {
                instruction.HasRepPrefix = true;
            }
        }

        if (form.CanUseLockPrefix && instruction.Op0Kind == OpKind.Memory && _random.Next(3) == 0)
        {
            instruction.HasLockPrefix = true;
        }

        return true;
    }

    private static void SetKind(ref Instruction instruction, int at, OpKind kind) => instruction.SetOpKind(at, kind);

    private static bool SetRegister(ref Instruction instruction, int at, Register register)
    {
        instruction.SetOpKind(at, OpKind.Register);
        instruction.SetOpRegister(at, register);
        return true;
    }

    /// <summary>An address in the scratch pages, now and then across their end.</summary>
    private ulong Target(int alignment, out bool aligned)
    {
        aligned = _random.Next(4) != 0 || _alwaysAligned;
        ulong offset = _random.Next(20) switch
        {
            0 => OracleLayout.DataBytes - (ulong)_random.Next(24),
            1 => 0x1000 - (ulong)_random.Next(24),
            _ => (ulong)_random.Next(RedZone, OracleLayout.DataBytes - RedZone),
        };
        return OracleLayout.Data + (aligned ? offset & ~((ulong)alignment - 1) : offset);
    }

    private bool TryPointer(Register register)
    {
        if (_pinned.TryGetValue(register, out ulong value))
        {
            return !_narrowPointers.Contains(register) && !_written.Contains(register)
                && value - OracleLayout.Data < OracleLayout.DataBytes;
        }

        return TryPin(register, Target(16, out _));
    }

    private bool TryMemory(ref Instruction instruction, int at)
    {
        SetKind(ref instruction, at, OpKind.Memory);
        ulong target = Target(16, out _);
        if (_bits == 32 && _random.Next(8) == 0)
        {
            instruction.SegmentPrefix = Register.ES + _random.Next(6);
        }

        if (_random.Next(10) == 0)
        {
            instruction.MemoryBase = _bits == 64 ? Register.RIP : Register.None;
            instruction.MemoryDisplacement64 = target;
            instruction.MemoryDisplSize = _bits / 8;
            return true;
        }

        bool narrow = _bits == 64 && _random.Next(12) == 0;
        var baseRegister = Register.RAX + _random.Next(Registers);
        bool wanted = _pinned.TryGetValue(baseRegister, out ulong baseValue);
        if (_written.Contains(baseRegister) || (wanted && (narrow || _narrowPointers.Contains(baseRegister))))
        {
            return false;
        }

        if (wanted && baseValue - OracleLayout.Data >= OracleLayout.DataBytes)
        {
            return false;
        }

        ulong index = 0;
        int scale = 1 << _random.Next(4);
        var indexRegister = Register.None;
        if (_random.Next(3) == 0)
        {
            indexRegister = Register.RAX + _random.Next(Registers);
            index = (ulong)_random.Next(-32, 32);
            if (indexRegister is Register.RSP || indexRegister == baseRegister || !TryPin(indexRegister, index))
            {
                return false;
            }

            if (narrow)
            {
                _narrowPointers.Add(indexRegister);
            }
        }

        long displacement = _random.Next(3) switch
        {
            0 => 0,
            1 => _random.Next(-128, 128),
            _ => _random.Next(-0x10_0000, 0x10_0000),
        };
        if (wanted)
        {
            displacement = (long)(target - baseValue - (index * (ulong)scale));
        }
        else
        {
            ulong value = target - (ulong)displacement - (index * (ulong)scale);
            if (narrow)
            {
                value = (uint)value | (OperandValues.Bits(_random) << 32);
                _narrowPointers.Add(baseRegister);
            }
            else if (_bits == 64 && _random.Next(64) == 0)
            {
                value = 0x8000_0000_0000_0000 + value;
            }

            Pin(baseRegister, _bits == 64 ? value : (uint)value);
        }

        narrow |= _bits == 32;
        displacement = _bits == 64 ? displacement : (int)displacement;

        instruction.MemoryBase = narrow ? Register.EAX + (baseRegister - Register.RAX) : baseRegister;
        if (indexRegister != Register.None)
        {
            instruction.MemoryIndex = narrow ? Register.EAX + (indexRegister - Register.RAX) : indexRegister;
            instruction.MemoryIndexScale = scale;
        }

        instruction.MemoryDisplacement64 = narrow ? (uint)displacement : (ulong)displacement;
        instruction.MemoryDisplSize = displacement == 0 ? 0 : displacement is >= -128 and <= 127 ? 1 : narrow ? 4 : 8;
        return true;
    }
}
