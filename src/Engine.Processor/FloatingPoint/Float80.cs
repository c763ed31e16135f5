using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Processor.FloatingPoint;

/// <summary>The bits of a number in the x87's 80-bit format (SDM vol. 1, 4.2.2), as a register slot of FXSAVE holds it.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 2)]
internal readonly record struct Float80(ulong Significand, ushort SignExponent)
{
    /// <summary>The real indefinite.</summary>
    public static readonly Float80 Indefinite = new(0xC000_0000_0000_0000, 0xFFFF);

    /// <summary>+0.</summary>
    public static readonly Float80 Zero = new(0, 0);

    /// <summary>+1.</summary>
    public static readonly Float80 One = new(0x8000_0000_0000_0000, 0x3FFF);

    public bool Negative => (SignExponent & 0x8000) != 0;

    public Float80 Absolute() => new(Significand, (ushort)(SignExponent & 0x7FFF));

    public Float80 Negated() => new(Significand, (ushort)(SignExponent ^ 0x8000));
}
