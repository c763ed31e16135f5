using Hypervisor.Engine.Processor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

public unsafe class SystemTests
{
    private const ulong Handler = 0x11_0000;
    private const ulong Descriptors = 0x6000, Interrupts = 0x7000, TaskState = 0x7800;
    private const ulong Directory = 0x8000 + 0x2000;

    [Fact]
    public void A_processor_goes_from_reset_through_protected_mode_into_64_bit_code()
    {
        using var fixture = new ProcessorFixture(16);
        fixture.Write(Descriptors + 8, 0x00CF_9B00_0000_FFFF);
        fixture.Write(Descriptors + 16, 0x00CF_9300_0000_FFFF);
        fixture.Write(Descriptors + 24, 0x00AF_9B00_0000_FFFF);
        fixture.Write(0x500, 0x6000_001F);
        IdentityMap(fixture);
        Load(fixture, 0x2000, 32, a =>
        {
            a.mov(ax, 16);
            a.mov(ds, ax);
            a.mov(eax, 0x20);
            a.mov(cr4, eax);
            a.mov(eax, 0x8000);
            a.mov(cr3, eax);
            a.mov(ecx, unchecked((int)0xC000_0080));
            a.mov(eax, 0x100);
            a.xor(edx, edx);
            a.wrmsr();
            a.mov(eax, cr0);
            a.or(eax, unchecked((int)0x8000_0000));
            a.mov(cr0, eax);
            a.db(0xEA, 0x00, 0x30, 0x00, 0x00, 0x18, 0x00);
        });
        Load(fixture, 0x3000, 64, a =>
        {
            a.mov(rax, 0x1234_5678_9ABC_DEF0);
            a.hlt();
        });
        fixture.Execute(a =>
        {
            a.xor(ax, ax);
            a.mov(ds, ax);
            a.db(0x0F, 0x01, 0x16, 0x00, 0x05);
            a.mov(eax, cr0);
            a.or(al, 1);
            a.mov(cr0, eax);
            a.db(0x66, 0xEA, 0x00, 0x20, 0x00, 0x00, 0x08, 0x00);
        });
        Assert.Equal(0x1234_5678_9ABC_DEF0ul, fixture.Cpu.GetGeneralRegister(0));
        Assert.Equal(0x500ul, fixture.Cpu.Efer);
    }

    [Fact]
    public void Big_real_mode_keeps_the_limit_of_a_segment_loaded_in_protected_mode()
    {
        using var fixture = new ProcessorFixture(16);
        fixture.Write(Descriptors + 8, 0x00CF_9300_0000_FFFF);
        fixture.Write(0x500, 0x6000_000F);
        fixture.Write(0x30_0000, 0x55);
        fixture.Execute(a =>
        {
            a.db(0x0F, 0x01, 0x16, 0x00, 0x05);
            a.mov(eax, cr0);
            a.or(al, 1);
            a.mov(cr0, eax);
            a.mov(bx, 8);
            a.mov(ds, bx);
            a.and(al, 0xFE);
            a.mov(cr0, eax);
            a.xor(bx, bx);
            a.mov(ds, bx);
            a.mov(esi, 0x30_0000);
            a.mov(cl, __byte_ptr[esi]);
        });
        Assert.Equal(0x55, (byte)fixture.Cpu.GetGeneralRegister(1));
    }

    [Fact]
    public void A_system_call_enters_the_kernel_and_returns_to_user_code()
    {
        using var fixture = new ProcessorFixture();
        SetUpSystem(fixture);
        fixture.Load(Handler, a =>
        {
            a.mov(r8, cs);
            a.sysretq();
        });
        fixture.Cpu.TryWriteMsr(0xC000_0081, 0x0013_0008_0000_0000);
        fixture.Cpu.TryWriteMsr(0xC000_0082, Handler);
        fixture.Cpu.TryWriteMsr(0xC000_0084, 0x200);
        EnterUser(fixture, a =>
        {
            a.syscall();
            a.mov(r9, cs);
            a.ud2();
        });
        Assert.Equal(8ul, fixture.Cpu.GetGeneralRegister(8));
        Assert.Equal(0x23ul, fixture.Cpu.GetGeneralRegister(9));
    }

    [Fact]
    public void User_code_cannot_touch_supervisor_pages()
    {
        using var fixture = new ProcessorFixture();
        SetUpSystem(fixture);
        fixture.Write(Directory + 8, 0x20_0083);
        EnterUser(fixture, a => a.mov(rax, __[0x20_0000]));
        // Present, not a write, user.
        Assert.Equal(5ul, fixture.Cpu.GetGeneralRegister(15));
        Assert.Equal(0x20_0000ul, fixture.Cpu.Cr2);
    }

    [Fact]
    public void The_kernel_reaches_user_pages_only_between_STAC_and_CLAC()
    {
        using var fixture = new ProcessorFixture();
        SetUpSystem(fixture);
        // Supervisor pages below, a user page above.
        fixture.Write(Directory, 0x83);
        fixture.Write(Directory + 8, 0x20_0087);
        fixture.Cpu.Cr4 |= 0x20_0000;
        fixture.Cpu.SetGeneralRegister(4, 0x1F_0000);
        fixture.Execute(a =>
        {
            a.stac();
            a.mov(__dword_ptr[0x20_0000], 7);
            a.mov(ebx, __dword_ptr[0x20_0000]);
            a.clac();
            a.mov(ecx, __dword_ptr[0x20_0000]);
        });
        Assert.Equal(7ul, fixture.Cpu.GetGeneralRegister(3));
        Assert.Equal(1ul, fixture.Cpu.GetGeneralRegister(15));
    }

    [Fact]
    public void INVLPG_forgets_a_large_page_whole()
    {
        using var fixture = new ProcessorFixture();
        fixture.Write(0x21_5000, 1);
        fixture.Write(0x01_5000, 2);
        fixture.Execute(a =>
        {
            a.mov(eax, __dword_ptr[0x21_5000]);
            a.mov(__qword_ptr[(long)Directory + 8], 0x87);
            a.invlpg(__[0x20_0000]);
            a.mov(ebx, __dword_ptr[0x21_5000]);
        });
        Assert.Equal(1ul, fixture.Cpu.GetGeneralRegister(0));
        Assert.Equal(2ul, fixture.Cpu.GetGeneralRegister(3));
    }

    [Fact]
    public void A_set_trap_flag_raises_debug_after_each_instruction()
    {
        using var fixture = new ProcessorFixture();
        SetUpSystem(fixture);
        fixture.Load(Handler, a =>
        {
            a.inc(r14);
            a.iretq();
        });
        Gate(fixture, 1, Handler, ist: 0);
        fixture.Execute(a =>
        {
            a.pushfq();
            a.or(__dword_ptr[rsp], 0x100);
            a.popfq();
            a.nop();
            a.nop();
            a.pushfq();
            a.and(__dword_ptr[rsp], 0xFFFF_FEFFu);
            a.popfq();
            a.nop();
        });
        Assert.Equal(5ul, fixture.Cpu.GetGeneralRegister(14));
    }

    [Fact]
    public void An_interrupt_stack_is_taken_from_the_task_state_whatever_the_privilege()
    {
        using var fixture = new ProcessorFixture();
        SetUpSystem(fixture);
        fixture.Load(Handler, a =>
        {
            a.mov(r13, rsp);
            a.hlt();
        });
        Gate(fixture, 2, Handler, ist: 1);
        fixture.Write(TaskState + 36, 0x1E_0000);
        fixture.Cpu.InjectNmi();
        fixture.Execute(a => a.nop());
        Assert.Equal(0x1E_0000ul - 40, fixture.Cpu.GetGeneralRegister(13));
    }

    [Theory]
    [InlineData(0x0000_7FFFul, 0xFFFF_FFFFul)]
    [InlineData(0xFFAA_AAAAul, 0ul)]
    [InlineData(0x0000_8000ul, 0ul)]
    public void A_local_table_or_task_at_an_address_that_is_not_canonical_is_refused(ulong high, ulong loads)
    {
        using var fixture = new ProcessorFixture();
        SetUpSystem(fixture);
        // The handler of #GP keeps the error code; a local table at 50h, an available task at 60h.
        Gate(fixture, 13, 0x12_0000, ist: 0);
        fixture.Write(Descriptors + 0x50, 0x0000_8200_0000_FFFF);
        fixture.Write(Descriptors + 0x58, high);
        fixture.Write(Descriptors + 0x60, 0x0000_8900_0000_FFFF);
        fixture.Write(Descriptors + 0x68, high);
        fixture.Execute(a =>
        {
            a.mov(eax, 0x50);
            a.lldt(ax);
            a.mov(eax, 0x60);
            a.ltr(ax);
            a.mov(r15d, -1);
        });
        Assert.Equal(loads == 0 ? 0x50ul : loads, fixture.Cpu.GetGeneralRegister(15));
    }

    [Fact]
    public void Of_many_interrupts_that_cannot_be_masked_one_is_served_and_one_waits()
    {
        using var fixture = new ProcessorFixture();
        SetUpSystem(fixture);
        fixture.Load(Handler, a =>
        {
            a.inc(r14);
            a.iretq();
        });
        Gate(fixture, 2, Handler, ist: 0);
        for (int n = 0; n < 5; n++)
        {
            fixture.Cpu.InjectNmi();
        }

        fixture.Execute(a =>
        {
            a.nop();
            a.nop();
        });
        Assert.Equal(2ul, fixture.Cpu.GetGeneralRegister(14));
    }

    [Fact]
    public void A_store_over_two_pages_changes_neither_when_the_second_is_missing()
    {
        using var fixture = new ProcessorFixture();
        SetUpSystem(fixture);
        fixture.Write(Directory + 16, 0);
        fixture.Write(0x3F_FFF8, 0);
        fixture.Execute(a =>
        {
            a.mov(rax, -1);
            a.mov(__qword_ptr[0x3F_FFFC], rax);
        });
        Assert.Equal(2ul, fixture.Cpu.GetGeneralRegister(15));
        Assert.Equal(0x40_0000ul, fixture.Cpu.Cr2);
        Assert.Equal(0ul, fixture.Read(0x3F_FFF8));
    }

    // Segments 08/10 kernel, 1B/23 user, a task-state segment with a kernel stack, and a page-fault handler that keeps the error
    // code in R15 and stops; #UD stops, too.
    private static void SetUpSystem(ProcessorFixture fixture)
    {
        fixture.Write(Descriptors + 8, 0x00AF_9B00_0000_FFFF);
        fixture.Write(Descriptors + 16, 0x00CF_9300_0000_FFFF);
        fixture.Write(Descriptors + 24, 0x00CF_F300_0000_FFFF);
        fixture.Write(Descriptors + 32, 0x00AF_FB00_0000_FFFF);
        fixture.Cpu.Gdtr = (Descriptors, 0xFF);
        fixture.Cpu.Idtr = (Interrupts, 0x7FF);
        fixture.Write(TaskState + 4, 0x1D_0000);
        fixture.Cpu.SetSegment(SegmentName.Tr, new SegmentState { Base = TaskState, Limit = 0x67, Attributes = 0x8B, Selector = 0x40 });
        fixture.Load(0x12_0000, a =>
        {
            a.pop(r15);
            a.hlt();
        });
        Gate(fixture, 14, 0x12_0000, ist: 0);
        fixture.Load(0x12_1000, a => a.hlt());
        Gate(fixture, 6, 0x12_1000, ist: 0);
    }

    private static void Gate(ProcessorFixture fixture, int vector, ulong handler, int ist)
    {
        ulong at = Interrupts + ((ulong)vector * 16);
        fixture.Write(at, (handler & 0xFFFF) | (8 << 16) | ((ulong)ist << 32) | (0x8Eul << 40) | ((handler >> 16) << 48));
        fixture.Write(at + 8, handler >> 32);
    }

    private static void EnterUser(ProcessorFixture fixture, Action<Assembler> code)
    {
        fixture.Load(0x13_0000, code);
        fixture.Execute(a =>
        {
            a.push(0x1B);
            a.push(0x1F_0000);
            a.push(2);
            a.push(0x23);
            a.push(0x13_0000);
            a.iretq();
        });
    }

    private static void IdentityMap(ProcessorFixture fixture)
    {
        fixture.Write(0x8000, 0x9007);
        fixture.Write(0x9000, 0xA007);
        fixture.Write(0xA000, 0x87);
    }

    private static void Load(ProcessorFixture fixture, ulong address, int bits, Action<Assembler> code)
    {
        var assembler = new Assembler(bits);
        code(assembler);
        using var stream = new MemoryStream();
        assembler.Assemble(new StreamCodeWriter(stream), address);
        stream.ToArray().CopyTo(new Span<byte>(fixture.Host + address, (int)stream.Length));
    }
}
