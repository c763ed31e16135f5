using System.Buffers.Binary;
using System.Numerics;

namespace Hypervisor.Engine.Processor;

/// <summary>Moves at one width.</summary>
internal static unsafe class MoveHandlers<T> where T : unmanaged, IBinaryInteger<T>
{
    public static DecodedInstruction* RegisterRegister(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        Width.Set(s, i->Reg0, Width.Get<T>(s, i->Reg1));
        return i + 1;
    }

    public static DecodedInstruction* RegisterImmediate(X86Processor cpu, DecodedInstruction* i)
    {
        Width.Set(cpu.State, i->Reg0, Width.Truncate<T>((ulong)i->Immediate));
        return i + 1;
    }

    public static DecodedInstruction* Load(X86Processor cpu, DecodedInstruction* i)
    {
        T value = cpu.ReadOperand<T>(i);
        Width.Set(cpu.State, i->Reg0, value);
        return i + 1;
    }

    public static DecodedInstruction* Store(X86Processor cpu, DecodedInstruction* i)
    {
        cpu.WriteOperand(i, Width.Get<T>(cpu.State, i->Reg1));
        return i + 1;
    }

    public static DecodedInstruction* StoreImmediate(X86Processor cpu, DecodedInstruction* i)
    {
        cpu.WriteOperand(i, Width.Truncate<T>((ulong)i->Immediate));
        return i + 1;
    }

    public static DecodedInstruction* LoadAddress(X86Processor cpu, DecodedInstruction* i)
    {
        Width.Set(cpu.State, i->Reg0, Width.Truncate<T>(cpu.EffectiveOffset(i)));
        return i + 1;
    }

    public static DecodedInstruction* StoreSegment(X86Processor cpu, DecodedInstruction* i)
    {
        ushort selector = cpu.State->Segments[i->Reg1].Selector;
        if ((i->Flags & InstructionFlags.Memory) != 0)
        {
            cpu.WriteOperand(i, selector);
        }
        else
        {
            Width.Set(cpu.State, i->Reg0, Width.Truncate<T>(selector));
        }

        return i + 1;
    }

    public static DecodedInstruction* LoadSwapped(X86Processor cpu, DecodedInstruction* i)
    {
        Width.Set(cpu.State, i->Reg0, Swap(cpu.ReadOperand<T>(i)));
        return i + 1;
    }

    public static DecodedInstruction* StoreSwapped(X86Processor cpu, DecodedInstruction* i)
    {
        cpu.WriteOperand(i, Swap(Width.Get<T>(cpu.State, i->Reg1)));
        return i + 1;
    }

    public static DecodedInstruction* SwapRegister(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        // BSWAP of 16 bits is undefined; processors give zero.
        Width.Set(s, i->Reg0, sizeof(T) == 2 ? T.Zero : Swap(Width.Get<T>(s, i->Reg0)));
        return i + 1;
    }

    private static T Swap(T value) => Width.Truncate<T>(
        sizeof(T) == 2 ? BinaryPrimitives.ReverseEndianness((ushort)Width.ZeroExtend(value))
        : sizeof(T) == 4 ? BinaryPrimitives.ReverseEndianness((uint)Width.ZeroExtend(value))
        : BinaryPrimitives.ReverseEndianness(Width.ZeroExtend(value)));
}

/// <summary>Moves that widen.</summary>
internal static unsafe class WidenHandlers<TTo, TFrom>
    where TTo : unmanaged, IBinaryInteger<TTo>
    where TFrom : unmanaged, IBinaryInteger<TFrom>
{
    public static DecodedInstruction* ZeroRegister(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        Width.Set(s, i->Reg0, Width.Truncate<TTo>(Width.ZeroExtend(Width.Get<TFrom>(s, i->Reg1))));
        return i + 1;
    }

    public static DecodedInstruction* ZeroMemory(X86Processor cpu, DecodedInstruction* i)
    {
        TFrom value = cpu.ReadOperand<TFrom>(i);
        Width.Set(cpu.State, i->Reg0, Width.Truncate<TTo>(Width.ZeroExtend(value)));
        return i + 1;
    }

    public static DecodedInstruction* SignRegister(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        Width.Set(s, i->Reg0, Width.Truncate<TTo>((ulong)Width.SignExtend(Width.Get<TFrom>(s, i->Reg1))));
        return i + 1;
    }

    public static DecodedInstruction* SignMemory(X86Processor cpu, DecodedInstruction* i)
    {
        TFrom value = cpu.ReadOperand<TFrom>(i);
        Width.Set(cpu.State, i->Reg0, Width.Truncate<TTo>((ulong)Width.SignExtend(value)));
        return i + 1;
    }
}

/// <summary>CMOVcc.</summary>
internal static unsafe class ConditionalMoveHandlers<TCondition, T>
    where TCondition : struct, ICondition
    where T : unmanaged, IBinaryInteger<T>
{
    public static DecodedInstruction* Register(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        Width.Set(s, i->Reg0, TCondition.Holds(s) ? Width.Get<T>(s, i->Reg1) : Width.Get<T>(s, i->Reg0));
        return i + 1;
    }

    public static DecodedInstruction* Memory(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        // The load happens, and may fault, whether the condition holds or not.
        T value = cpu.ReadOperand<T>(i);
        Width.Set(s, i->Reg0, TCondition.Holds(s) ? value : Width.Get<T>(s, i->Reg0));
        return i + 1;
    }
}

internal static unsafe partial class IntegerInstructions
{
    private static void RegisterMoves(InstructionTable.Builder table)
    {
        Move<byte>(table, 8, "AL", "imm8");
        Move<ushort>(table, 16, "AX", "imm16");
        Move<uint>(table, 32, "EAX", "imm32");
        Move<ulong>(table, 64, "RAX", "imm32");
        table.Set(table.Named("Mov_r64_imm64"), &MoveHandlers<ulong>.RegisterImmediate);
        table.Set(table.Named("Lea_r16_m"), &MoveHandlers<ushort>.LoadAddress);
        table.Set(table.Named("Lea_r32_m"), &MoveHandlers<uint>.LoadAddress);
        table.Set(table.Named("Lea_r64_m"), &MoveHandlers<ulong>.LoadAddress);
        table.Set(table.Named("Mov_rm16_Sreg"), &MoveHandlers<ushort>.StoreSegment);
        table.Set(table.Named("Mov_r32m16_Sreg"), &MoveHandlers<uint>.StoreSegment);
        table.Set(table.Named("Mov_r64m16_Sreg"), &MoveHandlers<ulong>.StoreSegment);
        table.Set(table.Named("Bswap_r16"), &MoveHandlers<ushort>.SwapRegister);
        table.Set(table.Named("Bswap_r32"), &MoveHandlers<uint>.SwapRegister);
        table.Set(table.Named("Bswap_r64"), &MoveHandlers<ulong>.SwapRegister);
        Swapped<ushort>(table, 16);
        Swapped<uint>(table, 32);
        Swapped<ulong>(table, 64);
        Widen<ushort, byte>(table, "r16_rm8");
        Widen<uint, byte>(table, "r32_rm8");
        Widen<ulong, byte>(table, "r64_rm8");
        Widen<ushort, ushort>(table, "r16_rm16");
        Widen<uint, ushort>(table, "r32_rm16");
        Widen<ulong, ushort>(table, "r64_rm16");
        table.Set(table.Named("Movsxd_r16_rm16"), &WidenHandlers<ushort, ushort>.SignRegister, &WidenHandlers<ushort, ushort>.SignMemory);
        table.Set(table.Named("Movsxd_r32_rm32"), &WidenHandlers<uint, uint>.SignRegister, &WidenHandlers<uint, uint>.SignMemory);
        table.Set(table.Named("Movsxd_r64_rm32"), &WidenHandlers<ulong, uint>.SignRegister, &WidenHandlers<ulong, uint>.SignMemory);
        table.Set(table.Named("Cbw"), &Cbw);
        table.Set(table.Named("Cwde"), &Cwde);
        table.Set(table.Named("Cdqe"), &Cdqe);
        table.Set(table.Named("Cwd"), &Cwd);
        table.Set(table.Named("Cdq"), &Cdq);
        table.Set(table.Named("Cqo"), &Cqo);
        table.Set(table.Named("Xlat_m8"), &Xlat);
    }

    private static void Move<T>(InstructionTable.Builder table, int bits, string accumulator, string immediate)
        where T : unmanaged, IBinaryInteger<T>
    {
        table.Set(table.Named($"Mov_rm{bits}_r{bits}"), &MoveHandlers<T>.RegisterRegister, &MoveHandlers<T>.Store);
        table.Set(table.Named($"Mov_r{bits}_rm{bits}"), &MoveHandlers<T>.RegisterRegister, &MoveHandlers<T>.Load);
        table.Set(table.Named($"Mov_{accumulator}_moffs{bits}"), &MoveHandlers<T>.Load);
        table.Set(table.Named($"Mov_moffs{bits}_{accumulator}"), &MoveHandlers<T>.Store);
        table.Set(table.Named($"Mov_rm{bits}_{immediate}"), &MoveHandlers<T>.RegisterImmediate, &MoveHandlers<T>.StoreImmediate);
        if (bits < 64)
        {
            table.Set(table.Named($"Mov_r{bits}_{immediate}"), &MoveHandlers<T>.RegisterImmediate);
        }
    }

    private static void Swapped<T>(InstructionTable.Builder table, int bits) where T : unmanaged, IBinaryInteger<T>
    {
        table.Set(table.Named($"Movbe_r{bits}_m{bits}"), &MoveHandlers<T>.LoadSwapped);
        table.Set(table.Named($"Movbe_m{bits}_r{bits}"), &MoveHandlers<T>.StoreSwapped);
    }

    private static void Widen<TTo, TFrom>(InstructionTable.Builder table, string operands)
        where TTo : unmanaged, IBinaryInteger<TTo>
        where TFrom : unmanaged, IBinaryInteger<TFrom>
    {
        table.Set(table.Named($"Movzx_{operands}"), &WidenHandlers<TTo, TFrom>.ZeroRegister, &WidenHandlers<TTo, TFrom>.ZeroMemory);
        table.Set(table.Named($"Movsx_{operands}"), &WidenHandlers<TTo, TFrom>.SignRegister, &WidenHandlers<TTo, TFrom>.SignMemory);
    }

    private static DecodedInstruction* Cbw(X86Processor cpu, DecodedInstruction* i)
    {
        *(ushort*)cpu.State = (ushort)*(sbyte*)cpu.State;
        return i + 1;
    }

    private static DecodedInstruction* Cwde(X86Processor cpu, DecodedInstruction* i)
    {
        cpu.State->Gpr[0] = (uint)*(short*)cpu.State;
        return i + 1;
    }

    private static DecodedInstruction* Cdqe(X86Processor cpu, DecodedInstruction* i)
    {
        cpu.State->Gpr[0] = (ulong)*(int*)cpu.State;
        return i + 1;
    }

    private static DecodedInstruction* Cwd(X86Processor cpu, DecodedInstruction* i)
    {
        *(ushort*)&cpu.State->Gpr[2] = (ushort)(*(short*)cpu.State >> 15);
        return i + 1;
    }

    private static DecodedInstruction* Cdq(X86Processor cpu, DecodedInstruction* i)
    {
        cpu.State->Gpr[2] = (uint)(*(int*)cpu.State >> 31);
        return i + 1;
    }

    private static DecodedInstruction* Cqo(X86Processor cpu, DecodedInstruction* i)
    {
        cpu.State->Gpr[2] = (ulong)((long)cpu.State->Gpr[0] >> 63);
        return i + 1;
    }

    private static DecodedInstruction* Xlat(X86Processor cpu, DecodedInstruction* i)
    {
        ulong offset = cpu.State->Gpr[3] + (byte)cpu.State->Gpr[0];
        offset = (i->Flags & InstructionFlags.Address16) != 0 ? (ushort)offset
            : (i->Flags & InstructionFlags.Address32) != 0 ? (uint)offset : offset;
        byte value = cpu.Read<byte>(cpu.SegmentedAddress((SegmentName)i->Segment, offset, 1, AccessKind.Read));
        *(byte*)cpu.State = value;
        return i + 1;
    }
}
