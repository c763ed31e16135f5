using System.Numerics;
using System.Runtime.CompilerServices;

namespace Hypervisor.Engine.Processor;

/// <summary>A shift or rotation; the count is masked to 5 or 6 bits and not 0.</summary>
internal unsafe interface IShiftOperation
{
    static abstract T Apply<T>(CpuState* s, T a, int count) where T : unmanaged, IBinaryInteger<T>;
}

internal readonly unsafe struct ShlOperation : IShiftOperation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply<T>(CpuState* s, T a, int count) where T : unmanaged, IBinaryInteger<T>
    {
        int bits = sizeof(T) * 8;
        ulong value = Width.ZeroExtend(a);
        ulong carry = count <= bits ? (value >> (bits - count)) & 1 : 0;
        T r = Width.Truncate<T>(value << count);
        LazyFlags.SetResult(s, Width.SignExtend(r), carry, carry ^ (ulong)(Width.SignExtend(r) < 0 ? 1 : 0));
        return r;
    }
}

internal readonly unsafe struct ShrOperation : IShiftOperation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply<T>(CpuState* s, T a, int count) where T : unmanaged, IBinaryInteger<T>
    {
        ulong value = Width.ZeroExtend(a);
        ulong carry = (value >> (count - 1)) & 1;
        T r = Width.Truncate<T>(value >> count);
        LazyFlags.SetResult(s, Width.SignExtend(r), carry, (ulong)(Width.SignExtend(a) < 0 ? 1 : 0));
        return r;
    }
}

internal readonly unsafe struct SarOperation : IShiftOperation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply<T>(CpuState* s, T a, int count) where T : unmanaged, IBinaryInteger<T>
    {
        long value = Width.SignExtend(a);
        ulong carry = (ulong)(value >> (count - 1)) & 1;
        long r = value >> count;
        LazyFlags.SetResult(s, r, carry, 0);
        return Width.Truncate<T>((ulong)r);
    }
}

internal readonly unsafe struct RolOperation : IShiftOperation
{
    public static T Apply<T>(CpuState* s, T a, int count) where T : unmanaged, IBinaryInteger<T>
    {
        T r = T.RotateLeft(a, count & ((sizeof(T) * 8) - 1));
        ulong carry = Width.ZeroExtend(r) & 1;
        RotateFlags.Set(s, carry, carry ^ (ulong)(Width.SignExtend(r) < 0 ? 1 : 0));
        return r;
    }
}

internal readonly unsafe struct RorOperation : IShiftOperation
{
    public static T Apply<T>(CpuState* s, T a, int count) where T : unmanaged, IBinaryInteger<T>
    {
        T r = T.RotateRight(a, count & ((sizeof(T) * 8) - 1));
        ulong top = Width.ZeroExtend(r) >> ((sizeof(T) * 8) - 2);
        RotateFlags.Set(s, top >> 1, (top >> 1) ^ (top & 1));
        return r;
    }
}

internal readonly unsafe struct RclOperation : IShiftOperation
{
    public static T Apply<T>(CpuState* s, T a, int count) where T : unmanaged, IBinaryInteger<T>
    {
        int bits = sizeof(T) * 8;
        ulong carry = LazyFlags.CarryBit(s);
        ulong value = Width.ZeroExtend(a);
        for (int n = count % (bits + 1); n > 0; n--)
        {
            ulong top = (value >> (bits - 1)) & 1;
            value = (value << 1) | carry;
            carry = top;
        }

        T r = Width.Truncate<T>(value);
        RotateFlags.Set(s, carry, carry ^ (ulong)(Width.SignExtend(r) < 0 ? 1 : 0));
        return r;
    }
}

internal readonly unsafe struct RcrOperation : IShiftOperation
{
    public static T Apply<T>(CpuState* s, T a, int count) where T : unmanaged, IBinaryInteger<T>
    {
        int bits = sizeof(T) * 8;
        ulong carry = LazyFlags.CarryBit(s);
        ulong value = Width.ZeroExtend(a);
        for (int n = count % (bits + 1); n > 0; n--)
        {
            ulong bottom = value & 1;
            value = (value >> 1) | (carry << (bits - 1));
            carry = bottom;
        }

        ulong top = (value >> (bits - 2)) & 3;
        RotateFlags.Set(s, carry, (top >> 1) ^ (top & 1));
        return Width.Truncate<T>(value);
    }
}

/// <summary>Flags of rotations: only CF and OF change.</summary>
internal static unsafe class RotateFlags
{
    public static void Set(CpuState* s, ulong carry, ulong overflow) =>
        s->FlagAux = (s->FlagAux & ~(3ul << 62)) | (carry << 63) | ((carry ^ overflow) << 62);
}

/// <summary>Handlers of a shift at one width.</summary>
internal static unsafe class ShiftHandlers<TOperation, T>
    where TOperation : struct, IShiftOperation
    where T : unmanaged, IBinaryInteger<T>
{
    private static int CountMask => sizeof(T) == 8 ? 63 : 31;

    public static DecodedInstruction* RegisterImmediate(X86Processor cpu, DecodedInstruction* i) => OnRegister(cpu, i, (int)i->Immediate & CountMask);

    public static DecodedInstruction* RegisterOne(X86Processor cpu, DecodedInstruction* i) => OnRegister(cpu, i, 1);

    public static DecodedInstruction* RegisterCounter(X86Processor cpu, DecodedInstruction* i) =>
        OnRegister(cpu, i, (int)cpu.State->Gpr[1] & CountMask);

    public static DecodedInstruction* MemoryImmediate(X86Processor cpu, DecodedInstruction* i) => OnMemory(cpu, i, (int)i->Immediate & CountMask);

    public static DecodedInstruction* MemoryOne(X86Processor cpu, DecodedInstruction* i) => OnMemory(cpu, i, 1);

    public static DecodedInstruction* MemoryCounter(X86Processor cpu, DecodedInstruction* i) =>
        OnMemory(cpu, i, (int)cpu.State->Gpr[1] & CountMask);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static DecodedInstruction* OnRegister(X86Processor cpu, DecodedInstruction* i, int count)
    {
        CpuState* s = cpu.State;
        T a = Width.Get<T>(s, i->Reg0);
        // With a count of 0 no flag changes, but a 32-bit operand still clears the upper half.
        Width.Set(s, i->Reg0, count == 0 ? a : TOperation.Apply(s, a, count));
        return i + 1;
    }

    private static DecodedInstruction* OnMemory(X86Processor cpu, DecodedInstruction* i, int count)
    {
        ulong linear = cpu.Address(i, sizeof(T), AccessKind.Write);
        T a = cpu.BeginModify<T>(linear, out byte* host);
        cpu.FinishModify(linear, host, count == 0 ? a : TOperation.Apply(cpu.State, a, count));
        return i + 1;
    }
}

/// <summary>SHLD and SHRD.</summary>
internal static unsafe class DoubleShiftHandlers<T>
    where T : unmanaged, IBinaryInteger<T>
{
    private static int CountMask => sizeof(T) == 8 ? 63 : 31;

    public static DecodedInstruction* LeftImmediate(X86Processor cpu, DecodedInstruction* i) => Apply(cpu, i, (int)i->Immediate & CountMask, left: true);

    public static DecodedInstruction* LeftCounter(X86Processor cpu, DecodedInstruction* i) => Apply(cpu, i, (int)cpu.State->Gpr[1] & CountMask, left: true);

    public static DecodedInstruction* RightImmediate(X86Processor cpu, DecodedInstruction* i) => Apply(cpu, i, (int)i->Immediate & CountMask, left: false);

    public static DecodedInstruction* RightCounter(X86Processor cpu, DecodedInstruction* i) => Apply(cpu, i, (int)cpu.State->Gpr[1] & CountMask, left: false);

    private static DecodedInstruction* Apply(X86Processor cpu, DecodedInstruction* i, int count, bool left)
    {
        CpuState* s = cpu.State;
        T filler = Width.Get<T>(s, i->Reg1);
        if ((i->Flags & InstructionFlags.Memory) == 0)
        {
            Width.Set(s, i->Reg0, Shift(s, Width.Get<T>(s, i->Reg0), filler, count, left));
            return i + 1;
        }

        ulong linear = cpu.Address(i, sizeof(T), AccessKind.Write);
        T a = cpu.BeginModify<T>(linear, out byte* host);
        cpu.FinishModify(linear, host, Shift(s, a, filler, count, left));
        return i + 1;
    }

    private static T Shift(CpuState* s, T a, T filler, int count, bool left)
    {
        if (count == 0)
        {
            return a;
        }

        int bits = sizeof(T) * 8;
        // A 16-bit operand with a count above 16 goes on into the operand again, as processors of both makers do.
        ulong value = Width.ZeroExtend(a);
        ulong more = Width.ZeroExtend(filler);
        ulong result;
        ulong carry;
        if (bits == 16)
        {
            ulong all = (value << 32) | (more << 16) | value;
            result = left ? (all << count) >> 32 : all >> count;
            carry = (all >> (left ? 48 - count : count - 1)) & 1;
        }
        else if (left)
        {
            result = (value << count) | (more >> (bits - count));
            carry = (value >> (bits - count)) & 1;
        }
        else
        {
            result = (value >> count) | (more << (bits - count));
            carry = (value >> (count - 1)) & 1;
        }

        T r = Width.Truncate<T>(result);
        bool flipped = Width.SignExtend(r) < 0 != Width.SignExtend(a) < 0;
        LazyFlags.SetResult(s, Width.SignExtend(r), carry, flipped ? 1ul : 0);
        return r;
    }
}

internal static unsafe partial class IntegerInstructions
{
    private static void RegisterShifts(InstructionTable.Builder table)
    {
        Shift<RolOperation>(table, "Rol");
        Shift<RorOperation>(table, "Ror");
        Shift<RclOperation>(table, "Rcl");
        Shift<RcrOperation>(table, "Rcr");
        Shift<ShlOperation>(table, "Shl");
        Shift<ShlOperation>(table, "Sal");
        Shift<ShrOperation>(table, "Shr");
        Shift<SarOperation>(table, "Sar");
        DoubleShift<ushort>(table, 16);
        DoubleShift<uint>(table, 32);
        DoubleShift<ulong>(table, 64);
    }

    private static void Shift<TOperation>(InstructionTable.Builder table, string name) where TOperation : struct, IShiftOperation
    {
        Shift<TOperation, byte>(table, $"{name}_rm8");
        Shift<TOperation, ushort>(table, $"{name}_rm16");
        Shift<TOperation, uint>(table, $"{name}_rm32");
        Shift<TOperation, ulong>(table, $"{name}_rm64");
    }

    private static void Shift<TOperation, T>(InstructionTable.Builder table, string code)
        where TOperation : struct, IShiftOperation
        where T : unmanaged, IBinaryInteger<T>
    {
        table.Set(table.Named($"{code}_imm8"), &ShiftHandlers<TOperation, T>.RegisterImmediate, &ShiftHandlers<TOperation, T>.MemoryImmediate);
        table.Set(table.Named($"{code}_1"), &ShiftHandlers<TOperation, T>.RegisterOne, &ShiftHandlers<TOperation, T>.MemoryOne);
        table.Set(table.Named($"{code}_CL"), &ShiftHandlers<TOperation, T>.RegisterCounter, &ShiftHandlers<TOperation, T>.MemoryCounter);
    }

    private static void DoubleShift<T>(InstructionTable.Builder table, int bits) where T : unmanaged, IBinaryInteger<T>
    {
        table.Set(table.Named($"Shld_rm{bits}_r{bits}_imm8"), &DoubleShiftHandlers<T>.LeftImmediate);
        table.Set(table.Named($"Shld_rm{bits}_r{bits}_CL"), &DoubleShiftHandlers<T>.LeftCounter);
        table.Set(table.Named($"Shrd_rm{bits}_r{bits}_imm8"), &DoubleShiftHandlers<T>.RightImmediate);
        table.Set(table.Named($"Shrd_rm{bits}_r{bits}_CL"), &DoubleShiftHandlers<T>.RightCounter);
    }
}
