using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.FloatingPoint;
using Hypervisor.Engine.Processor.Simd;

namespace Hypervisor.Engine.Processor;

// Horizontal arithmetic, dot products and rounding to integral values (SSE3, SSE4.1).
internal static unsafe partial class SimdInstructions
{
    private static DecodedInstruction* HorizontalSingle<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IFloatBinary
    {
        Enter(cpu);
        var second = Source(cpu, i);
        var first = Xmm(cpu, i->Reg0);
        var even = Shufps.Apply(first, second, 0x88).AsUInt32();
        var odd = Shufps.Apply(first, second, 0xDD).AsUInt32();
        BinarySingle<TOp>(cpu, i, even, odd);
        return i + 1;
    }

    private static DecodedInstruction* HorizontalDouble<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IFloatBinary
    {
        Enter(cpu);
        var second = Source(cpu, i);
        var first = Xmm(cpu, i->Reg0);
        BinaryDouble<TOp>(cpu, i, Punpcklqdq.Apply(first, second).AsUInt64(), Punpckhqdq.Apply(first, second).AsUInt64());
        return i + 1;
    }

    // Even elements are subtracted: their operand changes its sign, unless it is a NaN, whose sign would show in the result.
    private static DecodedInstruction* AlternateSingle(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var second = Source(cpu, i).AsUInt32();
        var number = Vector128.LessThanOrEqual(second & Vector128.Create(0x7FFF_FFFFu), Vector128.Create(0x7F80_0000u));
        second ^= number & Vector128.Create(0x8000_0000u, 0, 0x8000_0000u, 0);
        BinarySingle<FloatAdd>(cpu, i, Xmm(cpu, i->Reg0).AsUInt32(), second);
        return i + 1;
    }

    private static DecodedInstruction* AlternateDouble(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var second = Source(cpu, i).AsUInt64();
        var number = Vector128.LessThanOrEqual(
            second & Vector128.Create(0x7FFF_FFFF_FFFF_FFFFul), Vector128.Create(0x7FF0_0000_0000_0000ul));
        second ^= number & Vector128.Create(0x8000_0000_0000_0000ul, 0);
        BinaryDouble<FloatAdd>(cpu, i, Xmm(cpu, i->Reg0).AsUInt64(), second);
        return i + 1;
    }

    // Products and both levels of sums round and raise on their own (SDM vol. 2, DPPS).
    private static DecodedInstruction* DotSingle(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var second = Source(cpu, i).AsUInt32();
        var first = Xmm(cpu, i->Reg0).AsUInt32();
        int immediate = (byte)i->Immediate;
        uint* products = stackalloc uint[4];
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        for (int lane = 0; lane < 4; lane++)
        {
            products[lane] = (immediate >> (4 + lane) & 1) != 0
                ? SseFloat.Lane<FloatMultiply>(ref context, first.GetElement(lane), second.GetElement(lane))
                : 0;
        }

        Commit(cpu, context);
        uint low = SseFloat.Lane<FloatAdd>(ref context, products[0], products[1]);
        uint high = SseFloat.Lane<FloatAdd>(ref context, products[2], products[3]);
        Commit(cpu, context);
        uint sum = SseFloat.Lane<FloatAdd>(ref context, low, high);
        Commit(cpu, context);
        Xmm(cpu, i->Reg0) = (Vector128.Create(sum).AsByte() & Selection.Dwords((byte)(immediate & 15))).AsByte();
        return i + 1;
    }

    private static DecodedInstruction* DotDouble(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var second = Source(cpu, i).AsUInt64();
        Xmm(cpu, i->Reg0) = DotDouble(cpu, Xmm(cpu, i->Reg0).AsUInt64(), second, (byte)i->Immediate);
        return i + 1;
    }

    private static Vector128<byte> DotDouble(X86Processor cpu, Vector128<ulong> first, Vector128<ulong> second, byte immediate)
    {
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        ulong low = (immediate & 0x10) != 0
            ? SseFloat.Lane<FloatMultiply>(ref context, first.ToScalar(), second.ToScalar()) : 0;
        ulong high = (immediate & 0x20) != 0
            ? SseFloat.Lane<FloatMultiply>(ref context, first.GetElement(1), second.GetElement(1)) : 0;
        Commit(cpu, context);
        ulong sum = SseFloat.Lane<FloatAdd>(ref context, low, high);
        Commit(cpu, context);
        return Vector128.Create(sum).AsByte() & Selection.Qwords((byte)(immediate & 3));
    }

    private static FloatContext RoundingContext(X86Processor cpu, DecodedInstruction* i, out bool quietInexact)
    {
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        if ((i->Immediate & 4) == 0)
        {
            context.Rounding = (FloatRounding)(i->Immediate & 3);
        }

        quietInexact = (i->Immediate & 8) != 0;
        return context;
    }

    private static DecodedInstruction* RoundScalarSingle(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        uint source = Element<uint>(cpu, i);
        var context = RoundingContext(cpu, i, out bool quietInexact);
        uint result = SseFloat.RoundSingle(ref context, quietInexact, source);
        Commit(cpu, context);
        Low<uint>(cpu, i->Reg0) = result;
        return i + 1;
    }

    private static DecodedInstruction* RoundScalarDouble(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        ulong source = Element<ulong>(cpu, i);
        var context = RoundingContext(cpu, i, out bool quietInexact);
        ulong result = SseFloat.RoundDouble(ref context, quietInexact, source);
        Commit(cpu, context);
        Low<ulong>(cpu, i->Reg0) = result;
        return i + 1;
    }

    private static DecodedInstruction* RoundPackedSingle(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var values = Source(cpu, i).AsUInt32();
        var context = RoundingContext(cpu, i, out bool quietInexact);
        for (int lane = 0; lane < 4; lane++)
        {
            values = values.WithElement(lane, SseFloat.RoundSingle(ref context, quietInexact, values.GetElement(lane)));
        }

        Commit(cpu, context);
        Xmm(cpu, i->Reg0) = values.AsByte();
        return i + 1;
    }

    private static DecodedInstruction* RoundPackedDouble(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var values = Source(cpu, i).AsUInt64();
        var context = RoundingContext(cpu, i, out bool quietInexact);
        ulong low = SseFloat.RoundDouble(ref context, quietInexact, values.ToScalar());
        ulong high = SseFloat.RoundDouble(ref context, quietInexact, values.GetElement(1));
        Commit(cpu, context);
        Xmm(cpu, i->Reg0) = Vector128.Create(low, high).AsByte();
        return i + 1;
    }
}
