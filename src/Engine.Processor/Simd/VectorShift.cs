using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using V = System.Runtime.Intrinsics.Vector128<byte>;

namespace Hypervisor.Engine.Processor.Simd;

// Packed shifts: a count beyond the element gives zeros, or copies of the sign.
internal readonly struct Psrlw : IVectorShift
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, ulong count) => count > 15 ? V.Zero : (a.AsUInt16() >>> (int)count).AsByte();
}

internal readonly struct Psrld : IVectorShift
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, ulong count) => count > 31 ? V.Zero : (a.AsUInt32() >>> (int)count).AsByte();
}

internal readonly struct Psrlq : IVectorShift
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, ulong count) => count > 63 ? V.Zero : (a.AsUInt64() >>> (int)count).AsByte();
}

internal readonly struct Psraw : IVectorShift
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, ulong count) => (a.AsInt16() >> (int)Math.Min(count, 15)).AsByte();
}

internal readonly struct Psrad : IVectorShift
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, ulong count) => (a.AsInt32() >> (int)Math.Min(count, 31)).AsByte();
}

internal readonly struct Psllw : IVectorShift
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, ulong count) => count > 15 ? V.Zero : (a.AsUInt16() << (int)count).AsByte();
}

internal readonly struct Pslld : IVectorShift
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, ulong count) => count > 31 ? V.Zero : (a.AsUInt32() << (int)count).AsByte();
}

internal readonly struct Psllq : IVectorShift
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, ulong count) => count > 63 ? V.Zero : (a.AsUInt64() << (int)count).AsByte();
}

/// <summary>Shifts the whole register left by bytes.</summary>
internal readonly struct Pslldq : IVectorShift
{
    public static V Apply(V a, ulong count) => Vector128.Shuffle(a, V.Indices - Vector128.Create((byte)Math.Min(count, 16)));
}

/// <summary>Shifts the whole register right by bytes.</summary>
internal readonly struct Psrldq : IVectorShift
{
    public static V Apply(V a, ulong count) => Vector128.Shuffle(a, V.Indices + Vector128.Create((byte)Math.Min(count, 16)));
}
