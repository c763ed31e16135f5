using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using V = System.Runtime.Intrinsics.Vector128<byte>;

namespace Hypervisor.Engine.Processor.Simd;

// Multiplications, sums of products, horizontal sums.
internal readonly struct Pmullw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (a.AsUInt16() * b.AsUInt16()).AsByte();
}

internal readonly struct Pmulld : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (a.AsUInt32() * b.AsUInt32()).AsByte();
}

internal readonly struct Pmulhw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Narrow(Products.LowHalf(a, b) >> 16, Products.HighHalf(a, b) >> 16).AsByte();
}

internal readonly struct Pmulhuw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Narrow(Vector128.WidenLower(a.AsUInt16()) * Vector128.WidenLower(b.AsUInt16()) >>> 16, Vector128.WidenUpper(a.AsUInt16()) * Vector128.WidenUpper(b.AsUInt16()) >>> 16).AsByte();
}

internal readonly struct Pmulhrsw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Narrow(((Products.LowHalf(a, b) >> 14) + Vector128<int>.One) >> 1, ((Products.HighHalf(a, b) >> 14) + Vector128<int>.One) >> 1).AsByte();
}

internal readonly struct Pmuludq : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => ((a.AsUInt64() & Vector128.Create(0xFFFF_FFFFul)) * (b.AsUInt64() & Vector128.Create(0xFFFF_FFFFul))).AsByte();
}

internal readonly struct Pmuldq : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => ((a.AsInt64() << 32 >> 32) * (b.AsInt64() << 32 >> 32)).AsByte();
}

internal readonly struct Pmaddwd : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (((a.AsInt32() << 16 >> 16) * (b.AsInt32() << 16 >> 16)) + ((a.AsInt32() >> 16) * (b.AsInt32() >> 16))).AsByte();
}

internal readonly struct Pmaddubsw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.AddSaturate((a.AsInt16() & Vector128.Create((short)0xFF)) * (b.AsInt16() << 8 >> 8), (a.AsInt16() >>> 8) * (b.AsInt16() >> 8)).AsByte();
}

internal readonly struct Phaddw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (Pairs.EvenWords(a, b) + Pairs.OddWords(a, b)).AsByte();
}

internal readonly struct Phaddsw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.AddSaturate(Pairs.EvenWords(a, b), Pairs.OddWords(a, b)).AsByte();
}

internal readonly struct Phaddd : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (Pairs.EvenDwords(a, b) + Pairs.OddDwords(a, b)).AsByte();
}

internal readonly struct Phsubw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (Pairs.EvenWords(a, b) - Pairs.OddWords(a, b)).AsByte();
}

internal readonly struct Phsubsw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.SubtractSaturate(Pairs.EvenWords(a, b), Pairs.OddWords(a, b)).AsByte();
}

internal readonly struct Phsubd : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (Pairs.EvenDwords(a, b) - Pairs.OddDwords(a, b)).AsByte();
}

/// <summary>Sums of absolute differences, one 64-bit half at a time.</summary>
internal readonly struct Psadbw : IVectorBinary
{
    public static V Apply(V a, V b)
    {
        var difference = Vector128.Max(a, b) - Vector128.Min(a, b);
        var words = (difference.AsUInt16() & Vector128.Create((ushort)0xFF)) + (difference.AsUInt16() >>> 8);
        var quads = words.AsUInt64();
        quads += quads >>> 32;
        quads += quads >>> 16;
        return (quads & Vector128.Create(0xFFFFul)).AsByte();
    }
}

/// <summary>The least unsigned word and its index.</summary>
internal readonly struct Phminposuw : IVectorBinary
{
    public static V Apply(V a, V b)
    {
        var words = b.AsUInt16();
        int at = 0;
        for (int lane = 1; lane < 8; lane++)
        {
            if (words.GetElement(lane) < words.GetElement(at))
            {
                at = lane;
            }
        }

        return Vector128.CreateScalar(words.GetElement(at) | ((uint)at << 16)).AsByte();
    }
}

/// <summary>Signed products of words.</summary>
internal static class Products
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> LowHalf(V a, V b) => Vector128.WidenLower(a.AsInt16()) * Vector128.WidenLower(b.AsInt16());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> HighHalf(V a, V b) => Vector128.WidenUpper(a.AsInt16()) * Vector128.WidenUpper(b.AsInt16());
}

/// <summary>Neighbours of two operands, gathered for horizontal operations.</summary>
internal static class Pairs
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<short> EvenWords(V a, V b) => Vector128.Narrow(a.AsInt32(), b.AsInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<short> OddWords(V a, V b) => Vector128.Narrow(a.AsInt32() >> 16, b.AsInt32() >> 16);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> EvenDwords(V a, V b) => Vector128.Narrow(a.AsInt64(), b.AsInt64());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> OddDwords(V a, V b) => Vector128.Narrow(a.AsInt64() >>> 32, b.AsInt64() >>> 32);
}
