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

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_locked_operand_that_is_half_a_devices_is_written_though_the_device_never_says_the_same_twice(bool translate)
    {
        const ulong Half = ProcessorFixture.MemoryBytes - 2;
        ulong answer = 0;
        using var fixture = new ProcessorFixture { Devices = _ => ++answer };
        fixture.Load(ProcessorFixture.CodeAddress, a =>
        {
            a.mov(ecx, 3);
            var top = a.CreateLabel();
            a.Label(ref top);
            a.mov(eax, 0x1234_5678);
            a.xchg(__dword_ptr[(long)Half], eax);
            a.@lock.inc(__dword_ptr[(long)Half]);
            a.@lock.bts(__dword_ptr[(long)Half], 31);
            a.dec(ecx);
            a.jne(top);
            a.hlt();
        });
        using var cpu = fixture.AddProcessor(translate);
        cpu.Rip = ProcessorFixture.CodeAddress;
        var thread = new Thread(() => Assert.Equal(StopReason.Halted, cpu.Run())) { IsBackground = true };
        thread.Start();
        Assert.True(thread.Join(TimeSpan.FromMinutes(2)), "The processor asks the device for ever.");
        Assert.Equal(9, fixture.MmioWrites.Count);
        Assert.All(fixture.MmioWrites, static write => Assert.Equal((ProcessorFixture.MemoryBytes, 2), (write.Address, write.Size)));
        Assert.Equal(0x1234ul, fixture.MmioWrites[0].Value);
        Assert.All(fixture.MmioWrites.Where(static (_, n) => n % 3 == 2), static write => Assert.True((write.Value & 0x8000) != 0));
        Assert.Equal(0x5679u, (uint)(fixture.Read(Half - 6) >> 48));
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
