using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.FloatingPoint;
using Hypervisor.Engine.Processor.Simd;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// Conversions between singles, doubles and integers.
internal static unsafe partial class SimdInstructions
{
    private static void RegisterConversions(InstructionTable.Builder table)
    {
        table.Set(Code.Cvtsi2ss_xmm_rm32, &IntegerToScalarSingle<int>);
        table.Set(Code.Cvtsi2ss_xmm_rm64, &IntegerToScalarSingle<long>);
        table.Set(Code.Cvtsi2sd_xmm_rm32, &IntegerToScalarDouble<int>);
        table.Set(Code.Cvtsi2sd_xmm_rm64, &IntegerToScalarDouble<long>);
        table.Set(Code.Cvtss2si_r32_xmmm32, &ScalarSingleToInteger<int, Rounded, LegacyEncoding>);
        table.Set(Code.VEX_Vcvtss2si_r32_xmmm32, &ScalarSingleToInteger<int, Rounded, VexEncoding>);
        table.Set(Code.Cvtss2si_r64_xmmm32, &ScalarSingleToInteger<long, Rounded, LegacyEncoding>);
        table.Set(Code.VEX_Vcvtss2si_r64_xmmm32, &ScalarSingleToInteger<long, Rounded, VexEncoding>);
        table.Set(Code.Cvttss2si_r32_xmmm32, &ScalarSingleToInteger<int, Truncated, LegacyEncoding>);
        table.Set(Code.VEX_Vcvttss2si_r32_xmmm32, &ScalarSingleToInteger<int, Truncated, VexEncoding>);
        table.Set(Code.Cvttss2si_r64_xmmm32, &ScalarSingleToInteger<long, Truncated, LegacyEncoding>);
        table.Set(Code.VEX_Vcvttss2si_r64_xmmm32, &ScalarSingleToInteger<long, Truncated, VexEncoding>);
        table.Set(Code.Cvtsd2si_r32_xmmm64, &ScalarDoubleToInteger<int, Rounded, LegacyEncoding>);
        table.Set(Code.VEX_Vcvtsd2si_r32_xmmm64, &ScalarDoubleToInteger<int, Rounded, VexEncoding>);
        table.Set(Code.Cvtsd2si_r64_xmmm64, &ScalarDoubleToInteger<long, Rounded, LegacyEncoding>);
        table.Set(Code.VEX_Vcvtsd2si_r64_xmmm64, &ScalarDoubleToInteger<long, Rounded, VexEncoding>);
        table.Set(Code.Cvttsd2si_r32_xmmm64, &ScalarDoubleToInteger<int, Truncated, LegacyEncoding>);
        table.Set(Code.VEX_Vcvttsd2si_r32_xmmm64, &ScalarDoubleToInteger<int, Truncated, VexEncoding>);
        table.Set(Code.Cvttsd2si_r64_xmmm64, &ScalarDoubleToInteger<long, Truncated, LegacyEncoding>);
        table.Set(Code.VEX_Vcvttsd2si_r64_xmmm64, &ScalarDoubleToInteger<long, Truncated, VexEncoding>);
        table.Set(Code.Cvtss2sd_xmm_xmmm32, &ScalarSingleToDouble);
        table.Set(Code.Cvtsd2ss_xmm_xmmm64, &ScalarDoubleToSingle);
        table.Set(Code.Cvtps2pd_xmm_xmmm64, &PackedSingleToDouble);
        table.Set(Code.Cvtpd2ps_xmm_xmmm128, &PackedDoubleToSingle);
        table.Set(Code.Cvtdq2ps_xmm_xmmm128, &PackedIntegerToSingle);
        table.Set(Code.Cvtdq2pd_xmm_xmmm64, &PackedIntegerToDouble);
        table.Set(Code.Cvtps2dq_xmm_xmmm128, &PackedSingleToInteger<Rounded>);
        table.Set(Code.Cvttps2dq_xmm_xmmm128, &PackedSingleToInteger<Truncated>);
        table.Set(Code.Cvtpd2dq_xmm_xmmm128, &PackedDoubleToInteger<Rounded>);
        table.Set(Code.Cvttpd2dq_xmm_xmmm128, &PackedDoubleToInteger<Truncated>);
    }

    private readonly struct Rounded : IChoice
    {
        public static bool Value => false;
    }

    private readonly struct Truncated : IChoice
    {
        public static bool Value => true;
    }

    private static long IntegerOperand<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        T value = HasMemory(i) ? cpu.ReadOperand<T>(i) : cpu.Register<T>(i->Reg1);
        return sizeof(T) == 4 ? *(int*)&value : *(long*)&value;
    }

    private static DecodedInstruction* IntegerToScalarSingle<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        Enter(cpu);
        long value = IntegerOperand<T>(cpu, i);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        uint result = SseFloat.IntegerToSingle(ref context, value);
        Commit(cpu, context);
        Low<uint>(cpu, i->Reg0) = result;
        return i + 1;
    }

    private static DecodedInstruction* IntegerToScalarDouble<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        Enter(cpu);
        long value = IntegerOperand<T>(cpu, i);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        ulong result = SseFloat.IntegerToDouble(ref context, value);
        Commit(cpu, context);
        Low<ulong>(cpu, i->Reg0) = result;
        return i + 1;
    }

    private static DecodedInstruction* ScalarSingleToInteger<T, TTruncate, TEncoding>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
        where TTruncate : struct, IChoice
        where TEncoding : struct, IVectorEncoding
    {
        Enter<TEncoding>(cpu);
        uint source = Element<uint>(cpu, i);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        long result = SseFloat.SingleToInteger(ref context, TTruncate.Value, sizeof(T) * 8, source);
        Commit(cpu, context);
        cpu.Register<ulong>(i->Reg0) = sizeof(T) == 4 ? (uint)result : (ulong)result;
        return i + 1;
    }

    private static DecodedInstruction* ScalarDoubleToInteger<T, TTruncate, TEncoding>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
        where TTruncate : struct, IChoice
        where TEncoding : struct, IVectorEncoding
    {
        Enter<TEncoding>(cpu);
        ulong source = Element<ulong>(cpu, i);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        long result = SseFloat.DoubleToInteger(ref context, TTruncate.Value, sizeof(T) * 8, source);
        Commit(cpu, context);
        cpu.Register<ulong>(i->Reg0) = sizeof(T) == 4 ? (uint)result : (ulong)result;
        return i + 1;
    }

    private static DecodedInstruction* ScalarSingleToDouble(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        uint source = Element<uint>(cpu, i);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        ulong result = SseFloat.SingleToDouble(ref context, source);
        Commit(cpu, context);
        Low<ulong>(cpu, i->Reg0) = result;
        return i + 1;
    }

    private static DecodedInstruction* ScalarDoubleToSingle(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        ulong source = Element<ulong>(cpu, i);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        uint result = SseFloat.DoubleToSingle(ref context, cpu.State->Mxcsr, source);
        Commit(cpu, context);
        Low<uint>(cpu, i->Reg0) = result;
        return i + 1;
    }

    private static DecodedInstruction* PackedSingleToDouble(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        ulong source = Element<ulong>(cpu, i);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        ulong low = SseFloat.SingleToDouble(ref context, (uint)source);
        ulong high = SseFloat.SingleToDouble(ref context, (uint)(source >> 32));
        Commit(cpu, context);
        Xmm(cpu, i->Reg0) = Vector128.Create(low, high).AsByte();
        return i + 1;
    }

    private static DecodedInstruction* PackedDoubleToSingle(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var source = Source(cpu, i).AsUInt64();
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        uint low = SseFloat.DoubleToSingle(ref context, cpu.State->Mxcsr, source.ToScalar());
        uint high = SseFloat.DoubleToSingle(ref context, cpu.State->Mxcsr, source.GetElement(1));
        Commit(cpu, context);
        Xmm(cpu, i->Reg0) = Vector128.Create(low, high, 0, 0).AsByte();
        return i + 1;
    }

    private static DecodedInstruction* PackedIntegerToSingle(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var values = Source(cpu, i).AsUInt32();
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        for (int lane = 0; lane < 4; lane++)
        {
            values = values.WithElement(lane, SseFloat.IntegerToSingle(ref context, (int)values.GetElement(lane)));
        }

        Commit(cpu, context);
        Xmm(cpu, i->Reg0) = values.AsByte();
        return i + 1;
    }

    private static DecodedInstruction* PackedIntegerToDouble(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        ulong source = Element<ulong>(cpu, i);
        Xmm(cpu, i->Reg0) = Vector128.Create((double)(int)source, (int)(source >> 32)).AsByte();
        return i + 1;
    }

    private static DecodedInstruction* PackedSingleToInteger<TTruncate>(X86Processor cpu, DecodedInstruction* i)
        where TTruncate : struct, IChoice
    {
        Enter(cpu);
        var values = Source(cpu, i).AsUInt32();
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        for (int lane = 0; lane < 4; lane++)
        {
            values = values.WithElement(
                lane, (uint)SseFloat.SingleToInteger(ref context, TTruncate.Value, 32, values.GetElement(lane)));
        }

        Commit(cpu, context);
        Xmm(cpu, i->Reg0) = values.AsByte();
        return i + 1;
    }

    private static DecodedInstruction* PackedDoubleToInteger<TTruncate>(X86Processor cpu, DecodedInstruction* i)
        where TTruncate : struct, IChoice
    {
        Enter(cpu);
        var source = Source(cpu, i).AsUInt64();
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        uint low = (uint)SseFloat.DoubleToInteger(ref context, TTruncate.Value, 32, source.ToScalar());
        uint high = (uint)SseFloat.DoubleToInteger(ref context, TTruncate.Value, 32, source.GetElement(1));
        Commit(cpu, context);
        Xmm(cpu, i->Reg0) = Vector128.Create(low, high, 0, 0).AsByte();
        return i + 1;
    }
}
