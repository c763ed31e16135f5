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
    static abstract Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, byte immediate);
}

/// <summary>A packed shift; every element by the same count, which may be as large as it likes.</summary>
internal interface IVectorShift
{
    static abstract Vector128<byte> Apply(Vector128<byte> a, ulong count);
}
