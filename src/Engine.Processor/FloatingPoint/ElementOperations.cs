namespace Hypervisor.Engine.Processor.FloatingPoint;

/// <summary>
/// A floating-point operation on one element of singles (uint) or doubles (ulong), as bits. Exceptions are collected in the context,
/// so that an instruction of many elements reports all of them at once.
/// </summary>
/// <typeparam name="T">uint or ulong.</typeparam>
internal interface IElementOperation<T>
    where T : unmanaged
{
    /// <summary>Computes an element.</summary>
    /// <param name="context">Rounding and masks; gets exceptions.</param>
    /// <param name="mxcsr">MXCSR before the instruction.</param>
    /// <param name="a">First source; unary operations take <paramref name="b"/> alone.</param>
    /// <param name="b">Second source.</param>
    /// <param name="immediate">The instruction's immediate.</param>
    static abstract T Apply(ref FloatContext context, uint mxcsr, T a, T b, byte immediate);
}

internal readonly struct ElementArithmetic<TOp> : IElementOperation<uint>, IElementOperation<ulong>
    where TOp : struct, IFloatBinary
{
    public static uint Apply(ref FloatContext context, uint mxcsr, uint a, uint b, byte immediate) =>
        SseFloat.TryHost<TOp>(mxcsr, a, b, out uint result) ? result : SseFloat.Lane<TOp>(ref context, a, b);

    public static ulong Apply(ref FloatContext context, uint mxcsr, ulong a, ulong b, byte immediate) =>
        SseFloat.TryHost<TOp>(mxcsr, a, b, out ulong result) ? result : SseFloat.Lane<TOp>(ref context, a, b);
}

internal readonly struct ElementMinimum : IElementOperation<uint>, IElementOperation<ulong>
{
    public static uint Apply(ref FloatContext context, uint mxcsr, uint a, uint b, byte immediate) =>
        SseFloat.Extreme(ref context, false, a, b);

    public static ulong Apply(ref FloatContext context, uint mxcsr, ulong a, ulong b, byte immediate) =>
        SseFloat.Extreme(ref context, false, a, b);
}

internal readonly struct ElementMaximum : IElementOperation<uint>, IElementOperation<ulong>
{
    public static uint Apply(ref FloatContext context, uint mxcsr, uint a, uint b, byte immediate) =>
        SseFloat.Extreme(ref context, true, a, b);

    public static ulong Apply(ref FloatContext context, uint mxcsr, ulong a, ulong b, byte immediate) =>
        SseFloat.Extreme(ref context, true, a, b);
}

internal readonly struct ElementRoot : IElementOperation<uint>, IElementOperation<ulong>
{
    public static uint Apply(ref FloatContext context, uint mxcsr, uint a, uint b, byte immediate) =>
        SseFloat.SquareRoot(ref context, mxcsr, b);

    public static ulong Apply(ref FloatContext context, uint mxcsr, ulong a, ulong b, byte immediate) =>
        SseFloat.SquareRoot(ref context, mxcsr, b);
}

/// <summary>VCMP: all ones where the predicate holds.</summary>
internal readonly struct ElementPredicate : IElementOperation<uint>, IElementOperation<ulong>
{
    private const int PredicateMask = 31;

    public static uint Apply(ref FloatContext context, uint mxcsr, uint a, uint b, byte immediate) =>
        SseFloat.Test(ref context, immediate & PredicateMask, a, b) ? uint.MaxValue : 0;

    public static ulong Apply(ref FloatContext context, uint mxcsr, ulong a, ulong b, byte immediate) =>
        SseFloat.Test(ref context, immediate & PredicateMask, a, b) ? ulong.MaxValue : 0;
}

/// <summary>VROUND: the immediate chooses the direction and silences inexact.</summary>
internal readonly struct ElementRound : IElementOperation<uint>, IElementOperation<ulong>
{
    private const int Current = 4, Quiet = 8;

    public static uint Apply(ref FloatContext context, uint mxcsr, uint a, uint b, byte immediate)
    {
        Choose(ref context, immediate);
        return SseFloat.RoundSingle(ref context, (immediate & Quiet) != 0, b);
    }

    public static ulong Apply(ref FloatContext context, uint mxcsr, ulong a, ulong b, byte immediate)
    {
        Choose(ref context, immediate);
        return SseFloat.RoundDouble(ref context, (immediate & Quiet) != 0, b);
    }

    private static void Choose(ref FloatContext context, byte immediate)
    {
        if ((immediate & Current) == 0)
        {
            context.Rounding = (FloatRounding)(immediate & 3);
        }
    }
}

internal readonly struct ElementReciprocal : IElementOperation<uint>
{
    public static uint Apply(ref FloatContext context, uint mxcsr, uint a, uint b, byte immediate) => SseFloat.Reciprocal(b);
}

internal readonly struct ElementReciprocalRoot : IElementOperation<uint>
{
    public static uint Apply(ref FloatContext context, uint mxcsr, uint a, uint b, byte immediate) => SseFloat.ReciprocalSquareRoot(b);
}
