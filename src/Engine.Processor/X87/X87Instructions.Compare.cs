using Hypervisor.Engine.Processor.FloatingPoint;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// Comparisons and examination.
internal static unsafe partial class X87Instructions
{
    private const int ConditionCodes = X87State.C0 | X87State.C2 | X87State.C3;

    private static void RegisterCompare(InstructionTable.Builder table)
    {
        table.Set(Code.Fcom_m32fp, &CompareMemory<SingleSource>);
        table.Set(Code.Fcomp_m32fp, &CompareMemory<SingleSource>);
        table.Set(Code.Fcom_m64fp, &CompareMemory<DoubleSource>);
        table.Set(Code.Fcomp_m64fp, &CompareMemory<DoubleSource>);
        table.Set(Code.Ficom_m16int, &CompareMemory<WordSource>);
        table.Set(Code.Ficomp_m16int, &CompareMemory<WordSource>);
        table.Set(Code.Ficom_m32int, &CompareMemory<DwordSource>);
        table.Set(Code.Ficomp_m32int, &CompareMemory<DwordSource>);
        table.Set(Code.Fcom_st0_sti, &CompareRegister);
        table.Set(Code.Fcom_st0_sti_DCD0, &CompareRegister);
        table.Set(Code.Fcomp_st0_sti, &CompareRegister);
        table.Set(Code.Fcomp_st0_sti_DCD8, &CompareRegister);
        table.Set(Code.Fcomp_st0_sti_DED0, &CompareRegister);
        table.Set(Code.Fcompp, &CompareRegister);
        table.Set(Code.Fucom_st0_sti, &CompareRegister);
        table.Set(Code.Fucomp_st0_sti, &CompareRegister);
        table.Set(Code.Fucompp, &CompareRegister);
        table.Set(Code.Fcomi_st0_sti, &CompareToFlags);
        table.Set(Code.Fcomip_st0_sti, &CompareToFlags);
        table.Set(Code.Fucomi_st0_sti, &CompareToFlags);
        table.Set(Code.Fucomip_st0_sti, &CompareToFlags);
        table.Set(Code.Ftst, &TestZero);
        table.Set(Code.Fxam, &Examine);
    }

    private static int ComparePops(Code code) => code switch
    {
        Code.Fcompp or Code.Fucompp => 2,
        Code.Fcomp_m32fp or Code.Fcomp_m64fp or Code.Ficomp_m16int or Code.Ficomp_m32int or Code.Fcomp_st0_sti
            or Code.Fcomp_st0_sti_DCD8 or Code.Fcomp_st0_sti_DED0 or Code.Fucomp_st0_sti or Code.Fcomip_st0_sti
            or Code.Fucomip_st0_sti => 1,
        _ => 0,
    };

    // An unmasked exception keeps the operands on the stack, though the order is reported (seen on processors).
    private static void PopAfterCompare(CpuState* state, DecodedInstruction* i, bool proceeds)
    {
        for (int pops = proceeds ? ComparePops(i->Code) : 0; pops > 0; pops--)
        {
            X87State.Pop(state);
        }
    }

    private static void SetOrder(CpuState* state, FloatOrder order)
    {
        int codes = order switch
        {
            FloatOrder.Greater => 0,
            FloatOrder.Less => X87State.C0,
            FloatOrder.Equal => X87State.C3,
            _ => ConditionCodes,
        };
        state->X87Status = (ushort)((state->X87Status & ~ConditionCodes) | codes);
    }

    private static FloatOrder Order(ref FloatContext context, bool quiet, FloatValue a, FloatValue b)
    {
        if (a.Kind == FloatKind.Unsupported || b.Kind == FloatKind.Unsupported || a.IsNaN || b.IsNaN)
        {
            bool silent = quiet && a.Kind is not (FloatKind.SignalingNaN or FloatKind.Unsupported)
                && b.Kind is not (FloatKind.SignalingNaN or FloatKind.Unsupported);
            if (!silent)
            {
                context.Flags |= FloatExceptions.Invalid;
            }

            return FloatOrder.Unordered;
        }

        X87Operands.NoteDenormal(ref context, a, b);
        return (FloatOrder)SoftFloat.Compare(a, b);
    }

    // False when an exception is unmasked.
    private static bool CompareTop(CpuState* state, bool quiet, bool otherEmpty, FloatValue other, out FloatOrder order)
    {
        order = FloatOrder.Unordered;
        if (X87State.IsEmpty(state, 0) || otherEmpty)
        {
            return X87Operands.StackUnderflow(state);
        }

        var context = X87Operands.Begin(state);
        order = Order(ref context, quiet, X87Operands.Value(state, 0), other);
        return X87Operands.Finish(state, context);
    }

    private static DecodedInstruction* CompareMemory<TSource>(X86Processor cpu, DecodedInstruction* i)
        where TSource : struct, IX87Source
    {
        EnterWaiting(cpu);
        var source = TSource.Read(cpu, i);
        var state = Enter(cpu, i);
        state->X87DataPointer = cpu.EffectiveOffset(i);
        bool proceeds = CompareTop(state, quiet: false, otherEmpty: false, source, out var order);
        SetOrder(state, order);
        PopAfterCompare(state, i, proceeds);

        return i + 1;
    }

    private static DecodedInstruction* CompareRegister(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        var code = i->Code;
        bool quiet = code is Code.Fucom_st0_sti or Code.Fucomp_st0_sti or Code.Fucompp;
        int other = code is Code.Fcompp or Code.Fucompp ? 1 : i->Reg1;
        bool proceeds = CompareTop(state, quiet, X87State.IsEmpty(state, other), X87Operands.Value(state, other), out var order);
        SetOrder(state, order);
        PopAfterCompare(state, i, proceeds);

        return i + 1;
    }

    private static DecodedInstruction* CompareToFlags(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        bool quiet = i->Code is Code.Fucomi_st0_sti or Code.Fucomip_st0_sti;
        int other = i->Reg1;
        int c1 = state->X87Status & X87State.C1;
        bool fault = X87State.IsEmpty(state, 0) || X87State.IsEmpty(state, other);
        bool proceeds = CompareTop(state, quiet, X87State.IsEmpty(state, other), X87Operands.Value(state, other), out var order);
        LazyFlags.Set(state, SimdInstructions.OrderFlags(order));
        if (!fault)
        {
            // Of the condition codes these forms write only C1, and that only to report a stack fault.
            state->X87Status |= (ushort)c1;
        }

        PopAfterCompare(state, i, proceeds);

        return i + 1;
    }

    private static DecodedInstruction* TestZero(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        CompareTop(state, quiet: false, otherEmpty: false, FloatValue.ZeroOf(false), out var order);
        SetOrder(state, order);

        return i + 1;
    }

    private static DecodedInstruction* Examine(X86Processor cpu, DecodedInstruction* i)
    {
        var state = Enter(cpu, i);
        var value = X87Operands.Value(state, 0);
        int codes = X87State.IsEmpty(state, 0) ? X87State.C3 | X87State.C0 : value.Kind switch
        {
            FloatKind.Unsupported => 0,
            FloatKind.QuietNaN or FloatKind.SignalingNaN => X87State.C0,
            FloatKind.Infinity => X87State.C2 | X87State.C0,
            FloatKind.Zero => X87State.C3,
            _ when value.Denormal => X87State.C3 | X87State.C2,
            _ => X87State.C2,
        };
        int sign = X87State.Get(state, 0).Negative ? X87State.C1 : 0;
        state->X87Status = (ushort)((state->X87Status & ~(ConditionCodes | X87State.C1)) | codes | sign);
        return i + 1;
    }
}
