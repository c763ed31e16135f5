namespace Hypervisor.Engine.Processor.FloatingPoint;

/// <summary>
/// A number with 128 bits of significand for computing transcendental functions: (-1)^Negative × Significand × 2^(Exponent - 127),
/// the top bit set unless the number is zero. Operations truncate; each errs by less than 2^-125 of its result.
/// </summary>
internal readonly struct WideFloat
{
    private const int Bits = 128;

    private WideFloat(bool negative, int exponent, UInt128 significand)
    {
        Negative = negative;
        Exponent = exponent;
        Significand = significand;
    }

    public bool Negative { get; }

    public int Exponent { get; }

    public UInt128 Significand { get; }

    public bool IsZero => Significand == UInt128.Zero;

    public static WideFloat One => new(false, 0, UInt128.One << 127);

    /// <summary>ln 2 to 128 bits.</summary>
    public static WideFloat Ln2 => new(false, -1, new UInt128(0xB172_17F7_D1CF_79AB, 0xC9E3_B398_03F2_F6AF));

    /// <summary>π to 128 bits.</summary>
    public static WideFloat Pi => new(false, 1, new UInt128(0xC90F_DAA2_2168_C234, 0xC4C6_628B_80DC_1CD1));

    public static WideFloat From(FloatValue value) => value.Kind == FloatKind.Zero
        ? default
        : new WideFloat(value.Negative, value.Exponent, new UInt128(value.Significand, 0));

    public static WideFloat From(int value) => Normalized(value < 0, 127, (UInt128)Math.Abs((long)value));

    /// <summary>A number from a significand of any size, whose lowest bit weighs 2^(exponent - 127).</summary>
    public static WideFloat Normalized(bool negative, int exponent, UInt128 significand)
    {
        if (significand == UInt128.Zero)
        {
            return default;
        }

        int shift = (int)UInt128.LeadingZeroCount(significand);
        return new WideFloat(negative, exponent - shift, significand << shift);
    }

    /// <summary>Rounds to the 80-bit format. What is computed here is never exact, and so always rounds as inexact.</summary>
    public FloatValue Round(ref FloatContext context) => IsZero
        ? FloatValue.ZeroOf(Negative)
        : SoftFloat.Round(
            ref context, FloatFormat.Extended, Negative, Exponent, (ulong)(Significand >> 64), (ulong)Significand | 1);

    /// <summary>This × 2^count.</summary>
    public WideFloat Scaled(int count) => IsZero ? this : new WideFloat(Negative, Exponent + count, Significand);

    public WideFloat Absolute() => new(false, Exponent, Significand);

    public static WideFloat operator -(WideFloat a) => new(!a.Negative, a.Exponent, a.Significand);

    public static WideFloat operator -(WideFloat a, WideFloat b) => a + -b;

    public static WideFloat operator +(WideFloat a, WideFloat b)
    {
        if (a.IsZero || b.IsZero)
        {
            return a.IsZero ? b : a;
        }

        if (a.Exponent < b.Exponent || (a.Exponent == b.Exponent && a.Significand < b.Significand))
        {
            (a, b) = (b, a);
        }

        int distance = a.Exponent - b.Exponent;
        if (distance >= Bits)
        {
            // A trace of the small one stays, for the sake of directed rounding.
            return a.Negative == b.Negative ? a : Normalized(a.Negative, a.Exponent, a.Significand - 1);
        }

        var small = b.Significand >> distance;
        if (a.Negative != b.Negative)
        {
            return Normalized(a.Negative, a.Exponent, a.Significand - small);
        }

        var sum = a.Significand + small;
        return sum < small
            ? new WideFloat(a.Negative, a.Exponent + 1, (sum >> 1) | (UInt128.One << 127))
            : new WideFloat(a.Negative, a.Exponent, sum);
    }

    public static WideFloat operator *(WideFloat a, WideFloat b)
    {
        if (a.IsZero || b.IsZero)
        {
            return default;
        }

        ulong aHigh = (ulong)(a.Significand >> 64);
        ulong bHigh = (ulong)(b.Significand >> 64);
        ulong high = Math.BigMul(aHigh, bHigh, out ulong middle);
        ulong cross1 = Math.BigMul(aHigh, (ulong)b.Significand, out ulong rest1);
        ulong cross2 = Math.BigMul((ulong)a.Significand, bHigh, out ulong rest2);
        var product = new UInt128(high, middle) + cross1 + cross2;
        if (rest1 + rest2 < rest1)
        {
            product++;
        }

        return Normalized(a.Negative != b.Negative, a.Exponent + b.Exponent + 1, product);
    }

    /// <summary>a ÷ b; b is not zero.</summary>
    public static WideFloat operator /(WideFloat a, WideFloat b)
    {
        if (a.IsZero)
        {
            return default;
        }

        // One bit at a time; the remainder may need a 129th bit, which is the carry of the shift.
        var remainder = a.Significand;
        var quotient = UInt128.Zero;
        bool carry = false;
        for (int bit = 0; bit < Bits; bit++)
        {
            quotient <<= 1;
            if (carry || remainder >= b.Significand)
            {
                remainder -= b.Significand;
                quotient |= UInt128.One;
            }

            carry = remainder >> 127 != UInt128.Zero;
            remainder <<= 1;
        }

        return Normalized(a.Negative != b.Negative, a.Exponent - b.Exponent, quotient);
    }

    /// <summary>The nearest integer, for values below 2^63 in magnitude; the sign is dropped.</summary>
    public ulong ToNearestInteger()
    {
        if (IsZero || Exponent < -1)
        {
            return 0;
        }

        // One fraction bit is kept and rounded.
        ulong twice = (ulong)(Significand >> (126 - Exponent));
        return (twice >> 1) + (twice & 1);
    }

}
