using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.FloatingPoint;
using Hypervisor.Engine.Processor.Simd;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// Conversions in the VEX encoding. Those to general registers are shared with SSE.
internal static unsafe partial class SimdInstructions
{
    private static void RegisterVexConversions(InstructionTable.Builder table)
    {
        table.Set(Code.VEX_Vcvtsi2ss_xmm_xmm_rm32, &VexIntegerToSingle<int>);
        table.Set(Code.VEX_Vcvtsi2ss_xmm_xmm_rm64, &VexIntegerToSingle<long>);
        table.Set(Code.VEX_Vcvtsi2sd_xmm_xmm_rm32, &VexIntegerToDouble<int>);
        table.Set(Code.VEX_Vcvtsi2sd_xmm_xmm_rm64, &VexIntegerToDouble<long>);
        table.Set(Code.VEX_Vcvtss2sd_xmm_xmm_xmmm32, &VexScalarSingleToDouble);
        table.Set(Code.VEX_Vcvtsd2ss_xmm_xmm_xmmm64, &VexScalarDoubleToSingle);
        table.Set(Code.VEX_Vcvtdq2ps_xmm_xmmm128, &VexUnaryElements<ElementFromInteger, uint, Length128>);
        table.Set(Code.VEX_Vcvtdq2ps_ymm_ymmm256, &VexUnaryElements<ElementFromInteger, uint, Length256>);
        table.Set(Code.VEX_Vcvtps2dq_xmm_xmmm128, &VexUnaryElements<ElementToInteger, uint, Length128>);
        table.Set(Code.VEX_Vcvtps2dq_ymm_ymmm256, &VexUnaryElements<ElementToInteger, uint, Length256>);
        table.Set(Code.VEX_Vcvttps2dq_xmm_xmmm128, &VexUnaryElements<ElementToIntegerTruncated, uint, Length128>);
        table.Set(Code.VEX_Vcvttps2dq_ymm_ymmm256, &VexUnaryElements<ElementToIntegerTruncated, uint, Length256>);
        table.Set(Code.VEX_Vcvtps2pd_xmm_xmmm64, &VexLengthen<SingleToDouble, ulong>);
        table.Set(Code.VEX_Vcvtps2pd_ymm_xmmm128, &VexLengthen<SingleToDouble, Vector128<byte>>);
        table.Set(Code.VEX_Vcvtdq2pd_xmm_xmmm64, &VexLengthen<IntegerToDouble, ulong>);
        table.Set(Code.VEX_Vcvtdq2pd_ymm_xmmm128, &VexLengthen<IntegerToDouble, Vector128<byte>>);
        table.Set(Code.VEX_Vcvtpd2ps_xmm_xmmm128, &VexShorten<DoubleToSingle, Length128>);
        table.Set(Code.VEX_Vcvtpd2ps_xmm_ymmm256, &VexShorten<DoubleToSingle, Length256>);
        table.Set(Code.VEX_Vcvtpd2dq_xmm_xmmm128, &VexShorten<DoubleToInteger, Length128>);
        table.Set(Code.VEX_Vcvtpd2dq_xmm_ymmm256, &VexShorten<DoubleToInteger, Length256>);
        table.Set(Code.VEX_Vcvttpd2dq_xmm_xmmm128, &VexShorten<DoubleToIntegerTruncated, Length128>);
        table.Set(Code.VEX_Vcvttpd2dq_xmm_ymmm256, &VexShorten<DoubleToIntegerTruncated, Length256>);
        table.Set(Code.VEX_Vcvtph2ps_xmm_xmmm64, &HalvesToSingles<ulong>);
        table.Set(Code.VEX_Vcvtph2ps_ymm_xmmm128, &HalvesToSingles<Vector128<byte>>);
        table.Set(Code.VEX_Vcvtps2ph_xmmm64_xmm_imm8, &SinglesToHalves<Length128>);
        table.Set(Code.VEX_Vcvtps2ph_xmmm128_ymm_imm8, &SinglesToHalves<Length256>);
    }

    /// <summary>A conversion between elements of 32 and 64 bits.</summary>
    private interface IResize<TFrom, TTo>
    {
        static abstract TTo Apply(ref FloatContext context, uint mxcsr, TFrom value);
    }

    private readonly struct SingleToDouble : IResize<uint, ulong>
    {
        public static ulong Apply(ref FloatContext context, uint mxcsr, uint value) => SseFloat.SingleToDouble(ref context, value);
    }

    private readonly struct IntegerToDouble : IResize<uint, ulong>
    {
        public static ulong Apply(ref FloatContext context, uint mxcsr, uint value) => BitConverter.DoubleToUInt64Bits((int)value);
    }

    private readonly struct DoubleToSingle : IResize<ulong, uint>
    {
        public static uint Apply(ref FloatContext context, uint mxcsr, ulong value) => SseFloat.DoubleToSingle(ref context, mxcsr, value);
    }

    private readonly struct DoubleToInteger : IResize<ulong, uint>
    {
        public static uint Apply(ref FloatContext context, uint mxcsr, ulong value) =>
            (uint)SseFloat.DoubleToInteger(ref context, false, 32, value);
    }

    private readonly struct DoubleToIntegerTruncated : IResize<ulong, uint>
    {
        public static uint Apply(ref FloatContext context, uint mxcsr, ulong value) =>
            (uint)SseFloat.DoubleToInteger(ref context, true, 32, value);
    }

    private readonly struct ElementFromInteger : IElementOperation<uint>
    {
        public static uint Apply(ref FloatContext context, uint mxcsr, uint a, uint b, byte immediate) =>
            SseFloat.IntegerToSingle(ref context, (int)b);
    }

    private readonly struct ElementToInteger : IElementOperation<uint>
    {
        public static uint Apply(ref FloatContext context, uint mxcsr, uint a, uint b, byte immediate) =>
            (uint)SseFloat.SingleToInteger(ref context, false, 32, b);
    }

    private readonly struct ElementToIntegerTruncated : IElementOperation<uint>
    {
        public static uint Apply(ref FloatContext context, uint mxcsr, uint a, uint b, byte immediate) =>
            (uint)SseFloat.SingleToInteger(ref context, true, 32, b);
    }

    private static long VexIntegerOperand<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        T value = HasMemory(i) ? cpu.ReadOperand<T>(i) : cpu.Register<T>(i->Reg2);
        return sizeof(T) == 4 ? *(int*)&value : *(long*)&value;
    }

    private static DecodedInstruction* VexIntegerToSingle<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        EnterVex(cpu);
        long value = VexIntegerOperand<T>(cpu, i);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        uint result = SseFloat.IntegerToSingle(ref context, value);
        Commit(cpu, context);
        SetMerged(cpu, i, result);
        return i + 1;
    }

    private static DecodedInstruction* VexIntegerToDouble<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        EnterVex(cpu);
        long value = VexIntegerOperand<T>(cpu, i);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        ulong result = SseFloat.IntegerToDouble(ref context, value);
        Commit(cpu, context);
        SetMerged(cpu, i, result);
        return i + 1;
    }

    private static DecodedInstruction* VexScalarSingleToDouble(X86Processor cpu, DecodedInstruction* i)
    {
        EnterVex(cpu);
        uint source = HasMemory(i) ? cpu.ReadOperand<uint>(i) : Low<uint>(cpu, i->Reg2);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        ulong result = SseFloat.SingleToDouble(ref context, source);
        Commit(cpu, context);
        SetMerged(cpu, i, result);
        return i + 1;
    }

    private static DecodedInstruction* VexScalarDoubleToSingle(X86Processor cpu, DecodedInstruction* i)
    {
        EnterVex(cpu);
        ulong source = HasMemory(i) ? cpu.ReadOperand<ulong>(i) : Low<ulong>(cpu, i->Reg2);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        uint result = SseFloat.DoubleToSingle(ref context, cpu.State->Mxcsr, source);
        Commit(cpu, context);
        SetMerged(cpu, i, result);
        return i + 1;
    }

    // The source is as long as T: two or four elements.
    private static DecodedInstruction* VexLengthen<TOp, T>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IResize<uint, ulong>
        where T : unmanaged
    {
        EnterVex(cpu);
        var source = sizeof(T) == 16 ? Operand128(cpu, i, i->Reg1) : Source<T>(cpu, i);
        uint mxcsr = cpu.State->Mxcsr;
        var context = Mxcsr.Begin(mxcsr);
        var result = Vector256<byte>.Zero;
        for (int lane = 0; lane < sizeof(T) / 4; lane++)
        {
            ((ulong*)&result)[lane] = TOp.Apply(ref context, mxcsr, ((uint*)&source)[lane]);
        }

        Commit(cpu, context);
        Ymm(cpu, i->Reg0) = result;
        return i + 1;
    }

    private static DecodedInstruction* VexShorten<TOp, TLength>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IResize<ulong, uint>
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        var source = Operand<TLength>(cpu, i, i->Reg1);
        uint mxcsr = cpu.State->Mxcsr;
        var context = Mxcsr.Begin(mxcsr);
        var result = Vector256<byte>.Zero;
        for (int lane = 0; lane < (TLength.IsWide ? 4 : 2); lane++)
        {
            ((uint*)&result)[lane] = TOp.Apply(ref context, mxcsr, ((ulong*)&source)[lane]);
        }

        Commit(cpu, context);
        Ymm(cpu, i->Reg0) = result;
        return i + 1;
    }

    private static DecodedInstruction* HalvesToSingles<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        EnterVex(cpu);
        var source = sizeof(T) == 16 ? Operand128(cpu, i, i->Reg1) : Source<T>(cpu, i);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        var result = Vector256<byte>.Zero;
        for (int lane = 0; lane < sizeof(T) / 2; lane++)
        {
            ((uint*)&result)[lane] = SseFloat.HalfToSingle(ref context, ((ushort*)&source)[lane]);
        }

        Commit(cpu, context);
        Ymm(cpu, i->Reg0) = result;
        return i + 1;
    }

    // What memory cannot take is raised before what the numbers raise, and neither changes anything.
    private static DecodedInstruction* SinglesToHalves<TLength>(X86Processor cpu, DecodedInstruction* i)
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        int bytes = TLength.IsWide ? 16 : 8;
        ulong address = 0;
        if (HasMemory(i))
        {
            address = cpu.Address(i, bytes, AccessKind.Write);
            cpu.ProbeRange(address, bytes, AccessKind.Write);
        }

        var source = Ymm(cpu, i->Reg1);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        if ((i->Immediate & 4) == 0)
        {
            context.Rounding = (FloatRounding)(i->Immediate & 3);
        }

        var result = Vector128<byte>.Zero;
        for (int lane = 0; lane < bytes / 2; lane++)
        {
            ((ushort*)&result)[lane] = SseFloat.SingleToHalf(ref context, ((uint*)&source)[lane]);
        }

        Commit(cpu, context);
        if (!HasMemory(i))
        {
            SetXmm(cpu, i->Reg0, result);
        }
        else if (TLength.IsWide)
        {
            cpu.Write(address, result);
        }
        else
        {
            cpu.Write(address, result.AsUInt64().ToScalar());
        }

        return i + 1;
    }
}
