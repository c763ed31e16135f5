using System.Runtime.CompilerServices;
using Iced.Intel;

namespace Hypervisor.Engine.Processor.Translation;

/// <summary>
/// Emits the few host instructions that translations are held together with (Intel SDM vol. 2, chapter 2), and lets Iced's encoder
/// write the guest's own between them. None of those here changes flags, unless it says so.
/// </summary>
internal sealed unsafe class HostAssembler : CodeWriter
{
    /// <summary>JMP with a distance of 32 bits.</summary>
    public const byte JumpOpcode = 0xE9;

    private byte* _at;

    /// <summary>Where the next byte is written.</summary>
    public byte* Position => _at;

    /// <summary>Starts writing somewhere else.</summary>
    public void Start(byte* at) => _at = at;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public override void WriteByte(byte value) => *_at++ = value;

    public void Word(int value)
    {
        *(int*)_at = value;
        _at += 4;
    }

    public void Move(int to, int from, bool wide = true) => Registers(0x8B, to, from, wide);

    public void Move32(int to, int from) => Registers(0x8B, to, from, wide: false);

    public void MoveImmediate(int to, ulong value)
    {
        Rex(true, 0, 0, to);
        WriteByte((byte)(0xB8 | (to & 7)));
        *(ulong*)_at = value;
        _at += 8;
    }

    public void MoveImmediate32(int to, int value)
    {
        if (to >= 8)
        {
            WriteByte(0x41);
        }

        WriteByte((byte)(0xB8 | (to & 7)));
        Word(value);
    }

    /// <summary>Loads 64 bits of the processor's memory; the place is an offset from the state.</summary>
    public void LoadState(int to, int place) => StateOperand(0x8B, to, place, wide: true);

    public void LoadState32(int to, int place) => StateOperand(0x8B, to, place, wide: false);

    public void StoreState(int place, int from) => StateOperand(0x89, from, place, wide: true);

    public void StoreState32(int place, int from) => StateOperand(0x89, from, place, wide: false);

    /// <summary>Loads a byte of the state, zero-extended.</summary>
    public void LoadStateByte(int to, int place)
    {
        Rex(false, to, 0, HostRegister.Rsp);
        WriteByte(0x0F);
        WriteByte(0xB6);
        Operand(to, HostRegister.Rsp, HostRegister.None, 0, place - ProcessorMemory.StackBias);
    }

    public void StoreStateByte(int place, byte value)
    {
        WriteByte(0xC6);
        Operand(0, HostRegister.Rsp, HostRegister.None, 0, place - ProcessorMemory.StackBias);
        WriteByte(value);
    }

    public void StoreStateImmediate32(int place, int value)
    {
        WriteByte(0xC7);
        Operand(0, HostRegister.Rsp, HostRegister.None, 0, place - ProcessorMemory.StackBias);
        Word(value);
    }

    /// <summary>Loads from a table in the processor's memory: base of the table plus index times scale.</summary>
    public void LoadTable(int to, int table, int index, int scaleBits)
    {
        Rex(true, to, index, HostRegister.Rsp);
        WriteByte(0x8B);
        OperandWide(to, HostRegister.Rsp, index, scaleBits, table - ProcessorMemory.StackBias);
    }

    /// <summary>Loads a byte from a table of bytes.</summary>
    public void LoadTableByte(int to, int table, int index)
    {
        Rex(false, to, index, HostRegister.Rsp);
        WriteByte(0x0F);
        WriteByte(0xB6);
        OperandWide(to, HostRegister.Rsp, index, 0, table - ProcessorMemory.StackBias);
    }

    public void Load(int to, int address, int index, bool wide = true) => Access(0x8B, to, address, index, wide);

    public void Load32(int to, int address, int index) => Access(0x8B, to, address, index, wide: false);

    /// <summary>CMP; changes flags.</summary>
    public void Compare(int register, int other, bool wide) => Registers(0x3B, register, other, wide);

    /// <summary>SAR by a constant; changes flags.</summary>
    public void ShiftRightArithmetic(int register, int count, bool wide)
    {
        Rex(wide, 0, 0, register);
        WriteByte(0xC1);
        WriteByte((byte)(0xF8 | (register & 7)));
        WriteByte((byte)count);
    }

    /// <summary>NOT, of 64 bits.</summary>
    public void Not(int register)
    {
        Rex(true, 0, 0, register);
        WriteByte(0xF7);
        WriteByte((byte)(0xD0 | (register & 7)));
    }

    /// <summary>DIV (6) or IDIV (7); changes flags.</summary>
    public void Group3(int extension, int register, bool wide)
    {
        Rex(wide, 0, 0, register);
        WriteByte(0xF7);
        WriteByte((byte)(0xC0 | (extension << 3) | (register & 7)));
    }

    /// <summary>Jcc a few bytes ahead; see <see cref="Land"/>.</summary>
    public byte* JumpShort(int condition)
    {
        WriteByte((byte)(0x70 | condition));
        WriteByte(0);
        return _at;
    }

    public void Store(int address, int index, int from, int displacement = 0, bool wide = true)
    {
        Rex(wide, from, index, address);
        WriteByte(0x89);
        Operand(from, address, index, 0, displacement);
    }

    /// <summary>An instruction of the accumulator, of 1 to 8 bytes, and an operand in memory, by the opcode of its form for bytes.</summary>
    public void AccumulatorOperand(byte opcode, int address, int index, int size)
    {
        if (size == sizeof(ushort))
        {
            WriteByte(0x66);
        }

        Rex(size == sizeof(ulong), HostRegister.Rax, index, address);
        WriteByte(size == 1 ? opcode : (byte)(opcode + 1));
        Operand(HostRegister.Rax, address, index, 0, 0);
    }

    public void Store16(int address, int index, int from, int displacement)
    {
        WriteByte(0x66);
        Rex(false, from, index, address);
        WriteByte(0x89);
        Operand(from, address, index, 0, displacement);
    }

    public void Lea(int to, int basis, int displacement) => Lea(to, basis, HostRegister.None, 0, displacement);

    public void Lea(int to, int basis, int index, int scaleBits, int displacement, bool wide = true)
    {
        Rex(wide, to, index, basis);
        WriteByte(0x8D);
        Operand(to, basis, index, scaleBits, displacement);
    }

    /// <summary>LEA with a base or an index only; the displacement is 32 bits.</summary>
    public void LeaScaled(int to, int index, int scaleBits, int displacement, bool wide = true)
    {
        Rex(wide, to, index, 0);
        WriteByte(0x8D);
        WriteByte((byte)(((to & 7) << 3) | 4));
        WriteByte((byte)((scaleBits << 6) | ((index & 7) << 3) | 5));
        Word(displacement);
    }

    public void RotateRight(int to, int from, int count, bool wide = true)
    {
        Vex(to, 0, from, 0, map: 3, prefix: 3, wide);
        WriteByte(0xF0);
        WriteByte((byte)(0xC0 | ((to & 7) << 3) | (from & 7)));
        WriteByte((byte)count);
    }

    public void ShiftRight(int to, int from, int count)
    {
        Vex(to, 0, from, count, map: 2, prefix: 3, wide: true);
        WriteByte(0xF7);
        WriteByte((byte)(0xC0 | ((to & 7) << 3) | (from & 7)));
    }

    public void ShiftLeft(int to, int from, int count)
    {
        Vex(to, 0, from, count, map: 2, prefix: 1, wide: true);
        WriteByte(0xF7);
        WriteByte((byte)(0xC0 | ((to & 7) << 3) | (from & 7)));
    }

    /// <summary>PEXT with its mask in the state.</summary>
    public void Extract(int to, int from, int maskPlace)
    {
        Vex(to, 0, HostRegister.Rsp, from, map: 2, prefix: 2, wide: true);
        WriteByte(0xF5);
        Operand(to, HostRegister.Rsp, HostRegister.None, 0, maskPlace - ProcessorMemory.StackBias);
    }

    /// <summary>PDEP with its mask in the state.</summary>
    public void Deposit(int to, int from, int maskPlace)
    {
        Vex(to, 0, HostRegister.Rsp, from, map: 2, prefix: 3, wide: true);
        WriteByte(0xF5);
        Operand(to, HostRegister.Rsp, HostRegister.None, 0, maskPlace - ProcessorMemory.StackBias);
    }

    /// <summary>SARX.</summary>
    public void ShiftRightSigned(int to, int from, int count, bool wide)
    {
        Vex(to, 0, from, count, map: 2, prefix: 2, wide);
        WriteByte(0xF7);
        WriteByte((byte)(0xC0 | ((to & 7) << 3) | (from & 7)));
    }

    /// <summary>MOVSXD.</summary>
    public void SignExtend(int to, int from) => Registers(0x63, to, from, wide: true);

    /// <summary>Loads 16 bits of the state, leaving the register's other bits.</summary>
    public void LoadStateLow16(int to, int place)
    {
        WriteByte(0x66);
        StateOperand(0x8B, to, place, wide: false);
    }

    public void LoadStateWord(int to, int place)
    {
        Rex(false, to, 0, HostRegister.Rsp);
        WriteByte(0x0F);
        WriteByte(0xB7);
        Operand(to, HostRegister.Rsp, HostRegister.None, 0, place - ProcessorMemory.StackBias);
    }

    /// <summary>Stores the low byte of RAX, RCX, RDX or RBX.</summary>
    public void StoreStateLowByte(int place, int from) => StateOperand(0x88, from, place, wide: false);

    public void ZeroExtendWord(int to, int from)
    {
        Rex(false, to, 0, from);
        WriteByte(0x0F);
        WriteByte(0xB7);
        WriteByte((byte)(0xC0 | ((to & 7) << 3) | (from & 7)));
    }

    public void ZeroExtendByte(int to, int from)
    {
        WriteByte((byte)(0x40 | (to >> 3 << 2) | (from >> 3)));
        WriteByte(0x0F);
        WriteByte(0xB6);
        WriteByte((byte)(0xC0 | ((to & 7) << 3) | (from & 7)));
    }

    /// <summary>MOV CL, 0.</summary>
    public void ClearLowCount()
    {
        WriteByte(0xB1);
        WriteByte(0);
    }

    /// <summary>Jumps a few bytes ahead when RCX is zero; <see cref="Land"/> names the target.</summary>
    public byte* JumpIfCountZero()
    {
        WriteByte(0xE3);
        WriteByte(0);
        return _at;
    }

    /// <summary>A short jump's target is here.</summary>
    public void Land(byte* jump) => jump[-1] = checked((byte)(_at - jump));

    public void Jump(byte* target)
    {
        WriteByte(JumpOpcode);
        Relative(target);
    }

    public void Call(byte* target)
    {
        WriteByte(0xE8);
        Relative(target);
    }

    /// <summary>Jcc with a target to be filled in; returns the place of its four bytes.</summary>
    public byte* JumpCondition(int condition)
    {
        WriteByte(0x0F);
        WriteByte((byte)(0x80 | condition));
        Word(0);
        return _at - 4;
    }

    public byte* JumpLater()
    {
        WriteByte(JumpOpcode);
        Word(0);
        return _at - 4;
    }

    /// <summary>Jumps to the address in a table.</summary>
    public void JumpTable(int table, int index, int scaleBits)
    {
        if (index >= 8)
        {
            WriteByte(0x42);
        }

        WriteByte(0xFF);
        OperandWide(4, HostRegister.Rsp, index, scaleBits, table - ProcessorMemory.StackBias);
    }

    public void JumpState(int place)
    {
        WriteByte(0xFF);
        Operand(4, HostRegister.Rsp, HostRegister.None, 0, place - ProcessorMemory.StackBias);
    }

    public void Push(int register)
    {
        if (register >= 8)
        {
            WriteByte(0x41);
        }

        WriteByte((byte)(0x50 | (register & 7)));
    }

    public void Pop(int register)
    {
        if (register >= 8)
        {
            WriteByte(0x41);
        }

        WriteByte((byte)(0x58 | (register & 7)));
    }

    /// <summary>Bytes that stand for no shorter form.</summary>
    public void Bytes(params ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(new Span<byte>(_at, bytes.Length));
        _at += bytes.Length;
    }

    /// <summary>Sets the four bytes of a relative jump.</summary>
    public static void Patch(byte* place, byte* target) => Unsafe.WriteUnaligned(place, (int)(target - (place + 4)));

    /// <summary>An instruction with a register and an operand in the state.</summary>
    public void StateOperand(byte opcode, int register, int place, bool wide)
    {
        Rex(wide, register, 0, HostRegister.Rsp);
        WriteByte(opcode);
        Operand(register, HostRegister.Rsp, HostRegister.None, 0, place - ProcessorMemory.StackBias);
    }

    /// <summary>The operand bytes of an instruction whose opcode was written already.</summary>
    public void StateOperandTail(int extension, int place) =>
        Operand(extension, HostRegister.Rsp, HostRegister.None, 0, place - ProcessorMemory.StackBias);

    /// <summary>A 256-bit (or, without <paramref name="wide"/>, 128-bit) unaligned vector move from or to the state.</summary>
    public void VectorState(bool store, int register, int place, bool wide)
    {
        if (wide)
        {
            // VEX.256.0F.WIG 10/11: VMOVUPS.
            WriteByte(0xC5);
            WriteByte((byte)((register >= 8 ? 0 : 0x80) | 0x7C));
        }
        else
        {
            Rex(false, register, 0, HostRegister.Rsp);
            WriteByte(0x0F);
        }

        WriteByte(store ? (byte)0x11 : (byte)0x10);
        Operand(register, HostRegister.Rsp, HostRegister.None, 0, place - ProcessorMemory.StackBias);
    }

    private void Relative(byte* target) => Word((int)(target - (_at + 4)));

    private void Registers(byte opcode, int register, int other, bool wide)
    {
        Rex(wide, register, 0, other);
        WriteByte(opcode);
        WriteByte((byte)(0xC0 | ((register & 7) << 3) | (other & 7)));
    }

    private void Access(byte opcode, int register, int address, int index, bool wide)
    {
        Rex(wide, register, index, address);
        WriteByte(opcode);
        Operand(register, address, index, 0, 0);
    }

    private void Rex(bool wide, int register, int index, int basis)
    {
        int rex = (wide ? 8 : 0) | (register >> 3 << 2) | (index > 0 ? index >> 3 << 1 : 0) | (basis >> 3);
        if (rex != 0)
        {
            WriteByte((byte)(0x40 | rex));
        }
    }

    private void Vex(int register, int index, int basis, int second, int map, int prefix, bool wide)
    {
        WriteByte(0xC4);
        WriteByte((byte)(((~register >> 3 & 1) << 7) | ((~index >> 3 & 1) << 6) | ((~basis >> 3 & 1) << 5) | map));
        WriteByte((byte)((wide ? 0x80 : 0) | ((~second & 15) << 3) | prefix));
    }

    private void Operand(int register, int basis, int index, int scaleBits, int displacement)
    {
        // RBP and R13 have no form without displacement.
        int mode = displacement == 0 && (basis & 7) != 5 ? 0 : displacement == (sbyte)displacement ? 1 : 2;
        OperandForm(register, basis, index, scaleBits, displacement, mode);
    }

    private void OperandWide(int register, int basis, int index, int scaleBits, int displacement) =>
        OperandForm(register, basis, index, scaleBits, displacement, 2);

    private void OperandForm(int register, int basis, int index, int scaleBits, int displacement, int mode)
    {
        if (index == HostRegister.None && (basis & 7) != 4)
        {
            WriteByte((byte)((mode << 6) | ((register & 7) << 3) | (basis & 7)));
        }
        else
        {
            WriteByte((byte)((mode << 6) | ((register & 7) << 3) | 4));
            WriteByte((byte)((scaleBits << 6) | ((index == HostRegister.None ? 4 : index & 7) << 3) | (basis & 7)));
        }

        if (mode == 1)
        {
            WriteByte((byte)displacement);
        }
        else if (mode == 2)
        {
            Word(displacement);
        }
    }
}
