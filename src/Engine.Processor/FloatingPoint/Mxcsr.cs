namespace Hypervisor.Engine.Processor.FloatingPoint;

/// <summary>The MXCSR register (SDM vol. 1, 10.2.3).</summary>
internal static class Mxcsr
{
    /// <summary>Value after reset: all exceptions masked, round to nearest.</summary>
    public const uint Initial = 0x1F80;

    /// <summary>Bits that may be set; others raise #GP (MXCSR_MASK of FXSAVE).</summary>
    public const uint Valid = 0xFFFF;

    public const uint DenormalsAreZero = 1u << 6;
    public const uint FlushToZero = 1u << 15;
    public const int MaskShift = 7;
    public const int RoundingShift = 13;

    private const uint Rounding = 3u << RoundingShift;
    private const uint InexactFlag = (uint)FloatExceptions.Inexact;
    private const uint InexactMask = InexactFlag << MaskShift;

    /// <summary>
    /// With inexact masked and already sticky and rounding to nearest, an operation on normal numbers that gives a normal number
    /// changes no flag: the host's arithmetic will do.
    /// </summary>
    public static bool AllowsHost(uint mxcsr) =>
        (mxcsr & (Rounding | InexactFlag | InexactMask)) == (InexactFlag | InexactMask);

    /// <summary>A context for one instruction.</summary>
    public static FloatContext Begin(uint mxcsr) => new()
    {
        Rounding = (FloatRounding)((mxcsr >> RoundingShift) & 3),
        Masks = (FloatExceptions)(mxcsr >> MaskShift) & FloatExceptions.All,
        DenormalsAreZero = (mxcsr & DenormalsAreZero) != 0,
        FlushToZero = (mxcsr & FlushToZero) != 0,
    };

    /// <summary>Makes the instruction's exceptions sticky; false when #XM is due and the destination must stay as it was.</summary>
    public static bool Commit(ref uint mxcsr, in FloatContext context)
    {
        var flags = context.Flags;
        var unmasked = context.Unmasked;
        if ((unmasked & FloatExceptions.BeforeOperation) != 0)
        {
            // The operation never took place, so nothing that follows from a result is reported (SDM vol. 1, 11.5.3).
            flags &= FloatExceptions.BeforeOperation;
        }

        mxcsr |= (uint)flags;
        return unmasked == 0;
    }
}
