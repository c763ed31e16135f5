using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.Simd;

namespace Hypervisor.Tests.Unit.Processor.Simd;

/// <summary>The rounds that hosts without AES instructions use, on the example of FIPS 197, appendix B.</summary>
public sealed class AesRoundsTests
{
    private const string Start = "193de3bea0f4e22b9ac68d2ae9f84808";
    private const string Substituted = "d42711aee0bf98f1b8b45de51e415230";
    private const string Shifted = "d4bf5d30e0b452aeb84111f11e2798e5";
    private const string Mixed = "046681e5e0cb199a48f8d37a2806264c";

    [Fact]
    public void A_round_goes_through_the_states_of_the_standards_example()
    {
        Assert.Equal(State(Substituted), AesRounds.Substitute(State(Start)));
        Assert.Equal(State(Shifted), AesRounds.ShiftRows(State(Substituted)));
        Assert.Equal(State(Mixed), AesRounds.MixColumns(State(Shifted)));
    }

    [Fact]
    public void The_inverse_steps_lead_back()
    {
        Assert.Equal(State(Shifted), AesRounds.InverseMixColumns(State(Mixed)));
        Assert.Equal(State(Substituted), AesRounds.InverseShiftRows(State(Shifted)));
        Assert.Equal(State(Start), AesRounds.InverseSubstitute(State(Substituted)));
    }

    private static Vector128<byte> State(string hex) => Vector128.Create(Convert.FromHexString(hex));
}
