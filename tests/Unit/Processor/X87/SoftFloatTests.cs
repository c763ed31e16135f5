using Hypervisor.Engine.Processor.FloatingPoint;

namespace Hypervisor.Tests.Unit.Processor.X87;

/// <summary>Arithmetic in integers against the host's IEEE doubles, which every host has.</summary>
public sealed class SoftFloatTests
{
    private const int Cases = 20_000;

    [Fact]
    public void Double_arithmetic_rounds_as_the_hosts_does()
    {
        var random = new Random(7);
        for (int at = 0; at < Cases; at++)
        {
            ulong a = Number(random);
            ulong b = Number(random);
            double x = BitConverter.UInt64BitsToDouble(a);
            double y = BitConverter.UInt64BitsToDouble(b);
            FloatContext context = Masked();
            Check(x + y, SoftFloat.Add(ref context, FloatFormat.Double, FloatValue.FromDouble(a), FloatValue.FromDouble(b)));
            Check(x * y, SoftFloat.Multiply(ref context, FloatFormat.Double, FloatValue.FromDouble(a), FloatValue.FromDouble(b)));
            Check(x / y, SoftFloat.Divide(ref context, FloatFormat.Double, FloatValue.FromDouble(a), FloatValue.FromDouble(b)));
            Check(Math.Sqrt(Math.Abs(x)), SoftFloat.SquareRoot(ref context, FloatFormat.Double, FloatValue.FromDouble(a & long.MaxValue)));
        }
    }

    [Fact]
    public void One_third_rounds_in_every_direction()
    {
        Assert.Equal(0x3EAAAAABu, Third(FloatRounding.Nearest, negative: false));
        Assert.Equal(0x3EAAAAAAu, Third(FloatRounding.Down, negative: false));
        Assert.Equal(0x3EAAAAABu, Third(FloatRounding.Up, negative: false));
        Assert.Equal(0x3EAAAAAAu, Third(FloatRounding.Zero, negative: false));
        Assert.Equal(0xBEAAAAABu, Third(FloatRounding.Down, negative: true));
        Assert.Equal(0xBEAAAAAAu, Third(FloatRounding.Up, negative: true));
    }

    [Fact]
    public void A_tiny_inexact_result_raises_underflow_and_inexact()
    {
        var context = Masked();
        var tiny = FloatValue.FromDouble(0x0010_0000_0000_0001);
        var result = SoftFloat.Multiply(ref context, FloatFormat.Double, tiny, FloatValue.FromDouble(BitConverter.DoubleToUInt64Bits(0.5)));
        Assert.Equal(0x0008_0000_0000_0000ul, result.ToDouble());
        Assert.Equal(FloatExceptions.Underflow | FloatExceptions.Inexact, context.Flags);
    }

    private static uint Third(FloatRounding rounding, bool negative)
    {
        var context = Masked();
        context.Rounding = rounding;
        var one = SoftFloat.FromInteger(negative ? -1 : 1);
        return SoftFloat.Divide(ref context, FloatFormat.Single, one, SoftFloat.FromInteger(3)).ToSingle();
    }

    private static FloatContext Masked() => new() { Masks = FloatExceptions.All };

    private static ulong Number(Random random) =>
        ((ulong)random.Next(2) << 63) | ((ulong)random.Next(1, 2046) << 52) | ((ulong)random.NextInt64() >> 11);

    private static void Check(double expected, FloatValue actual) =>
        Assert.Equal(BitConverter.DoubleToUInt64Bits(expected), actual.ToDouble());
}
