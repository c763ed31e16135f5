using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using V = System.Runtime.Intrinsics.Vector128<byte>;

namespace Hypervisor.Engine.Processor.Simd;

// Element-wise integer arithmetic (SDM vol. 2, PADDB and following).
internal readonly struct Paddb : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => a + b;
}

internal readonly struct Paddw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (a.AsUInt16() + b.AsUInt16()).AsByte();
}

internal readonly struct Paddd : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (a.AsUInt32() + b.AsUInt32()).AsByte();
}

internal readonly struct Paddq : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (a.AsUInt64() + b.AsUInt64()).AsByte();
}

internal readonly struct Psubb : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => a - b;
}

internal readonly struct Psubw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (a.AsUInt16() - b.AsUInt16()).AsByte();
}

internal readonly struct Psubd : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (a.AsUInt32() - b.AsUInt32()).AsByte();
}

internal readonly struct Psubq : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (a.AsUInt64() - b.AsUInt64()).AsByte();
}

internal readonly struct Paddsb : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.AddSaturate(a.AsSByte(), b.AsSByte()).AsByte();
}

internal readonly struct Paddsw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.AddSaturate(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Paddusb : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.AddSaturate(a, b);
}

internal readonly struct Paddusw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.AddSaturate(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct Psubsb : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.SubtractSaturate(a.AsSByte(), b.AsSByte()).AsByte();
}

internal readonly struct Psubsw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.SubtractSaturate(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Psubusb : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.SubtractSaturate(a, b);
}

internal readonly struct Psubusw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.SubtractSaturate(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct Pavgb : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (a | b) - (((a ^ b) >>> 1) & Vector128.Create((byte)0x7F));
}

internal readonly struct Pavgw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => ((a.AsUInt16() | b.AsUInt16()) - ((a.AsUInt16() ^ b.AsUInt16()) >>> 1)).AsByte();
}

internal readonly struct Pminub : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Min(a, b);
}

internal readonly struct Pmaxub : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Max(a, b);
}

internal readonly struct Pminsw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Min(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Pmaxsw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Max(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Pminsb : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Min(a.AsSByte(), b.AsSByte()).AsByte();
}

internal readonly struct Pmaxsb : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Max(a.AsSByte(), b.AsSByte()).AsByte();
}

internal readonly struct Pminuw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Min(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct Pmaxuw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Max(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct Pminsd : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Min(a.AsInt32(), b.AsInt32()).AsByte();
}

internal readonly struct Pmaxsd : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Max(a.AsInt32(), b.AsInt32()).AsByte();
}

internal readonly struct Pminud : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Min(a.AsUInt32(), b.AsUInt32()).AsByte();
}

internal readonly struct Pmaxud : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Max(a.AsUInt32(), b.AsUInt32()).AsByte();
}

internal readonly struct Pabsb : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Psignb.Apply(b, b);
}

internal readonly struct Pabsw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Psignw.Apply(b, b);
}

internal readonly struct Pabsd : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Psignd.Apply(b, b);
}

internal readonly struct Psignb : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.ConditionalSelect(Vector128.LessThan(b.AsSByte(), Vector128<sbyte>.Zero), -a.AsSByte(), Vector128.AndNot(a.AsSByte(), Vector128.Equals(b.AsSByte(), Vector128<sbyte>.Zero))).AsByte();
}

internal readonly struct Psignw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.ConditionalSelect(Vector128.LessThan(b.AsInt16(), Vector128<short>.Zero), -a.AsInt16(), Vector128.AndNot(a.AsInt16(), Vector128.Equals(b.AsInt16(), Vector128<short>.Zero))).AsByte();
}

internal readonly struct Psignd : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.ConditionalSelect(Vector128.LessThan(b.AsInt32(), Vector128<int>.Zero), -a.AsInt32(), Vector128.AndNot(a.AsInt32(), Vector128.Equals(b.AsInt32(), Vector128<int>.Zero))).AsByte();
}
