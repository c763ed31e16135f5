using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Hypervisor.Engine.Processor.FloatingPoint;

internal static partial class SseFloat
{
    private const double ReciprocalSteps = 1 << 14;

    /// <summary>SQRT of one double; collects exceptions.</summary>
    public static ulong SquareRoot(ref FloatContext context, uint mxcsr, ulong a)
    {
        if (Mxcsr.AllowsHost(mxcsr) && IsNormal(a) && (long)a > 0)
        {
            return BitConverter.DoubleToUInt64Bits(Math.Sqrt(BitConverter.UInt64BitsToDouble(a)));
        }

        return SquareRoot(ref context, FloatFormat.Double, Take(context, FloatValue.FromDouble(a))).ToDouble();
    }

    /// <summary>SQRT of one single; collects exceptions.</summary>
    public static uint SquareRoot(ref FloatContext context, uint mxcsr, uint a)
    {
        if (Mxcsr.AllowsHost(mxcsr) && IsNormal(a) && (int)a > 0)
        {
            return BitConverter.SingleToUInt32Bits(MathF.Sqrt(BitConverter.UInt32BitsToSingle(a)));
        }

        return SquareRoot(ref context, FloatFormat.Single, Take(context, FloatValue.FromSingle(a))).ToSingle();
    }

    /// <summary>ROUNDSD of one lane (SSE4.1): never a denormal exception, inexact only when asked for.</summary>
    public static ulong RoundDouble(ref FloatContext context, bool quietInexact, ulong a)
    {
        var value = Take(context, FloatValue.FromDouble(a));
        return RoundToIntegral(ref context, quietInexact, value).ToDouble();
    }

    /// <inheritdoc cref="RoundDouble"/>
    public static uint RoundSingle(ref FloatContext context, bool quietInexact, uint a)
    {
        var value = Take(context, FloatValue.FromSingle(a));
        return RoundToIntegral(ref context, quietInexact, value).ToSingle();
    }

    /// <summary>
    /// RCPSS: 1/a to 12 bits or more (the architecture's bound is a relative error of 1.5 × 2^-12). The bits differ between makers:
    /// they are the host's where it has the instruction, so that translated code, which runs there, agrees. Denormals count as
    /// zero, tiny results are zero, nothing is raised.
    /// </summary>
    public static uint Reciprocal(uint a) => Sse.IsSupported
        ? Sse.ReciprocalScalar(Vector128.CreateScalar(a).AsSingle()).AsUInt32().ToScalar()
        : ReciprocalOf(a);

    /// <summary>RSQRTSS: 1/√a; see <see cref="Reciprocal"/>.</summary>
    public static uint ReciprocalSquareRoot(uint a) => Sse.IsSupported
        ? Sse.ReciprocalSqrtScalar(Vector128.CreateScalar(a).AsSingle()).AsUInt32().ToScalar()
        : ReciprocalSquareRootOf(a);

    private static uint ReciprocalOf(uint a)
    {
        uint sign = a & 0x8000_0000;
        uint magnitude = a & 0x7FFF_FFFF;
        if (magnitude > SingleExponent)
        {
            return a | 0x40_0000;
        }

        if (magnitude < 0x80_0000)
        {
            return sign | SingleExponent;
        }

        if (magnitude == SingleExponent)
        {
            return sign;
        }

        float quotient = (float)Shorten(1.0 / BitConverter.UInt32BitsToSingle(magnitude));
        uint bits = BitConverter.SingleToUInt32Bits(quotient);
        return bits < 0x80_0000 ? sign : sign | bits;
    }

    private static uint ReciprocalSquareRootOf(uint a)
    {
        uint sign = a & 0x8000_0000;
        uint magnitude = a & 0x7FFF_FFFF;
        if (magnitude > SingleExponent)
        {
            return a | 0x40_0000;
        }

        if (magnitude < 0x80_0000)
        {
            return sign | SingleExponent;
        }

        if (sign != 0)
        {
            return 0xFFC0_0000;
        }

        if (magnitude == SingleExponent)
        {
            return 0;
        }

        return BitConverter.SingleToUInt32Bits((float)Shorten(1.0 / Math.Sqrt(BitConverter.UInt32BitsToSingle(a))));
    }

    private static double Shorten(double value)
    {
        int exponent = Math.ILogB(value);
        return Math.ScaleB(Math.Round(Math.ScaleB(value, -exponent) * ReciprocalSteps), exponent) / ReciprocalSteps;
    }

    private static FloatValue SquareRoot(ref FloatContext context, in FloatFormat format, FloatValue value)
    {
        if (value.IsNaN)
        {
            return PropagateNaN(ref context, value, value);
        }

        var operation = context;
        operation.Flags = 0;
        var root = SoftFloat.SquareRoot(ref operation, format, value);
        if (value.Denormal && (operation.Flags & FloatExceptions.Invalid) == 0)
        {
            operation.Flags |= FloatExceptions.Denormal;
        }

        context.Flags |= operation.Flags;
        return root;
    }

    private static FloatValue RoundToIntegral(ref FloatContext context, bool quietInexact, FloatValue value)
    {
        if (value.IsNaN)
        {
            return PropagateNaN(ref context, value, value);
        }

        var operation = context;
        operation.Flags = 0;
        var rounded = SoftFloat.RoundToIntegral(ref operation, value);
        if (!quietInexact)
        {
            context.Flags |= operation.Flags;
        }

        return rounded;
    }
}
