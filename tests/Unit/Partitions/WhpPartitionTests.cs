using Hypervisor.Engine.Native.Whp;
using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Partitions.Whp;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Partitions;

/// <summary>The contract on the Windows Hypervisor Platform; skipped where that is not to be had.</summary>
[Backend(Factory = typeof(WhpPartitionFactory))]
public class WhpPartitionTests() : PartitionContractTests(new WhpPartitionFactory());

/// <summary>What of that backend can be tested anywhere.</summary>
public class WhpBackendTests
{
    [Fact]
    public void Off_windows_the_backend_says_so_and_refuses()
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        var factory = new WhpPartitionFactory();
        var probe = factory.Probe();
        Assert.False(probe.Available);
        Assert.Contains("Windows", probe.Reason, StringComparison.Ordinal);
        var options = new PartitionOptions { ProcessorCount = 1, Bus = null!, Clock = null! };
        Assert.Throws<PartitionException>(() => factory.Create(options));
    }

    [Theory]
    [InlineData(0xC000_0080, WhpRegister.Efer)]
    [InlineData(0x277, WhpRegister.Pat)]
    [InlineData(0x201, WhpRegister.MtrrPhysMask0)]
    [InlineData(0x202, WhpRegister.MtrrPhysBase0 + 1)]
    [InlineData(0x26F, WhpRegister.MtrrFix4kF8000)]
    public void Model_specific_registers_have_their_names(uint index, WhpRegister register) => Assert.Equal(register, WhpMsrs.Find(index));

    [Fact]
    public void Cpuid_shows_the_processors_own_id_and_the_model()
    {
        var policy = new WhpCpuidPolicy(ProcessorModel.V2, coresPerSocket: 4, processors: 8, tscHertz: 3_000_000_000, apicHertz: 200_000_000);
        uint eax = uint.MaxValue, ebx = uint.MaxValue, ecx = uint.MaxValue, edx = uint.MaxValue;
        policy.Apply(5, 1, 0, ref eax, ref ebx, ref ecx, ref edx);
        Assert.Equal(5u, ebx >> 24);
        Assert.Equal(4u, (ebx >> 16) & 0xFF);
        Assert.Equal(0u, ecx & (1u << 28));
        Assert.NotEqual(0u, ecx & (1u << 20));
        Assert.NotEqual(0u, ecx & (1u << 31));
        policy.Apply(5, 0x4000_0010, 0, ref eax, ref ebx, ref ecx, ref edx);
        Assert.Equal((3_000_000u, 200_000u), (eax, ebx));
    }
}
