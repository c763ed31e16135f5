namespace Hypervisor.Engine.Processor.FloatingPoint;

internal static partial class SseFloat
{
    private const long ExactInDouble = 1L << 53;
    private const double TwoTo63 = 9223372036854775808.0;

    /// <summary>CVTSS2SD of one lane.</summary>
    public static ulong SingleToDouble(ref FloatContext context, uint a)
    {
        if (IsPlain(a))
        {
            return BitConverter.DoubleToUInt64Bits(BitConverter.UInt32BitsToSingle(a));
        }

        return ConvertFormat(ref context, FloatFormat.Double, FloatValue.FromSingle(a)).ToDouble();
    }

    /// <summary>CVTSD2SS of one lane.</summary>
    public static uint DoubleToSingle(ref FloatContext context, uint mxcsr, ulong a)
    {
        if (Mxcsr.AllowsHost(mxcsr) && IsPlain(a))
        {
            uint bits = BitConverter.SingleToUInt32Bits((float)BitConverter.UInt64BitsToDouble(a));
            if (IsNormal(bits))
            {
                return bits;
            }
        }

        return ConvertFormat(ref context, FloatFormat.Single, FloatValue.FromDouble(a)).ToSingle();
    }

    /// <summary>CVTSI2SD of one lane.</summary>
    public static ulong IntegerToDouble(ref FloatContext context, long value)
    {
        if (value is >= -ExactInDouble and <= ExactInDouble)
        {
            return BitConverter.DoubleToUInt64Bits(value);
        }

        return SoftFloat.Convert(ref context, FloatFormat.Double, SoftFloat.FromInteger(value)).ToDouble();
    }

    /// <summary>CVTSI2SS of one lane.</summary>
    public static uint IntegerToSingle(ref FloatContext context, long value)
    {
        if (value is >= -(1 << 24) and <= 1 << 24)
        {
            return BitConverter.SingleToUInt32Bits(value);
        }

        return SoftFloat.Convert(ref context, FloatFormat.Single, SoftFloat.FromInteger(value)).ToSingle();
    }

    /// <summary>CVTSD2SI and CVTTSD2SI of one lane.</summary>
    /// <param name="context">Rounding; gets invalid or inexact. No denormal exception: a conversion to integer has none.</param>
    /// <param name="truncate">Rounds toward zero whatever MXCSR says.</param>
    /// <param name="bits">32 or 64.</param>
    /// <param name="a">The number.</param>
    public static long DoubleToInteger(ref FloatContext context, bool truncate, int bits, ulong a)
    {
        if (truncate && bits == 64 && IsPlain(a))
        {
            double number = BitConverter.UInt64BitsToDouble(a);
            if (Math.Abs(number) < TwoTo63)
            {
                long integer = (long)number;
                if (integer != number)
                {
                    context.Flags |= FloatExceptions.Inexact;
                }

                return integer;
            }
        }

        return ToInteger(ref context, truncate, bits, FloatValue.FromDouble(a));
    }

    /// <inheritdoc cref="DoubleToInteger"/>
    public static long SingleToInteger(ref FloatContext context, bool truncate, int bits, uint a) =>
        ToInteger(ref context, truncate, bits, FloatValue.FromSingle(a));

    private static long ToInteger(ref FloatContext context, bool truncate, int bits, FloatValue value)
    {
        var operation = context;
        operation.Flags = 0;
        if (truncate)
        {
            operation.Rounding = FloatRounding.Zero;
        }

        long integer = SoftFloat.ToInteger(ref operation, Take(context, value), bits);
        context.Flags |= operation.Flags;
        return integer;
    }

    private static FloatValue ConvertFormat(ref FloatContext context, in FloatFormat format, FloatValue value)
    {
        value = Take(context, value);
        if (value.IsNaN)
        {
            return PropagateNaN(ref context, value, value);
        }

        if (value.Denormal)
        {
            context.Flags |= FloatExceptions.Denormal;
        }

        return SoftFloat.Convert(ref context, format, value);
    }
}
