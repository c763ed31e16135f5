using System.Numerics;
using System.Runtime.Intrinsics.X86;

namespace Hypervisor.Engine.Processor;

/// <summary>BMI1 and BMI2 at one width: VEX-encoded instructions on general registers, which need no extended state.</summary>
internal static unsafe class BmiHandlers<T> where T : unmanaged, IBinaryInteger<T>
{
    private const int Rdx = 2 * 8;

    private static int Bits => sizeof(T) * 8;

    public static DecodedInstruction* AndNot(X86Processor cpu, DecodedInstruction* i)
    {
        T second = Operand(cpu, i, i->Reg2);
        T result = ~Width.Get<T>(cpu.State, i->Reg1) & second;
        Width.Set(cpu.State, i->Reg0, result);
        Width.SetLogicFlags(cpu.State, result);
        return i + 1;
    }

    public static DecodedInstruction* ResetLowest(X86Processor cpu, DecodedInstruction* i)
    {
        T source = Operand(cpu, i, i->Reg1);
        return Finish(cpu, i, unchecked(source - T.One) & source, source == T.Zero);
    }

    public static DecodedInstruction* MaskToLowest(X86Processor cpu, DecodedInstruction* i)
    {
        T source = Operand(cpu, i, i->Reg1);
        return Finish(cpu, i, unchecked(source - T.One) ^ source, source == T.Zero);
    }

    public static DecodedInstruction* IsolateLowest(X86Processor cpu, DecodedInstruction* i)
    {
        T source = Operand(cpu, i, i->Reg1);
        return Finish(cpu, i, unchecked(T.Zero - source) & source, source != T.Zero);
    }

    // Start in bits 7:0 of the control, length in bits 15:8.
    public static DecodedInstruction* Extract(X86Processor cpu, DecodedInstruction* i)
    {
        ulong source = Width.ZeroExtend(Operand(cpu, i, i->Reg1));
        ulong control = Width.ZeroExtend(Width.Get<T>(cpu.State, i->Reg2));
        int start = (byte)control;
        int length = (byte)(control >> 8);
        ulong result = start >= Bits ? 0 : source >> start;
        result = length >= 64 ? result : result & ((1ul << length) - 1);
        return Finish(cpu, i, Width.Truncate<T>(result), false);
    }

    public static DecodedInstruction* ZeroHigh(X86Processor cpu, DecodedInstruction* i)
    {
        ulong source = Width.ZeroExtend(Operand(cpu, i, i->Reg1));
        int index = (byte)Width.ZeroExtend(Width.Get<T>(cpu.State, i->Reg2));
        ulong result = index >= Bits ? source : source & ((1ul << index) - 1);
        return Finish(cpu, i, Width.Truncate<T>(result), index >= Bits);
    }

    public static DecodedInstruction* ParallelExtract(X86Processor cpu, DecodedInstruction* i)
    {
        ulong mask = Width.ZeroExtend(Operand(cpu, i, i->Reg2));
        ulong source = Width.ZeroExtend(Width.Get<T>(cpu.State, i->Reg1));
        Width.Set(cpu.State, i->Reg0, Width.Truncate<T>(ParallelBits.Extract(source, mask)));
        return i + 1;
    }

    public static DecodedInstruction* ParallelDeposit(X86Processor cpu, DecodedInstruction* i)
    {
        ulong mask = Width.ZeroExtend(Operand(cpu, i, i->Reg2));
        ulong source = Width.ZeroExtend(Width.Get<T>(cpu.State, i->Reg1));
        Width.Set(cpu.State, i->Reg0, Width.Truncate<T>(ParallelBits.Deposit(source, mask)));
        return i + 1;
    }

    // Where both destinations are one register the high half stays (SDM vol. 2, MULX).
    public static DecodedInstruction* Multiply(X86Processor cpu, DecodedInstruction* i)
    {
        ulong a = Width.ZeroExtend(Operand(cpu, i, i->Reg2));
        ulong b = Width.ZeroExtend(Width.Get<T>(cpu.State, Rdx));
        ulong high = Math.BigMul(a, b, out ulong low);
        if (sizeof(T) == 4)
        {
            high = low >> 32;
        }

        Width.Set(cpu.State, i->Reg1, Width.Truncate<T>(low));
        Width.Set(cpu.State, i->Reg0, Width.Truncate<T>(high));
        return i + 1;
    }

    public static DecodedInstruction* RotateRight(X86Processor cpu, DecodedInstruction* i)
    {
        T source = Operand(cpu, i, i->Reg1);
        Width.Set(cpu.State, i->Reg0, T.RotateRight(source, (int)i->Immediate & (Bits - 1)));
        return i + 1;
    }

    public static DecodedInstruction* ShiftLeft(X86Processor cpu, DecodedInstruction* i)
    {
        T source = Operand(cpu, i, i->Reg1);
        Width.Set(cpu.State, i->Reg0, source << Count(cpu, i));
        return i + 1;
    }

    public static DecodedInstruction* ShiftRight(X86Processor cpu, DecodedInstruction* i)
    {
        T source = Operand(cpu, i, i->Reg1);
        Width.Set(cpu.State, i->Reg0, source >>> Count(cpu, i));
        return i + 1;
    }

    public static DecodedInstruction* ShiftRightSigned(X86Processor cpu, DecodedInstruction* i)
    {
        long source = Width.SignExtend(Operand(cpu, i, i->Reg1));
        Width.Set(cpu.State, i->Reg0, Width.Truncate<T>((ulong)(source >> Count(cpu, i))));
        return i + 1;
    }

    private static int Count(X86Processor cpu, DecodedInstruction* i) =>
        (int)Width.ZeroExtend(Width.Get<T>(cpu.State, i->Reg2)) & (Bits - 1);

    private static T Operand(X86Processor cpu, DecodedInstruction* i, byte register)
    {
        // VEX is not there in real and virtual-8086 mode (SDM vol. 2A, table 2-30).
        if (cpu.IsRealOrVirtual8086)
        {
            cpu.Raise(Vector.InvalidOpcode);
        }

        return (i->Flags & InstructionFlags.Memory) != 0 ? cpu.ReadOperand<T>(i) : Width.Get<T>(cpu.State, register);
    }

    private static DecodedInstruction* Finish(X86Processor cpu, DecodedInstruction* i, T result, bool carry)
    {
        Width.Set(cpu.State, i->Reg0, result);
        LazyFlags.SetResult(cpu.State, Width.SignExtend(result), carry ? 1ul : 0, 0);
        return i + 1;
    }
}

/// <summary>PEXT and PDEP of 64 bits.</summary>
internal static class ParallelBits
{
    public static ulong Extract(ulong source, ulong mask)
    {
        if (Bmi2.X64.IsSupported)
        {
            return Bmi2.X64.ParallelBitExtract(source, mask);
        }

        ulong result = 0;
        for (int at = 0; mask != 0; at++, mask &= mask - 1)
        {
            result |= ((source >> BitOperations.TrailingZeroCount(mask)) & 1) << at;
        }

        return result;
    }

    public static ulong Deposit(ulong source, ulong mask)
    {
        if (Bmi2.X64.IsSupported)
        {
            return Bmi2.X64.ParallelBitDeposit(source, mask);
        }

        ulong result = 0;
        for (; mask != 0; mask &= mask - 1, source >>= 1)
        {
            result |= (source & 1) << BitOperations.TrailingZeroCount(mask);
        }

        return result;
    }
}

internal static unsafe partial class IntegerInstructions
{
    private static void RegisterBmi(InstructionTable.Builder table)
    {
        Bmi<uint>(table, 32);
        Bmi<ulong>(table, 64);
    }

    private static void Bmi<T>(InstructionTable.Builder table, int bits) where T : unmanaged, IBinaryInteger<T>
    {
        string r = $"r{bits}";
        string rm = $"rm{bits}";
        table.Set(table.Named($"VEX_Andn_{r}_{r}_{rm}"), &BmiHandlers<T>.AndNot);
        table.Set(table.Named($"VEX_Blsr_{r}_{rm}"), &BmiHandlers<T>.ResetLowest);
        table.Set(table.Named($"VEX_Blsmsk_{r}_{rm}"), &BmiHandlers<T>.MaskToLowest);
        table.Set(table.Named($"VEX_Blsi_{r}_{rm}"), &BmiHandlers<T>.IsolateLowest);
        table.Set(table.Named($"VEX_Bextr_{r}_{rm}_{r}"), &BmiHandlers<T>.Extract);
        table.Set(table.Named($"VEX_Bzhi_{r}_{rm}_{r}"), &BmiHandlers<T>.ZeroHigh);
        table.Set(table.Named($"VEX_Pext_{r}_{r}_{rm}"), &BmiHandlers<T>.ParallelExtract);
        table.Set(table.Named($"VEX_Pdep_{r}_{r}_{rm}"), &BmiHandlers<T>.ParallelDeposit);
        table.Set(table.Named($"VEX_Mulx_{r}_{r}_{rm}"), &BmiHandlers<T>.Multiply);
        table.Set(table.Named($"VEX_Rorx_{r}_{rm}_imm8"), &BmiHandlers<T>.RotateRight);
        table.Set(table.Named($"VEX_Shlx_{r}_{rm}_{r}"), &BmiHandlers<T>.ShiftLeft);
        table.Set(table.Named($"VEX_Shrx_{r}_{rm}_{r}"), &BmiHandlers<T>.ShiftRight);
        table.Set(table.Named($"VEX_Sarx_{r}_{rm}_{r}"), &BmiHandlers<T>.ShiftRightSigned);
    }
}
