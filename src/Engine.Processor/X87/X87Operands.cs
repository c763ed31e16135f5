using Hypervisor.Engine.Processor.FloatingPoint;

namespace Hypervisor.Engine.Processor;

/// <summary>What all x87 arithmetic has in common: rounding, NaNs, exceptions and the stack (SDM vol. 1, 8.4 and 8.5).</summary>
internal static unsafe class X87Operands
{
    private static readonly FloatFormat Single = FloatFormat.Extended with { Precision = 24 };
    private static readonly FloatFormat Double = FloatFormat.Extended with { Precision = 53 };

    /// <summary>Rounding and masks of the control word.</summary>
    public static FloatContext Begin(CpuState* state) => new()
    {
        Rounding = (FloatRounding)((state->X87Control >> 10) & 3),
        Masks = (FloatExceptions)state->X87Control & FloatExceptions.All,
    };

    /// <summary>The format that precision control rounds results to: fewer bits, the full exponent.</summary>
    public static FloatFormat Format(CpuState* state) => ((state->X87Control >> 8) & 3) switch
    {
        0 => Single,
        2 => Double,
        _ => FloatFormat.Extended,
    };

    /// <summary>Makes exceptions sticky and sets C1; false when an unmasked one forbids that anything else changes.</summary>
    public static bool Finish(CpuState* state, in FloatContext context)
    {
        var flags = context.Flags;
        bool proceeds = (context.Unmasked & FloatExceptions.BeforeOperation) == 0;
        if (!proceeds)
        {
            flags &= FloatExceptions.BeforeOperation;
        }

        bool up = context.RoundedUp && (flags & FloatExceptions.Inexact) != 0;
        state->X87Status = (ushort)((state->X87Status & ~X87State.C1) | (int)flags | (up ? X87State.C1 : 0));
        X87State.UpdateSummary(state);
        return proceeds;
    }

    /// <summary>An empty register was read; true when the masked response (the indefinite) is to be delivered.</summary>
    public static bool StackUnderflow(CpuState* state) => StackFault(state, 0);

    /// <summary>A register in use was about to be overwritten by a push; true when the indefinite is to be pushed.</summary>
    public static bool StackOverflow(CpuState* state) => StackFault(state, X87State.C1);

    private static bool StackFault(CpuState* state, int c1)
    {
        state->X87Status = (ushort)((state->X87Status & ~X87State.C1) | c1 | X87State.StackFault | (int)FloatExceptions.Invalid);
        X87State.UpdateSummary(state);
        return (state->X87Control & (int)FloatExceptions.Invalid) != 0;
    }

    public static FloatValue Value(CpuState* state, int n) => FloatValue.FromExtended(X87State.Get(state, n));

    /// <summary>Pushes a value whose exceptions are settled; the caller has checked for a free register.</summary>
    public static void Push(CpuState* state, Float80 value)
    {
        X87State.SetTop(state, X87State.Top(state) - 1);
        X87State.Set(state, 0, value);
    }

    /// <summary>
    /// True when an operand decides the result alone: an unsupported encoding gives the indefinite, NaNs one of themselves.
    /// </summary>
    public static bool SettlesNaN(ref FloatContext context, FloatValue a, FloatValue b, out FloatValue result)
    {
        if (a.Kind == FloatKind.Unsupported || b.Kind == FloatKind.Unsupported)
        {
            context.Flags |= FloatExceptions.Invalid;
            result = FloatValue.Indefinite;
            return true;
        }

        if (!a.IsNaN && !b.IsNaN)
        {
            result = default;
            return false;
        }

        if (a.Kind == FloatKind.SignalingNaN || b.Kind == FloatKind.SignalingNaN)
        {
            context.Flags |= FloatExceptions.Invalid;
        }

        // SDM vol. 1, table 4-7: a quiet NaN before a signaling one, then the larger significand, then the positive one.
        bool takeA;
        if (!a.IsNaN || !b.IsNaN)
        {
            takeA = a.IsNaN;
        }
        else if (a.Kind != b.Kind)
        {
            takeA = a.Kind == FloatKind.QuietNaN;
        }
        else if (a.Significand != b.Significand)
        {
            takeA = a.Significand > b.Significand;
        }
        else
        {
            takeA = !a.Negative;
        }

        result = (takeA ? a : b).Quieted();
        return true;
    }

    /// <summary>As <see cref="SettlesNaN(ref FloatContext, FloatValue, FloatValue, out FloatValue)"/>, one operand.</summary>
    public static bool SettlesNaN(ref FloatContext context, FloatValue a, out FloatValue result) =>
        SettlesNaN(ref context, a, a, out result);

    /// <summary>A denormal operand that took part in an operation.</summary>
    public static void NoteDenormal(ref FloatContext context, FloatValue a, FloatValue b)
    {
        if ((a.Denormal || b.Denormal) && (context.Flags & (FloatExceptions.Invalid | FloatExceptions.ZeroDivide)) == 0)
        {
            context.Flags |= FloatExceptions.Denormal;
        }
    }

    /// <summary>A binary operation on operands of any kind.</summary>
    public static FloatValue Operate<TOp>(ref FloatContext context, in FloatFormat format, FloatValue a, FloatValue b)
        where TOp : struct, IFloatBinary
    {
        if (SettlesNaN(ref context, a, b, out var settled))
        {
            return settled;
        }

        var result = TOp.Soft(ref context, format, a, b);
        NoteDenormal(ref context, a, b);
        return result;
    }
}
