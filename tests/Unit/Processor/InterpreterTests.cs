using Hypervisor.Engine.Processor;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

public unsafe class InterpreterTests
{
    [Fact]
    public void A_loop_sums_what_it_counts()
    {
        using var fixture = new ProcessorFixture();
        var reason = fixture.Execute(a =>
        {
            var top = a.CreateLabel();
            a.xor(eax, eax);
            a.mov(ecx, 100_000);
            a.Label(ref top);
            a.add(rax, rcx);
            a.dec(ecx);
            a.jne(top);
        });
        Assert.Equal(StopReason.Halted, reason);
        Assert.Equal(5_000_050_000ul, fixture.Cpu.GetGeneralRegister(0));
    }

    [Fact]
    public void A_call_returns_to_where_it_came_from()
    {
        using var fixture = new ProcessorFixture();
        fixture.Execute(a =>
        {
            var function = a.CreateLabel();
            var end = a.CreateLabel();
            a.mov(ebx, 1);
            a.call(function);
            a.add(ebx, 4);
            a.jmp(end);
            a.Label(ref function);
            a.add(ebx, 2);
            a.ret();
            a.Label(ref end);
            a.nop();
        });
        Assert.Equal(7ul, fixture.Cpu.GetGeneralRegister(3));
        Assert.Equal(ProcessorFixture.StackTop, fixture.Cpu.GetGeneralRegister(4));
    }

    [Fact]
    public void A_jump_to_address_zero_runs_what_is_there()
    {
        using var fixture = new ProcessorFixture(bits: 16);
        fixture.Load(0, a =>
        {
            a.mov(ax, 0x1234);
            a.hlt();
        });
        Assert.Equal(StopReason.Halted, fixture.Execute(a => a.jmp(0)));
        Assert.Equal(0x1234ul, fixture.Cpu.GetGeneralRegister(0));
    }

    [Fact]
    public void Code_that_changes_the_next_instruction_runs_the_changed_one()
    {
        using var fixture = new ProcessorFixture();
        fixture.Execute(a =>
        {
            var patched = a.CreateLabel();
            a.lea(rdi, __[patched]);
            a.mov(__byte_ptr[rdi + 1], 42);
            a.Label(ref patched);
            a.mov(al, 1);
        });
        Assert.Equal(42, (byte)fixture.Cpu.GetGeneralRegister(0));
    }

    [Fact]
    public void A_store_to_a_missing_page_faults_with_its_address_and_leaves_registers_alone()
    {
        using var fixture = new ProcessorFixture();
        Gates(fixture, (14, 0x11_0000));
        fixture.Load(0x11_0000, a =>
        {
            a.pop(r15);
            a.mov(r14, cr2);
            a.hlt();
        });
        fixture.Write(0x8000 + 0x2000 + (511 * 8), 0);
        fixture.Execute(a =>
        {
            a.mov(rdi, 0x3FFF_F123);
            a.mov(eax, 5);
            a.mov(ecx, 3);
            a.cld();
            a.rep.stosb();
        });
        Assert.Equal(2ul, fixture.Cpu.GetGeneralRegister(15));
        Assert.Equal(0x3FFF_F123ul, fixture.Cpu.GetGeneralRegister(14));
        Assert.Equal(0x3FFF_F123ul, fixture.Cpu.GetGeneralRegister(7));
        Assert.Equal(3ul, fixture.Cpu.GetGeneralRegister(1));
    }

    [Fact]
    public void An_interrupt_wakes_a_halted_processor_and_returns()
    {
        using var fixture = new ProcessorFixture();
        Gates(fixture, (0x40, 0x11_0000));
        fixture.Load(0x11_0000, a =>
        {
            a.inc(r12);
            a.iretq();
        });
        fixture.Execute(a =>
        {
            a.sti();
            a.hlt();
            a.mov(r13, r12);
        });
        fixture.PendingVector = 0x40;
        fixture.Cpu.SignalInterrupt();
        Assert.Equal(StopReason.Halted, fixture.Cpu.Run());
        Assert.Equal(1ul, fixture.Cpu.GetGeneralRegister(13));
    }

    [Fact]
    public void A_fault_without_an_interrupt_table_shuts_down()
    {
        using var fixture = new ProcessorFixture();
        fixture.Cpu.Idtr = (0, 0);
        Assert.Equal(StopReason.Shutdown, fixture.Execute(a => a.ud2()));
    }

    [Fact]
    public void Division_by_zero_raises_divide_error_at_the_instruction()
    {
        using var fixture = new ProcessorFixture();
        Gates(fixture, (0, 0x11_0000));
        fixture.Load(0x11_0000, a =>
        {
            a.mov(r15, __[rsp]);
            a.hlt();
        });
        fixture.Execute(a =>
        {
            a.xor(ecx, ecx);
            a.div(ecx);
        });
        Assert.Equal(ProcessorFixture.CodeAddress + 2, fixture.Cpu.GetGeneralRegister(15));
    }

    [Fact]
    public void Real_mode_interrupts_go_through_the_vector_table()
    {
        using var fixture = new ProcessorFixture(16);
        fixture.Write(0x21 * 4, 0x0000_2000);
        fixture.Load(0x2000, a =>
        {
            a.mov(ax, 0x1234);
            a.iret();
        });
        fixture.Execute(a =>
        {
            a.mov(ax, 0);
            a.@int(0x21);
            a.mov(bx, ax);
        });
        Assert.Equal(0x1234, (ushort)fixture.Cpu.GetGeneralRegister(3));
    }

    [Fact]
    public void Ports_see_size_and_value()
    {
        using var fixture = new ProcessorFixture();
        fixture.Execute(a =>
        {
            a.mov(dx, 0x3F8);
            a.mov(eax, 0x11223344);
            a.@out(dx, al);
            a.@out(dx, eax);
        });
        Assert.Equal([(0x3F8, 1, 0x44u), (0x3F8, 4, 0x11223344u)], fixture.Output);
    }

    [Fact]
    public void Devices_outside_memory_see_whole_accesses()
    {
        using var fixture = new ProcessorFixture();
        fixture.Execute(a =>
        {
            a.mov(rdi, 0x1000_0000);
            a.mov(__dword_ptr[rdi + 8], 7);
            a.mov(rax, __[rdi]);
        });
        Assert.Equal([(0x1000_0008ul, 4, 7ul)], fixture.MmioWrites);
        Assert.Equal(0x1000_0000ul, fixture.Cpu.GetGeneralRegister(0));
    }

    // An interrupt table of 64-bit interrupt gates, and a descriptor table whose entry 1 is the code segment.
    private static void Gates(ProcessorFixture fixture, params (int Vector, ulong Handler)[] gates)
    {
        const ulong descriptors = 0x6000, interrupts = 0x7000;
        fixture.Write(descriptors + 8, 0x00AF_9B00_0000_FFFF);
        fixture.Write(descriptors + 16, 0x00CF_9300_0000_FFFF);
        fixture.Cpu.Gdtr = (descriptors, 0xFF);
        fixture.Cpu.Idtr = (interrupts, 0xFFF);
        foreach ((int vector, ulong handler) in gates)
        {
            ulong at = interrupts + ((ulong)vector * 16);
            fixture.Write(at, (handler & 0xFFFF) | (8 << 16) | (0x8Eul << 40) | ((handler >> 16) << 48));
            fixture.Write(at + 8, handler >> 32);
        }
    }
}
