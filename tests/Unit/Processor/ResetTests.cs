using Hypervisor.Engine.Processor;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>What is asked of a processor before it is reset is not lost by that.</summary>
public sealed class ResetTests
{
    private const ulong Code = 0x1000;

    [Fact]
    public void Code_that_was_written_before_a_reset_is_what_runs_after_it()
    {
        using var fixture = new ProcessorFixture(16);
        for (uint n = 1; n < 4; n++)
        {
            fixture.Load(Code, a =>
            {
                a.mov(eax, n);
                a.hlt();
            });

            // As a device does, while the processor stands still.
            fixture.CodePageWritten(Code >> 12);
            fixture.Cpu.Reset();
            fixture.Cpu.SetSegment(SegmentName.Cs, new SegmentState { Limit = 0xFFFF, Attributes = 0x9B });
            fixture.Cpu.Rip = Code;
            Assert.Equal(StopReason.Halted, fixture.Cpu.Run());
            Assert.Equal((ulong)n, fixture.Cpu.GetGeneralRegister(0));
        }
    }

    [Fact]
    public void A_request_to_stop_outlives_a_reset_and_interrupts_do_not()
    {
        using var fixture = new ProcessorFixture(16);
        fixture.Cpu.RequestStop();
        fixture.Cpu.InjectNmi();
        fixture.Cpu.SignalInterrupt();
        fixture.Cpu.Init();
        fixture.Cpu.Reset();
        Assert.True(fixture.Cpu.HasWork);
        fixture.Load(Code, a => a.hlt());
        fixture.Cpu.SetSegment(SegmentName.Cs, new SegmentState { Limit = 0xFFFF, Attributes = 0x9B });
        fixture.Cpu.Rip = Code;
        Assert.Equal(StopReason.Requested, fixture.Cpu.Run());
        Assert.False(fixture.Cpu.HasWork);
        Assert.Equal(StopReason.Halted, fixture.Cpu.Run());
        Assert.Equal(Code + 1, fixture.Cpu.Rip);
    }
}
