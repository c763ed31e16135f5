using System.Numerics;

namespace Hypervisor.Engine.Processor.FloatingPoint;

/// <summary>Class of a floating-point datum.</summary>
internal enum FloatKind
{
    Zero,
    Finite,
    Infinity,
    QuietNaN,
    SignalingNaN,

    /// <summary>An x87 encoding that no longer means anything: unnormal, pseudo-NaN, pseudo-infinity.</summary>
    Unsupported,
}

/// <summary>
/// A number taken out of its format: (-1)^Negative × Significand × 2^(Exponent - 63), the significand with its top bit set. A NaN
/// keeps its payload left-aligned under bit 63 as the 80-bit format does, which makes conversions between formats a shift.
/// </summary>
internal struct FloatValue
{
    public ulong Significand;
    public int Exponent;
    public FloatKind Kind;
    public bool Negative;

    /// <summary>Came from a denormal (or pseudo-denormal) encoding.</summary>
    public bool Denormal;

    private const ulong QuietBit = 1ul << 62;
    private const ulong IntegerBit = 1ul << 63;

    public readonly bool IsNaN => Kind is FloatKind.QuietNaN or FloatKind.SignalingNaN;

    /// <summary>The default NaN of x86: negative, quiet, no payload ("real indefinite").</summary>
    public static FloatValue Indefinite => new()
    {
        Kind = FloatKind.QuietNaN, Negative = true, Significand = IntegerBit | QuietBit,
    };

    public static FloatValue ZeroOf(bool negative) => new() { Kind = FloatKind.Zero, Negative = negative };

    public static FloatValue InfinityOf(bool negative) => new() { Kind = FloatKind.Infinity, Negative = negative };

    public static FloatValue FiniteOf(bool negative, int exponent, ulong significand) =>
        new() { Kind = FloatKind.Finite, Negative = negative, Exponent = exponent, Significand = significand };

    /// <summary>This NaN with its quiet bit set.</summary>
    public readonly FloatValue Quieted()
    {
        var quiet = this;
        quiet.Kind = FloatKind.QuietNaN;
        quiet.Significand |= QuietBit;
        return quiet;
    }

    public readonly FloatValue Negated()
    {
        var negated = this;
        negated.Negative = !Negative;
        return negated;
    }

    public static FloatValue FromSingle(uint bits) =>
        FromInterchange((bits >> 31) != 0, (int)(bits >> 23) & 0xFF, 0xFF, (ulong)(bits & 0x7F_FFFF) << 40, -127);

    public static FloatValue FromDouble(ulong bits) =>
        FromInterchange((bits >> 63) != 0, (int)(bits >> 52) & 0x7FF, 0x7FF, (bits & 0xF_FFFF_FFFF_FFFF) << 11, -1023);

    public static FloatValue FromExtended(Float80 bits)
    {
        bool negative = (bits.SignExponent & 0x8000) != 0;
        int biased = bits.SignExponent & 0x7FFF;
        ulong significand = bits.Significand;
        if (biased == 0)
        {
            if (significand == 0)
            {
                return ZeroOf(negative);
            }

            // A pseudo-denormal (integer bit set) has the value of exponent 1 and is a denormal operand all the same.
            int shift = BitOperations.LeadingZeroCount(significand);
            var tiny = FiniteOf(negative, -16382 - shift, significand << shift);
            tiny.Denormal = true;
            return tiny;
        }

        if ((significand & IntegerBit) == 0)
        {
            return new FloatValue { Kind = FloatKind.Unsupported, Negative = negative };
        }

        if (biased == 0x7FFF)
        {
            if (significand == IntegerBit)
            {
                return InfinityOf(negative);
            }

            return new FloatValue
            {
                Kind = (significand & QuietBit) != 0 ? FloatKind.QuietNaN : FloatKind.SignalingNaN,
                Negative = negative,
                Significand = significand,
            };
        }

        return FiniteOf(negative, biased - 16383, significand);
    }

    public readonly uint ToSingle() =>
        (Negative ? 0x8000_0000 : 0) | (uint)ToInterchange(24, -126, 0xFF);

    public readonly ushort ToHalf() =>
        (ushort)((Negative ? 0x8000u : 0) | (uint)ToInterchange(11, -14, 0x1F));

    public readonly ulong ToDouble() =>
        (Negative ? 1ul << 63 : 0) | ToInterchange(53, -1022, 0x7FF);

    public readonly Float80 ToExtended()
    {
        ushort sign = Negative ? (ushort)0x8000 : (ushort)0;
        switch (Kind)
        {
            case FloatKind.Zero:
                return new Float80(0, sign);
            case FloatKind.Infinity:
                return new Float80(IntegerBit, (ushort)(sign | 0x7FFF));
            case FloatKind.Finite:
                return Exponent < -16382
                    ? new Float80(Significand >> (-16382 - Exponent), sign)
                    : new Float80(Significand, (ushort)(sign | (Exponent + 16383)));
            default:
                return new Float80(Significand | IntegerBit, (ushort)(sign | 0x7FFF));
        }
    }

    private static FloatValue FromInterchange(bool negative, int biased, int special, ulong fraction, int bias)
    {
        if (biased == 0)
        {
            if (fraction == 0)
            {
                return ZeroOf(negative);
            }

            int shift = BitOperations.LeadingZeroCount(fraction);
            var tiny = FiniteOf(negative, bias + 1 - shift, fraction << shift);
            tiny.Denormal = true;
            return tiny;
        }

        if (biased == special)
        {
            if (fraction == 0)
            {
                return InfinityOf(negative);
            }

            return new FloatValue
            {
                Kind = (fraction & QuietBit) != 0 ? FloatKind.QuietNaN : FloatKind.SignalingNaN,
                Negative = negative,
                Significand = fraction | IntegerBit,
            };
        }

        return FiniteOf(negative, biased + bias, fraction | IntegerBit);
    }

    // Only for values that were rounded to the format: what is shifted out is zero (or a NaN's surplus payload).
    private readonly ulong ToInterchange(int precision, int minExponent, int special)
    {
        int drop = 64 - precision;
        switch (Kind)
        {
            case FloatKind.Zero:
                return 0;
            case FloatKind.Infinity:
                return (ulong)special << (precision - 1);
            case FloatKind.Finite:
                if (Exponent < minExponent)
                {
                    return Significand >> (drop + minExponent - Exponent);
                }

                return ((ulong)(Exponent - minExponent + 1) << (precision - 1)) | ((Significand & ~IntegerBit) >> drop);
            default:
                return ((ulong)special << (precision - 1)) | ((Significand & ~IntegerBit) >> drop);
        }
    }
}
