namespace Hypervisor.Engine.Processor.FloatingPoint;

/// <summary>How two numbers lie to each other.</summary>
internal enum FloatOrder
{
    Less = -1,
    Equal = 0,
    Greater = 1,
    Unordered = 2,
}

internal static partial class SseFloat
{
    /// <summary>Orders two doubles; a quiet NaN raises invalid only when <paramref name="signaling"/>.</summary>
    public static FloatOrder Compare(ref FloatContext context, bool signaling, ulong a, ulong b)
    {
        if (IsPlain(a) && IsPlain(b))
        {
            double x = BitConverter.UInt64BitsToDouble(a);
            double y = BitConverter.UInt64BitsToDouble(b);
            return x < y ? FloatOrder.Less : x > y ? FloatOrder.Greater : FloatOrder.Equal;
        }

        return Compare(ref context, signaling, FloatValue.FromDouble(a), FloatValue.FromDouble(b));
    }

    /// <summary>Orders two singles; a quiet NaN raises invalid only when <paramref name="signaling"/>.</summary>
    public static FloatOrder Compare(ref FloatContext context, bool signaling, uint a, uint b)
    {
        if (IsPlain(a) && IsPlain(b))
        {
            float x = BitConverter.UInt32BitsToSingle(a);
            float y = BitConverter.UInt32BitsToSingle(b);
            return x < y ? FloatOrder.Less : x > y ? FloatOrder.Greater : FloatOrder.Equal;
        }

        return Compare(ref context, signaling, FloatValue.FromSingle(a), FloatValue.FromSingle(b));
    }

    private static FloatOrder Compare(ref FloatContext context, bool signaling, FloatValue a, FloatValue b)
    {
        a = Take(context, a);
        b = Take(context, b);
        if (a.IsNaN || b.IsNaN)
        {
            if (signaling || a.Kind == FloatKind.SignalingNaN || b.Kind == FloatKind.SignalingNaN)
            {
                context.Flags |= FloatExceptions.Invalid;
            }

            return FloatOrder.Unordered;
        }

        if (a.Denormal || b.Denormal)
        {
            context.Flags |= FloatExceptions.Denormal;
        }

        return (FloatOrder)SoftFloat.Compare(a, b);
    }

    /// <summary>The orders in which a predicate of VCMPPS holds, for predicates 0 to 15: bits less, equal, greater, unordered.</summary>
    private static ReadOnlySpan<byte> PredicateOrders => [2, 1, 3, 8, 13, 14, 12, 7, 10, 9, 11, 0, 5, 6, 4, 15];

    /// <summary>The 32 predicates of VCMPPS, of which CMPPS has the first eight (SDM vol. 2, table 3-1).</summary>
    /// <param name="context">Gets invalid and denormal.</param>
    /// <param name="predicate">Immediate, 0 to 31.</param>
    /// <param name="a">First operand.</param>
    /// <param name="b">Second operand.</param>
    public static bool Test(ref FloatContext context, int predicate, ulong a, ulong b) =>
        Holds(predicate, Compare(ref context, IsSignaling(predicate), a, b));

    /// <inheritdoc cref="Test(ref FloatContext, int, ulong, ulong)"/>
    public static bool Test(ref FloatContext context, int predicate, uint a, uint b) =>
        Holds(predicate, Compare(ref context, IsSignaling(predicate), a, b));

    // LT, LE, NLT, NLE and their kin signal quiet NaNs, EQ, UNORD, NEQ and ORD do not; bit 4 exchanges the two kinds.
    private static bool IsSignaling(int predicate) => ((predicate & 3) is 1 or 2) != ((predicate & 16) != 0);

    private static bool Holds(int predicate, FloatOrder order) => ((PredicateOrders[predicate & 15] >> ((int)order + 1)) & 1) != 0;

    /// <summary>MIN (or MAX): the second operand wins whenever the comparison does not decide for the first.</summary>
    public static ulong Extreme(ref FloatContext context, bool maximum, ulong a, ulong b)
    {
        var wanted = maximum ? FloatOrder.Greater : FloatOrder.Less;
        return Compare(ref context, true, a, b) == wanted ? FlushIfDenormal(context, a) : FlushIfDenormal(context, b);
    }

    /// <inheritdoc cref="Extreme(ref FloatContext, bool, ulong, ulong)"/>
    public static uint Extreme(ref FloatContext context, bool maximum, uint a, uint b)
    {
        var wanted = maximum ? FloatOrder.Greater : FloatOrder.Less;
        return Compare(ref context, true, a, b) == wanted ? FlushIfDenormal(context, a) : FlushIfDenormal(context, b);
    }

    private static ulong FlushIfDenormal(in FloatContext context, ulong bits) =>
        context.DenormalsAreZero && (bits & DoubleExponent) == 0 ? bits & (1ul << 63) : bits;

    private static uint FlushIfDenormal(in FloatContext context, uint bits) =>
        context.DenormalsAreZero && (bits & SingleExponent) == 0 ? bits & (1u << 31) : bits;
}
