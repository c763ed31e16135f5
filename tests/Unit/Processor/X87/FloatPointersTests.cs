using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor.X87;

/// <summary>What the x87 remembers of its last instruction (Intel SDM vol. 1, 8.1.8 and 8.1.9).</summary>
public sealed class FloatPointersTests
{
    private const ulong Environment = ProcessorFixture.DataAddress;

    [Fact]
    public void The_opcode_of_an_instruction_with_an_unmasked_exception_is_kept()
    {
        using var fixture = new ProcessorFixture();
        fixture.Execute(a =>
        {
            a.fninit();
            a.mov(__word_ptr[(long)Environment + 64], 0x37B);
            a.fldcw(__word_ptr[(long)Environment + 64]);
            a.fld1();
            a.fldz();
            a.fdivp(st1, st0);
            a.fnstenv(__[(long)Environment]);
        });
        // DE F9, and FIP is where it stands; masked instructions leave no opcode.
        Assert.Equal(0x6F9ul, fixture.Read(Environment + 16) >> 16 & 0x7FF);
    }

    [Fact]
    public void Without_an_exception_there_is_no_opcode()
    {
        using var fixture = new ProcessorFixture();
        fixture.Execute(a =>
        {
            a.fninit();
            a.fld1();
            a.fnstenv(__[(long)Environment]);
        });
        Assert.Equal(ProcessorFixture.CodeAddress + 2, fixture.Read(Environment + 12) & uint.MaxValue);
        Assert.Equal(0ul, fixture.Read(Environment + 16) >> 16 & 0x7FF);
    }
}
