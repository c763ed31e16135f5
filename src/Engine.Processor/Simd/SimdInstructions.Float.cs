using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.FloatingPoint;
using Hypervisor.Engine.Processor.Simd;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// SSE arithmetic and comparisons.
internal static unsafe partial class SimdInstructions
{
    private static void RegisterFloat(InstructionTable.Builder table)
    {
        table.Set(Code.Addss_xmm_xmmm32, &ScalarSingle<FloatAdd>);
        table.Set(Code.Addsd_xmm_xmmm64, &ScalarDouble<FloatAdd>);
        table.Set(Code.Addps_xmm_xmmm128, &PackedSingle<FloatAdd>);
        table.Set(Code.Addpd_xmm_xmmm128, &PackedDouble<FloatAdd>);
        table.Set(Code.Subss_xmm_xmmm32, &ScalarSingle<FloatSubtract>);
        table.Set(Code.Subsd_xmm_xmmm64, &ScalarDouble<FloatSubtract>);
        table.Set(Code.Subps_xmm_xmmm128, &PackedSingle<FloatSubtract>);
        table.Set(Code.Subpd_xmm_xmmm128, &PackedDouble<FloatSubtract>);
        table.Set(Code.Mulss_xmm_xmmm32, &ScalarSingle<FloatMultiply>);
        table.Set(Code.Mulsd_xmm_xmmm64, &ScalarDouble<FloatMultiply>);
        table.Set(Code.Mulps_xmm_xmmm128, &PackedSingle<FloatMultiply>);
        table.Set(Code.Mulpd_xmm_xmmm128, &PackedDouble<FloatMultiply>);
        table.Set(Code.Divss_xmm_xmmm32, &ScalarSingle<FloatDivide>);
        table.Set(Code.Divsd_xmm_xmmm64, &ScalarDouble<FloatDivide>);
        table.Set(Code.Divps_xmm_xmmm128, &PackedSingle<FloatDivide>);
        table.Set(Code.Divpd_xmm_xmmm128, &PackedDouble<FloatDivide>);

        table.Set(Code.Minss_xmm_xmmm32, &ExtremeScalarSingle<Minimum>);
        table.Set(Code.Minsd_xmm_xmmm64, &ExtremeScalarDouble<Minimum>);
        table.Set(Code.Minps_xmm_xmmm128, &ExtremePackedSingle<Minimum>);
        table.Set(Code.Minpd_xmm_xmmm128, &ExtremePackedDouble<Minimum>);
        table.Set(Code.Maxss_xmm_xmmm32, &ExtremeScalarSingle<Maximum>);
        table.Set(Code.Maxsd_xmm_xmmm64, &ExtremeScalarDouble<Maximum>);
        table.Set(Code.Maxps_xmm_xmmm128, &ExtremePackedSingle<Maximum>);
        table.Set(Code.Maxpd_xmm_xmmm128, &ExtremePackedDouble<Maximum>);

        table.Set(Code.Sqrtss_xmm_xmmm32, &SquareRootScalarSingle);
        table.Set(Code.Sqrtsd_xmm_xmmm64, &SquareRootScalarDouble);
        table.Set(Code.Sqrtps_xmm_xmmm128, &SquareRootPackedSingle);
        table.Set(Code.Sqrtpd_xmm_xmmm128, &SquareRootPackedDouble);
        table.Set(Code.Rcpss_xmm_xmmm32, &ReciprocalScalar);
        table.Set(Code.Rcpps_xmm_xmmm128, &ReciprocalPacked);
        table.Set(Code.Rsqrtss_xmm_xmmm32, &ReciprocalRootScalar);
        table.Set(Code.Rsqrtps_xmm_xmmm128, &ReciprocalRootPacked);

        table.Set(Code.Comiss_xmm_xmmm32, &CompareSingle<Signaling, LegacyEncoding>);
        table.Set(Code.VEX_Vcomiss_xmm_xmmm32, &CompareSingle<Signaling, VexEncoding>);
        table.Set(Code.Comisd_xmm_xmmm64, &CompareDouble<Signaling, LegacyEncoding>);
        table.Set(Code.VEX_Vcomisd_xmm_xmmm64, &CompareDouble<Signaling, VexEncoding>);
        table.Set(Code.Ucomiss_xmm_xmmm32, &CompareSingle<Quiet, LegacyEncoding>);
        table.Set(Code.VEX_Vucomiss_xmm_xmmm32, &CompareSingle<Quiet, VexEncoding>);
        table.Set(Code.Ucomisd_xmm_xmmm64, &CompareDouble<Quiet, LegacyEncoding>);
        table.Set(Code.VEX_Vucomisd_xmm_xmmm64, &CompareDouble<Quiet, VexEncoding>);
        table.Set(Code.Cmpss_xmm_xmmm32_imm8, &PredicateScalarSingle);
        table.Set(Code.Cmpsd_xmm_xmmm64_imm8, &PredicateScalarDouble);
        table.Set(Code.Cmpps_xmm_xmmm128_imm8, &PredicatePackedSingle);
        table.Set(Code.Cmppd_xmm_xmmm128_imm8, &PredicatePackedDouble);

        table.Set(Code.Roundss_xmm_xmmm32_imm8, &RoundScalarSingle);
        table.Set(Code.Roundsd_xmm_xmmm64_imm8, &RoundScalarDouble);
        table.Set(Code.Roundps_xmm_xmmm128_imm8, &RoundPackedSingle);
        table.Set(Code.Roundpd_xmm_xmmm128_imm8, &RoundPackedDouble);

        table.Set(Code.Haddps_xmm_xmmm128, &HorizontalSingle<FloatAdd>);
        table.Set(Code.Hsubps_xmm_xmmm128, &HorizontalSingle<FloatSubtract>);
        table.Set(Code.Haddpd_xmm_xmmm128, &HorizontalDouble<FloatAdd>);
        table.Set(Code.Hsubpd_xmm_xmmm128, &HorizontalDouble<FloatSubtract>);
        table.Set(Code.Addsubps_xmm_xmmm128, &AlternateSingle);
        table.Set(Code.Addsubpd_xmm_xmmm128, &AlternateDouble);
        table.Set(Code.Dpps_xmm_xmmm128_imm8, &DotSingle);
        table.Set(Code.Dppd_xmm_xmmm128_imm8, &DotDouble);
    }

    /// <summary>A choice made when a handler is instantiated.</summary>
    private interface IChoice
    {
        static abstract bool Value { get; }
    }

    private readonly struct Minimum : IChoice
    {
        public static bool Value => false;
    }

    private readonly struct Maximum : IChoice
    {
        public static bool Value => true;
    }

    private readonly struct Quiet : IChoice
    {
        public static bool Value => false;
    }

    private readonly struct Signaling : IChoice
    {
        public static bool Value => true;
    }

    /// <summary>#XM, or #UD where the system has not said that it handles it (CR4.OSXMMEXCPT).</summary>
    private static void RaiseSimdException(X86Processor cpu) =>
        cpu.Raise((cpu.State->Cr4 & X86Processor.Cr4Osxmmexcpt) != 0 ? Vector.SimdFloatingPoint : Vector.InvalidOpcode);

    private static void Commit(X86Processor cpu, in FloatContext context)
    {
        if (!Mxcsr.Commit(ref cpu.State->Mxcsr, context))
        {
            RaiseSimdException(cpu);
        }
    }

    private static DecodedInstruction* ScalarSingle<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IFloatBinary
    {
        Enter(cpu);
        uint source = Element<uint>(cpu, i);
        ref uint destination = ref Low<uint>(cpu, i->Reg0);
        if (!SseFloat.Binary<TOp>(ref cpu.State->Mxcsr, destination, source, out uint result))
        {
            RaiseSimdException(cpu);
        }

        destination = result;
        return i + 1;
    }

    private static DecodedInstruction* ScalarDouble<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IFloatBinary
    {
        Enter(cpu);
        ulong source = Element<ulong>(cpu, i);
        ref ulong destination = ref Low<ulong>(cpu, i->Reg0);
        if (!SseFloat.Binary<TOp>(ref cpu.State->Mxcsr, destination, source, out ulong result))
        {
            RaiseSimdException(cpu);
        }

        destination = result;
        return i + 1;
    }

    private static DecodedInstruction* PackedSingle<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IFloatBinary
    {
        Enter(cpu);
        var source = Source(cpu, i).AsUInt32();
        BinarySingle<TOp>(cpu, i, Xmm(cpu, i->Reg0).AsUInt32(), source);
        return i + 1;
    }

    private static DecodedInstruction* PackedDouble<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IFloatBinary
    {
        Enter(cpu);
        var source = Source(cpu, i).AsUInt64();
        BinaryDouble<TOp>(cpu, i, Xmm(cpu, i->Reg0).AsUInt64(), source);
        return i + 1;
    }

    private static void BinarySingle<TOp>(X86Processor cpu, DecodedInstruction* i, Vector128<uint> a, Vector128<uint> b)
        where TOp : struct, IFloatBinary
    {
        if (!SseFloat.Binary<TOp>(ref cpu.State->Mxcsr, a, b, out Vector128<uint> result))
        {
            RaiseSimdException(cpu);
        }

        Xmm(cpu, i->Reg0) = result.AsByte();
    }

    private static void BinaryDouble<TOp>(X86Processor cpu, DecodedInstruction* i, Vector128<ulong> a, Vector128<ulong> b)
        where TOp : struct, IFloatBinary
    {
        if (!SseFloat.Binary<TOp>(ref cpu.State->Mxcsr, a, b, out Vector128<ulong> result))
        {
            RaiseSimdException(cpu);
        }

        Xmm(cpu, i->Reg0) = result.AsByte();
    }

    private static DecodedInstruction* ExtremeScalarSingle<TMaximum>(X86Processor cpu, DecodedInstruction* i)
        where TMaximum : struct, IChoice
    {
        Enter(cpu);
        uint source = Element<uint>(cpu, i);
        ref uint destination = ref Low<uint>(cpu, i->Reg0);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        uint result = SseFloat.Extreme(ref context, TMaximum.Value, destination, source);
        Commit(cpu, context);
        destination = result;
        return i + 1;
    }

    private static DecodedInstruction* ExtremeScalarDouble<TMaximum>(X86Processor cpu, DecodedInstruction* i)
        where TMaximum : struct, IChoice
    {
        Enter(cpu);
        ulong source = Element<ulong>(cpu, i);
        ref ulong destination = ref Low<ulong>(cpu, i->Reg0);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        ulong result = SseFloat.Extreme(ref context, TMaximum.Value, destination, source);
        Commit(cpu, context);
        destination = result;
        return i + 1;
    }

    private static DecodedInstruction* ExtremePackedSingle<TMaximum>(X86Processor cpu, DecodedInstruction* i)
        where TMaximum : struct, IChoice
    {
        Enter(cpu);
        var source = Source(cpu, i).AsUInt32();
        var result = Xmm(cpu, i->Reg0).AsUInt32();
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        for (int lane = 0; lane < 4; lane++)
        {
            result = result.WithElement(
                lane, SseFloat.Extreme(ref context, TMaximum.Value, result.GetElement(lane), source.GetElement(lane)));
        }

        Commit(cpu, context);
        Xmm(cpu, i->Reg0) = result.AsByte();
        return i + 1;
    }

    private static DecodedInstruction* ExtremePackedDouble<TMaximum>(X86Processor cpu, DecodedInstruction* i)
        where TMaximum : struct, IChoice
    {
        Enter(cpu);
        var source = Source(cpu, i).AsUInt64();
        var first = Xmm(cpu, i->Reg0).AsUInt64();
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        ulong low = SseFloat.Extreme(ref context, TMaximum.Value, first.ToScalar(), source.ToScalar());
        ulong high = SseFloat.Extreme(ref context, TMaximum.Value, first.GetElement(1), source.GetElement(1));
        Commit(cpu, context);
        Xmm(cpu, i->Reg0) = Vector128.Create(low, high).AsByte();
        return i + 1;
    }

    private static DecodedInstruction* SquareRootScalarSingle(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        uint source = Element<uint>(cpu, i);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        uint result = SseFloat.SquareRoot(ref context, cpu.State->Mxcsr, source);
        Commit(cpu, context);
        Low<uint>(cpu, i->Reg0) = result;
        return i + 1;
    }

    private static DecodedInstruction* SquareRootScalarDouble(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        ulong source = Element<ulong>(cpu, i);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        ulong result = SseFloat.SquareRoot(ref context, cpu.State->Mxcsr, source);
        Commit(cpu, context);
        Low<ulong>(cpu, i->Reg0) = result;
        return i + 1;
    }

    private static DecodedInstruction* SquareRootPackedSingle(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var values = Source(cpu, i).AsUInt32();
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        for (int lane = 0; lane < 4; lane++)
        {
            values = values.WithElement(lane, SseFloat.SquareRoot(ref context, cpu.State->Mxcsr, values.GetElement(lane)));
        }

        Commit(cpu, context);
        Xmm(cpu, i->Reg0) = values.AsByte();
        return i + 1;
    }

    private static DecodedInstruction* SquareRootPackedDouble(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var values = Source(cpu, i).AsUInt64();
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        ulong low = SseFloat.SquareRoot(ref context, cpu.State->Mxcsr, values.ToScalar());
        ulong high = SseFloat.SquareRoot(ref context, cpu.State->Mxcsr, values.GetElement(1));
        Commit(cpu, context);
        Xmm(cpu, i->Reg0) = Vector128.Create(low, high).AsByte();
        return i + 1;
    }

    private static DecodedInstruction* ReciprocalScalar(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        Low<uint>(cpu, i->Reg0) = SseFloat.Reciprocal(Element<uint>(cpu, i));
        return i + 1;
    }

    private static DecodedInstruction* ReciprocalPacked(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var values = Source(cpu, i).AsUInt32();
        for (int lane = 0; lane < 4; lane++)
        {
            values = values.WithElement(lane, SseFloat.Reciprocal(values.GetElement(lane)));
        }

        Xmm(cpu, i->Reg0) = values.AsByte();
        return i + 1;
    }

    private static DecodedInstruction* ReciprocalRootScalar(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        Low<uint>(cpu, i->Reg0) = SseFloat.ReciprocalSquareRoot(Element<uint>(cpu, i));
        return i + 1;
    }

    private static DecodedInstruction* ReciprocalRootPacked(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var values = Source(cpu, i).AsUInt32();
        for (int lane = 0; lane < 4; lane++)
        {
            values = values.WithElement(lane, SseFloat.ReciprocalSquareRoot(values.GetElement(lane)));
        }

        Xmm(cpu, i->Reg0) = values.AsByte();
        return i + 1;
    }

    private static DecodedInstruction* CompareSingle<TSignaling, TEncoding>(X86Processor cpu, DecodedInstruction* i)
        where TSignaling : struct, IChoice
        where TEncoding : struct, IVectorEncoding
    {
        Enter<TEncoding>(cpu);
        uint source = Element<uint>(cpu, i);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        var order = SseFloat.Compare(ref context, TSignaling.Value, Low<uint>(cpu, i->Reg0), source);
        Commit(cpu, context);
        LazyFlags.Set(cpu.State, OrderFlags(order));
        return i + 1;
    }

    private static DecodedInstruction* CompareDouble<TSignaling, TEncoding>(X86Processor cpu, DecodedInstruction* i)
        where TSignaling : struct, IChoice
        where TEncoding : struct, IVectorEncoding
    {
        Enter<TEncoding>(cpu);
        ulong source = Element<ulong>(cpu, i);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        var order = SseFloat.Compare(ref context, TSignaling.Value, Low<ulong>(cpu, i->Reg0), source);
        Commit(cpu, context);
        LazyFlags.Set(cpu.State, OrderFlags(order));
        return i + 1;
    }

    /// <summary>ZF, PF and CF as (U)COMISx and F(U)COMI set them.</summary>
    internal static ulong OrderFlags(FloatOrder order) => order switch
    {
        FloatOrder.Greater => 0,
        FloatOrder.Less => Rflags.Carry,
        FloatOrder.Equal => Rflags.Zero,
        _ => Rflags.Zero | Rflags.Parity | Rflags.Carry,
    };

    private static DecodedInstruction* PredicateScalarSingle(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        uint source = Element<uint>(cpu, i);
        ref uint destination = ref Low<uint>(cpu, i->Reg0);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        bool holds = SseFloat.Test(ref context, (int)i->Immediate & 7, destination, source);
        Commit(cpu, context);
        destination = holds ? uint.MaxValue : 0;
        return i + 1;
    }

    private static DecodedInstruction* PredicateScalarDouble(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        ulong source = Element<ulong>(cpu, i);
        ref ulong destination = ref Low<ulong>(cpu, i->Reg0);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        bool holds = SseFloat.Test(ref context, (int)i->Immediate & 7, destination, source);
        Commit(cpu, context);
        destination = holds ? ulong.MaxValue : 0;
        return i + 1;
    }

    private static DecodedInstruction* PredicatePackedSingle(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var source = Source(cpu, i).AsUInt32();
        var result = Xmm(cpu, i->Reg0).AsUInt32();
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        for (int lane = 0; lane < 4; lane++)
        {
            bool holds = SseFloat.Test(ref context, (int)i->Immediate & 7, result.GetElement(lane), source.GetElement(lane));
            result = result.WithElement(lane, holds ? uint.MaxValue : 0);
        }

        Commit(cpu, context);
        Xmm(cpu, i->Reg0) = result.AsByte();
        return i + 1;
    }

    private static DecodedInstruction* PredicatePackedDouble(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var source = Source(cpu, i).AsUInt64();
        var first = Xmm(cpu, i->Reg0).AsUInt64();
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        bool low = SseFloat.Test(ref context, (int)i->Immediate & 7, first.ToScalar(), source.ToScalar());
        bool high = SseFloat.Test(ref context, (int)i->Immediate & 7, first.GetElement(1), source.GetElement(1));
        Commit(cpu, context);
        Xmm(cpu, i->Reg0) = Vector128.Create(low ? ulong.MaxValue : 0, high ? ulong.MaxValue : 0).AsByte();
        return i + 1;
    }
}
