namespace Hypervisor.Engine.Processor.FloatingPoint;

internal static partial class SoftFloat
{
    // A product of two doubles has 106 bits: at bit 126 its top leaves one bit for a carry and 21 below for what is shifted out.
    private const int FusedTop = 126;

    /// <summary>
    /// a × b + c rounded once; no operand is a NaN. For singles and doubles, whose product is exact in 106 bits.
    /// </summary>
    public static FloatValue MultiplyAdd(ref FloatContext context, in FloatFormat format, FloatValue a, FloatValue b, FloatValue c)
    {
        context.RoundedUp = false;
        bool negative = a.Negative != b.Negative;
        bool infinite = a.Kind == FloatKind.Infinity || b.Kind == FloatKind.Infinity;
        bool zero = a.Kind == FloatKind.Zero || b.Kind == FloatKind.Zero;
        if (infinite)
        {
            if (zero || (c.Kind == FloatKind.Infinity && c.Negative != negative))
            {
                context.Flags |= FloatExceptions.Invalid;
                return FloatValue.Indefinite;
            }

            return FloatValue.InfinityOf(negative);
        }

        if (c.Kind == FloatKind.Infinity)
        {
            return c;
        }

        if (zero)
        {
            return Add(ref context, format, FloatValue.ZeroOf(negative), c);
        }

        ulong high = Math.BigMul(a.Significand, b.Significand, out ulong low);
        var product = new UInt128(high, low);
        int exponent = a.Exponent + b.Exponent + 1;
        int shift = (int)UInt128.LeadingZeroCount(product);
        product <<= shift;
        exponent -= shift;
        if (c.Kind == FloatKind.Zero)
        {
            return Round(ref context, format, negative, exponent, (ulong)(product >> 64), (ulong)product);
        }

        product >>= 127 - FusedTop;
        var addend = new UInt128(c.Significand, 0) >> (127 - FusedTop);
        bool addendIsLarger = c.Exponent > exponent || (c.Exponent == exponent && addend > product);
        var large = addendIsLarger ? addend : product;
        var small = ShiftRightJam(addendIsLarger ? product : addend, Math.Abs(c.Exponent - exponent));
        int top = addendIsLarger ? c.Exponent : exponent;
        bool sign = addendIsLarger ? c.Negative : negative;

        // Bits are lost only at distances beyond the 20 free ones, and then at most one leading bit cancels.
        var sum = c.Negative == negative ? large + small : large - small;
        if (sum == UInt128.Zero)
        {
            return FloatValue.ZeroOf(context.Rounding == FloatRounding.Down);
        }

        int leading = (int)UInt128.LeadingZeroCount(sum);
        sum <<= leading;
        return Round(ref context, format, sign, top + (127 - FusedTop) - leading, (ulong)(sum >> 64), (ulong)sum);
    }

    private static UInt128 ShiftRightJam(UInt128 value, int count)
    {
        if (count == 0)
        {
            return value;
        }

        if (count > 127)
        {
            return UInt128.One;
        }

        var shifted = value >> count;
        return shifted << count == value ? shifted : shifted | UInt128.One;
    }
}
