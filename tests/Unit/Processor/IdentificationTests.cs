namespace Hypervisor.Tests.Unit.Processor;

/// <summary>What CPUID says of the processor.</summary>
public sealed class IdentificationTests
{
    private const uint Avx = 1u << 28, Fma = 1u << 12, F16C = 1u << 29, Movbe = 1u << 22;
    private const uint Bmi1 = 1u << 3, Avx2 = 1u << 5, Bmi2 = 1u << 8, Lzcnt = 1u << 5;

    // GCC's target_clones("arch=…") chooses code by the model, without a look at the feature bits: Goldmont D never had AVX, and
    // Broadwell has nothing for user mode that is not here.
    [Theory]
    [InlineData(0, 0x3D)]
    [InlineData(1, 0x5F)]
    [InlineData(2, 0x5F)]
    [InlineData(3, 0x3D)]
    public void The_model_implies_no_vector_extension_that_the_features_lack(int level, uint expectedModel)
    {
        using var fixture = new ProcessorFixture(level: level);
        var (signature, _, features, _) = Identify(fixture, 1, 0);
        Assert.Equal(6u, (signature >> 8) & 15);
        Assert.Equal(expectedModel, ((signature >> 12) & 0xF0) | ((signature >> 4) & 15));
        Assert.Equal(expectedModel == 0x3D, (features & Avx) != 0);
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(3, true)]
    [InlineData(0, true)]
    public void The_third_level_shows_all_of_its_features_and_the_lower_ones_none(int level, bool shown)
    {
        using var fixture = new ProcessorFixture(level: level);
        const uint leaf1 = Avx | Fma | F16C;
        const uint leaf7 = Bmi1 | Avx2 | Bmi2;
        Assert.Equal(shown ? leaf1 : 0, Identify(fixture, 1, 0).Ecx & leaf1);
        Assert.Equal(shown ? leaf7 : 0, Identify(fixture, 7, 0).Ebx & leaf7);
        Assert.Equal(shown ? Lzcnt : 0, Identify(fixture, 0x8000_0001, 0).Ecx & Lzcnt);
        Assert.NotEqual(0u, Identify(fixture, 1, 0).Ecx & Movbe);
        Assert.Equal(shown ? 7u : 3u, Identify(fixture, 0xD, 0).Eax);
        Assert.Equal(shown ? 832u : 576u, Identify(fixture, 0xD, 0).Ecx);
        Assert.Equal((shown ? 256u : 0u, shown ? 576u : 0u), (Identify(fixture, 0xD, 2).Eax, Identify(fixture, 0xD, 2).Ebx));
    }

    private static (uint Eax, uint Ebx, uint Ecx, uint Edx) Identify(ProcessorFixture fixture, uint leaf, uint subleaf)
    {
        fixture.Cpu.Identify(leaf, subleaf, out uint eax, out uint ebx, out uint ecx, out uint edx);
        return (eax, ebx, ecx, edx);
    }
}
