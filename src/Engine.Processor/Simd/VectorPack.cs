using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using V = System.Runtime.Intrinsics.Vector128<byte>;

namespace Hypervisor.Engine.Processor.Simd;

// Packing with saturation, interleaving, byte shuffles and widening moves.
internal readonly struct Packsswb : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.NarrowWithSaturation(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Packssdw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.NarrowWithSaturation(a.AsInt32(), b.AsInt32()).AsByte();
}

internal readonly struct Packuswb : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Narrow(Clamp.ToByte(a.AsInt16()).AsUInt16(), Clamp.ToByte(b.AsInt16()).AsUInt16());
}

internal readonly struct Packusdw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Narrow(Clamp.ToWord(a.AsInt32()).AsUInt32(), Clamp.ToWord(b.AsInt32()).AsUInt32()).AsByte();
}

internal readonly struct Punpcklbw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (Vector128.WidenLower(a) | (Vector128.WidenLower(b) << 8)).AsByte();
}

internal readonly struct Punpckhbw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (Vector128.WidenUpper(a) | (Vector128.WidenUpper(b) << 8)).AsByte();
}

internal readonly struct Punpcklwd : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (Vector128.WidenLower(a.AsUInt16()) | (Vector128.WidenLower(b.AsUInt16()) << 16)).AsByte();
}

internal readonly struct Punpckhwd : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (Vector128.WidenUpper(a.AsUInt16()) | (Vector128.WidenUpper(b.AsUInt16()) << 16)).AsByte();
}

internal readonly struct Punpckldq : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (Vector128.WidenLower(a.AsUInt32()) | (Vector128.WidenLower(b.AsUInt32()) << 32)).AsByte();
}

internal readonly struct Punpckhdq : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => (Vector128.WidenUpper(a.AsUInt32()) | (Vector128.WidenUpper(b.AsUInt32()) << 32)).AsByte();
}

internal readonly struct Punpcklqdq : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Create(a.GetLower(), b.GetLower());
}

internal readonly struct Punpckhqdq : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Create(a.GetUpper(), b.GetUpper());
}

internal readonly struct Pshufb : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Shuffle(a, b & Vector128.Create((byte)0x8F));
}

internal readonly struct Pmovsxbw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.WidenLower(b.AsSByte()).AsByte();
}

internal readonly struct Pmovsxwd : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.WidenLower(b.AsInt16()).AsByte();
}

internal readonly struct Pmovsxdq : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.WidenLower(b.AsInt32()).AsByte();
}

internal readonly struct Pmovsxbd : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.WidenLower(Vector128.WidenLower(b.AsSByte())).AsByte();
}

internal readonly struct Pmovsxwq : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.WidenLower(Vector128.WidenLower(b.AsInt16())).AsByte();
}

internal readonly struct Pmovsxbq : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.WidenLower(Vector128.WidenLower(Vector128.WidenLower(b.AsSByte()))).AsByte();
}

internal readonly struct Pmovzxbw : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.WidenLower(b).AsByte();
}

internal readonly struct Pmovzxwd : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.WidenLower(b.AsUInt16()).AsByte();
}

internal readonly struct Pmovzxdq : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.WidenLower(b.AsUInt32()).AsByte();
}

internal readonly struct Pmovzxbd : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.WidenLower(Vector128.WidenLower(b)).AsByte();
}

internal readonly struct Pmovzxwq : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.WidenLower(Vector128.WidenLower(b.AsUInt16())).AsByte();
}

internal readonly struct Pmovzxbq : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.WidenLower(Vector128.WidenLower(Vector128.WidenLower(b))).AsByte();
}

internal readonly struct Movddup : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Create(b.GetLower(), b.GetLower());
}

internal readonly struct Movshdup : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Shuffle(b.AsUInt32(), Vector128.Create(1u, 1, 3, 3)).AsByte();
}

internal readonly struct Movsldup : IVectorBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b) => Vector128.Shuffle(b.AsUInt32(), Vector128.Create(0u, 0, 2, 2)).AsByte();
}

/// <summary>Unsigned saturation of signed elements.</summary>
internal static class Clamp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<short> ToByte(Vector128<short> value) =>
        Vector128.Min(Vector128.Max(value, Vector128<short>.Zero), Vector128.Create((short)0xFF));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> ToWord(Vector128<int> value) =>
        Vector128.Min(Vector128.Max(value, Vector128<int>.Zero), Vector128.Create(0xFFFF));
}
