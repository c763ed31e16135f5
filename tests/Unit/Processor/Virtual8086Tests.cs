using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>Virtual-8086 mode and its extensions (Intel SDM vol. 3A, chapter 21).</summary>
public sealed class Virtual8086Tests : IDisposable
{
    private const ulong Program = 0x9000, OwnHandler = 0xA000;
    private const uint IoPrivilege3 = 0x3000, Interrupt = 0x200, Virtual8086 = 0x2_0000, VirtualInterrupt = 0x8_0000, Pending = 0x10_0000;
    private const uint Vme = 1, Pvi = 2;
    private const uint IoMap = 0x88;

    private readonly ProtectedMachine _machine = new();

    public Virtual8086Tests()
    {
        // The I/O permission bitmap, with the redirection bitmap of 32 bytes before it, both all ones.
        _machine.Write16(ProtectedMachine.MainTaskState + 102, (ushort)IoMap);
        for (uint at = IoMap - 32; at < IoMap + 0x2000; at += 4)
        {
            _machine.Write32(ProtectedMachine.MainTaskState + at, uint.MaxValue);
        }
    }

    [Fact]
    public void An_8086_program_addresses_memory_by_paragraphs()
    {
        _machine.Fixture.Write(0x3010, 0x4711);
        Run(0, a => a.mov(ax, __word_ptr[0x10]));
        Assert.Equal(0x4711u, _machine.Eax & 0xFFFF);
        Assert.Equal(13u, _machine.Vector);
        // The frame of a fault: error code, EIP, CS, EFLAGS, ESP, SS, ES, DS, FS, GS.
        Assert.Equal(0x900u, _machine.Stacked(2));
        Assert.Equal(Virtual8086, _machine.Stacked(3) & Virtual8086);
        Assert.Equal(0x400u, _machine.Stacked(5));
        Assert.Equal(0x300u, _machine.Stacked(7));
        Assert.Equal(0, _machine.Cpu.GetSegment(Hypervisor.Engine.Processor.SegmentName.Ds).Selector);
    }

    [Theory]
    [InlineData(0xFA)]
    [InlineData(0xFB)]
    [InlineData(0x9C)]
    [InlineData(0x9D)]
    [InlineData(0xCF)]
    public void What_is_sensitive_to_the_io_privilege_level_faults_below_it(byte opcode)
    {
        Run(0, a => a.db(opcode));
        Assert.Equal(13u, _machine.Vector);
        Assert.Equal(0u, _machine.Stacked(1));
    }

    [Fact]
    public void With_io_privilege_an_interrupt_instruction_goes_to_the_monitor()
    {
        Run(IoPrivilege3, a => a.@int(0x14), gatePrivilege: 0x14);
        Assert.Equal(0x14u, _machine.Vector);
        Assert.Equal(2u, _machine.Stacked(0));
    }

    [Fact]
    public void Ports_are_open_only_where_the_bitmap_is_clear_whatever_the_privilege_level()
    {
        _machine.Write32(ProtectedMachine.MainTaskState + IoMap + (0x80 / 8), 0xFFFF_FFF0);
        Run(IoPrivilege3, a =>
        {
            a.mov(al, 7);
            a.@out(0x80, al);
            a.@out(0x83, ax);
        });
        Assert.Equal([((ushort)0x80, 1, 7u)], _machine.Fixture.Output);
        Assert.Equal(13u, _machine.Vector);
    }

    [Fact]
    public void With_the_extensions_CLI_and_STI_act_on_the_virtual_interrupt_flag()
    {
        _machine.Cpu.Cr4 |= Vme;
        Run(Interrupt, a =>
        {
            a.sti();
            a.pushf();
            a.pop(ax);
            a.cli();
            a.pushf();
            a.pop(cx);
            a.sti();
        });
        // IF shows VIF, IOPL shows 3.
        Assert.Equal(Interrupt | IoPrivilege3, _machine.Eax & (Interrupt | IoPrivilege3));
        Assert.Equal(IoPrivilege3, (uint)_machine.Cpu.GetGeneralRegister(1) & (Interrupt | IoPrivilege3));
        Assert.Equal(Interrupt | VirtualInterrupt, _machine.Stacked(3) & (Interrupt | VirtualInterrupt | IoPrivilege3));
    }

    [Fact]
    public void With_an_interrupt_pending_STI_goes_to_the_monitor()
    {
        _machine.Cpu.Cr4 |= Vme;
        Run(Interrupt | Pending, a =>
        {
            a.cli();
            a.sti();
        });
        Assert.Equal(13u, _machine.Vector);
        Assert.Equal(1u, _machine.Stacked(1));
    }

    [Fact]
    public void A_vector_that_is_not_redirected_stays_with_the_program()
    {
        _machine.Cpu.Cr4 |= Vme;
        _machine.Write32(ProtectedMachine.MainTaskState + IoMap - 32 + 8, ~(1u << 1));
        _machine.Write32(0x41 * 4, 0x0A00_0000);
        _machine.Load(OwnHandler, 16, a =>
        {
            a.pushf();
            a.pop(cx);
            a.iret();
        });
        Run(Interrupt, a =>
        {
            a.sti();
            a.@int(0x41);
            a.mov(ax, 0x77);
            a.pushf();
            a.pop(dx);
        });
        Assert.Equal(0x77u, _machine.Eax & 0xFFFF);
        Assert.Equal(0u, (uint)_machine.Cpu.GetGeneralRegister(1) & Interrupt);
        Assert.Equal(Interrupt, (uint)_machine.Cpu.GetGeneralRegister(2) & Interrupt);
    }

    [Fact]
    public void A_redirected_vector_without_io_privilege_goes_to_the_monitor()
    {
        _machine.Cpu.Cr4 |= Vme;
        Run(0, a => a.@int(0x41));
        Assert.Equal(13u, _machine.Vector);
        Assert.Equal(0u, _machine.Stacked(0));
    }

    [Fact]
    public void In_protected_mode_user_code_may_have_a_virtual_interrupt_flag_too()
    {
        _machine.Cpu.Cr4 |= Pvi;
        _machine.ExecuteUser(
            a =>
            {
                a.sti();
                a.pushfd();
                a.pop(eax);
                a.cli();
                a.hlt();
            },
            0x202);
        Assert.Equal(VirtualInterrupt, _machine.Eax & VirtualInterrupt);
        Assert.Equal(0u, _machine.Stacked(3) & VirtualInterrupt);
    }

    [Fact]
    public void The_extensions_are_announced()
    {
        _machine.Execute(a =>
        {
            a.mov(eax, 1);
            a.cpuid();
        });
        Assert.Equal(2ul, _machine.Cpu.GetGeneralRegister(2) & 2);
    }

    public void Dispose() => _machine.Dispose();

    // Runs a program that ends with HLT, which is a fault in this mode.
    private void Run(uint flags, Action<Assembler> code, uint? gatePrivilege = null)
    {
        if (gatePrivilege is uint vector)
        {
            _machine.Gate(vector, ProtectedMachine.KernelCode, 0x12_0000 + (vector * 16), 0xEE);
        }

        _machine.Load(Program, 16, a =>
        {
            code(a);
            a.hlt();
        });
        _machine.Execute(a =>
        {
            a.push(0);
            a.push(0);
            a.push(0x300);
            a.push(0);
            a.push(0x400);
            a.push(0xFFF0);
            a.push((int)(flags | Virtual8086 | 2));
            a.push(0x900);
            a.push(0);
            a.iretd();
        });
    }
}
