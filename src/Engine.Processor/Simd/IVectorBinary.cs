using System.Runtime.Intrinsics;

namespace Hypervisor.Engine.Processor.Simd;

/// <summary>A packed operation of two operands. MMX forms use the same with the upper halves ignored.</summary>
internal interface IVectorBinary
{
    static abstract Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b);
}

/// <summary>A packed operation of two operands and an immediate byte.</summary>
internal interface IVectorImmediate
{
    /// <summary>The immediate as the upper half of a 256-bit operation sees it.</summary>
    static virtual byte Upper(byte immediate) => immediate;

    static abstract Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, byte immediate);
}

/// <summary>How an instruction is encoded: what must be enabled for it, and whether its memory operand must be aligned.</summary>
internal interface IVectorEncoding
{
    static abstract bool IsVex { get; }
}

internal readonly struct LegacyEncoding : IVectorEncoding
{
    public static bool IsVex => false;
}

internal readonly struct VexEncoding : IVectorEncoding
{
    public static bool IsVex => true;
}

/// <summary>VEX.L: the length of a vector.</summary>
internal interface IVectorLength
{
    static abstract bool IsWide { get; }
}

internal readonly struct Length128 : IVectorLength
{
    public static bool IsWide => false;
}

internal readonly struct Length256 : IVectorLength
{
    public static bool IsWide => true;
}

/// <summary>A packed shift; every element by the same count, which may be as large as it likes.</summary>
internal interface IVectorShift
{
    static abstract Vector128<byte> Apply(Vector128<byte> a, ulong count);
}
