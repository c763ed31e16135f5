using Hypervisor.Engine.Processor.FloatingPoint;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// Addition, subtraction, multiplication, division, square root.
internal static unsafe partial class X87Instructions
{
    private static void RegisterArithmetic(InstructionTable.Builder table)
    {
        table.Set(Code.Fadd_m32fp, &ArithmeticMemory<FloatAdd, SingleSource>);
        table.Set(Code.Fadd_m64fp, &ArithmeticMemory<FloatAdd, DoubleSource>);
        table.Set(Code.Fiadd_m16int, &ArithmeticMemory<FloatAdd, WordSource>);
        table.Set(Code.Fiadd_m32int, &ArithmeticMemory<FloatAdd, DwordSource>);
        table.Set(Code.Fadd_st0_sti, &Arithmetic<FloatAdd>);
        table.Set(Code.Fadd_sti_st0, &Arithmetic<FloatAdd>);
        table.Set(Code.Faddp_sti_st0, &ArithmeticPop<FloatAdd>);
        table.Set(Code.Fmul_m32fp, &ArithmeticMemory<FloatMultiply, SingleSource>);
        table.Set(Code.Fmul_m64fp, &ArithmeticMemory<FloatMultiply, DoubleSource>);
        table.Set(Code.Fimul_m16int, &ArithmeticMemory<FloatMultiply, WordSource>);
        table.Set(Code.Fimul_m32int, &ArithmeticMemory<FloatMultiply, DwordSource>);
        table.Set(Code.Fmul_st0_sti, &Arithmetic<FloatMultiply>);
        table.Set(Code.Fmul_sti_st0, &Arithmetic<FloatMultiply>);
        table.Set(Code.Fmulp_sti_st0, &ArithmeticPop<FloatMultiply>);
        table.Set(Code.Fsub_m32fp, &ArithmeticMemory<FloatSubtract, SingleSource>);
        table.Set(Code.Fsub_m64fp, &ArithmeticMemory<FloatSubtract, DoubleSource>);
        table.Set(Code.Fisub_m16int, &ArithmeticMemory<FloatSubtract, WordSource>);
        table.Set(Code.Fisub_m32int, &ArithmeticMemory<FloatSubtract, DwordSource>);
        table.Set(Code.Fsub_st0_sti, &Arithmetic<FloatSubtract>);
        table.Set(Code.Fsub_sti_st0, &Arithmetic<FloatSubtract>);
        table.Set(Code.Fsubp_sti_st0, &ArithmeticPop<FloatSubtract>);
        table.Set(Code.Fsubr_m32fp, &ArithmeticMemory<FloatSubtractReversed, SingleSource>);
        table.Set(Code.Fsubr_m64fp, &ArithmeticMemory<FloatSubtractReversed, DoubleSource>);
        table.Set(Code.Fisubr_m16int, &ArithmeticMemory<FloatSubtractReversed, WordSource>);
        table.Set(Code.Fisubr_m32int, &ArithmeticMemory<FloatSubtractReversed, DwordSource>);
        table.Set(Code.Fsubr_st0_sti, &Arithmetic<FloatSubtractReversed>);
        table.Set(Code.Fsubr_sti_st0, &Arithmetic<FloatSubtractReversed>);
        table.Set(Code.Fsubrp_sti_st0, &ArithmeticPop<FloatSubtractReversed>);
        table.Set(Code.Fdiv_m32fp, &ArithmeticMemory<FloatDivide, SingleSource>);
        table.Set(Code.Fdiv_m64fp, &ArithmeticMemory<FloatDivide, DoubleSource>);
        table.Set(Code.Fidiv_m16int, &ArithmeticMemory<FloatDivide, WordSource>);
        table.Set(Code.Fidiv_m32int, &ArithmeticMemory<FloatDivide, DwordSource>);
        table.Set(Code.Fdiv_st0_sti, &Arithmetic<FloatDivide>);
        table.Set(Code.Fdiv_sti_st0, &Arithmetic<FloatDivide>);
        table.Set(Code.Fdivp_sti_st0, &ArithmeticPop<FloatDivide>);
        table.Set(Code.Fdivr_m32fp, &ArithmeticMemory<FloatDivideReversed, SingleSource>);
        table.Set(Code.Fdivr_m64fp, &ArithmeticMemory<FloatDivideReversed, DoubleSource>);
        table.Set(Code.Fidivr_m16int, &ArithmeticMemory<FloatDivideReversed, WordSource>);
        table.Set(Code.Fidivr_m32int, &ArithmeticMemory<FloatDivideReversed, DwordSource>);
        table.Set(Code.Fdivr_st0_sti, &Arithmetic<FloatDivideReversed>);
        table.Set(Code.Fdivr_sti_st0, &Arithmetic<FloatDivideReversed>);
        table.Set(Code.Fdivrp_sti_st0, &ArithmeticPop<FloatDivideReversed>);
        table.Set(Code.Fsqrt, &SquareRoot);
        table.Set(Code.Fchs, &ChangeSign);
        table.Set(Code.Fabs, &Absolute);
        table.Set(Code.Frndint, &RoundToInteger);
        table.Set(Code.Fscale, &Scale);
        table.Set(Code.Fxtract, &Extract);
    }

    /// <summary>Checks as <see cref="EnterWaiting"/> and remembers where the instruction is.</summary>
    private static CpuState* Enter(X86Processor cpu, DecodedInstruction* i)
    {
        EnterWaiting(cpu);
        var state = cpu.State;
        state->X87InstructionPointer = cpu.InstructionPointer(i);
        return state;
    }

    private static DecodedInstruction* ArithmeticMemory<TOp, TSource>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IFloatBinary
        where TSource : struct, IX87Source
    {
        EnterWaiting(cpu);
        var source = TSource.Read(cpu, i);
        var state = Enter(cpu, i);
        state->X87DataPointer = cpu.EffectiveOffset(i);
        if (X87State.IsEmpty(state, 0))
        {
            if (X87Operands.StackUnderflow(state))
            {
                X87State.Set(state, 0, Float80.Indefinite);
            }

            return i + 1;
        }

        var context = X87Operands.Begin(state);
        var result = X87Operands.Operate<TOp>(ref context, X87Operands.Format(state), X87Operands.Value(state, 0), source);
        if (X87Operands.Finish(state, context))
        {
            X87State.Set(state, 0, result.ToExtended());
        }

        return i + 1;
    }

    private static DecodedInstruction* Arithmetic<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IFloatBinary
    {
        OperateOnStack<TOp>(cpu, i);
        return i + 1;
    }

    private static DecodedInstruction* ArithmeticPop<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IFloatBinary
    {
        if (OperateOnStack<TOp>(cpu, i))
        {
            X87State.Pop(cpu.State);
        }

        return i + 1;
    }

    // True when a result was delivered.
    private static bool OperateOnStack<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IFloatBinary
    {
        var state = Enter(cpu, i);
        int destination = i->Reg0;
        if (X87State.IsEmpty(state, destination) || X87State.IsEmpty(state, i->Reg1))
        {
            bool masked = X87Operands.StackUnderflow(state);
            if (masked)
            {
                X87State.Set(state, destination, Float80.Indefinite);
            }

            return masked;
        }

        var context = X87Operands.Begin(state);
        var result = X87Operands.Operate<TOp>(
            ref context, X87Operands.Format(state), X87Operands.Value(state, destination), X87Operands.Value(state, i->Reg1));
        bool delivers = X87Operands.Finish(state, context);
        if (delivers)
        {
            X87State.Set(state, destination, result.ToExtended());
        }

        return delivers;
    }

    /// <summary>True when ST(0) may be read; otherwise the masked response has been given.</summary>
    private static bool HasTop(CpuState* state)
    {
        if (!X87State.IsEmpty(state, 0))
        {
            return true;
        }

        if (X87Operands.StackUnderflow(state))
        {
            X87State.Set(state, 0, Float80.Indefinite);
        }

        return false;
    }

    private static void Deliver(CpuState* state, in FloatContext context, FloatValue result)
    {
        if (X87Operands.Finish(state, context))
        {
            X87State.Set(state, 0, result.ToExtended());
        }
    }

    private static DecodedInstruction* SquareRoot(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        if (!HasTop(state))
        {
            return i + 1;
        }

        var context = X87Operands.Begin(state);
        var value = X87Operands.Value(state, 0);
        if (!X87Operands.SettlesNaN(ref context, value, out var result))
        {
            result = SoftFloat.SquareRoot(ref context, X87Operands.Format(state), value);
            X87Operands.NoteDenormal(ref context, value, value);
        }

        Deliver(state, context, result);
        return i + 1;
    }

    private static DecodedInstruction* ChangeSign(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        if (HasTop(state))
        {
            state->X87Status &= unchecked((ushort)~X87State.C1);
            X87State.Set(state, 0, X87State.Get(state, 0).Negated());
        }

        return i + 1;
    }

    private static DecodedInstruction* Absolute(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        if (HasTop(state))
        {
            state->X87Status &= unchecked((ushort)~X87State.C1);
            X87State.Set(state, 0, X87State.Get(state, 0).Absolute());
        }

        return i + 1;
    }

    private static DecodedInstruction* RoundToInteger(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        if (!HasTop(state))
        {
            return i + 1;
        }

        var context = X87Operands.Begin(state);
        var value = X87Operands.Value(state, 0);
        if (!X87Operands.SettlesNaN(ref context, value, out var result))
        {
            result = SoftFloat.RoundToIntegral(ref context, value);
            X87Operands.NoteDenormal(ref context, value, value);
        }

        Deliver(state, context, result);
        return i + 1;
    }

    /// <summary>True when ST(0) and ST(1) may be read; otherwise the masked response has been given to ST(0).</summary>
    private static bool HasTwo(CpuState* state)
    {
        if (!X87State.IsEmpty(state, 0) && !X87State.IsEmpty(state, 1))
        {
            return true;
        }

        if (X87Operands.StackUnderflow(state))
        {
            X87State.Set(state, 0, Float80.Indefinite);
        }

        return false;
    }

    private static DecodedInstruction* Scale(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        if (!HasTwo(state))
        {
            return i + 1;
        }

        var context = X87Operands.Begin(state);
        var value = X87Operands.Value(state, 0);
        var scale = X87Operands.Value(state, 1);
        if (!X87Operands.SettlesNaN(ref context, value, scale, out var result))
        {
            result = ScaleBy(ref context, value, scale);
            X87Operands.NoteDenormal(ref context, value, scale);
        }

        Deliver(state, context, result);
        return i + 1;
    }

    private static FloatValue ScaleBy(ref FloatContext context, FloatValue value, FloatValue scale)
    {
        if (scale.Kind == FloatKind.Infinity)
        {
            var meaningless = scale.Negative ? FloatKind.Infinity : FloatKind.Zero;
            if (value.Kind == meaningless)
            {
                context.Flags |= FloatExceptions.Invalid;
                return FloatValue.Indefinite;
            }

            return scale.Negative ? FloatValue.ZeroOf(value.Negative) : FloatValue.InfinityOf(value.Negative);
        }

        if (value.Kind != FloatKind.Finite)
        {
            return value;
        }

        // Beyond twice the exponent range every scale has the same effect.
        const int far = 0x1_0000;
        int exponent = scale.Kind == FloatKind.Zero || scale.Exponent < 0 ? 0
            : scale.Exponent > 16 ? far
            : Math.Min(far, (int)(scale.Significand >> (63 - scale.Exponent)));
        value.Exponent += scale.Negative ? -exponent : exponent;
        return SoftFloat.Convert(ref context, FloatFormat.Extended, value);
    }

    private static DecodedInstruction* Extract(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        if (X87State.IsEmpty(state, 0) || !X87State.IsEmpty(state, 7))
        {
            bool masked = X87State.IsEmpty(state, 0) ? X87Operands.StackUnderflow(state) : X87Operands.StackOverflow(state);
            if (masked)
            {
                X87State.Set(state, 0, Float80.Indefinite);
                X87Operands.Push(state, Float80.Indefinite);
            }

            return i + 1;
        }

        var context = X87Operands.Begin(state);
        var value = X87Operands.Value(state, 0);
        var significand = value;
        if (X87Operands.SettlesNaN(ref context, value, out var exponent))
        {
            significand = exponent;
        }
        else if (value.Kind == FloatKind.Zero)
        {
            context.Flags |= FloatExceptions.ZeroDivide;
            exponent = FloatValue.InfinityOf(true);
        }
        else if (value.Kind == FloatKind.Infinity)
        {
            exponent = FloatValue.InfinityOf(false);
        }
        else
        {
            X87Operands.NoteDenormal(ref context, value, value);
            exponent = SoftFloat.FromInteger(value.Exponent);
            significand.Exponent = 0;
        }

        if (X87Operands.Finish(state, context))
        {
            X87State.Set(state, 0, exponent.ToExtended());
            X87Operands.Push(state, significand.ToExtended());
        }

        return i + 1;
    }
}
