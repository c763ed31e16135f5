using Hypervisor.Engine.Processor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>Two processors at one operand: interpreted both, and one interpreted with one translated.</summary>
public sealed class LockedOperandTests
{
    private const int Rounds = 20_000;

    // Two bytes below the end of a page.
    private const ulong Split = 0x30_0FFE, Wide = 0x30_0010;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void No_increment_of_a_locked_operand_across_pages_is_lost(bool translate)
    {
        using var fixture = new ProcessorFixture();
        RunOnBoth(fixture, translate, a => a.@lock.inc(__dword_ptr[(long)Split]));
        Assert.Equal(2u * Rounds, (uint)fixture.Read(Split));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void No_exchange_of_sixteen_bytes_is_torn_or_lost(bool translate)
    {
        using var fixture = new ProcessorFixture();
        fixture.Write(Wide + 8, 1ul << 40);
        RunOnBoth(fixture, translate, a =>
        {
            var again = a.CreateLabel();
            a.mov(rax, __qword_ptr[(long)Wide]);
            a.mov(rdx, __qword_ptr[(long)Wide + 8]);
            a.Label(ref again);
            a.mov(rbx, rax);
            a.mov(rcx, rdx);
            a.inc(rbx);
            a.inc(rcx);
            a.@lock.cmpxchg16b(__[(long)Wide]);
            a.jne(again);
        });
        Assert.Equal(2ul * Rounds, fixture.Read(Wide));
        Assert.Equal((1ul << 40) + (2ul * Rounds), fixture.Read(Wide + 8));
    }

    private static void RunOnBoth(ProcessorFixture fixture, bool translate, Action<Assembler> operation)
    {
        fixture.Load(ProcessorFixture.CodeAddress, a =>
        {
            var top = a.CreateLabel();
            a.mov(rsi, Rounds);
            a.Label(ref top);
            operation(a);
            a.dec(rsi);
            a.jne(top);
            a.hlt();
        });
        using var first = fixture.AddProcessor(translate);
        using var second = fixture.AddProcessor(translate: false);
        first.Rip = second.Rip = ProcessorFixture.CodeAddress;
        var thread = new Thread(() => Assert.Equal(StopReason.Halted, second.Run()));
        thread.Start();
        Assert.Equal(StopReason.Halted, first.Run());
        thread.Join();
    }
}
