using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Hypervisor.Engine.Processor.FloatingPoint;

/// <summary>
/// SSE arithmetic on the bits of single and double numbers. Every operation takes MXCSR, makes its exceptions sticky there, and
/// returns false when an unmasked one leaves the destination unchanged and calls for #XM.
/// </summary>
internal static partial class SseFloat
{
    private const ulong DoubleExponent = 0x7FF0_0000_0000_0000;
    private const uint SingleExponent = 0x7F80_0000;

    // Exponent field 2.
    private const ulong DoubleSecond = 2ul << 52;
    private const uint SingleSecond = 2u << 23;

    /// <summary>Zero or normal: neither denormal, infinite nor NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsPlain(ulong bits) =>
        (bits & DoubleExponent) - 1 < DoubleExponent - 1 || (bits << 1) == 0;

    /// <inheritdoc cref="IsPlain(ulong)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsPlain(uint bits) =>
        (bits & SingleExponent) - 1 < SingleExponent - 1 || (bits << 1) == 0;

    /// <summary>
    /// Normal, and not one of the smallest: those may have been rounded up from what was tiny, which is an underflow
    /// (SDM vol. 1, 4.9.1.5).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsNormal(ulong bits) => (bits & DoubleExponent) - DoubleSecond < DoubleExponent - DoubleSecond;

    /// <inheritdoc cref="IsNormal(ulong)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsNormal(uint bits) => (bits & SingleExponent) - SingleSecond < SingleExponent - SingleSecond;

    /// <summary>One double lane.</summary>
    public static bool Binary<TOp>(ref uint mxcsr, ulong a, ulong b, out ulong result)
        where TOp : struct, IFloatBinary
    {
        if (TryHost<TOp>(mxcsr, a, b, out result))
        {
            return true;
        }

        var context = Mxcsr.Begin(mxcsr);
        result = Lane<TOp>(ref context, a, b);
        return Mxcsr.Commit(ref mxcsr, context);
    }

    /// <summary>One single lane.</summary>
    public static bool Binary<TOp>(ref uint mxcsr, uint a, uint b, out uint result)
        where TOp : struct, IFloatBinary
    {
        if (TryHost<TOp>(mxcsr, a, b, out result))
        {
            return true;
        }

        var context = Mxcsr.Begin(mxcsr);
        result = Lane<TOp>(ref context, a, b);
        return Mxcsr.Commit(ref mxcsr, context);
    }

    /// <summary>One double lane on the host's arithmetic, where result and flags are sure to be the guest's.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool TryHost<TOp>(uint mxcsr, ulong a, ulong b, out ulong result)
        where TOp : struct, IFloatBinary
    {
        if (Mxcsr.AllowsHost(mxcsr) && IsPlain(a) && IsPlain(b))
        {
            result = BitConverter.DoubleToUInt64Bits(
                TOp.Host(BitConverter.UInt64BitsToDouble(a), BitConverter.UInt64BitsToDouble(b)));
            return IsNormal(result) || (TOp.ZeroIsExact && (result << 1) == 0);
        }

        result = 0;
        return false;
    }

    /// <summary>One single lane on the host's arithmetic, where result and flags are sure to be the guest's.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool TryHost<TOp>(uint mxcsr, uint a, uint b, out uint result)
        where TOp : struct, IFloatBinary
    {
        if (Mxcsr.AllowsHost(mxcsr) && IsPlain(a) && IsPlain(b))
        {
            result = BitConverter.SingleToUInt32Bits(
                TOp.Host(BitConverter.UInt32BitsToSingle(a), BitConverter.UInt32BitsToSingle(b)));
            return IsNormal(result) || (TOp.ZeroIsExact && (result << 1) == 0);
        }

        result = 0;
        return false;
    }

    /// <summary>Two double lanes.</summary>
    public static bool Binary<TOp>(ref uint mxcsr, Vector128<ulong> a, Vector128<ulong> b, out Vector128<ulong> result)
        where TOp : struct, IFloatBinary
    {
        if (Mxcsr.AllowsHost(mxcsr) && AllPlain(a) && AllPlain(b))
        {
            result = TOp.Host(a.AsDouble(), b.AsDouble()).AsUInt64();
            if (AllNormal(result))
            {
                return true;
            }
        }

        var context = Mxcsr.Begin(mxcsr);
        ulong low = Lane<TOp>(ref context, a.ToScalar(), b.ToScalar());
        ulong high = Lane<TOp>(ref context, a.GetElement(1), b.GetElement(1));
        result = Vector128.Create(low, high);
        return Mxcsr.Commit(ref mxcsr, context);
    }

    /// <summary>Four single lanes.</summary>
    public static bool Binary<TOp>(ref uint mxcsr, Vector128<uint> a, Vector128<uint> b, out Vector128<uint> result)
        where TOp : struct, IFloatBinary
    {
        if (Mxcsr.AllowsHost(mxcsr) && AllPlain(a) && AllPlain(b))
        {
            result = TOp.Host(a.AsSingle(), b.AsSingle()).AsUInt32();
            if (AllNormal(result))
            {
                return true;
            }
        }

        var context = Mxcsr.Begin(mxcsr);
        result = default;
        for (int lane = 0; lane < 4; lane++)
        {
            result = result.WithElement(lane, Lane<TOp>(ref context, a.GetElement(lane), b.GetElement(lane)));
        }

        return Mxcsr.Commit(ref mxcsr, context);
    }

    /// <summary>One double lane in integers; collects exceptions in the context.</summary>
    public static ulong Lane<TOp>(ref FloatContext context, ulong a, ulong b)
        where TOp : struct, IFloatBinary
    {
        var x = Take(context, FloatValue.FromDouble(a));
        var y = Take(context, FloatValue.FromDouble(b));
        if (x.IsNaN || y.IsNaN)
        {
            return PropagateNaN(ref context, x, y).ToDouble();
        }

        return Operate<TOp>(ref context, FloatFormat.Double, x, y).ToDouble();
    }

    /// <summary>One single lane in integers; collects exceptions in the context.</summary>
    public static uint Lane<TOp>(ref FloatContext context, uint a, uint b)
        where TOp : struct, IFloatBinary
    {
        var x = Take(context, FloatValue.FromSingle(a));
        var y = Take(context, FloatValue.FromSingle(b));
        if (x.IsNaN || y.IsNaN)
        {
            return PropagateNaN(ref context, x, y).ToSingle();
        }

        return Operate<TOp>(ref context, FloatFormat.Single, x, y).ToSingle();
    }

    private static FloatValue Operate<TOp>(ref FloatContext context, in FloatFormat format, FloatValue x, FloatValue y)
        where TOp : struct, IFloatBinary
    {
        var operation = context;
        operation.Flags = 0;
        var result = TOp.Soft(ref operation, format, x, y);
        if ((x.Denormal || y.Denormal) && (operation.Flags & (FloatExceptions.Invalid | FloatExceptions.ZeroDivide)) == 0)
        {
            operation.Flags |= FloatExceptions.Denormal;
        }

        context.Flags |= operation.Flags;
        return result;
    }

    /// <summary>Applies DAZ.</summary>
    private static FloatValue Take(in FloatContext context, FloatValue value) =>
        value.Denormal && context.DenormalsAreZero ? FloatValue.ZeroOf(value.Negative) : value;

    /// <summary>The first operand's NaN if it is one, else the second's; quieted (SDM vol. 1, table 4-7).</summary>
    private static FloatValue PropagateNaN(ref FloatContext context, FloatValue x, FloatValue y)
    {
        if (x.Kind == FloatKind.SignalingNaN || y.Kind == FloatKind.SignalingNaN)
        {
            context.Flags |= FloatExceptions.Invalid;
        }

        return x.IsNaN ? x.Quieted() : y.Quieted();
    }

    private static bool AllNormal(Vector128<ulong> bits)
    {
        var exponent = bits & Vector128.Create(DoubleExponent);
        return Vector128.GreaterThanOrEqualAll(exponent, Vector128.Create(DoubleSecond))
            && !Vector128.EqualsAny(exponent, Vector128.Create(DoubleExponent));
    }

    private static bool AllNormal(Vector128<uint> bits)
    {
        var exponent = bits & Vector128.Create(SingleExponent);
        return Vector128.GreaterThanOrEqualAll(exponent, Vector128.Create(SingleSecond))
            && !Vector128.EqualsAny(exponent, Vector128.Create(SingleExponent));
    }

    private static bool AllPlain(Vector128<ulong> bits)
    {
        var exponent = bits & Vector128.Create(DoubleExponent);
        var denormalOrZero = Vector128.Equals(exponent, Vector128<ulong>.Zero);
        var nonzero = ~Vector128.Equals(bits << 1, Vector128<ulong>.Zero);
        var special = Vector128.Equals(exponent, Vector128.Create(DoubleExponent));
        return ((denormalOrZero & nonzero) | special) == Vector128<ulong>.Zero;
    }

    private static bool AllPlain(Vector128<uint> bits)
    {
        var exponent = bits & Vector128.Create(SingleExponent);
        var denormalOrZero = Vector128.Equals(exponent, Vector128<uint>.Zero);
        var nonzero = ~Vector128.Equals(bits << 1, Vector128<uint>.Zero);
        var special = Vector128.Equals(exponent, Vector128.Create(SingleExponent));
        return ((denormalOrZero & nonzero) | special) == Vector128<uint>.Zero;
    }
}
