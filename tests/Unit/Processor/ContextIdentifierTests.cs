using Hypervisor.Engine.Processor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>Process-context identifiers and INVPCID (Intel SDM vol. 3A, 4.10.1).</summary>
public sealed class ContextIdentifierTests : IDisposable
{
    private const ulong Contexts = 0x2_0000, Handler = 0x12_0000, Descriptor = 0x1E_0000, Directory = 0xA000, Tables = 0x8000;

    private readonly ProcessorFixture _fixture = new();

    public ContextIdentifierTests()
    {
        _fixture.Write(0x6000 + 8, 0x00AF_9B00_0000_FFFF);
        _fixture.Cpu.Gdtr = (0x6000, 0xFF);
        _fixture.Cpu.Idtr = (0x7000, 0x7FF);
        _fixture.Write(0x7000 + (13 * 16), (Handler & 0xFFFF) | (8 << 16) | (0x8Eul << 40) | ((Handler >> 16) << 48));
        _fixture.Load(Handler, a =>
        {
            a.mov(r15, -1);
            a.hlt();
        });
    }

    [Fact]
    public void Both_are_announced()
    {
        _fixture.Execute(a =>
        {
            a.mov(eax, 1);
            a.cpuid();
            a.mov(r8, rcx);
            a.mov(eax, 7);
            a.xor(ecx, ecx);
            a.cpuid();
        });
        Assert.Equal(1ul << 17, _fixture.Cpu.GetGeneralRegister(8) & (1 << 17));
        Assert.Equal(1ul << 10, _fixture.Cpu.GetGeneralRegister(3) & (1 << 10));
    }

    [Fact]
    public void CR3_takes_an_identifier_and_never_shows_the_bit_that_keeps_translations()
    {
        Run(a =>
        {
            EnableContexts(a);
            a.mov(rax, (1ul << 63) | Tables | 5);
            a.mov(cr3, rax);
            a.mov(rbx, cr3);
        });
        Assert.Equal(0ul, _fixture.Cpu.GetGeneralRegister(15));
        Assert.Equal(Tables | 5, _fixture.Cpu.GetGeneralRegister(3));
    }

    [Fact]
    public void They_cannot_be_enabled_while_CR3_has_low_bits() => AssertFault(a =>
    {
        a.mov(rax, Tables | 8);
        a.mov(cr3, rax);
        EnableContexts(a);
    });

    [Fact]
    public void Paging_cannot_be_turned_off_under_them() => AssertFault(a =>
    {
        EnableContexts(a);
        a.mov(rax, cr0);
        a.btr(rax, 31);
        a.mov(cr0, rax);
    });

    [Fact]
    public void Without_them_bit_63_of_CR3_is_reserved() => AssertFault(a =>
    {
        a.mov(rax, (1ul << 63) | Tables);
        a.mov(cr3, rax);
    });

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 0)]
    [InlineData(2, 0)]
    [InlineData(3, 0)]
    public void INVPCID_forgets_what_it_is_to_forget(int kind, int context)
    {
        _fixture.Write(0x21_5000, 1);
        _fixture.Write(0x01_5000, 2);
        _fixture.Write(Descriptor, (ulong)context);
        _fixture.Write(Descriptor + 8, 0x21_5000);
        Run(a =>
        {
            a.mov(rsi, Descriptor);
            a.mov(eax, __dword_ptr[0x21_5000]);
            a.mov(__qword_ptr[(long)Directory + 8], 0x87);
            a.mov(ecx, kind);
            a.invpcid(rcx, __[rsi]);
            a.mov(ebx, __dword_ptr[0x21_5000]);
        });
        Assert.Equal(1ul, _fixture.Cpu.GetGeneralRegister(0));
        Assert.Equal(2ul, _fixture.Cpu.GetGeneralRegister(3));
    }

    [Theory]
    [InlineData(4, 0ul, 0ul)]
    [InlineData(0, 1ul, 0ul)]
    [InlineData(1, 1ul, 0ul)]
    [InlineData(2, 0x1000ul, 0ul)]
    [InlineData(0, 0ul, 0x0000_8000_0000_0000ul)]
    public void INVPCID_refuses_what_is_not_defined(int kind, ulong context, ulong linear)
    {
        _fixture.Write(Descriptor, context);
        _fixture.Write(Descriptor + 8, linear);
        AssertFault(a =>
        {
            a.mov(rsi, Descriptor);
            a.mov(ecx, kind);
            a.invpcid(rcx, __[rsi]);
        });
    }

    public void Dispose() => _fixture.Dispose();

    private static void EnableContexts(Assembler a)
    {
        a.mov(rax, cr4);
        a.or(rax, (int)Contexts);
        a.mov(cr4, rax);
    }

    private void Run(Action<Assembler> code) => _fixture.Execute(code);

    private void AssertFault(Action<Assembler> code)
    {
        Run(code);
        Assert.Equal(ulong.MaxValue, _fixture.Cpu.GetGeneralRegister(15));
    }
}
