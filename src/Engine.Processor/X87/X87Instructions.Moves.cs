using Hypervisor.Engine.Processor.FloatingPoint;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// Loads, stores, exchanges, constants, conditional moves.
internal static unsafe partial class X87Instructions
{
    private static void RegisterMoves(InstructionTable.Builder table)
    {
        table.Set(Code.Fld_m32fp, &Load<SingleSource>);
        table.Set(Code.Fld_m64fp, &Load<DoubleSource>);
        table.Set(Code.Fild_m16int, &Load<WordSource>);
        table.Set(Code.Fild_m32int, &Load<DwordSource>);
        table.Set(Code.Fild_m64int, &Load<QwordSource>);
        table.Set(Code.Fld_m80fp, &LoadExtended);
        table.Set(Code.Fld_sti, &LoadRegister);
        table.Set(Code.Fst_m32fp, &StoreSingle);
        table.Set(Code.Fstp_m32fp, &StoreSingle);
        table.Set(Code.Fst_m64fp, &StoreDouble);
        table.Set(Code.Fstp_m64fp, &StoreDouble);
        table.Set(Code.Fstp_m80fp, &StoreExtended);
        table.Set(Code.Fst_sti, &StoreRegister);
        table.Set(Code.Fstp_sti, &StoreRegister);
        table.Set(Code.Fstp_sti_DFD0, &StoreRegister);
        table.Set(Code.Fstp_sti_DFD8, &StoreRegister);
        table.Set(Code.Fstpnce_sti, &StoreRegister);
        table.Set(Code.Fxch_st0_sti, &Exchange);
        table.Set(Code.Fxch_st0_sti_DDC8, &Exchange);
        table.Set(Code.Fxch_st0_sti_DFC8, &Exchange);

        table.Set(Code.Fist_m16int, &StoreInteger<short>);
        table.Set(Code.Fistp_m16int, &StoreInteger<short>);
        table.Set(Code.Fisttp_m16int, &StoreInteger<short>);
        table.Set(Code.Fist_m32int, &StoreInteger<int>);
        table.Set(Code.Fistp_m32int, &StoreInteger<int>);
        table.Set(Code.Fisttp_m32int, &StoreInteger<int>);
        table.Set(Code.Fistp_m64int, &StoreInteger<long>);
        table.Set(Code.Fisttp_m64int, &StoreInteger<long>);

        table.Set(Code.Fld1, &LoadConstant);
        table.Set(Code.Fldz, &LoadConstant);
        table.Set(Code.Fldpi, &LoadConstant);
        table.Set(Code.Fldl2t, &LoadConstant);
        table.Set(Code.Fldl2e, &LoadConstant);
        table.Set(Code.Fldlg2, &LoadConstant);
        table.Set(Code.Fldln2, &LoadConstant);

        table.Set(Code.Fcmovb_st0_sti, &ConditionalMove);
        table.Set(Code.Fcmove_st0_sti, &ConditionalMove);
        table.Set(Code.Fcmovbe_st0_sti, &ConditionalMove);
        table.Set(Code.Fcmovu_st0_sti, &ConditionalMove);
        table.Set(Code.Fcmovnb_st0_sti, &ConditionalMove);
        table.Set(Code.Fcmovne_st0_sti, &ConditionalMove);
        table.Set(Code.Fcmovnbe_st0_sti, &ConditionalMove);
        table.Set(Code.Fcmovnu_st0_sti, &ConditionalMove);
    }

    /// <summary>True when a register is free for a push; otherwise the masked response has been given.</summary>
    private static bool HasRoom(CpuState* state)
    {
        if (X87State.IsEmpty(state, 7))
        {
            return true;
        }

        if (X87Operands.StackOverflow(state))
        {
            X87Operands.Push(state, Float80.Indefinite);
        }

        return false;
    }

    private static DecodedInstruction* Load<TSource>(X86Processor cpu, DecodedInstruction* i)
        where TSource : struct, IX87Source
    {
        EnterWaiting(cpu);
        var value = TSource.Read(cpu, i);
        var state = Enter(cpu, i);
        state->X87DataPointer = cpu.EffectiveOffset(i);
        if (!HasRoom(state))
        {
            return i + 1;
        }

        var context = X87Operands.Begin(state);
        if (X87Operands.SettlesNaN(ref context, value, out var quiet))
        {
            value = quiet;
        }

        X87Operands.NoteDenormal(ref context, value, value);

        // A denormal is loaded even when that exception is unmasked, as processors do: only a signaling NaN is held back.
        if (X87Operands.Finish(state, context) || (context.Unmasked & FloatExceptions.Invalid) == 0)
        {
            X87Operands.Push(state, value.ToExtended());
        }

        return i + 1;
    }

    private static void PushPlain(CpuState* state, Float80 value)
    {
        if (HasRoom(state))
        {
            state->X87Status &= unchecked((ushort)~X87State.C1);
            X87Operands.Push(state, value);
        }
    }

    private static DecodedInstruction* LoadExtended(X86Processor cpu, DecodedInstruction* i)
    {
        EnterWaiting(cpu);
        byte* bytes = stackalloc byte[10];
        cpu.ReadBytes(cpu.Address(i, 10, AccessKind.Read), bytes, 10);
        var state = Enter(cpu, i);
        state->X87DataPointer = cpu.EffectiveOffset(i);
        PushPlain(state, new Float80(*(ulong*)bytes, *(ushort*)(bytes + 8)));
        return i + 1;
    }

    private static DecodedInstruction* LoadRegister(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        bool empty = X87State.IsEmpty(state, i->Reg0);
        if (empty)
        {
            if (X87Operands.StackUnderflow(state))
            {
                X87Operands.Push(state, Float80.Indefinite);
            }

            return i + 1;
        }

        PushPlain(state, X87State.Get(state, i->Reg0));
        return i + 1;
    }

    // The constants are rounded as the control word says; the tables hold them rounded to nearest (SDM vol. 2, FLD1).
    private static DecodedInstruction* LoadConstant(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        var (value, roundedUp) = i->Code switch
        {
            Code.Fld1 => (Float80.One, (bool?)null),
            Code.Fldz => (Float80.Zero, null),
            Code.Fldpi => (new Float80(0xC90F_DAA2_2168_C235, 0x4000), true),
            Code.Fldl2t => (new Float80(0xD49A_784B_CD1B_8AFE, 0x4000), false),
            Code.Fldl2e => (new Float80(0xB8AA_3B29_5C17_F0BC, 0x3FFF), true),
            Code.Fldlg2 => (new Float80(0x9A20_9A84_FBCF_F799, 0x3FFD), true),
            _ => (new Float80(0xB172_17F7_D1CF_79AC, 0x3FFE), true),
        };
        var rounding = (FloatRounding)((state->X87Control >> 10) & 3);
        if (roundedUp == true && rounding is FloatRounding.Down or FloatRounding.Zero)
        {
            value = new Float80(value.Significand - 1, value.SignExponent);
        }
        else if (roundedUp == false && rounding == FloatRounding.Up)
        {
            value = new Float80(value.Significand + 1, value.SignExponent);
        }

        PushPlain(state, value);
        return i + 1;
    }

    private static bool Pops(DecodedInstruction* i) => i->Code
        is Code.Fstp_m32fp or Code.Fstp_m64fp or Code.Fstp_m80fp or Code.Fstp_sti or Code.Fstp_sti_DFD0 or Code.Fstp_sti_DFD8
        or Code.Fstpnce_sti or Code.Fistp_m16int or Code.Fistp_m32int or Code.Fistp_m64int or Code.Fisttp_m16int
        or Code.Fisttp_m32int or Code.Fisttp_m64int or Code.Fbstp_m80bcd;

    private static void PopIf(CpuState* state, DecodedInstruction* i)
    {
        if (Pops(i))
        {
            X87State.Pop(state);
        }
    }

    // Converts ST(0) to a smaller format. An unmasked overflow or underflow stores nothing, unlike in registers.
    private static bool Narrow(CpuState* state, in FloatFormat format, out FloatContext context, out FloatValue result)
    {
        context = X87Operands.Begin(state);
        var value = X87Operands.Value(state, 0);
        if (!X87Operands.SettlesNaN(ref context, value, out result))
        {
            // A denormal operand raises nothing: it is the result that is too small.
            result = SoftFloat.Convert(ref context, format, value);
        }

        const FloatExceptions range = FloatExceptions.Overflow | FloatExceptions.Underflow;
        if ((context.Unmasked & range) != 0)
        {
            // Nothing is stored, so nothing is inexact.
            context.Flags &= ~FloatExceptions.Inexact;
            return false;
        }

        return (context.Unmasked & FloatExceptions.BeforeOperation) == 0;
    }

    private static DecodedInstruction* StoreSingle(X86Processor cpu, DecodedInstruction* i)
    {
        EnterWaiting(cpu);
        ulong address = cpu.Address(i, 4, AccessKind.Write);
        cpu.ProbeRange(address, 4, AccessKind.Write);
        var state = Enter(cpu, i);
        state->X87DataPointer = cpu.EffectiveOffset(i);
        if (X87State.IsEmpty(state, 0))
        {
            if (X87Operands.StackUnderflow(state))
            {
                cpu.Write(address, FloatValue.Indefinite.ToSingle());
                PopIf(state, i);
            }

            return i + 1;
        }

        bool stores = Narrow(state, FloatFormat.Single, out var context, out var result);
        X87Operands.Finish(state, context);
        if (stores)
        {
            cpu.Write(address, result.ToSingle());
            PopIf(state, i);
        }

        return i + 1;
    }

    private static DecodedInstruction* StoreDouble(X86Processor cpu, DecodedInstruction* i)
    {
        EnterWaiting(cpu);
        ulong address = cpu.Address(i, 8, AccessKind.Write);
        cpu.ProbeRange(address, 8, AccessKind.Write);
        var state = Enter(cpu, i);
        state->X87DataPointer = cpu.EffectiveOffset(i);
        if (X87State.IsEmpty(state, 0))
        {
            if (X87Operands.StackUnderflow(state))
            {
                cpu.Write(address, FloatValue.Indefinite.ToDouble());
                PopIf(state, i);
            }

            return i + 1;
        }

        bool stores = Narrow(state, FloatFormat.Double, out var context, out var result);
        X87Operands.Finish(state, context);
        if (stores)
        {
            cpu.Write(address, result.ToDouble());
            PopIf(state, i);
        }

        return i + 1;
    }

    private static DecodedInstruction* StoreExtended(X86Processor cpu, DecodedInstruction* i)
    {
        EnterWaiting(cpu);
        ulong address = cpu.Address(i, 10, AccessKind.Write);
        cpu.ProbeRange(address, 10, AccessKind.Write);
        var state = Enter(cpu, i);
        state->X87DataPointer = cpu.EffectiveOffset(i);
        var value = Float80.Indefinite;
        if (!X87State.IsEmpty(state, 0))
        {
            value = X87State.Get(state, 0);
            state->X87Status &= unchecked((ushort)~X87State.C1);
        }
        else if (!X87Operands.StackUnderflow(state))
        {
            return i + 1;
        }

        cpu.WriteBytes(address, (byte*)&value, 10);
        X87State.Pop(state);
        return i + 1;
    }

    private static DecodedInstruction* StoreRegister(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        if (X87State.IsEmpty(state, 0))
        {
            if (i->Code == Code.Fstpnce_sti)
            {
                // "No check empty": nothing to store is no error.
                state->X87Status &= unchecked((ushort)~X87State.C1);
                X87State.Pop(state);
            }
            else if (X87Operands.StackUnderflow(state))
            {
                X87State.Set(state, i->Reg0, Float80.Indefinite);
                PopIf(state, i);
            }

            return i + 1;
        }

        state->X87Status &= unchecked((ushort)~X87State.C1);
        X87State.Set(state, i->Reg0, X87State.Get(state, 0));
        PopIf(state, i);
        return i + 1;
    }

    private static DecodedInstruction* Exchange(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        int other = i->Reg1;
        bool topEmpty = X87State.IsEmpty(state, 0);
        bool otherEmpty = X87State.IsEmpty(state, other);
        if (topEmpty || otherEmpty)
        {
            if (!X87Operands.StackUnderflow(state))
            {
                return i + 1;
            }
        }
        else
        {
            state->X87Status &= unchecked((ushort)~X87State.C1);
        }

        var top = topEmpty ? Float80.Indefinite : X87State.Get(state, 0);
        var value = otherEmpty ? Float80.Indefinite : X87State.Get(state, other);
        X87State.Set(state, 0, value);
        X87State.Set(state, other, top);
        return i + 1;
    }

    private static DecodedInstruction* StoreInteger<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        EnterWaiting(cpu);
        ulong address = cpu.Address(i, sizeof(T), AccessKind.Write);
        cpu.ProbeRange(address, sizeof(T), AccessKind.Write);
        var state = Enter(cpu, i);
        state->X87DataPointer = cpu.EffectiveOffset(i);
        long result;
        if (X87State.IsEmpty(state, 0))
        {
            if (!X87Operands.StackUnderflow(state))
            {
                return i + 1;
            }

            result = long.MinValue >> (64 - (sizeof(T) * 8));
        }
        else
        {
            var context = X87Operands.Begin(state);
            if (i->Code is Code.Fisttp_m16int or Code.Fisttp_m32int or Code.Fisttp_m64int)
            {
                context.Rounding = FloatRounding.Zero;
            }

            result = SoftFloat.ToInteger(ref context, X87Operands.Value(state, 0), sizeof(T) * 8);
            if (!X87Operands.Finish(state, context))
            {
                return i + 1;
            }
        }

        cpu.Write(address, *(T*)&result);
        PopIf(state, i);
        return i + 1;
    }

    private static DecodedInstruction* ConditionalMove(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        if (X87State.IsEmpty(state, 0) || X87State.IsEmpty(state, i->Reg1))
        {
            if (X87Operands.StackUnderflow(state))
            {
                X87State.Set(state, 0, Float80.Indefinite);
            }

            return i + 1;
        }

        bool moves = i->Code switch
        {
            Code.Fcmovb_st0_sti => LazyFlags.Carry(state),
            Code.Fcmove_st0_sti => LazyFlags.Zero(state),
            Code.Fcmovbe_st0_sti => LazyFlags.Carry(state) || LazyFlags.Zero(state),
            Code.Fcmovu_st0_sti => LazyFlags.Parity(state),
            Code.Fcmovnb_st0_sti => !LazyFlags.Carry(state),
            Code.Fcmovne_st0_sti => !LazyFlags.Zero(state),
            Code.Fcmovnbe_st0_sti => !LazyFlags.Carry(state) && !LazyFlags.Zero(state),
            _ => !LazyFlags.Parity(state),
        };
        if (moves)
        {
            X87State.Set(state, 0, X87State.Get(state, i->Reg1));
        }

        return i + 1;
    }
}
