using Hypervisor.Engine.Processor;
using Hypervisor.Tests.Unit.Support;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>Counters of a processor, and the listing of what it made of the guest's code.</summary>
public sealed unsafe class TranslationListingTests : IDisposable
{
    private const int Rounds = 1000;

    private readonly ProcessorFixture _fixture = new();

    public void Dispose() => _fixture.Dispose();

    private void RunLoop() => _fixture.Execute(static a =>
    {
        Label again = a.CreateLabel();
        a.mov(ecx, Rounds);
        a.mov(rbx, ProcessorFixture.DataAddress);
        a.Label(ref again);
        a.add(rax, 5);
        a.mov(__qword_ptr[rbx], rax);
        a.rdtsc();
        a.dec(ecx);
        a.jne(again);
    });

    [TranslatorFact]
    public void Counters_move_when_code_is_translated_and_left()
    {
        ProcessorStatistics before = _fixture.Cpu.GetStatistics();
        RunLoop();
        ProcessorStatistics after = _fixture.Cpu.GetStatistics();
        Assert.Equal(0, before.DecodedBlocks);
        Assert.Equal(0, before.TranslatedBlocks);
        Assert.InRange(after.TranslatedBlocks, 1, after.DecodedBlocks);
        Assert.True(after.CopiedInstructions > 0);
        Assert.True(after.CodeBytes > 0);
        Assert.InRange(after.InterpreterExits, Rounds / 2, Rounds);
        Assert.Equal(nameof(Code.Rdtsc), after.ExitsByInstruction[0].Key);
    }

    [Fact]
    public void Time_is_counted_for_the_tier_that_a_sample_finds()
    {
        X86Processor cpu = _fixture.Cpu;
        Assert.Equal(ProcessorTier.Stopped, cpu.Tier);
        cpu.SampleTier(TimeSpan.FromSeconds(1));
        ProcessorStatistics stopped = cpu.GetStatistics();
        Assert.Equal((TimeSpan.Zero, TimeSpan.Zero), (stopped.InterpretedTime, stopped.TranslatedTime));
        var loop = new Thread(() => _fixture.Execute(static a =>
        {
            Label again = a.CreateLabel();
            a.Label(ref again);
            a.inc(rax);
            a.jmp(again);
        }));
        loop.Start();
        Assert.True(SpinWait.SpinUntil(() => cpu.Tier != ProcessorTier.Stopped, TimeSpan.FromMinutes(2)));
        cpu.SampleTier(TimeSpan.FromSeconds(1));
        cpu.RequestStop();
        loop.Join();
        ProcessorStatistics after = cpu.GetStatistics();
        Assert.Equal(TimeSpan.FromSeconds(1), after.InterpretedTime + after.TranslatedTime);
        Assert.Equal(ProcessorTier.Stopped, cpu.Tier);
    }

    [TranslatorFact]
    public void A_listing_names_the_guests_instructions_beside_the_hosts()
    {
        RunLoop();
        const ulong Loop = ProcessorFixture.CodeAddress + 15;
        IReadOnlyList<TranslationLine> lines = _fixture.Cpu.DescribeTranslation(Loop);
        Assert.Contains("translated (", lines[0].Guest, StringComparison.Ordinal);
        string[] guest = [.. lines.Select(static line => line.Guest).Where(static text => text.StartsWith("0x", StringComparison.Ordinal))];
        Assert.Contains(guest, text => text == $"0x{Loop:x}  add rax, 5");
        Assert.Contains(guest, static text => text.EndsWith("mov [rbx], rax", StringComparison.Ordinal));
        Assert.Contains(guest, static text => text.EndsWith("rdtsc", StringComparison.Ordinal));
        Assert.Contains(guest, text => text.Contains("jne", StringComparison.Ordinal) && text.EndsWith($"0x{Loop:x}", StringComparison.Ordinal));
        Assert.Equal("add rax, 5", lines.First(line => line.Guest.EndsWith("add rax, 5", StringComparison.Ordinal)).Host);
        Assert.Contains(lines, static line => line.Guest.EndsWith("rdtsc", StringComparison.Ordinal) && line.Host == "call interpreter");
        Assert.All(lines.Skip(1), static line => Assert.True(line.Offset is not null || line.Host.Length == 0));
        Assert.DoesNotContain(lines, static line => line.Host.Contains("bad", StringComparison.Ordinal));
    }

    [TranslatorFact]
    public void An_instruction_without_host_code_is_listed_too()
    {
        _fixture.Execute(static a =>
        {
            Label again = a.CreateLabel();
            a.mov(ecx, Rounds);
            a.Label(ref again);
            a.nop();
            a.nop();
            a.dec(ecx);
            a.jne(again);
        });
        IReadOnlyList<TranslationLine> lines = _fixture.Cpu.DescribeTranslation(ProcessorFixture.CodeAddress + 5);
        Assert.Contains(lines, static line => line.Guest == $"0x{ProcessorFixture.CodeAddress + 5:x}  nop");
        Assert.Contains(lines, static line => line.Guest == $"0x{ProcessorFixture.CodeAddress + 6:x}  nop");
    }

    [Fact]
    public void Listing_changes_nothing_that_the_guest_could_notice()
    {
        RunLoop();
        const ulong Entry = 0xA000;
        ulong before = _fixture.Read(Entry), fault = _fixture.Cpu.Cr2;
        _fixture.Write(Entry + 8, 0x20_0087);
        _fixture.Cpu.DescribeTranslation(0x20_0000);
        _fixture.Cpu.DescribeTranslation(0x7F_FFFF_F000);
        Assert.Equal((before, 0x20_0087ul, fault), (_fixture.Read(Entry), _fixture.Read(Entry + 8), _fixture.Cpu.Cr2));
        RunLoop();
    }

    [Fact]
    public void An_address_in_the_middle_of_a_block_finds_the_block()
    {
        RunLoop();
        IReadOnlyList<TranslationLine> lines = _fixture.Cpu.DescribeTranslation(ProcessorFixture.CodeAddress + 5);
        Assert.Contains(lines, static line => line.Address == ProcessorFixture.CodeAddress && line.Guest.Contains("mov ecx, ", StringComparison.Ordinal));
    }

    [Fact]
    public void Code_that_was_never_run_is_listed_without_host_code()
    {
        _fixture.Load(ProcessorFixture.DataAddress, static a =>
        {
            a.xor(eax, eax);
            a.ret();
        });
        IReadOnlyList<TranslationLine> lines = _fixture.Cpu.DescribeTranslation(ProcessorFixture.DataAddress);
        Assert.Equal(3, lines.Count);
        Assert.EndsWith("xor eax, eax", lines[1].Guest, StringComparison.Ordinal);
        Assert.All(lines, static line => Assert.Null(line.Offset));
    }

    [Theory]
    [InlineData(0x8000_0000_0000_0000ul, "nothing is mapped")]
    [InlineData(0x7F_FFFF_F000ul, "nothing is mapped")]
    [InlineData(0x3000_0000ul, "no memory")]
    public void Addresses_without_code_are_said_to_be_so(ulong address, string text)
    {
        _fixture.Execute(static a => a.nop());
        IReadOnlyList<TranslationLine> lines = _fixture.Cpu.DescribeTranslation(address);
        Assert.Contains(text, Assert.Single(lines).Guest, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_an_address_it_is_where_the_processor_goes_on()
    {
        _fixture.Execute(static a => a.nop());
        Assert.Equal(_fixture.Cpu.Rip, _fixture.Cpu.DescribeTranslation()[0].Address);
    }

    [Fact]
    public void Code_that_changed_and_code_that_was_forgotten_do_no_harm()
    {
        RunLoop();
        new Span<byte>(_fixture.Host + ProcessorFixture.CodeAddress, 64).Fill(0x90);
        Assert.Contains(_fixture.Cpu.DescribeTranslation(ProcessorFixture.CodeAddress), static line => line.Guest.EndsWith("(changed in memory)", StringComparison.Ordinal));
        _fixture.Cpu.FlushPhysicalMappings();
        _fixture.Execute(static a => a.nop());
        Assert.Contains("not been executed", _fixture.Cpu.DescribeTranslation(ProcessorFixture.CodeAddress + 32)[0].Guest, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(16)]
    [InlineData(32)]
    public void Older_modes_are_listed_in_their_own_width(int bits)
    {
        using var fixture = new ProcessorFixture(bits);
        fixture.Execute(static a => a.mov(ax, 0x1234));
        IReadOnlyList<TranslationLine> lines = fixture.Cpu.DescribeTranslation(bits == 16 ? 0x1000 : ProcessorFixture.CodeAddress);
        Assert.Contains("interpreted", lines[0].Guest, StringComparison.Ordinal);
        Assert.EndsWith("mov ax, 0x1234", lines[1].Guest, StringComparison.Ordinal);
    }
}
