using Hypervisor.Engine.Processor;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>SYSENTER and SYSEXIT (Intel SDM vol. 2).</summary>
public sealed class FastSystemCallTests
{
    private const uint SysenterCs = 0x174, SysenterEsp = 0x175, SysenterEip = 0x176;
    private const ulong Entry = 0x14_0000, UserCode = 0x13_0000, Gdt = 0x6000;

    [Fact]
    public void In_protected_mode_they_take_flat_segments_next_to_each_other()
    {
        using var machine = new ProtectedMachine();
        SetUp(machine.Cpu);
        machine.Load(Entry, 32, a =>
        {
            a.mov(eax, cs);
            a.mov(esi, esp);
            a.mov(edx, (int)UserCode + 2);
            a.mov(ecx, 0x1F_0000);
            a.sysexit();
        });
        machine.ExecuteUser(a =>
        {
            a.sysenter();
            a.mov(edi, cs);
            a.mov(ebp, ss);
            a.hlt();
        });
        Assert.Equal(8u, machine.Eax);
        Assert.Equal(0x1E_0000ul, machine.Cpu.GetGeneralRegister(6));
        Assert.Equal(0x1Bul, machine.Cpu.GetGeneralRegister(7));
        Assert.Equal(0x23ul, machine.Cpu.GetGeneralRegister(5));
        Assert.Equal(13u, machine.Vector);
    }

    [Fact]
    public void Without_a_segment_SYSENTER_is_a_protection_fault()
    {
        using var machine = new ProtectedMachine();
        machine.ExecuteUser(a => a.sysenter());
        Assert.Equal(13u, machine.Vector);
        Assert.Equal(0u, machine.Stacked(0));
    }

    [Fact]
    public void User_code_cannot_SYSEXIT()
    {
        using var machine = new ProtectedMachine();
        SetUp(machine.Cpu);
        machine.ExecuteUser(a => a.sysexit());
        Assert.Equal(13u, machine.Vector);
    }

    [Fact]
    public void In_long_mode_the_kernel_is_entered_in_64_bit_code_and_left_in_either_kind()
    {
        using var fixture = new ProcessorFixture();
        SetUp(fixture.Cpu);
        fixture.Load(Entry, a =>
        {
            a.mov(rax, rsp);
            a.mov(rdx, UserCode + 2);
            a.mov(rcx, 0x1F_0000);
            a.sysexitq();
        });
        // The kernel's 8, 10; 32-bit user code 18, 20; 64-bit user code 28, 30.
        fixture.Write(Gdt + 0x08, 0x00AF_9B00_0000_FFFF);
        fixture.Write(Gdt + 0x18, 0x00CF_FB00_0000_FFFF);
        fixture.Write(Gdt + 0x20, 0x00CF_F300_0000_FFFF);
        fixture.Cpu.Gdtr = (Gdt, 0xFF);
        fixture.Cpu.Idtr = (0x7000, 0x7FF);
        fixture.Write(0x7000 + (6 * 16), (0x12_0000 & 0xFFFF) | (8 << 16) | (0x8Eul << 40) | (0x12ul << 48));
        fixture.Write(0x7800 + 4, 0x1D_0000);
        fixture.Cpu.SetSegment(
            SegmentName.Tr,
            new SegmentState { Base = 0x7800, Limit = 0x67, Attributes = 0x8B, Selector = 0x40 });
        fixture.Load(0x12_0000, a => a.hlt());
        fixture.Load(UserCode, a =>
        {
            a.sysenter();
            a.mov(edi, cs);
            a.mov(rbx, 0x1234_5678_9ABC);
            a.ud2();
        });
        fixture.Execute(a =>
        {
            a.push(0x23);
            a.push(0x1F_0000);
            a.push(2);
            a.push(0x1B);
            a.push((int)UserCode);
            a.iretq();
        });
        Assert.Equal(0x1E_0000ul, fixture.Cpu.GetGeneralRegister(0));
        Assert.Equal(0x2Bul, fixture.Cpu.GetGeneralRegister(7));
        Assert.Equal(0x1234_5678_9ABCul, fixture.Cpu.GetGeneralRegister(3));
    }

    [Fact]
    public void A_step_over_SYSENTER_stops_at_the_kernels_first_instruction()
    {
        using var machine = new ProtectedMachine();
        SetUp(machine.Cpu);
        machine.Load(Entry, 32, a => a.hlt());
        machine.ExecuteUser(a => a.sysenter(), 0x102);
        Assert.Equal(1u, machine.Vector);
        Assert.Equal((uint)Entry, machine.Stacked(0));
    }

    private static void SetUp(X86Processor cpu)
    {
        Assert.True(cpu.TryWriteMsr(SysenterCs, 8));
        Assert.True(cpu.TryWriteMsr(SysenterEsp, 0x1E_0000));
        Assert.True(cpu.TryWriteMsr(SysenterEip, Entry));
    }
}
