using Hypervisor.Engine.Processor;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>Checks of model-specific registers (Intel SDM vol. 4 and vol. 3A).</summary>
public sealed class ModelSpecificRegisterTests : IDisposable
{
    private readonly ProcessorFixture _fixture = new();

    private X86Processor Cpu => _fixture.Cpu;

    [Fact]
    public void Eight_variable_ranges_the_fixed_ones_and_write_combining_are_announced() => Assert.Equal(0x508ul, Read(0xFE));

    [Theory]
    [InlineData(0x200, 0x8000_0006ul, true)]
    [InlineData(0x200, 0x8000_0002ul, false)]
    [InlineData(0x200, 0x8000_0106ul, false)]
    [InlineData(0x200, 0x0100_0000_0000ul, false)]
    [InlineData(0x201, 0xFF_8000_0800ul, true)]
    [InlineData(0x201, 0xFF_8000_0801ul, false)]
    [InlineData(0x250, 0x0606_0606_0606_0606ul, true)]
    [InlineData(0x26F, 0x0606_0606_0606_0706ul, false)]
    [InlineData(0x2FF, 0xC06ul, true)]
    [InlineData(0x2FF, 0x1C06ul, false)]
    [InlineData(0x2FF, 0xC07ul, false)]
    [InlineData(0x277, 0x0007_0406_0007_0105ul, true)]
    [InlineData(0x277, 0x0007_0406_0007_0102ul, false)]
    [InlineData(0x175, 0x0000_8000_0000_0000ul, false)]
    [InlineData(0x48, 0x400ul, true)]
    [InlineData(0x48, 8ul, false)]
    [InlineData(0xC000_0103, 0x1_0000_0000ul, false)]
    [InlineData(0x17A, 8ul, false)]
    [InlineData(0x17B, ulong.MaxValue, true)]
    [InlineData(0x400, ulong.MaxValue, true)]
    public void What_may_be_written_is_kept_and_what_may_not_leaves_the_register_alone(uint index, ulong value, bool allowed)
    {
        ulong before = Read(index);
        Assert.Equal(allowed, Cpu.TryWriteMsr(index, value));
        Assert.Equal(allowed ? value : before, Read(index));
    }

    [Fact]
    public void Machine_check_banks_can_be_cleared_but_not_set()
    {
        Assert.Equal(0x10Aul, Read(0x179));
        Assert.True(Cpu.TryWriteMsr(0x401, 0));
        Assert.False(Cpu.TryWriteMsr(0x401, 1));
        Assert.False(Cpu.TryWriteMsr(0x402, ulong.MaxValue));
        Assert.False(Cpu.TryReadMsr(0x400 + (4 * 10), out _));
    }

    public void Dispose() => _fixture.Dispose();

    private ulong Read(uint index)
    {
        Assert.True(Cpu.TryReadMsr(index, out ulong value));
        return value;
    }
}
