using System.Numerics;

namespace Hypervisor.Engine.Processor.FloatingPoint;

internal static partial class SoftFloat
{
    /// <summary>a + b; no operand is a NaN.</summary>
    public static FloatValue Add(ref FloatContext context, in FloatFormat format, FloatValue a, FloatValue b)
    {
        context.RoundedUp = false;
        if (a.Kind == FloatKind.Infinity || b.Kind == FloatKind.Infinity)
        {
            if (a.Kind == b.Kind && a.Negative != b.Negative)
            {
                context.Flags |= FloatExceptions.Invalid;
                return FloatValue.Indefinite;
            }

            return a.Kind == FloatKind.Infinity ? a : b;
        }

        if (a.Kind == FloatKind.Zero && b.Kind == FloatKind.Zero)
        {
            return a.Negative == b.Negative ? a : FloatValue.ZeroOf(context.Rounding == FloatRounding.Down);
        }

        if (a.Kind == FloatKind.Zero)
        {
            return Convert(ref context, format, b);
        }

        if (b.Kind == FloatKind.Zero)
        {
            return Convert(ref context, format, a);
        }

        if (a.Exponent < b.Exponent || (a.Exponent == b.Exponent && a.Significand < b.Significand))
        {
            (a, b) = (b, a);
        }

        // One bit of headroom above, 63 below: only a distance of 0 or 1 can cancel more than one leading bit, and then nothing was lost.
        var large = new UInt128(a.Significand, 0) >> 1;
        ulong smallHigh = b.Significand;
        ulong smallLow = 0;
        ShiftRightJam(ref smallHigh, ref smallLow, 1 + Math.Min(a.Exponent - b.Exponent, 200));
        var small = new UInt128(smallHigh, smallLow);
        var sum = a.Negative == b.Negative ? large + small : large - small;
        if (sum == UInt128.Zero)
        {
            return FloatValue.ZeroOf(context.Rounding == FloatRounding.Down);
        }

        int shift = (int)UInt128.LeadingZeroCount(sum);
        sum <<= shift;
        return Round(ref context, format, a.Negative, a.Exponent + 1 - shift, (ulong)(sum >> 64), (ulong)sum);
    }

    /// <summary>a × b; no operand is a NaN.</summary>
    public static FloatValue Multiply(ref FloatContext context, in FloatFormat format, FloatValue a, FloatValue b)
    {
        context.RoundedUp = false;
        bool negative = a.Negative != b.Negative;
        if (a.Kind == FloatKind.Infinity || b.Kind == FloatKind.Infinity)
        {
            if (a.Kind == FloatKind.Zero || b.Kind == FloatKind.Zero)
            {
                context.Flags |= FloatExceptions.Invalid;
                return FloatValue.Indefinite;
            }

            return FloatValue.InfinityOf(negative);
        }

        if (a.Kind == FloatKind.Zero || b.Kind == FloatKind.Zero)
        {
            return FloatValue.ZeroOf(negative);
        }

        ulong high = Math.BigMul(a.Significand, b.Significand, out ulong low);
        int exponent = a.Exponent + b.Exponent + 1;
        if ((high & TopBit) == 0)
        {
            high = (high << 1) | (low >> 63);
            low <<= 1;
            exponent--;
        }

        return Round(ref context, format, negative, exponent, high, low);
    }

    /// <summary>a ÷ b; no operand is a NaN.</summary>
    public static FloatValue Divide(ref FloatContext context, in FloatFormat format, FloatValue a, FloatValue b)
    {
        context.RoundedUp = false;
        bool negative = a.Negative != b.Negative;
        if (a.Kind == FloatKind.Infinity)
        {
            if (b.Kind == FloatKind.Infinity)
            {
                context.Flags |= FloatExceptions.Invalid;
                return FloatValue.Indefinite;
            }

            return FloatValue.InfinityOf(negative);
        }

        if (b.Kind == FloatKind.Infinity)
        {
            return FloatValue.ZeroOf(negative);
        }

        if (b.Kind == FloatKind.Zero)
        {
            if (a.Kind == FloatKind.Zero)
            {
                context.Flags |= FloatExceptions.Invalid;
                return FloatValue.Indefinite;
            }

            context.Flags |= FloatExceptions.ZeroDivide;
            return FloatValue.InfinityOf(negative);
        }

        if (a.Kind == FloatKind.Zero)
        {
            return FloatValue.ZeroOf(negative);
        }

        int exponent = a.Exponent - b.Exponent;
        UInt128 dividend;
        if (a.Significand < b.Significand)
        {
            dividend = new UInt128(a.Significand, 0);
            exponent--;
        }
        else
        {
            dividend = new UInt128(a.Significand, 0) >> 1;
        }

        var (quotient, remainder) = UInt128.DivRem(dividend, b.Significand);
        ulong rest = (ulong)remainder;
        ulong low = 0;
        if (rest != 0)
        {
            ulong missing = b.Significand - rest;
            low = rest < missing ? 1 : rest == missing ? Half : Half + 1;
        }

        return Round(ref context, format, negative, exponent, (ulong)quotient, low);
    }

    /// <summary>The square root of a value that is no NaN.</summary>
    public static FloatValue SquareRoot(ref FloatContext context, in FloatFormat format, FloatValue a)
    {
        context.RoundedUp = false;
        if (a.Kind == FloatKind.Zero)
        {
            return a;
        }

        if (a.Negative)
        {
            context.Flags |= FloatExceptions.Invalid;
            return FloatValue.Indefinite;
        }

        if (a.Kind == FloatKind.Infinity)
        {
            return a;
        }

        bool odd = (a.Exponent & 1) != 0;
        var radicand = odd ? new UInt128(a.Significand, 0) : new UInt128(a.Significand, 0) >> 1;
        ulong root = IntegerSquareRoot(radicand);
        var remainder = radicand - ((UInt128)root * root);

        // (root + 1/2)² = root² + root + 1/4, so the remainder never lies exactly at the middle.
        ulong low = remainder == UInt128.Zero ? 0 : remainder > root ? Half + 1 : 1;
        return Round(ref context, format, false, a.Exponent >> 1, root, low);
    }

    /// <summary>floor(sqrt(n)) for n of 126 bits or more, so that the root has 64.</summary>
    private static ulong IntegerSquareRoot(UInt128 n)
    {
        double estimate = Math.Sqrt((double)n);
        ulong root = estimate >= 18446744073709551615.0 ? ulong.MaxValue : (ulong)estimate;
        var quotient = n / root;
        root = (ulong)UInt128.Min((root + quotient) >> 1, ulong.MaxValue);
        while ((UInt128)root * root > n)
        {
            root--;
        }

        while (root != ulong.MaxValue && (UInt128)(root + 1) * (root + 1) <= n)
        {
            root++;
        }

        return root;
    }

    /// <summary>Rounds to an integral value in the same format; a NaN passes.</summary>
    /// <param name="context">Rounding direction; gets inexact.</param>
    /// <param name="value">The number.</param>
    public static FloatValue RoundToIntegral(ref FloatContext context, FloatValue value)
    {
        context.RoundedUp = false;
        if (value.Kind != FloatKind.Finite || value.Exponent >= 63)
        {
            return value;
        }

        ulong high = value.Significand;
        ulong low = 0;
        ShiftRightJam(ref high, ref low, 63 - value.Exponent);
        if (RoundAt(context.Rounding, value.Negative, 0, ref high, low, out _, out bool up))
        {
            context.Flags |= FloatExceptions.Inexact;
            context.RoundedUp = up;
        }

        if (high == 0)
        {
            return FloatValue.ZeroOf(value.Negative);
        }

        int shift = BitOperations.LeadingZeroCount(high);
        return FloatValue.FiniteOf(value.Negative, 63 - shift, high << shift);
    }

    /// <summary>Converts to a signed integer; what does not fit raises invalid and gives the most negative integer.</summary>
    /// <param name="context">Rounding direction; gets invalid or inexact.</param>
    /// <param name="value">Any value.</param>
    /// <param name="bits">Width of the integer: 16, 32 or 64.</param>
    public static long ToInteger(ref FloatContext context, FloatValue value, int bits)
    {
        context.RoundedUp = false;
        long indefinite = long.MinValue >> (64 - bits);
        if (value.Kind == FloatKind.Zero)
        {
            return 0;
        }

        if (value.Kind != FloatKind.Finite || value.Exponent >= 64)
        {
            context.Flags |= FloatExceptions.Invalid;
            return indefinite;
        }

        ulong high = value.Significand;
        ulong low = 0;
        ShiftRightJam(ref high, ref low, 63 - value.Exponent);
        bool inexact = RoundAt(context.Rounding, value.Negative, 0, ref high, low, out bool carry, out bool up);
        ulong limit = (1ul << (bits - 1)) - (value.Negative ? 0u : 1u);
        if (carry || high > limit)
        {
            context.Flags |= FloatExceptions.Invalid;
            return indefinite;
        }

        if (inexact)
        {
            context.Flags |= FloatExceptions.Inexact;
            context.RoundedUp = up;
        }

        return value.Negative ? -(long)high : (long)high;
    }

    /// <summary>Takes an integer as an exact value.</summary>
    public static FloatValue FromInteger(long value)
    {
        if (value == 0)
        {
            return FloatValue.ZeroOf(false);
        }

        ulong magnitude = value < 0 ? 0 - (ulong)value : (ulong)value;
        int shift = BitOperations.LeadingZeroCount(magnitude);
        return FloatValue.FiniteOf(value < 0, 63 - shift, magnitude << shift);
    }

    /// <summary>Orders two values of which none is a NaN: -1, 0 or 1; the zeros are equal.</summary>
    public static int Compare(FloatValue a, FloatValue b)
    {
        int signA = a.Kind == FloatKind.Zero ? 0 : a.Negative ? -1 : 1;
        int signB = b.Kind == FloatKind.Zero ? 0 : b.Negative ? -1 : 1;
        if (signA != signB)
        {
            return signA < signB ? -1 : 1;
        }

        if (signA == 0)
        {
            return 0;
        }

        int magnitude;
        if (a.Kind != b.Kind)
        {
            magnitude = a.Kind == FloatKind.Infinity ? 1 : -1;
        }
        else if (a.Kind == FloatKind.Infinity)
        {
            magnitude = 0;
        }
        else
        {
            magnitude = a.Exponent != b.Exponent
                ? a.Exponent.CompareTo(b.Exponent)
                : a.Significand.CompareTo(b.Significand);
        }

        return signA * magnitude;
    }
}
