using Hypervisor.Engine.Processor.FloatingPoint;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// Partial remainders and packed decimal.
internal static unsafe partial class X87Instructions
{
    private const ulong DecimalLimit = 1_000_000_000_000_000_000;
    private const int DecimalBytes = 10;

    private static void RegisterRemainder(InstructionTable.Builder table)
    {
        table.Set(Code.Fprem, &Remainder);
        table.Set(Code.Fprem1, &Remainder);
        table.Set(Code.Fbld_m80bcd, &LoadDecimal);
        table.Set(Code.Fbstp_m80bcd, &StoreDecimal);
    }

    private static DecodedInstruction* Remainder(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        if (!HasTwo(state))
        {
            state->X87Status &= unchecked((ushort)~X87State.C2);
            return i + 1;
        }

        var context = X87Operands.Begin(state);
        var dividend = X87Operands.Value(state, 0);
        var divisor = X87Operands.Value(state, 1);
        int kept = state->X87Status & (X87State.C0 | X87State.C3);
        int codes = kept;
        if (!X87Operands.SettlesNaN(ref context, dividend, divisor, out var result))
        {
            result = Reduce(ref context, dividend, divisor, i->Code == Code.Fprem1, out codes);
            X87Operands.NoteDenormal(ref context, dividend, divisor);
        }

        if ((context.Flags & FloatExceptions.Invalid) != 0)
        {
            // Without a quotient its bits stay.
            codes = kept;
        }

        if (X87Operands.Finish(state, context))
        {
            X87State.Set(state, 0, result.ToExtended());
        }
        else
        {
            codes = kept;
        }

        state->X87Status = (ushort)((state->X87Status & ~(ConditionCodes | X87State.C1)) | codes);
        return i + 1;
    }

    // SDM vol. 2, FPREM: complete below a distance of 64, otherwise the distance shrinks by 32 to 63.
    private static FloatValue Reduce(
        ref FloatContext context, FloatValue dividend, FloatValue divisor, bool nearest, out int codes)
    {
        codes = 0;
        if (dividend.Kind == FloatKind.Infinity || divisor.Kind == FloatKind.Zero)
        {
            context.Flags |= FloatExceptions.Invalid;
            return FloatValue.Indefinite;
        }

        if (dividend.Kind == FloatKind.Zero || divisor.Kind == FloatKind.Infinity)
        {
            return dividend.Kind == FloatKind.Zero ? dividend : SoftFloat.Convert(ref context, FloatFormat.Extended, dividend);
        }

        int distance = dividend.Exponent - divisor.Exponent;
        if (distance >= 64)
        {
            int shift = (distance & 31) | 32;
            var (_, partial) = UInt128.DivRem((UInt128)dividend.Significand << shift, divisor.Significand);
            codes = X87State.C2;
            return FromRemainder(ref context, dividend.Negative, dividend.Exponent - shift, partial);
        }

        UInt128 quotient = 0;
        UInt128 remainder = dividend.Significand;
        int exponent = dividend.Exponent;
        if (distance >= 0)
        {
            (quotient, remainder) = UInt128.DivRem((UInt128)dividend.Significand << distance, divisor.Significand);
            exponent = divisor.Exponent;
        }

        bool negative = dividend.Negative;
        if (nearest && distance >= -1)
        {
            // Below the divisor's exponent the dividend is less than half the divisor, or compared with it at twice the scale.
            var whole = distance == -1 ? (UInt128)divisor.Significand << 1 : divisor.Significand;
            var twice = remainder << 1;
            if (twice > whole || (twice == whole && (quotient & 1) != 0))
            {
                remainder = whole - remainder;
                quotient++;
                negative = !negative;
            }
        }

        ulong low = (ulong)quotient;
        codes = ((low & 4) != 0 ? X87State.C0 : 0) | ((low & 2) != 0 ? X87State.C3 : 0) | ((low & 1) != 0 ? X87State.C1 : 0);
        return remainder == UInt128.Zero
            ? FloatValue.ZeroOf(dividend.Negative)
            : FromRemainder(ref context, negative, exponent, remainder);
    }

    // A remainder in units of 2^(exponent - 63); always exact.
    private static FloatValue FromRemainder(ref FloatContext context, bool negative, int exponent, UInt128 remainder)
    {
        if (remainder == UInt128.Zero)
        {
            return FloatValue.ZeroOf(negative);
        }

        int shift = (int)UInt128.LeadingZeroCount(remainder);
        var normal = remainder << shift;
        return SoftFloat.Round(
            ref context, FloatFormat.Extended, negative, exponent + 64 - shift, (ulong)(normal >> 64), (ulong)normal);
    }

    private static DecodedInstruction* LoadDecimal(X86Processor cpu, DecodedInstruction* i)
    {
        EnterWaiting(cpu);
        byte* digits = stackalloc byte[DecimalBytes];
        cpu.ReadBytes(cpu.Address(i, DecimalBytes, AccessKind.Read), digits, DecimalBytes);
        var state = Enter(cpu, i);
        state->X87DataPointer = cpu.EffectiveOffset(i);
        ulong magnitude = 0;
        for (int at = DecimalBytes - 2; at >= 0; at--)
        {
            magnitude = (magnitude * 100) + ((ulong)(digits[at] >> 4) * 10) + (digits[at] & 15u);
        }

        var value = SoftFloat.FromInteger((long)magnitude);
        value.Negative = (digits[DecimalBytes - 1] & 0x80) != 0;
        PushPlain(state, value.ToExtended());
        return i + 1;
    }

    private static DecodedInstruction* StoreDecimal(X86Processor cpu, DecodedInstruction* i)
    {
        EnterWaiting(cpu);
        ulong address = cpu.Address(i, DecimalBytes, AccessKind.Write);
        cpu.ProbeRange(address, DecimalBytes, AccessKind.Write);
        var state = Enter(cpu, i);
        state->X87DataPointer = cpu.EffectiveOffset(i);
        byte* digits = stackalloc byte[DecimalBytes];
        new Span<byte>(digits, DecimalBytes).Clear();
        bool indefinite;
        if (X87State.IsEmpty(state, 0))
        {
            if (!X87Operands.StackUnderflow(state))
            {
                return i + 1;
            }

            indefinite = true;
        }
        else
        {
            var context = X87Operands.Begin(state);
            var value = X87Operands.Value(state, 0);
            long integer = SoftFloat.ToInteger(ref context, value, 64);
            ulong magnitude = integer < 0 ? 0 - (ulong)integer : (ulong)integer;
            if (magnitude >= DecimalLimit)
            {
                context.Flags = FloatExceptions.Invalid;
                context.RoundedUp = false;
            }

            indefinite = (context.Flags & FloatExceptions.Invalid) != 0;
            if (!X87Operands.Finish(state, context))
            {
                return i + 1;
            }

            for (int at = 0; at < DecimalBytes - 1; at++)
            {
                ulong pair = magnitude % 100;
                magnitude /= 100;
                digits[at] = (byte)((pair / 10 << 4) | (pair % 10));
            }

            digits[DecimalBytes - 1] = value.Negative ? (byte)0x80 : (byte)0;
        }

        if (indefinite)
        {
            // The packed decimal indefinite (SDM vol. 1, 4.7).
            new Span<byte>(digits, 7).Clear();
            digits[7] = 0xC0;
            digits[8] = 0xFF;
            digits[9] = 0xFF;
        }

        cpu.WriteBytes(address, digits, DecimalBytes);
        X87State.Pop(state);
        return i + 1;
    }
}
