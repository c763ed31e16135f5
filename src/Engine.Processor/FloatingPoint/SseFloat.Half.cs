namespace Hypervisor.Engine.Processor.FloatingPoint;

internal static partial class SseFloat
{
    private const uint HalfInfinity = 0x7C00;

    /// <summary>VCVTPH2PS of one lane: exact; denormals are numbers like others, whatever MXCSR says; a signaling NaN is invalid.</summary>
    public static uint HalfToSingle(ref FloatContext context, ushort a)
    {
        uint sign = (uint)(a & 0x8000) << 16;
        uint magnitude = a & 0x7FFFu;
        if (magnitude >= HalfInfinity)
        {
            uint payload = (magnitude & 0x3FF) << 13;
            if (payload == 0)
            {
                return sign | SingleExponent;
            }

            const uint quiet = 0x40_0000;
            if ((payload & quiet) == 0)
            {
                context.Flags |= FloatExceptions.Invalid;
            }

            return sign | SingleExponent | payload | quiet;
        }

        // Both exact: an integer of ten bits times a power of two, or the same number with another bias.
        return magnitude < 0x400
            ? sign | BitConverter.SingleToUInt32Bits(magnitude * (1f / (1 << 24)))
            : sign | ((magnitude << 13) + (112u << 23));
    }

    /// <summary>VCVTPS2PH of one lane: FTZ has no effect, DAZ has.</summary>
    public static ushort SingleToHalf(ref FloatContext context, uint a)
    {
        var operation = context;
        operation.FlushToZero = false;
        var value = ConvertFormat(ref operation, FloatFormat.Half, FloatValue.FromSingle(a));
        context.Flags |= operation.Flags;
        return value.ToHalf();
    }
}
