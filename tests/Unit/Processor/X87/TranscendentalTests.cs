using Hypervisor.Engine.Processor.FloatingPoint;

namespace Hypervisor.Tests.Unit.Processor.X87;

/// <summary>Elementary functions at points whose values are known to 64 bits.</summary>
public sealed class TranscendentalTests
{
    private static readonly WideFloat One = WideFloat.From(1);

    [Fact]
    public void Four_times_the_arctangent_of_one_is_pi() =>
        Assert.Equal(new Float80(0xC90F_DAA2_2168_C235, 0x4000), Round(Transcendental.Arctangent(One, One).Scaled(2)));

    [Fact]
    public void The_binary_logarithm_of_ten_is_the_constant_that_FLDL2T_loads() =>
        Assert.Equal(new Float80(0xD49A_784B_CD1B_8AFE, 0x4000), Round(Transcendental.Log2(WideFloat.From(10))));

    [Fact]
    public void The_square_root_of_two_less_one_is_two_to_the_half_less_one() =>
        Assert.Equal(new Float80(0xD413_CCCF_E779_9211, 0x3FFD), Round(Transcendental.PowerOfTwoLessOne(One.Scaled(-1))));

    [Fact]
    public void The_squares_of_sine_and_cosine_add_up_to_one()
    {
        for (int at = 1; at < 200; at++)
        {
            Transcendental.SineAndCosine(SoftFloat.FromInteger((long)at * at * 7_654_321), out var sine, out var cosine);
            var error = (sine * sine) + (cosine * cosine) - One;
            Assert.True(error.IsZero || error.Exponent < -118);
        }
    }

    private static Float80 Round(WideFloat value)
    {
        var context = new FloatContext { Masks = FloatExceptions.All };
        return value.Round(ref context).ToExtended();
    }
}
