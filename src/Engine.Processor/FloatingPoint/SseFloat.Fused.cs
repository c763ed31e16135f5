namespace Hypervisor.Engine.Processor.FloatingPoint;

internal static partial class SseFloat
{
    /// <summary>±(a × b) ± c of one double; collects exceptions.</summary>
    /// <param name="context">Gets exceptions.</param>
    /// <param name="mxcsr">MXCSR before the instruction.</param>
    /// <param name="negateProduct">Takes the product's negative.</param>
    /// <param name="negateAddend">Subtracts <paramref name="c"/>.</param>
    /// <param name="a">First factor: its NaN goes before the others'.</param>
    /// <param name="b">Second factor.</param>
    /// <param name="c">What is added.</param>
    public static ulong MultiplyAdd(
        ref FloatContext context, uint mxcsr, bool negateProduct, bool negateAddend, ulong a, ulong b, ulong c)
    {
        if (Mxcsr.AllowsHost(mxcsr) && IsPlain(a) && IsPlain(b) && IsPlain(c))
        {
            double x = BitConverter.UInt64BitsToDouble(a);
            double z = BitConverter.UInt64BitsToDouble(c);
            ulong result = BitConverter.DoubleToUInt64Bits(Math.FusedMultiplyAdd(
                negateProduct ? -x : x, BitConverter.UInt64BitsToDouble(b), negateAddend ? -z : z));
            if (IsNormal(result))
            {
                return result;
            }
        }

        return MultiplyAdd(
            ref context, FloatFormat.Double, negateProduct, negateAddend, FloatValue.FromDouble(a), FloatValue.FromDouble(b),
            FloatValue.FromDouble(c)).ToDouble();
    }

    /// <inheritdoc cref="MultiplyAdd(ref FloatContext, uint, bool, bool, ulong, ulong, ulong)"/>
    public static uint MultiplyAdd(
        ref FloatContext context, uint mxcsr, bool negateProduct, bool negateAddend, uint a, uint b, uint c)
    {
        if (Mxcsr.AllowsHost(mxcsr) && IsPlain(a) && IsPlain(b) && IsPlain(c))
        {
            float x = BitConverter.UInt32BitsToSingle(a);
            float z = BitConverter.UInt32BitsToSingle(c);
            uint result = BitConverter.SingleToUInt32Bits(MathF.FusedMultiplyAdd(
                negateProduct ? -x : x, BitConverter.UInt32BitsToSingle(b), negateAddend ? -z : z));
            if (IsNormal(result))
            {
                return result;
            }
        }

        return MultiplyAdd(
            ref context, FloatFormat.Single, negateProduct, negateAddend, FloatValue.FromSingle(a), FloatValue.FromSingle(b),
            FloatValue.FromSingle(c)).ToSingle();
    }

    private static FloatValue MultiplyAdd(
        ref FloatContext context, in FloatFormat format, bool negateProduct, bool negateAddend, FloatValue a, FloatValue b, FloatValue c)
    {
        a = Take(context, a);
        b = Take(context, b);
        c = Take(context, c);
        if (a.IsNaN || b.IsNaN || c.IsNaN)
        {
            if (a.Kind == FloatKind.SignalingNaN || b.Kind == FloatKind.SignalingNaN || c.Kind == FloatKind.SignalingNaN)
            {
                context.Flags |= FloatExceptions.Invalid;
            }

            return a.IsNaN ? a.Quieted() : b.IsNaN ? b.Quieted() : c.Quieted();
        }

        var operation = context;
        operation.Flags = 0;
        var result = SoftFloat.MultiplyAdd(
            ref operation, format, negateProduct ? a.Negated() : a, b, negateAddend ? c.Negated() : c);
        if ((a.Denormal || b.Denormal || c.Denormal) && (operation.Flags & FloatExceptions.Invalid) == 0)
        {
            operation.Flags |= FloatExceptions.Denormal;
        }

        context.Flags |= operation.Flags;
        return result;
    }
}
