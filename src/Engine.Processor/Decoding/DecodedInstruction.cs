using System.Runtime.InteropServices;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

/// <summary>
/// An instruction decoded once for many executions. A handler does the work and returns the instruction to go on with: normally
/// the next one (<c>i + 1</c>); null leaves the block with <see cref="CpuState.Rip"/> set.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct DecodedInstruction
{
    /// <summary>What executes it.</summary>
    public delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> Handler;

    /// <summary>The (first) immediate, sign-extended as the instruction does; for near branches the target relative to the block's start.</summary>
    public long Immediate;

    /// <summary>
    /// Displacement of the memory operand, sign-extended; for RIP-relative operands relative to the block's start, with
    /// <see cref="Base"/> naming <see cref="CpuState.BlockRip"/>.
    /// </summary>
    public long Displacement;

    /// <summary>For branches: the decoded target, once known and in the same page. For others free for the handler's use.</summary>
    public DecodedInstruction* Link;

    /// <summary>
    /// Registers of operands 0 to 3 (0 where the operand is not a register). General registers: byte offset in
    /// <see cref="CpuState"/> (AH is 1). XMM, MM, ST, segment, control and debug registers: their number.
    /// </summary>
    public byte Reg0, Reg1, Reg2, Reg3;

    /// <summary>Byte offsets in <see cref="CpuState"/> of the memory operand's base and index.</summary>
    public byte Base, Index;

    /// <summary>The index is shifted left by this.</summary>
    public byte Scale;

    /// <summary>Segment of the memory operand, as <see cref="SegmentName"/>.</summary>
    public byte Segment;

    /// <summary>Bytes from the block's start.</summary>
    public ushort Offset;

    /// <summary>Length in bytes.</summary>
    public byte Length;

    /// <summary>Prefixes and address form.</summary>
    public InstructionFlags Flags;

    /// <summary>Iced's <see cref="Iced.Intel.Code"/>.</summary>
    public ushort CodeValue;

    /// <summary>Number of the instruction in its block, from 1: what is retired when it ends the block.</summary>
    public ushort Ordinal;

    public readonly Code Code => (Code)CodeValue;
}

/// <summary>Prefixes and address form of an instruction.</summary>
[Flags]
internal enum InstructionFlags : byte
{
    None = 0,
    /// <summary>The linear address is base + index + displacement as they stand: 64-bit addressing without FS or GS.</summary>
    SimpleAddress = 1,
    Lock = 2,
    Rep = 4,
    Repne = 8,
    /// <summary>32-bit addressing.</summary>
    Address32 = 16,
    /// <summary>16-bit addressing.</summary>
    Address16 = 32,
    /// <summary>Decoded in 64-bit mode.</summary>
    LongMode = 64,
    /// <summary>Operand 1 (or the last register-or-memory operand) is memory.</summary>
    Memory = 128,
}
