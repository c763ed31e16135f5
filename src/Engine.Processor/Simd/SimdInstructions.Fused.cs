using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.FloatingPoint;
using Hypervisor.Engine.Processor.Simd;

namespace Hypervisor.Engine.Processor;

// FMA3: the digits in a name say which operands are multiplied and which is added.
internal static unsafe partial class SimdInstructions
{
    private static void RegisterFused(InstructionTable.Builder table)
    {
        Fused<MultiplyAdd>(table, "Vfmadd");
        Fused<MultiplySubtract>(table, "Vfmsub");
        Fused<NegativeMultiplyAdd>(table, "Vfnmadd");
        Fused<NegativeMultiplySubtract>(table, "Vfnmsub");
        FusedPacked<MultiplyAddSubtract>(table, "Vfmaddsub");
        FusedPacked<MultiplySubtractAdd>(table, "Vfmsubadd");
    }

    private static void Fused<TOp>(InstructionTable.Builder table, string name)
        where TOp : struct, IFused
    {
        FusedPacked<TOp>(table, name);
        FusedScalar<TOp, Order132>(table, $"{name}132");
        FusedScalar<TOp, Order213>(table, $"{name}213");
        FusedScalar<TOp, Order231>(table, $"{name}231");
    }

    private static void FusedScalar<TOp, TOrder>(InstructionTable.Builder table, string name)
        where TOp : struct, IFused
        where TOrder : struct, IFusedOrder
    {
        table.Set(table.Named($"VEX_{name}ss_xmm_xmm_xmmm32"), &FusedElement<TOp, TOrder, uint>);
        table.Set(table.Named($"VEX_{name}sd_xmm_xmm_xmmm64"), &FusedElement<TOp, TOrder, ulong>);
    }

    private static void FusedPacked<TOp>(InstructionTable.Builder table, string name)
        where TOp : struct, IFused
    {
        FusedPacked<TOp, Order132>(table, $"{name}132");
        FusedPacked<TOp, Order213>(table, $"{name}213");
        FusedPacked<TOp, Order231>(table, $"{name}231");
    }

    private static void FusedPacked<TOp, TOrder>(InstructionTable.Builder table, string name)
        where TOp : struct, IFused
        where TOrder : struct, IFusedOrder
    {
        table.Set(table.Named($"VEX_{name}ps_xmm_xmm_xmmm128"), &FusedElements<TOp, TOrder, uint, Length128>);
        table.Set(table.Named($"VEX_{name}ps_ymm_ymm_ymmm256"), &FusedElements<TOp, TOrder, uint, Length256>);
        table.Set(table.Named($"VEX_{name}pd_xmm_xmm_xmmm128"), &FusedElements<TOp, TOrder, ulong, Length128>);
        table.Set(table.Named($"VEX_{name}pd_ymm_ymm_ymmm256"), &FusedElements<TOp, TOrder, ulong, Length256>);
    }

    /// <summary>Signs of product and addend in the even and odd elements.</summary>
    private interface IFused
    {
        static abstract bool NegatesProduct { get; }

        static abstract bool SubtractsEven { get; }

        static abstract bool SubtractsOdd { get; }
    }

    private readonly struct MultiplyAdd : IFused
    {
        public static bool NegatesProduct => false;

        public static bool SubtractsEven => false;

        public static bool SubtractsOdd => false;
    }

    private readonly struct MultiplySubtract : IFused
    {
        public static bool NegatesProduct => false;

        public static bool SubtractsEven => true;

        public static bool SubtractsOdd => true;
    }

    private readonly struct NegativeMultiplyAdd : IFused
    {
        public static bool NegatesProduct => true;

        public static bool SubtractsEven => false;

        public static bool SubtractsOdd => false;
    }

    private readonly struct NegativeMultiplySubtract : IFused
    {
        public static bool NegatesProduct => true;

        public static bool SubtractsEven => true;

        public static bool SubtractsOdd => true;
    }

    private readonly struct MultiplyAddSubtract : IFused
    {
        public static bool NegatesProduct => false;

        public static bool SubtractsEven => true;

        public static bool SubtractsOdd => false;
    }

    private readonly struct MultiplySubtractAdd : IFused
    {
        public static bool NegatesProduct => false;

        public static bool SubtractsEven => false;

        public static bool SubtractsOdd => true;
    }

    /// <summary>Puts the operands in the order first factor, second factor, addend.</summary>
    private interface IFusedOrder
    {
        static abstract (T A, T B, T C) Sort<T>(T first, T second, T third);
    }

    private readonly struct Order132 : IFusedOrder
    {
        public static (T A, T B, T C) Sort<T>(T first, T second, T third) => (first, third, second);
    }

    private readonly struct Order213 : IFusedOrder
    {
        public static (T A, T B, T C) Sort<T>(T first, T second, T third) => (second, first, third);
    }

    private readonly struct Order231 : IFusedOrder
    {
        public static (T A, T B, T C) Sort<T>(T first, T second, T third) => (second, third, first);
    }

    private static T FusedOne<TOp, T>(ref FloatContext context, uint mxcsr, int lane, T a, T b, T c)
        where TOp : struct, IFused
        where T : unmanaged
    {
        bool subtracts = (lane & 1) == 0 ? TOp.SubtractsEven : TOp.SubtractsOdd;
        if (sizeof(T) == 4)
        {
            uint single = SseFloat.MultiplyAdd(ref context, mxcsr, TOp.NegatesProduct, subtracts, *(uint*)&a, *(uint*)&b, *(uint*)&c);
            return *(T*)&single;
        }

        ulong number = SseFloat.MultiplyAdd(ref context, mxcsr, TOp.NegatesProduct, subtracts, *(ulong*)&a, *(ulong*)&b, *(ulong*)&c);
        return *(T*)&number;
    }

    // The elements above the lowest stay the destination's.
    private static DecodedInstruction* FusedElement<TOp, TOrder, T>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IFused
        where TOrder : struct, IFusedOrder
        where T : unmanaged
    {
        EnterVex(cpu);
        T third = HasMemory(i) ? cpu.ReadOperand<T>(i) : Low<T>(cpu, i->Reg2);
        uint mxcsr = cpu.State->Mxcsr;
        var context = Mxcsr.Begin(mxcsr);
        var (a, b, c) = TOrder.Sort(Low<T>(cpu, i->Reg0), Low<T>(cpu, i->Reg1), third);
        T result = FusedOne<TOp, T>(ref context, mxcsr, 0, a, b, c);
        Commit(cpu, context);
        Low<T>(cpu, i->Reg0) = result;
        SetXmm(cpu, i->Reg0, Xmm(cpu, i->Reg0));
        return i + 1;
    }

    private static DecodedInstruction* FusedElements<TOp, TOrder, T, TLength>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IFused
        where TOrder : struct, IFusedOrder
        where T : unmanaged
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        var third = Operand<TLength>(cpu, i, i->Reg2);
        var (x, y, z) = TOrder.Sort(Ymm(cpu, i->Reg0), Ymm(cpu, i->Reg1), third);
        uint mxcsr = cpu.State->Mxcsr;
        var context = Mxcsr.Begin(mxcsr);
        T* a = (T*)&x;
        T* b = (T*)&y;
        T* c = (T*)&z;
        for (int lane = 0; lane < (TLength.IsWide ? 32 : 16) / sizeof(T); lane++)
        {
            a[lane] = FusedOne<TOp, T>(ref context, mxcsr, lane, a[lane], b[lane], c[lane]);
        }

        Commit(cpu, context);
        Store<TLength>(cpu, i->Reg0, x);
        return i + 1;
    }
}
