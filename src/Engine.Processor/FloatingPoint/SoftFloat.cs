using System.Numerics;

namespace Hypervisor.Engine.Processor.FloatingPoint;

/// <summary>
/// Floating-point arithmetic in integers, correct to the last bit and flag for every format of the x86. Operands are taken out of
/// their formats first; a result is rounded once, to the format asked for. NaNs, DAZ and denormal-operand exceptions are settled
/// by the callers (<see cref="SseFloat"/> and the x87 unit), because the two units differ in them.
/// </summary>
internal static partial class SoftFloat
{
    private const ulong Half = 1ul << 63;
    private const ulong TopBit = 1ul << 63;

    /// <summary>Rounds an exact or sticky result to a format.</summary>
    /// <param name="context">Rounding and masks; gets overflow, underflow and inexact.</param>
    /// <param name="format">Precision and exponent range.</param>
    /// <param name="negative">Sign.</param>
    /// <param name="exponent">Exponent of <paramref name="high"/>'s top bit.</param>
    /// <param name="high">Significand, top bit set.</param>
    /// <param name="low">Bits below it; the lowest may be sticky.</param>
    public static FloatValue Round(
        ref FloatContext context, in FloatFormat format, bool negative, int exponent, ulong high, ulong low)
    {
        context.RoundedUp = false;
        bool underflow = false;
        if (exponent < format.MinExponent)
        {
            // Tininess is detected after rounding (SDM vol. 1, 4.9.1.5): as if the exponent were unbounded.
            bool reachesNormal = exponent == format.MinExponent - 1
                && RoundsToPowerOfTwo(context.Rounding, negative, high, low, 64 - format.Precision);
            if (!reachesNormal)
            {
                underflow = true;
                if ((context.Masks & FloatExceptions.Underflow) == 0)
                {
                    context.Flags |= FloatExceptions.Underflow;
                    exponent += format.WrapBias;
                    underflow = false;
                    if (exponent < format.MinExponent)
                    {
                        // Only FSCALE and conversions between formats get here. The scale's result is a signed zero and inexact; a
                        // conversion delivers nothing and is inexact as its significand is.
                        if (format.Precision == 64
                            || RoundAt(context.Rounding, negative, 64 - format.Precision, ref high, low, out _, out _))
                        {
                            context.Flags |= FloatExceptions.Inexact;
                        }

                        return FloatValue.ZeroOf(negative);
                    }
                }
                else if (context.FlushToZero)
                {
                    context.Flags |= FloatExceptions.Underflow | FloatExceptions.Inexact;
                    return FloatValue.ZeroOf(negative);
                }
            }

            if (exponent < format.MinExponent)
            {
                ShiftRightJam(ref high, ref low, format.MinExponent - exponent);
                exponent = format.MinExponent;
            }
        }

        int drop = 64 - format.Precision;
        bool inexact = RoundAt(context.Rounding, negative, drop, ref high, low, out bool carry, out bool up);
        context.RoundedUp = up;
        if (carry)
        {
            high = TopBit;
            exponent++;
        }

        if (inexact)
        {
            context.Flags |= FloatExceptions.Inexact;
            if (underflow)
            {
                context.Flags |= FloatExceptions.Underflow;
            }
        }

        if (high == 0)
        {
            return FloatValue.ZeroOf(negative);
        }

        if (exponent > format.MaxExponent)
        {
            context.Flags |= FloatExceptions.Overflow;
            if ((context.Masks & FloatExceptions.Overflow) == 0)
            {
                exponent -= format.WrapBias;
                if (exponent <= format.MaxExponent)
                {
                    return FloatValue.FiniteOf(negative, exponent, high);
                }

                // Only FSCALE, whose result is an inexact infinity, and conversions between formats get here, which deliver nothing and
                // are inexact as their significands are.
                if (format.Precision == 64)
                {
                    context.Flags |= FloatExceptions.Inexact;
                }

                context.RoundedUp = true;
                return FloatValue.InfinityOf(negative);
            }

            context.Flags |= FloatExceptions.Inexact;
            return OverflowResult(ref context, format, negative);
        }

        int shift = BitOperations.LeadingZeroCount(high);
        return FloatValue.FiniteOf(negative, exponent - shift, high << shift);
    }

    /// <summary>The masked response to overflow: infinity, or the largest finite number when rounding away from it.</summary>
    private static FloatValue OverflowResult(ref FloatContext context, in FloatFormat format, bool negative)
    {
        bool toInfinity = context.Rounding switch
        {
            FloatRounding.Nearest => true,
            FloatRounding.Up => !negative,
            FloatRounding.Down => negative,
            _ => false,
        };
        context.RoundedUp = toInfinity;
        return toInfinity
            ? FloatValue.InfinityOf(negative)
            : FloatValue.FiniteOf(negative, format.MaxExponent, ulong.MaxValue << (64 - format.Precision));
    }

    private static bool RoundsToPowerOfTwo(FloatRounding rounding, bool negative, ulong high, ulong low, int drop)
    {
        RoundAt(rounding, negative, drop, ref high, low, out bool carry, out _);
        return carry;
    }

    /// <summary>Rounds high:low so that the lowest <paramref name="drop"/> (0 to 63) bits of high are clear; true when inexact.</summary>
    private static bool RoundAt(
        FloatRounding rounding, bool negative, int drop, ref ulong high, ulong low, out bool carry, out bool up)
    {
        ulong unit = 1ul << drop;
        ulong dropped = high & (unit - 1);
        bool inexact = (dropped | low) != 0;
        carry = false;
        up = false;
        if (!inexact)
        {
            return false;
        }

        switch (rounding)
        {
            case FloatRounding.Nearest:
                bool odd = (high & unit) != 0;
                if (drop == 0)
                {
                    up = low > Half || (low == Half && odd);
                }
                else
                {
                    ulong middle = unit >> 1;
                    up = dropped > middle || (dropped == middle && (low != 0 || odd));
                }

                break;
            case FloatRounding.Down:
                up = negative;
                break;
            case FloatRounding.Up:
                up = !negative;
                break;
            default:
                break;
        }

        high &= ~(unit - 1);
        if (up)
        {
            high += unit;
            carry = high == 0;
        }

        return true;
    }

    /// <summary>Shifts high:low right; what falls out stays as a sticky lowest bit.</summary>
    private static void ShiftRightJam(ref ulong high, ref ulong low, int count)
    {
        if (count == 0)
        {
            return;
        }

        if (count < 64)
        {
            ulong lost = low << (64 - count);
            low = (low >> count) | (high << (64 - count)) | (lost != 0 ? 1ul : 0);
            high >>= count;
        }
        else if (count < 128)
        {
            int rest = count - 64;
            ulong lost = low | (rest == 0 ? 0 : high << (64 - rest));
            low = (high >> rest) | (lost != 0 ? 1ul : 0);
            high = 0;
        }
        else
        {
            low = (high | low) != 0 ? 1ul : 0;
            high = 0;
        }
    }

    /// <summary>Rounds a value to a format; zeros and infinities pass.</summary>
    public static FloatValue Convert(ref FloatContext context, in FloatFormat format, FloatValue value) =>
        value.Kind == FloatKind.Finite
            ? Round(ref context, format, value.Negative, value.Exponent, value.Significand, 0)
            : value;
}
