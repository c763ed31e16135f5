namespace Hypervisor.Engine.Processor.FloatingPoint;

/// <summary>Floating-point exceptions, at their bit positions in MXCSR and in the x87 status and control words.</summary>
[Flags]
internal enum FloatExceptions : uint
{
    None = 0,
    Invalid = 1,
    Denormal = 2,
    ZeroDivide = 4,
    Overflow = 8,
    Underflow = 16,
    Inexact = 32,

    /// <summary>Detected before a result is computed: an unmasked one leaves the destination alone.</summary>
    BeforeOperation = Invalid | Denormal | ZeroDivide,
    All = 63,
}

/// <summary>Rounding control as MXCSR.RC and the x87 control word encode it.</summary>
internal enum FloatRounding
{
    Nearest = 0,
    Down = 1,
    Up = 2,
    Zero = 3,
}

/// <summary>What an operation is told about rounding and exceptions, and what it tells back.</summary>
internal struct FloatContext
{
    /// <summary>Direction of rounding.</summary>
    public FloatRounding Rounding;

    /// <summary>Exceptions that are masked (bit set).</summary>
    public FloatExceptions Masks;

    /// <summary>Exceptions raised so far.</summary>
    public FloatExceptions Flags;

    /// <summary>MXCSR.DAZ: denormal operands count as zero and raise nothing.</summary>
    public bool DenormalsAreZero;

    /// <summary>MXCSR.FTZ: tiny results become zero while underflow is masked.</summary>
    public bool FlushToZero;

    /// <summary>The last rounding increased the magnitude (x87 C1).</summary>
    public bool RoundedUp;

    /// <summary>Exceptions raised that are not masked.</summary>
    public readonly FloatExceptions Unmasked => Flags & ~Masks;
}

/// <summary>A binary floating-point format as rounding sees it.</summary>
/// <param name="Precision">Bits of significand, the integer bit included.</param>
/// <param name="MinExponent">Exponent of the smallest normal number.</param>
/// <param name="MaxExponent">Exponent of the largest finite number.</param>
/// <param name="WrapBias">Added to or taken from the exponent when overflow or underflow is unmasked (SDM vol. 1, 8.5.4).</param>
internal readonly record struct FloatFormat(int Precision, int MinExponent, int MaxExponent, int WrapBias)
{
    /// <summary>binary16. Nothing is ever delivered with its wrapped exponent.</summary>
    public static readonly FloatFormat Half = new(11, -14, 15, 192);

    /// <summary>binary32.</summary>
    public static readonly FloatFormat Single = new(24, -126, 127, 192);

    /// <summary>binary64.</summary>
    public static readonly FloatFormat Double = new(53, -1022, 1023, 1536);

    /// <summary>The x87's 80-bit format.</summary>
    public static readonly FloatFormat Extended = new(64, -16382, 16383, 24576);
}
