using System.Numerics;

namespace Hypervisor.Engine.Processor;

/// <summary>MUL, IMUL, DIV and IDIV at one width.</summary>
internal static unsafe class MultiplyHandlers<T> where T : unmanaged, IBinaryInteger<T>
{
    private static int Bits => sizeof(T) * 8;

    private static T Source(X86Processor cpu, DecodedInstruction* i) =>
        (i->Flags & InstructionFlags.Memory) != 0 ? cpu.ReadOperand<T>(i) : Width.Get<T>(cpu.State, i->Reg0);

    public static DecodedInstruction* Multiply(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong b = Width.ZeroExtend(Source(cpu, i));
        ulong a = Width.ZeroExtend(Width.Get<T>(s, 0));
        ulong low, high;
        if (sizeof(T) == 8)
        {
            high = Math.BigMul(a, b, out low);
        }
        else
        {
            low = a * b;
            high = low >> Bits;
        }

        StoreProduct(s, low, high);
        ulong over = high != 0 ? 1ul : 0;
        LazyFlags.SetResult(s, Width.SignExtend(Width.Truncate<T>(low)), over, over);
        return i + 1;
    }

    public static DecodedInstruction* MultiplySigned(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        long b = Width.SignExtend(Source(cpu, i));
        long a = Width.SignExtend(Width.Get<T>(s, 0));
        long low, high;
        if (sizeof(T) == 8)
        {
            high = Math.BigMul(a, b, out low);
        }
        else
        {
            low = a * b;
            high = low >> Bits;
        }

        StoreProduct(s, (ulong)low, (ulong)high);
        SetSignedFlags(s, low, high);
        return i + 1;
    }

    public static DecodedInstruction* MultiplyTwo(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        long b = Width.SignExtend((i->Flags & InstructionFlags.Memory) != 0 ? cpu.ReadOperand<T>(i) : Width.Get<T>(s, i->Reg1));
        return StoreTruncated(s, i, Width.SignExtend(Width.Get<T>(s, i->Reg0)), b);
    }

    public static DecodedInstruction* MultiplyThree(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        long a = Width.SignExtend((i->Flags & InstructionFlags.Memory) != 0 ? cpu.ReadOperand<T>(i) : Width.Get<T>(s, i->Reg1));
        // Immediates of the operand's own width come without sign extension.
        return StoreTruncated(s, i, a, Width.SignExtend(Width.Truncate<T>((ulong)i->Immediate)));
    }

    public static DecodedInstruction* Divide(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong b = Width.ZeroExtend(Source(cpu, i));
        ulong quotient, remainder;
        if (sizeof(T) == 8)
        {
            ulong high = s->Gpr[2];
            if (b == 0 || high >= b)
            {
                cpu.Raise(Vector.DivideError);
            }

            if (high == 0)
            {
                (quotient, remainder) = Math.DivRem(s->Gpr[0], b);
            }
            else
            {
                UInt128 q = new UInt128(high, s->Gpr[0]) / b;
                quotient = (ulong)q;
                remainder = unchecked(s->Gpr[0] - (quotient * b));
            }
        }
        else
        {
            ulong dividend = Dividend(s);
            if (b == 0)
            {
                cpu.Raise(Vector.DivideError);
            }

            (quotient, remainder) = Math.DivRem(dividend, b);
            if (quotient >> Bits != 0)
            {
                cpu.Raise(Vector.DivideError);
            }
        }

        StoreQuotient(s, quotient, remainder);
        return i + 1;
    }

    public static DecodedInstruction* DivideSigned(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        long b = Width.SignExtend(Source(cpu, i));
        if (b == 0)
        {
            cpu.Raise(Vector.DivideError);
        }

        if (sizeof(T) == 8)
        {
            var dividend = new Int128(s->Gpr[2], s->Gpr[0]);
            bool negative = Int128.IsNegative(dividend);
            UInt128 magnitude = negative ? (UInt128)(-dividend) : (UInt128)dividend;
            ulong divisor = b < 0 ? unchecked((ulong)-b) : (ulong)b;
            UInt128 q = magnitude / divisor;
            ulong r = (ulong)(magnitude - (q * divisor));
            bool down = negative != b < 0;
            if (q > (down ? 1ul << 63 : (1ul << 63) - 1))
            {
                cpu.Raise(Vector.DivideError);
            }

            ulong quotient = (ulong)q;
            StoreQuotient(s, down ? unchecked(0 - quotient) : quotient, negative ? unchecked(0 - r) : r);
            return i + 1;
        }

        ulong raw = Dividend(s);
        long value = sizeof(T) == 4 ? (long)raw : (long)(raw << (64 - (2 * Bits))) >> (64 - (2 * Bits));
        if (value == long.MinValue && b == -1)
        {
            cpu.Raise(Vector.DivideError);
        }

        long result = value / b;
        if (result != Width.SignExtend(Width.Truncate<T>((ulong)result)))
        {
            cpu.Raise(Vector.DivideError);
        }

        StoreQuotient(s, (ulong)result, (ulong)(value - (result * b)));
        return i + 1;
    }

    private static DecodedInstruction* StoreTruncated(CpuState* s, DecodedInstruction* i, long a, long b)
    {
        long low, high;
        if (sizeof(T) == 8)
        {
            high = Math.BigMul(a, b, out low);
        }
        else
        {
            low = a * b;
            high = low >> Bits;
        }

        Width.Set(s, i->Reg0, Width.Truncate<T>((ulong)low));
        SetSignedFlags(s, low, high);
        return i + 1;
    }

    private static void SetSignedFlags(CpuState* s, long low, long high)
    {
        long truncated = Width.SignExtend(Width.Truncate<T>((ulong)low));
        ulong over = high != truncated >> 63 || (sizeof(T) < 8 && truncated != low) ? 1ul : 0;
        LazyFlags.SetResult(s, truncated, over, over);
    }

    // The double-width dividend in AX, DX:AX or EDX:EAX.
    private static ulong Dividend(CpuState* s) => sizeof(T) switch
    {
        1 => (ushort)s->Gpr[0],
        2 => ((ulong)(ushort)s->Gpr[2] << 16) | (ushort)s->Gpr[0],
        _ => (s->Gpr[2] << 32) | (uint)s->Gpr[0],
    };

    private static void StoreProduct(CpuState* s, ulong low, ulong high)
    {
        if (sizeof(T) == 1)
        {
            *(ushort*)s = (ushort)low;
        }
        else
        {
            Width.Set(s, 0, Width.Truncate<T>(low));
            Width.Set(s, 2 * 8, Width.Truncate<T>(high));
        }
    }

    private static void StoreQuotient(CpuState* s, ulong quotient, ulong remainder)
    {
        Width.Set(s, 0, Width.Truncate<T>(quotient));
        Width.Set(s, sizeof(T) == 1 ? (byte)1 : (byte)16, Width.Truncate<T>(remainder));
    }
}

internal static unsafe partial class IntegerInstructions
{
    private static void RegisterMultiply(InstructionTable.Builder table)
    {
        Multiply<byte>(table, 8, "");
        Multiply<ushort>(table, 16, "imm16");
        Multiply<uint>(table, 32, "imm32");
        Multiply<ulong>(table, 64, "imm32");
    }

    private static void Multiply<T>(InstructionTable.Builder table, int bits, string immediate) where T : unmanaged, IBinaryInteger<T>
    {
        table.Set(table.Named($"Mul_rm{bits}"), &MultiplyHandlers<T>.Multiply);
        table.Set(table.Named($"Imul_rm{bits}"), &MultiplyHandlers<T>.MultiplySigned);
        table.Set(table.Named($"Div_rm{bits}"), &MultiplyHandlers<T>.Divide);
        table.Set(table.Named($"Idiv_rm{bits}"), &MultiplyHandlers<T>.DivideSigned);
        if (bits > 8)
        {
            table.Set(table.Named($"Imul_r{bits}_rm{bits}"), &MultiplyHandlers<T>.MultiplyTwo);
            table.Set(table.Named($"Imul_r{bits}_rm{bits}_imm8"), &MultiplyHandlers<T>.MultiplyThree);
            table.Set(table.Named($"Imul_r{bits}_rm{bits}_{immediate}"), &MultiplyHandlers<T>.MultiplyThree);
        }
    }
}
