using Hypervisor.Engine.Processor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>Where near branches may go, and where code may run on to.</summary>
public sealed class BranchLimitTests
{
    private const ulong Handler = 0x12_0000;

    [Theory]
    [InlineData("jmp")]
    [InlineData("call")]
    [InlineData("ret")]
    public void A_branch_to_a_non_canonical_address_faults_at_the_branch_and_changes_nothing(string branch)
    {
        using var fixture = new ProcessorFixture();
        fixture.Write(0x6000 + 8, 0x00AF_9B00_0000_FFFF);
        fixture.Cpu.Gdtr = (0x6000, 0xFF);
        fixture.Cpu.Idtr = (0x7000, 0x7FF);
        fixture.Write(0x7000 + (13 * 16), (Handler & 0xFFFF) | (8 << 16) | (0x8Eul << 40) | ((Handler >> 16) << 48));
        fixture.Load(Handler, a =>
        {
            a.mov(rcx, __[rsp + 8]);
            a.mov(rdx, __[rsp + 32]);
            a.hlt();
        });
        fixture.Execute(a =>
        {
            a.mov(rax, 0x0000_8000_0000_0000);
            a.push(rax);
            switch (branch)
            {
                case "jmp": a.jmp(rax); break;
                case "call": a.call(rax); break;
                default: a.ret(); break;
            }
        });
        Assert.Equal(ProcessorFixture.CodeAddress + 11, fixture.Cpu.GetGeneralRegister(1));
        Assert.Equal(ProcessorFixture.StackTop - 8, fixture.Cpu.GetGeneralRegister(2));
    }

    [Theory]
    [InlineData("jmp")]
    [InlineData("call")]
    [InlineData("ret")]
    public void A_branch_that_was_taken_often_still_faults_where_it_stands(string branch)
    {
        using var fixture = new ProcessorFixture();
        fixture.Write(0x6000 + 8, 0x00AF_9B00_0000_FFFF);
        fixture.Cpu.Gdtr = (0x6000, 0xFF);
        fixture.Cpu.Idtr = (0x7000, 0x7FF);
        fixture.Write(0x7000 + (13 * 16), (Handler & 0xFFFF) | (8 << 16) | (0x8Eul << 40) | ((Handler >> 16) << 48));
        fixture.Load(Handler, a =>
        {
            a.mov(rcx, __[rsp + 8]);
            a.mov(rdx, __[rsp + 32]);
            a.hlt();
        });
        Label place = default;
        Label after = default;
        fixture.Execute(a =>
        {
            var top = a.CreateLabel();
            place = a.CreateLabel();
            after = a.CreateLabel();
            a.lea(rsi, __[after]);
            a.mov(rdi, 0x0000_8000_0000_0000);
            a.mov(ebx, 1000);
            a.Label(ref top);
            a.mov(rsp, (long)ProcessorFixture.StackTop);
            a.dec(ebx);
            a.cmove(rsi, rdi);
            a.push(rsi);
            a.lea(r8, __[place]);
            a.Label(ref place);
            switch (branch)
            {
                case "jmp": a.jmp(rsi); break;
                case "call": a.call(rsi); break;
                default: a.ret(); break;
            }

            a.Label(ref after);
            a.test(ebx, ebx);
            a.jne(top);
        });
        Assert.Equal(fixture.Cpu.GetGeneralRegister(8), fixture.Cpu.GetGeneralRegister(1));
        Assert.Equal(ProcessorFixture.StackTop - 8, fixture.Cpu.GetGeneralRegister(2));
    }

    [Fact]
    public void A_branch_beyond_the_code_segment_faults_at_the_branch()
    {
        using var machine = new ProtectedMachine();
        machine.Cpu.SetSegment(SegmentName.Cs, new SegmentState { Selector = 8, Limit = 0x10_0FFF, Attributes = 0xC09B });
        machine.Execute(a =>
        {
            a.mov(ecx, 1);
            a.mov(eax, 0x10_1000);
            a.jmp(eax);
        });
        Assert.Equal(13u, machine.Vector);
        Assert.Equal((uint)ProcessorFixture.CodeAddress + 10, machine.Stacked(1));
    }

    [Theory]
    [InlineData(0x1A)]
    [InlineData(0x1B)]
    [InlineData(0x1D)]
    [InlineData(0x1E)]
    public void Code_runs_up_to_the_limit_of_its_segment_and_no_further(int limit)
    {
        using var machine = new ProtectedMachine();
        machine.Cpu.SetSegment(SegmentName.Cs, new SegmentState { Selector = 8, Limit = (uint)ProcessorFixture.CodeAddress + (uint)limit, Attributes = 0xC09B });
        var end = machine.Execute(a =>
        {
            a.xor(eax, eax);
            for (int n = 0; n < 5; n++)
            {
                a.add(eax, 0x1000);
            }

            a.nop();
            a.nop();
        });
        // Two bytes, five times five, NOPs at 1Bh and 1Ch, HLT at 1Dh.
        Assert.Equal(StopReason.Halted, end);
        Assert.Equal(0x5000u, machine.Eax);
        Assert.Equal(limit >= 0x1D ? 0u : 13u, machine.Vector);
        if (limit < 0x1D)
        {
            Assert.Equal((uint)ProcessorFixture.CodeAddress + (uint)limit + 1, machine.Stacked(1));
        }
    }

    [Fact]
    public void An_instruction_half_beyond_the_limit_is_not_executed()
    {
        using var machine = new ProtectedMachine();
        machine.Cpu.SetSegment(SegmentName.Cs, new SegmentState { Selector = 8, Limit = (uint)ProcessorFixture.CodeAddress + 4, Attributes = 0xC09B });
        machine.Execute(a =>
        {
            a.xor(eax, eax);
            a.add(eax, 0x1000);
        });
        Assert.Equal(13u, machine.Vector);
        Assert.Equal(0u, machine.Eax);
        Assert.Equal((uint)ProcessorFixture.CodeAddress + 2, machine.Stacked(1));
    }

    [Fact]
    public void Real_mode_code_does_not_run_past_64_KB()
    {
        using var fixture = new ProcessorFixture(bits: 16);
        fixture.Write(13 * 4, 0x2000);
        fixture.Load(0xFFFE, a =>
        {
            a.nop();
            a.nop();
        });
        fixture.Load(0x2000, a =>
        {
            a.pop(ax);
            a.hlt();
        });
        // What lies behind is not to be executed.
        fixture.Load(0x1_0000, a =>
        {
            a.mov(ax, 1);
            a.hlt();
        });
        fixture.Execute(a => a.jmp(0xFFFE));
        Assert.Equal(0ul, fixture.Cpu.GetGeneralRegister(0) & 0xFFFF);
        Assert.Equal(0x2002ul, fixture.Cpu.Rip);
    }

    [Fact]
    public void A_conditional_branch_with_a_short_operand_goes_on_in_full_width_when_not_taken()
    {
        using var machine = new ProtectedMachine();
        machine.Execute(a =>
        {
            a.xor(eax, eax);
            // JNZ rel16
            a.db(0x66, 0x0F, 0x85, 0x00, 0x00);
            a.mov(eax, 5);
        });
        Assert.Equal(5u, machine.Eax);
    }
}
