using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.FloatingPoint;
using Hypervisor.Engine.Processor.Simd;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// AVX arithmetic and comparisons.
internal static unsafe partial class SimdInstructions
{
    private static void RegisterVexFloat(InstructionTable.Builder table)
    {
        VexArithmetic<ElementArithmetic<FloatAdd>>(table, "Vadd");
        VexArithmetic<ElementArithmetic<FloatSubtract>>(table, "Vsub");
        VexArithmetic<ElementArithmetic<FloatMultiply>>(table, "Vmul");
        VexArithmetic<ElementArithmetic<FloatDivide>>(table, "Vdiv");
        VexArithmetic<ElementMinimum>(table, "Vmin");
        VexArithmetic<ElementMaximum>(table, "Vmax");
        VexArithmetic<ElementPredicate>(table, "Vcmp", "_imm8");
        VexUnaryFloat<ElementRoot>(table, "Vsqrt", string.Empty);
        VexUnaryFloat<ElementRound>(table, "Vround", "_imm8");
        table.Set(Code.VEX_Vrcpps_xmm_xmmm128, &VexUnaryElements<ElementReciprocal, uint, Length128>);
        table.Set(Code.VEX_Vrcpps_ymm_ymmm256, &VexUnaryElements<ElementReciprocal, uint, Length256>);
        table.Set(Code.VEX_Vrcpss_xmm_xmm_xmmm32, &VexElement<ElementReciprocal, uint>);
        table.Set(Code.VEX_Vrsqrtps_xmm_xmmm128, &VexUnaryElements<ElementReciprocalRoot, uint, Length128>);
        table.Set(Code.VEX_Vrsqrtps_ymm_ymmm256, &VexUnaryElements<ElementReciprocalRoot, uint, Length256>);
        table.Set(Code.VEX_Vrsqrtss_xmm_xmm_xmmm32, &VexElement<ElementReciprocalRoot, uint>);

        table.Set(Code.VEX_Vhaddps_xmm_xmm_xmmm128, &VexHorizontal<ElementArithmetic<FloatAdd>, uint, Length128>);
        table.Set(Code.VEX_Vhaddps_ymm_ymm_ymmm256, &VexHorizontal<ElementArithmetic<FloatAdd>, uint, Length256>);
        table.Set(Code.VEX_Vhaddpd_xmm_xmm_xmmm128, &VexHorizontal<ElementArithmetic<FloatAdd>, ulong, Length128>);
        table.Set(Code.VEX_Vhaddpd_ymm_ymm_ymmm256, &VexHorizontal<ElementArithmetic<FloatAdd>, ulong, Length256>);
        table.Set(Code.VEX_Vhsubps_xmm_xmm_xmmm128, &VexHorizontal<ElementArithmetic<FloatSubtract>, uint, Length128>);
        table.Set(Code.VEX_Vhsubps_ymm_ymm_ymmm256, &VexHorizontal<ElementArithmetic<FloatSubtract>, uint, Length256>);
        table.Set(Code.VEX_Vhsubpd_xmm_xmm_xmmm128, &VexHorizontal<ElementArithmetic<FloatSubtract>, ulong, Length128>);
        table.Set(Code.VEX_Vhsubpd_ymm_ymm_ymmm256, &VexHorizontal<ElementArithmetic<FloatSubtract>, ulong, Length256>);
        table.Set(Code.VEX_Vaddsubps_xmm_xmm_xmmm128, &VexAlternate<uint, Length128>);
        table.Set(Code.VEX_Vaddsubps_ymm_ymm_ymmm256, &VexAlternate<uint, Length256>);
        table.Set(Code.VEX_Vaddsubpd_xmm_xmm_xmmm128, &VexAlternate<ulong, Length128>);
        table.Set(Code.VEX_Vaddsubpd_ymm_ymm_ymmm256, &VexAlternate<ulong, Length256>);
        table.Set(Code.VEX_Vdpps_xmm_xmm_xmmm128_imm8, &VexDotSingle<Length128>);
        table.Set(Code.VEX_Vdpps_ymm_ymm_ymmm256_imm8, &VexDotSingle<Length256>);
        table.Set(Code.VEX_Vdppd_xmm_xmm_xmmm128_imm8, &VexDotDouble);
    }

    private static void VexArithmetic<TOp>(InstructionTable.Builder table, string name, string immediate = "")
        where TOp : struct, IElementOperation<uint>, IElementOperation<ulong>
    {
        table.Set(table.Named($"VEX_{name}ss_xmm_xmm_xmmm32{immediate}"), &VexElement<TOp, uint>);
        table.Set(table.Named($"VEX_{name}sd_xmm_xmm_xmmm64{immediate}"), &VexElement<TOp, ulong>);
        table.Set(table.Named($"VEX_{name}ps_xmm_xmm_xmmm128{immediate}"), &VexElements<TOp, uint, Length128>);
        table.Set(table.Named($"VEX_{name}ps_ymm_ymm_ymmm256{immediate}"), &VexElements<TOp, uint, Length256>);
        table.Set(table.Named($"VEX_{name}pd_xmm_xmm_xmmm128{immediate}"), &VexElements<TOp, ulong, Length128>);
        table.Set(table.Named($"VEX_{name}pd_ymm_ymm_ymmm256{immediate}"), &VexElements<TOp, ulong, Length256>);
    }

    private static void VexUnaryFloat<TOp>(InstructionTable.Builder table, string name, string immediate)
        where TOp : struct, IElementOperation<uint>, IElementOperation<ulong>
    {
        table.Set(table.Named($"VEX_{name}ss_xmm_xmm_xmmm32{immediate}"), &VexElement<TOp, uint>);
        table.Set(table.Named($"VEX_{name}sd_xmm_xmm_xmmm64{immediate}"), &VexElement<TOp, ulong>);
        table.Set(table.Named($"VEX_{name}ps_xmm_xmmm128{immediate}"), &VexUnaryElements<TOp, uint, Length128>);
        table.Set(table.Named($"VEX_{name}ps_ymm_ymmm256{immediate}"), &VexUnaryElements<TOp, uint, Length256>);
        table.Set(table.Named($"VEX_{name}pd_xmm_xmmm128{immediate}"), &VexUnaryElements<TOp, ulong, Length128>);
        table.Set(table.Named($"VEX_{name}pd_ymm_ymmm256{immediate}"), &VexUnaryElements<TOp, ulong, Length256>);
    }

    /// <summary>The lowest element; the others come from operand 1.</summary>
    private static DecodedInstruction* VexElement<TOp, T>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IElementOperation<T>
        where T : unmanaged
    {
        EnterVex(cpu);
        T second = HasMemory(i) ? cpu.ReadOperand<T>(i) : Low<T>(cpu, i->Reg2);
        uint mxcsr = cpu.State->Mxcsr;
        var context = Mxcsr.Begin(mxcsr);
        T result = TOp.Apply(ref context, mxcsr, Low<T>(cpu, i->Reg1), second, (byte)i->Immediate);
        Commit(cpu, context);
        SetMerged(cpu, i, result);
        return i + 1;
    }

    private static DecodedInstruction* VexElements<TOp, T, TLength>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IElementOperation<T>
        where T : unmanaged
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        var second = Operand<TLength>(cpu, i, i->Reg2);
        Elements<TOp, T, TLength>(cpu, i, Ymm(cpu, i->Reg1), second);
        return i + 1;
    }

    private static DecodedInstruction* VexUnaryElements<TOp, T, TLength>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IElementOperation<T>
        where T : unmanaged
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        var source = Operand<TLength>(cpu, i, i->Reg1);
        Elements<TOp, T, TLength>(cpu, i, source, source);
        return i + 1;
    }

    // All elements take place before exceptions are looked at: an unmasked one leaves the destination alone.
    private static void Elements<TOp, T, TLength>(X86Processor cpu, DecodedInstruction* i, Vector256<byte> first, Vector256<byte> second)
        where TOp : struct, IElementOperation<T>
        where T : unmanaged
        where TLength : struct, IVectorLength
    {
        int count = (TLength.IsWide ? 32 : 16) / sizeof(T);
        uint mxcsr = cpu.State->Mxcsr;
        byte immediate = (byte)i->Immediate;
        var context = Mxcsr.Begin(mxcsr);
        T* a = (T*)&first;
        T* b = (T*)&second;
        for (int lane = 0; lane < count; lane++)
        {
            a[lane] = TOp.Apply(ref context, mxcsr, a[lane], b[lane], immediate);
        }

        Commit(cpu, context);
        Store<TLength>(cpu, i->Reg0, first);
    }

    private static DecodedInstruction* VexHorizontal<TOp, T, TLength>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IElementOperation<T>
        where T : unmanaged
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        var second = Operand<TLength>(cpu, i, i->Reg2);
        var first = Ymm(cpu, i->Reg1);
        Vector256<byte> even;
        Vector256<byte> odd;
        if (sizeof(T) == 4)
        {
            even = Halves<Shufps, TLength>(first, second, 0x88);
            odd = Halves<Shufps, TLength>(first, second, 0xDD);
        }
        else
        {
            even = Halves<Punpcklqdq, TLength>(first, second);
            odd = Halves<Punpckhqdq, TLength>(first, second);
        }

        Elements<TOp, T, TLength>(cpu, i, even, odd);
        return i + 1;
    }

    // Even elements are subtracted: their operand changes its sign, unless it is a NaN, whose sign would show in the result.
    private static DecodedInstruction* VexAlternate<T, TLength>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        var second = Operand<TLength>(cpu, i, i->Reg2);
        var first = Ymm(cpu, i->Reg1);
        if (sizeof(T) == 4)
        {
            var bits = second.AsUInt32();
            var number = Vector256.LessThanOrEqual(bits & Vector256.Create(0x7FFF_FFFFu), Vector256.Create(0x7F80_0000u));
            second = (bits ^ (number & Vector256.Create(0x8000_0000ul).AsUInt32())).AsByte();
            Elements<ElementArithmetic<FloatAdd>, uint, TLength>(cpu, i, first, second);
        }
        else
        {
            var bits = second.AsUInt64();
            var number = Vector256.LessThanOrEqual(
                bits & Vector256.Create(0x7FFF_FFFF_FFFF_FFFFul), Vector256.Create(0x7FF0_0000_0000_0000ul));
            second = (bits ^ (number & Vector256.Create(1ul << 63, 0, 1ul << 63, 0))).AsByte();
            Elements<ElementArithmetic<FloatAdd>, ulong, TLength>(cpu, i, first, second);
        }

        return i + 1;
    }

    // Both halves go through each step together: products, sums of pairs, the last sum (SDM vol. 2, DPPS).
    private static DecodedInstruction* VexDotSingle<TLength>(X86Processor cpu, DecodedInstruction* i)
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        var second = Operand<TLength>(cpu, i, i->Reg2);
        var first = Ymm(cpu, i->Reg1);
        uint* a = (uint*)&first;
        uint* b = (uint*)&second;
        int count = TLength.IsWide ? 8 : 4;
        int immediate = (byte)i->Immediate;
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        for (int lane = 0; lane < count; lane++)
        {
            a[lane] = (immediate >> (4 + (lane & 3)) & 1) != 0 ? SseFloat.Lane<FloatMultiply>(ref context, a[lane], b[lane]) : 0;
        }

        Commit(cpu, context);
        for (int lane = 0; lane < count; lane += 2)
        {
            a[lane] = SseFloat.Lane<FloatAdd>(ref context, a[lane], a[lane + 1]);
        }

        Commit(cpu, context);
        for (int lane = 0; lane < count; lane += 4)
        {
            a[lane] = SseFloat.Lane<FloatAdd>(ref context, a[lane], a[lane + 2]);
        }

        Commit(cpu, context);
        var chosen = Selection.Dwords((byte)(immediate & 15));
        Store<TLength>(
            cpu, i->Reg0, Vector256.Create(Vector128.Create(a[0]).AsByte() & chosen, Vector128.Create(a[4]).AsByte() & chosen));
        return i + 1;
    }

    private static DecodedInstruction* VexDotDouble(X86Processor cpu, DecodedInstruction* i)
    {
        EnterVex(cpu);
        var second = Operand128(cpu, i, i->Reg2).AsUInt64();
        SetXmm(cpu, i->Reg0, DotDouble(cpu, Xmm(cpu, i->Reg1).AsUInt64(), second, (byte)i->Immediate));
        return i + 1;
    }
}
