using Hypervisor.Engine.Processor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>Call gates (Intel SDM vol. 3A, 5.8) and what far transfers check.</summary>
public sealed class CallGateTests : IDisposable
{
    private const ushort Gate = 0x40;
    private const uint LongGate = 0xEC, ShortGate = 0xE4;

    private readonly ProtectedMachine _machine = new();

    [Fact]
    public void A_call_inward_copies_its_parameters_and_returns_past_them()
    {
        _machine.GateInGdt(Gate, ProtectedMachine.KernelCode, (uint)ProtectedMachine.Second, LongGate, parameters: 2);
        _machine.Load(ProtectedMachine.Second, 32, a =>
        {
            a.mov(eax, __dword_ptr[esp + 8]);
            a.mov(ecx, __dword_ptr[esp + 12]);
            a.mov(edx, cs);
            a.mov(esi, esp);
            a.retf(8);
        });
        _machine.ExecuteUser(a =>
        {
            a.push(0x11);
            a.push(0x22);
            FarCall(a, Gate);
            a.mov(edi, esp);
            a.hlt();
        });
        Assert.Equal(0x22u, _machine.Eax);
        Assert.Equal(0x11ul, _machine.Cpu.GetGeneralRegister(1));
        Assert.Equal(8ul, _machine.Cpu.GetGeneralRegister(2));
        Assert.Equal(ProtectedMachine.KernelStack - 24, _machine.Cpu.GetGeneralRegister(6));
        Assert.Equal(ProtectedMachine.UserStack, _machine.Cpu.GetGeneralRegister(7));
        Assert.Equal(13u, _machine.Vector);
    }

    [Fact]
    public void A_short_gate_pushes_words()
    {
        _machine.GateInGdt(Gate, ProtectedMachine.KernelCode, 0x8000, ShortGate, parameters: 1);
        _machine.Load(0x8000, 32, a =>
        {
            a.movzx(eax, __word_ptr[esp + 4]);
            a.mov(esi, esp);
            a.hlt();
        });
        _machine.ExecuteUser(a =>
        {
            a.db(0x66, 0x68, 0x34, 0x12);
            FarCall(a, Gate);
        });
        Assert.Equal(0x1234u, _machine.Eax);
        Assert.Equal(ProtectedMachine.KernelStack - 10, _machine.Cpu.GetGeneralRegister(6));
    }

    [Fact]
    public void A_gate_of_the_kernels_is_closed_to_user_code()
    {
        _machine.GateInGdt(Gate, ProtectedMachine.KernelCode, (uint)ProtectedMachine.Second, 0x8C);
        _machine.ExecuteUser(a => FarCall(a, Gate));
        Assert.Equal(13u, _machine.Vector);
        Assert.Equal((uint)Gate, _machine.Stacked(0));
    }

    [Fact]
    public void A_jump_through_a_gate_cannot_gain_privilege()
    {
        _machine.GateInGdt(Gate, ProtectedMachine.KernelCode, (uint)ProtectedMachine.Second, LongGate);
        _machine.ExecuteUser(a => a.db(0xEA, 0, 0, 0, 0, (byte)Gate, 0));
        Assert.Equal(13u, _machine.Vector);
        Assert.Equal((uint)ProtectedMachine.KernelCode, _machine.Stacked(0));
    }

    [Fact]
    public void An_inner_stack_without_room_is_a_stack_fault_with_its_selector()
    {
        // A data segment that ends at 1000h.
        _machine.Describe(0x50, 0, 0xFFF, 0x93, 4);
        _machine.Write32(ProtectedMachine.MainTaskState + 8, 0x50);
        _machine.GateInGdt(Gate, ProtectedMachine.KernelCode, (uint)ProtectedMachine.Second, LongGate);
        _machine.DescribeTask(0x58, 0x5800);
        _machine.Load(ProtectedMachine.Second, 32, a =>
        {
            a.mov(eax, __[esp]);
            a.hlt();
        });
        _machine.Gate(12, 0x58, 0, 0x85);
        _machine.ExecuteUser(a => FarCall(a, Gate));
        Assert.Equal(0x50u, _machine.Eax);
    }

    [Fact]
    public void A_far_target_beyond_the_segments_limit_faults_at_the_jump()
    {
        _machine.Describe(0x50, 0, 0xFFF, 0x9B, 4);
        _machine.Execute(a => a.db(0xEA, 0x00, 0x10, 0, 0, 0x50, 0));
        Assert.Equal(13u, _machine.Vector);
        Assert.Equal(0u, _machine.Stacked(0));
        Assert.Equal((uint)ProcessorFixture.CodeAddress, _machine.Stacked(1));
    }

    [Fact]
    public unsafe void A_long_gate_takes_16_bytes_and_pushes_nothing_but_the_frame()
    {
        const ulong gdt = 0x6000, task = 0x7800, kernel = 0x14_0000, user = 0x13_0000;
        using var fixture = new ProcessorFixture();
        fixture.Write(gdt + 8, 0x00AF_9B00_0000_FFFF);
        fixture.Write(gdt + 24, 0x00CF_F300_0000_FFFF);
        fixture.Write(gdt + 32, 0x00AF_FB00_0000_FFFF);
        fixture.Write(gdt + 64, (kernel & 0xFFFF) | (8 << 16) | (0xECul << 40) | ((kernel >> 16) << 48));
        fixture.Write(gdt + 72, 0);
        fixture.Write(task + 4, 0x1D_0000);
        fixture.Cpu.Gdtr = (gdt, 0xFF);
        fixture.Cpu.SetSegment(SegmentName.Tr, new SegmentState { Base = task, Limit = 0x67, Attributes = 0x8B, Selector = 0x50 });
        fixture.Load(kernel, a =>
        {
            a.mov(eax, ss);
            a.mov(rsi, rsp);
            a.mov(rcx, __[rsp + 24]);
            a.hlt();
        });
        fixture.Write(0x30_0000, (ulong)Gate << 32);
        fixture.Load(user, a => a.db(0xFF, 0x1C, 0x25, 0, 0, 0x30, 0));
        fixture.Execute(a =>
        {
            a.push(0x1B);
            a.push(0x1F_0000);
            a.push(2);
            a.push(0x23);
            a.push((int)user);
            a.iretq();
        });
        Assert.Equal(0ul, fixture.Cpu.GetGeneralRegister(0));
        Assert.Equal(0x1D_0000ul - 32, fixture.Cpu.GetGeneralRegister(6));
        Assert.Equal(0x1Bul, fixture.Cpu.GetGeneralRegister(1));
    }

    public void Dispose() => _machine.Dispose();

    private static void FarCall(Assembler a, ushort selector) => a.db(0x9A, 0, 0, 0, 0, (byte)selector, (byte)(selector >> 8));
}
