using Hypervisor.Engine.Native.Kvm;
using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Partitions.Kvm;

namespace Hypervisor.Tests.Unit.Partitions;

public class KvmCpuidPolicyTests
{
    private const uint Intel = 0x756E_6547;

    [Fact]
    public void Every_processor_shows_its_own_apic_id()
    {
        var policy = Create(processors: 8, coresPerSocket: 4);
        for (int i = 0; i < 8; i++)
        {
            var leaves = policy.ForProcessor(i);
            Assert.Equal((uint)i, Leaf(leaves, 1).Ebx >> 24);
            Assert.Equal(4u, (Leaf(leaves, 1).Ebx >> 16) & 0xFF);
            Assert.Equal(2u, Leaf(leaves, 0xB, 1).Eax);
            Assert.Equal((uint)i, Leaf(leaves, 0xB, 1).Edx);
        }
    }

    [Fact]
    public void What_is_not_virtualized_is_taken_away()
    {
        var leaves = Create().ForProcessor(0);

        // MONITOR, VMX; the hypervisor bit is added.
        Assert.Equal(0u, Leaf(leaves, 1).Ecx & (1u << 3 | 1u << 5));
        Assert.NotEqual(0u, Leaf(leaves, 1).Ecx & 1u << 31);
        Assert.DoesNotContain(leaves, leaf => leaf.Function == 0xA);
        Assert.Equal(0u, Leaf(leaves, 7).Ebx & 1u << 2);
        Assert.Equal(0u, Leaf(leaves, 0x8000_0001).Ecx & 1u << 2);
    }

    [Fact]
    public void The_promise_of_register_10a_is_kept_only_where_the_host_knows_it()
    {
        Assert.Equal(0u, Leaf(Create().ForProcessor(0), 7).Edx & 1u << 29);
        Assert.NotEqual(0u, Leaf(Create(architecturalCapabilities: true).ForProcessor(0), 7).Edx & 1u << 29);
    }

    [Fact]
    public void A_model_takes_away_what_lies_above_it()
    {
        // SSE3, SSE4.2, AVX in leaf 1; AVX2 and AVX-512F in leaf 7.
        const uint sse3 = 1u << 0, sse42 = 1u << 20, avx = 1u << 28, avx2 = 1u << 5, avx512 = 1u << 16;
        (ProcessorModel Model, uint Leaf1, uint Leaf7)[] expected =
        [
            (ProcessorModel.Host, sse3 | sse42 | avx, avx2 | avx512),
            (ProcessorModel.V1, 0, 0),
            (ProcessorModel.V2, sse3 | sse42, 0),
            (ProcessorModel.V3, sse3 | sse42 | avx, avx2),
        ];
        foreach (var (model, leaf1, leaf7) in expected)
        {
            var leaves = Create(model: model).ForProcessor(0);
            Assert.Equal(leaf1, Leaf(leaves, 1).Ecx & (sse3 | sse42 | avx));
            Assert.Equal(leaf7, Leaf(leaves, 7).Ebx & (avx2 | avx512));
        }
    }

    [Fact]
    public void The_clock_leaves_give_the_frequency_of_the_tsc()
    {
        var leaves = Create().ForProcessor(0);
        Assert.Equal((2_500_000u, 1_000_000u), (Leaf(leaves, 0x4000_0010).Eax, Leaf(leaves, 0x4000_0010).Ebx));
        var crystal = Leaf(leaves, 0x15);
        Assert.Equal(2_500_000_000ul, (ulong)crystal.Ecx * crystal.Ebx / crystal.Eax);
    }

    [Theory]
    [InlineData(null, ProcessorModel.Host)]
    [InlineData("x86-64-v1", ProcessorModel.V1)]
    [InlineData("V2", ProcessorModel.V2)]
    [InlineData("X86-64-v3", ProcessorModel.V3)]
    public void Model_names_are_read_without_regard_to_case(string? name, ProcessorModel model) => Assert.Equal(model, ProcessorModels.Parse(name));

    private static KvmCpuidPolicy Create(int processors = 1, int coresPerSocket = 1, ProcessorModel model = ProcessorModel.Host, bool architecturalCapabilities = false) =>
        new(Everything(), processors, coresPerSocket, model, 2_500_000, tscDeadline: true, architecturalCapabilities);

    /// <summary>A host with every bit set.</summary>
    private static KvmCpuidEntry[] Everything() =>
    [
        Entry(0, 0x1F, Intel), Entry(1), Entry(4), Entry(6), Entry(7), Entry(0xA), Entry(0xB), Entry(0xD), Entry(0x15),
        Entry(0x4000_0000, 0x4000_0001), Entry(0x4000_0001), Entry(0x8000_0000, 0x8000_001F), Entry(0x8000_0001), Entry(0x8000_0008),
    ];

    private static KvmCpuidEntry Entry(uint function, uint eax = uint.MaxValue, uint ebx = uint.MaxValue) => new()
    {
        Function = function,
        Flags = function is 4 or 7 or 0xB or 0xD ? KvmCpuidEntry.SignificantIndex : 0,
        Eax = eax,
        Ebx = ebx,
        Ecx = uint.MaxValue,
        Edx = uint.MaxValue,
    };

    private static KvmCpuidEntry Leaf(KvmCpuidEntry[] leaves, uint function, uint index = 0) =>
        leaves.Single(leaf => leaf.Function == function && leaf.Index == index);
}
