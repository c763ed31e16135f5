using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using V = System.Runtime.Intrinsics.Vector128<byte>;

namespace Hypervisor.Engine.Processor.Simd;

// Shifts and permutations whose control is a vector: each element has its own (AVX, AVX2).
internal readonly struct Psllvd : IVectorBinary
{
    public static V Apply(V a, V b) => Avx2.IsSupported
        ? Avx2.ShiftLeftLogicalVariable(a.AsUInt32(), b.AsUInt32()).AsByte()
        : Variable.Dwords(a, b, static (value, count) => count > 31 ? 0 : value << (int)count);
}

internal readonly struct Psllvq : IVectorBinary
{
    public static V Apply(V a, V b) => Avx2.IsSupported
        ? Avx2.ShiftLeftLogicalVariable(a.AsUInt64(), b.AsUInt64()).AsByte()
        : Variable.Qwords(a, b, static (value, count) => count > 63 ? 0 : value << (int)count);
}

internal readonly struct Psrlvd : IVectorBinary
{
    public static V Apply(V a, V b) => Avx2.IsSupported
        ? Avx2.ShiftRightLogicalVariable(a.AsUInt32(), b.AsUInt32()).AsByte()
        : Variable.Dwords(a, b, static (value, count) => count > 31 ? 0 : value >> (int)count);
}

internal readonly struct Psrlvq : IVectorBinary
{
    public static V Apply(V a, V b) => Avx2.IsSupported
        ? Avx2.ShiftRightLogicalVariable(a.AsUInt64(), b.AsUInt64()).AsByte()
        : Variable.Qwords(a, b, static (value, count) => count > 63 ? 0 : value >> (int)count);
}

internal readonly struct Psravd : IVectorBinary
{
    public static V Apply(V a, V b) => Avx2.IsSupported
        ? Avx2.ShiftRightArithmeticVariable(a.AsInt32(), b.AsUInt32()).AsByte()
        : Variable.Dwords(a, b, static (value, count) => (uint)((int)value >> (int)Math.Min(count, 31)));
}

/// <summary>Dwords within a half, chosen by bits 1:0 of each control.</summary>
internal readonly struct Permilps : IVectorBinary
{
    public static V Apply(V a, V b) => Vector128.Shuffle(a.AsUInt32(), b.AsUInt32() & Vector128.Create(3u)).AsByte();
}

/// <summary>Qwords within a half, chosen by bit 1 of each control.</summary>
internal readonly struct Permilpd : IVectorBinary
{
    public static V Apply(V a, V b) => Vector128.Shuffle(a.AsUInt64(), (b.AsUInt64() >>> 1) & Vector128.Create(1ul)).AsByte();
}

/// <summary>Element by element, for hosts that have no such instruction.</summary>
internal static class Variable
{
    public static V Dwords(V a, V b, Func<uint, uint, uint> operation)
    {
        var result = a.AsUInt32();
        for (int lane = 0; lane < 4; lane++)
        {
            result = result.WithElement(lane, operation(result.GetElement(lane), b.AsUInt32().GetElement(lane)));
        }

        return result.AsByte();
    }

    public static V Qwords(V a, V b, Func<ulong, ulong, ulong> operation) => Vector128.Create(
        operation(a.AsUInt64().ToScalar(), b.AsUInt64().ToScalar()),
        operation(a.AsUInt64().GetElement(1), b.AsUInt64().GetElement(1))).AsByte();
}
