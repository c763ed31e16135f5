using Hypervisor.Engine.Processor;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>Masked and gathered memory operands at the end of a segment, in 32-bit code.</summary>
public sealed unsafe class MaskedAccessTests : IDisposable
{
    private const uint Data = (uint)ProcessorFixture.DataAddress;
    private const uint None = 0xFF, GeneralProtection = 13, Set = 0x8000_0000;

    private readonly ProtectedMachine _machine = new();

    public MaskedAccessTests()
    {
        _machine.Cpu.Cr4 = 0x4_0600;
        _machine.Cpu.State->Xcr0 = 7;
        _machine.Cpu.SetGeneralRegister(3, None);

        // Four elements lie within DS, what follows does not.
        _machine.Cpu.SetSegment(SegmentName.Ds, new SegmentState { Selector = ProtectedMachine.KernelData, Limit = Data + 15, Attributes = 0x4093 });
        for (uint n = 0; n < 8; n++)
        {
            _machine.Write32(Data + (n * 4), 100 + n);
        }
    }

    public void Dispose() => _machine.Dispose();

    [Theory]
    [InlineData(0x0F, None)]
    [InlineData(0x05, None)]
    [InlineData(0x00, None)]
    [InlineData(0x10, GeneralProtection)]
    [InlineData(0x81, GeneralProtection)]
    public void Elements_that_the_mask_leaves_out_are_not_checked_against_the_limit(int chosen, uint vector)
    {
        SetMask(1, chosen);
        Fill(2, 7);
        _machine.Execute(a => a.vmaskmovps(ymm2, ymm1, __[Data]));
        Assert.Equal(vector, _machine.Vector);
        for (int n = 0; n < 8; n++)
        {
            uint expected = vector != None ? 7 : (chosen >> n & 1) != 0 ? 100u + (uint)n : 0;
            Assert.Equal(expected, Lane(2, n));
        }
    }

    [Fact]
    public void A_masked_store_stores_all_its_elements_or_none()
    {
        SetMask(1, 0x13);
        Fill(2, 7);
        _machine.Execute(a => a.vpmaskmovd(__[Data], ymm1, ymm2));
        Assert.Equal(GeneralProtection, _machine.Vector);
        Assert.Equal([100u, 101u], [_machine.Read32(Data), _machine.Read32(Data + 4)]);
    }

    [Fact]
    public void A_masked_store_leaves_the_elements_between_alone()
    {
        SetMask(1, 0x0A);
        Fill(2, 7);
        _machine.Execute(a => a.vpmaskmovd(__[Data], ymm1, ymm2));
        Assert.Equal(None, _machine.Vector);
        Assert.Equal([100u, 7u, 102u, 7u], [_machine.Read32(Data), _machine.Read32(Data + 4), _machine.Read32(Data + 8), _machine.Read32(Data + 12)]);
    }

    [Fact]
    public void A_gather_without_a_base_reads_at_its_displacement()
    {
        SetMask(1, 0x0B);
        Fill(2, 7);
        SetIndices(0, 3, 2, 1);
        _machine.Execute(a => a.vpgatherdd(xmm2, __[(xmm3 * 4) + (int)Data], xmm1));
        Assert.Equal(None, _machine.Vector);
        Assert.Equal([100u, 103u, 7u, 101u, 0u], [Lane(2, 0), Lane(2, 1), Lane(2, 2), Lane(2, 3), Lane(2, 4)]);
        Assert.Equal([0u, 0u, 0u, 0u], [Lane(1, 0), Lane(1, 1), Lane(1, 2), Lane(1, 3)]);
    }

    [Fact]
    public void A_gather_that_faults_keeps_what_it_has_and_the_mask_of_the_rest()
    {
        SetMask(1, 0x0F);
        Fill(2, 7);
        SetIndices(1, 2, 5, 0);
        _machine.Execute(a => a.vpgatherdd(xmm2, __[(xmm3 * 4) + (int)Data], xmm1));
        Assert.Equal(GeneralProtection, _machine.Vector);
        Assert.Equal([101u, 102u, 7u, 7u], [Lane(2, 0), Lane(2, 1), Lane(2, 2), Lane(2, 3)]);
        Assert.Equal([0u, 0u, Set, Set], [Lane(1, 0), Lane(1, 1), Lane(1, 2), Lane(1, 3)]);
    }

    private ref uint Lane(int register, int lane) => ref ((uint*)&_machine.Cpu.State->Vectors)[(register * 8) + lane];

    private void SetMask(int register, int chosen)
    {
        for (int n = 0; n < 8; n++)
        {
            Lane(register, n) = (chosen >> n & 1) != 0 ? Set : 0;
        }
    }

    private void Fill(int register, uint value)
    {
        for (int n = 0; n < 8; n++)
        {
            Lane(register, n) = value;
        }
    }

    private void SetIndices(params ReadOnlySpan<uint> indices)
    {
        for (int n = 0; n < indices.Length; n++)
        {
            Lane(3, n) = indices[n];
        }
    }
}
