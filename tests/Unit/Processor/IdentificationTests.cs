using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>What CPUID says of the processor.</summary>
public sealed class IdentificationTests
{
    // Models of family 6 that were never sold with AVX: Nehalem, Westmere, Silvermont, Airmont, Goldmont, Goldmont Plus, Tremont.
    private static readonly uint[] ModelsWithoutAvx =
        [0x1A, 0x1E, 0x1F, 0x2E, 0x25, 0x2C, 0x2F, 0x37, 0x4A, 0x4D, 0x5A, 0x4C, 0x5C, 0x5F, 0x7A, 0x86, 0x96, 0x9C];

    // GCC's target_clones("arch=…") chooses code by the model, without a look at the feature bits.
    [Fact]
    public void The_model_implies_no_vector_extension_that_the_features_lack()
    {
        const ulong Avx = 1 << 28;
        using var fixture = new ProcessorFixture();
        fixture.Execute(a =>
        {
            a.mov(eax, 1);
            a.xor(ecx, ecx);
            a.cpuid();
        });
        uint signature = (uint)fixture.Cpu.GetGeneralRegister(0);
        uint family = (signature >> 8) & 15;
        uint model = ((signature >> 12) & 0xF0) | ((signature >> 4) & 15);
        Assert.Equal(6u, family);
        Assert.True((fixture.Cpu.GetGeneralRegister(1) & Avx) != 0 || ModelsWithoutAvx.Contains(model), $"model {model:X}h");
    }
}
