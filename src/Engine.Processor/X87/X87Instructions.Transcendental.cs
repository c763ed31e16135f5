using Hypervisor.Engine.Processor.FloatingPoint;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1. Results are always rounded to 64 bits, whatever precision control says.
internal static unsafe partial class X87Instructions
{
    // Trigonometric operands from 2^63 on are refused with C2.
    private const int TrigonometricLimit = 63;

    private static void RegisterTranscendental(InstructionTable.Builder table)
    {
        table.Set(Code.Fsin, &SineOrCosine);
        table.Set(Code.Fcos, &SineOrCosine);
        table.Set(Code.Fsincos, &SineAndCosine);
        table.Set(Code.Fptan, &Tangent);
        table.Set(Code.Fpatan, &Arctangent);
        table.Set(Code.F2xm1, &PowerOfTwoLessOne);
        table.Set(Code.Fyl2x, &Logarithm);
        table.Set(Code.Fyl2xp1, &Logarithm);
    }

    private static void ClearC2(CpuState* state) => state->X87Status &= unchecked((ushort)~X87State.C2);

    /// <summary>Too large an angle: C2 says so and nothing else changes.</summary>
    private static bool IsOutOfRange(CpuState* state, FloatValue angle)
    {
        bool outOfRange = angle.Kind == FloatKind.Finite && angle.Exponent >= TrigonometricLimit;
        if (outOfRange)
        {
            state->X87Status = (ushort)((state->X87Status & ~X87State.C1) | X87State.C2);
        }

        return outOfRange;
    }

    // Angles whose functions need no series; false when one does.
    private static bool SettlesAngle(ref FloatContext context, FloatValue angle, out FloatValue sine, out FloatValue cosine)
    {
        if (X87Operands.SettlesNaN(ref context, angle, out sine))
        {
            cosine = sine;
            return true;
        }

        cosine = FloatValue.FromExtended(Float80.One);
        if (angle.Kind == FloatKind.Infinity)
        {
            context.Flags |= FloatExceptions.Invalid;
            sine = cosine = FloatValue.Indefinite;
            return true;
        }

        sine = angle;
        return angle.Kind == FloatKind.Zero;
    }

    private static DecodedInstruction* SineOrCosine(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        var angle = X87Operands.Value(state, 0);
        if (!X87State.IsEmpty(state, 0) && IsOutOfRange(state, angle))
        {
            return i + 1;
        }

        ClearC2(state);
        if (!HasTop(state))
        {
            return i + 1;
        }

        var context = X87Operands.Begin(state);
        if (!SettlesAngle(ref context, angle, out var sine, out var cosine))
        {
            X87Operands.NoteDenormal(ref context, angle, angle);
            Transcendental.SineAndCosine(angle, out var wideSine, out var wideCosine);
            sine = cosine = (i->Code == Code.Fsin ? wideSine : wideCosine).Round(ref context);
        }

        Deliver(state, context, i->Code == Code.Fsin ? sine : cosine);
        return i + 1;
    }

    /// <summary>True when ST(0) may be read and a register is free; otherwise the masked response has been given to both.</summary>
    private static bool HasTopAndRoom(CpuState* state)
    {
        bool empty = X87State.IsEmpty(state, 0);
        if (!empty && X87State.IsEmpty(state, 7))
        {
            return true;
        }

        if (empty ? X87Operands.StackUnderflow(state) : X87Operands.StackOverflow(state))
        {
            X87State.Set(state, 0, Float80.Indefinite);
            X87Operands.Push(state, Float80.Indefinite);
        }

        return false;
    }

    private static DecodedInstruction* SineAndCosine(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        ClearC2(state);
        if (!HasTopAndRoom(state))
        {
            return i + 1;
        }

        var angle = X87Operands.Value(state, 0);
        if (IsOutOfRange(state, angle))
        {
            return i + 1;
        }

        var context = X87Operands.Begin(state);
        if (!SettlesAngle(ref context, angle, out var sine, out var cosine))
        {
            X87Operands.NoteDenormal(ref context, angle, angle);
            Transcendental.SineAndCosine(angle, out var wideSine, out var wideCosine);
            sine = wideSine.Round(ref context);
            cosine = wideCosine.Round(ref context);
        }

        if (X87Operands.Finish(state, context))
        {
            X87State.Set(state, 0, sine.ToExtended());
            X87Operands.Push(state, cosine.ToExtended());
        }

        return i + 1;
    }

    private static DecodedInstruction* Tangent(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        ClearC2(state);
        if (!HasTopAndRoom(state))
        {
            return i + 1;
        }

        var angle = X87Operands.Value(state, 0);
        if (IsOutOfRange(state, angle))
        {
            return i + 1;
        }

        var context = X87Operands.Begin(state);
        if (!SettlesAngle(ref context, angle, out var tangent, out var one))
        {
            X87Operands.NoteDenormal(ref context, angle, angle);
            Transcendental.SineAndCosine(angle, out var sine, out var cosine);
            tangent = (sine / cosine).Round(ref context);
        }

        if (X87Operands.Finish(state, context))
        {
            X87State.Set(state, 0, tangent.ToExtended());
            X87Operands.Push(state, one.ToExtended());
        }

        return i + 1;
    }

    // Delivers to ST(1) and pops, as the functions of two operands do.
    private static void DeliverBelow(CpuState* state, in FloatContext context, FloatValue result)
    {
        if (X87Operands.Finish(state, context))
        {
            X87State.Set(state, 1, result.ToExtended());
            X87State.Pop(state);
        }
    }

    private static bool HasTwoBelow(CpuState* state)
    {
        if (!X87State.IsEmpty(state, 0) && !X87State.IsEmpty(state, 1))
        {
            return true;
        }

        if (X87Operands.StackUnderflow(state))
        {
            X87State.Set(state, 1, Float80.Indefinite);
            X87State.Pop(state);
        }

        return false;
    }

    private static DecodedInstruction* Arctangent(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        if (!HasTwoBelow(state))
        {
            return i + 1;
        }

        var context = X87Operands.Begin(state);
        var x = X87Operands.Value(state, 0);
        var y = X87Operands.Value(state, 1);
        if (!X87Operands.SettlesNaN(ref context, x, y, out var result))
        {
            X87Operands.NoteDenormal(ref context, x, y);
            result = ArctangentOf(ref context, y, x);
        }

        DeliverBelow(state, context, result);
        return i + 1;
    }

    // SDM vol. 2, table 3-30.
    private static FloatValue ArctangentOf(ref FloatContext context, FloatValue y, FloatValue x)
    {
        var pi = WideFloat.Pi;
        WideFloat angle;
        if (y.Kind == FloatKind.Infinity)
        {
            angle = x.Kind != FloatKind.Infinity ? pi.Scaled(-1)
                : x.Negative ? pi.Scaled(-2) * WideFloat.From(3)
                : pi.Scaled(-2);
        }
        else if (y.Kind == FloatKind.Zero || x.Kind == FloatKind.Infinity)
        {
            if (!x.Negative)
            {
                return FloatValue.ZeroOf(y.Negative);
            }

            angle = pi;
        }
        else if (x.Kind == FloatKind.Zero)
        {
            angle = pi.Scaled(-1);
        }
        else
        {
            return Transcendental.Arctangent(WideFloat.From(y), WideFloat.From(x)).Round(ref context);
        }

        return (y.Negative ? -angle : angle).Round(ref context);
    }

    private static DecodedInstruction* PowerOfTwoLessOne(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        if (!HasTop(state))
        {
            return i + 1;
        }

        var context = X87Operands.Begin(state);
        var x = X87Operands.Value(state, 0);
        if (!X87Operands.SettlesNaN(ref context, x, out var result))
        {
            X87Operands.NoteDenormal(ref context, x, x);
            result = PowerOfTwoLessOneOf(ref context, x);
        }

        Deliver(state, context, result);
        return i + 1;
    }

    private static FloatValue PowerOfTwoLessOneOf(ref FloatContext context, FloatValue x)
    {
        const ulong one = 1ul << 63;
        if (x.Kind == FloatKind.Infinity)
        {
            return x.Negative ? FloatValue.FiniteOf(true, 0, one) : x;
        }

        // Outside [-1, 1] the result is undefined: the operand stays.
        if (x.Kind == FloatKind.Zero || x.Exponent > 0 || (x.Exponent == 0 && x.Significand != one))
        {
            return x;
        }

        if (x.Exponent == 0)
        {
            return x.Negative ? FloatValue.FiniteOf(true, -1, one) : x;
        }

        return Transcendental.PowerOfTwoLessOne(WideFloat.From(x)).Round(ref context);
    }

    private static DecodedInstruction* Logarithm(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        if (!HasTwoBelow(state))
        {
            return i + 1;
        }

        var context = X87Operands.Begin(state);
        var x = X87Operands.Value(state, 0);
        var y = X87Operands.Value(state, 1);
        if (!X87Operands.SettlesNaN(ref context, x, y, out var result))
        {
            result = i->Code == Code.Fyl2x ? LogarithmOf(ref context, x, y) : LogarithmOfOnePlus(ref context, x, y);
            X87Operands.NoteDenormal(ref context, x, y);
        }

        DeliverBelow(state, context, result);
        return i + 1;
    }

    private static FloatValue Invalid(ref FloatContext context)
    {
        context.Flags |= FloatExceptions.Invalid;
        return FloatValue.Indefinite;
    }

    // y × log2(x); SDM vol. 2, table 3-60.
    private static FloatValue LogarithmOf(ref FloatContext context, FloatValue x, FloatValue y)
    {
        const ulong one = 1ul << 63;
        if (x.Kind == FloatKind.Zero)
        {
            if (y.Kind == FloatKind.Zero)
            {
                return Invalid(ref context);
            }

            if (y.Kind == FloatKind.Finite)
            {
                context.Flags |= FloatExceptions.ZeroDivide;
            }

            return FloatValue.InfinityOf(!y.Negative);
        }

        if (x.Negative)
        {
            return Invalid(ref context);
        }

        if (x.Kind == FloatKind.Infinity)
        {
            return y.Kind == FloatKind.Zero ? Invalid(ref context) : FloatValue.InfinityOf(y.Negative);
        }

        bool isOne = x.Exponent == 0 && x.Significand == one;
        bool below = x.Exponent < 0;
        if (y.Kind == FloatKind.Infinity)
        {
            return isOne ? Invalid(ref context) : FloatValue.InfinityOf(y.Negative != below);
        }

        if (y.Kind == FloatKind.Zero || isOne)
        {
            return FloatValue.ZeroOf(y.Negative != below);
        }

        if (x.Significand != one)
        {
            return (WideFloat.From(y) * Transcendental.Log2(WideFloat.From(x))).Round(ref context);
        }

        // Of a power of two the logarithm is exact. Processors report the product as inexact all the same.
        var product = SoftFloat.Multiply(ref context, FloatFormat.Extended, SoftFloat.FromInteger(x.Exponent), y);
        context.Flags |= FloatExceptions.Inexact;
        if (product.Exponent < FloatFormat.Extended.MinExponent)
        {
            context.Flags |= FloatExceptions.Underflow;
        }

        return product;
    }

    // y × log2(x + 1), meant for |x| < 1 - √½; beyond that the sum is formed first.
    private static FloatValue LogarithmOfOnePlus(ref FloatContext context, FloatValue x, FloatValue y)
    {
        if (x.Kind == FloatKind.Zero)
        {
            return y.Kind == FloatKind.Infinity ? Invalid(ref context) : FloatValue.ZeroOf(x.Negative != y.Negative);
        }

        if (x.Kind == FloatKind.Infinity)
        {
            return x.Negative || y.Kind == FloatKind.Zero ? Invalid(ref context) : FloatValue.InfinityOf(y.Negative);
        }

        var wide = WideFloat.From(x);
        if (x.Negative && x.Exponent >= 0)
        {
            return Invalid(ref context);
        }

        if (y.Kind != FloatKind.Finite)
        {
            return y.Kind == FloatKind.Infinity
                ? FloatValue.InfinityOf(x.Negative != y.Negative)
                : FloatValue.ZeroOf(x.Negative != y.Negative);
        }

        var logarithm = x.Exponent < -1 ? Transcendental.Log2OfOnePlus(wide) : Transcendental.Log2(WideFloat.One + wide);
        return (WideFloat.From(y) * logarithm).Round(ref context);
    }
}
