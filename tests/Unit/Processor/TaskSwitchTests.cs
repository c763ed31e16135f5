using Hypervisor.Engine.Processor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>Hardware task switches (Intel SDM vol. 3A, 8.3).</summary>
public sealed class TaskSwitchTests : IDisposable
{
    private const ushort OtherTask = 0x30, TaskGate = 0x38, ShortTask = 0x40;
    private const ushort AbsentData = 0x48;
    private const int CodeField = 76, StackField = 80, DataField = 84, LocalTableField = 96;
    private const ulong OtherState = 0x5800;
    private const uint NestedTask = 0x4000, Busy = 0x200;

    private readonly ProtectedMachine _machine = new();

    public TaskSwitchTests()
    {
        _machine.DescribeTask(OtherTask, OtherState);
        _machine.GateInGdt(TaskGate, OtherTask, 0, 0x85);
        _machine.Load(ProtectedMachine.Second, 32, a =>
        {
            a.mov(eax, 0x1234);
            a.pushfd();
            a.pop(ebx);
            a.hlt();
        });
    }

    [Fact]
    public void A_jump_to_a_task_saves_the_old_one_and_marks_it_free()
    {
        _machine.Execute(a =>
        {
            a.mov(ecx, 0x77);
            a.mov(edx, 0x88);
            FarJump(a, OtherTask);
        });
        Assert.Equal(0x1234u, _machine.Eax);
        Assert.Equal(0u, (uint)_machine.Cpu.GetGeneralRegister(3) & NestedTask);
        Assert.Equal(0x77u, _machine.Read32(ProtectedMachine.MainTaskState + 44));
        Assert.Equal(0x88u, _machine.Read32(ProtectedMachine.MainTaskState + 48));
        Assert.Equal(ProcessorFixture.CodeAddress + 17, _machine.Read32(ProtectedMachine.MainTaskState + 32));
        Assert.Equal(0u, _machine.Read32(ProtectedMachine.Gdt + ProtectedMachine.MainTask + 4) & Busy);
        Assert.Equal(Busy, _machine.Read32(ProtectedMachine.Gdt + OtherTask + 4) & Busy);
        Assert.Equal(8ul, _machine.Cpu.Cr0 & 8);
        Assert.Equal(OtherTask, _machine.Cpu.GetSegment(SegmentName.Tr).Selector);
    }

    [Fact]
    public void A_called_task_returns_with_its_registers_kept_for_the_next_call()
    {
        _machine.Load(ProtectedMachine.Second, 32, a =>
        {
            var again = a.CreateLabel();
            a.Label(ref again);
            a.inc(esi);
            a.mov(edi, 5);
            a.iretd();
            a.jmp(again);
        });
        _machine.Execute(a =>
        {
            a.mov(edi, 1);
            FarCall(a, OtherTask);
            FarCall(a, OtherTask);
            a.mov(eax, 0x55);
        });
        Assert.Equal(0x55u, _machine.Eax);
        Assert.Equal(1ul, _machine.Cpu.GetGeneralRegister(7));
        Assert.Equal(2u, _machine.Read32(OtherState + 64));
        Assert.Equal(ProtectedMachine.MainTask, _machine.Read16(OtherState));
        Assert.Equal(0u, _machine.Read32(ProtectedMachine.Gdt + OtherTask + 4) & Busy);
        Assert.Equal(0u, _machine.Read32(OtherState + 36) & NestedTask);
        Assert.Equal(0ul, _machine.Flags & NestedTask);
    }

    [Fact]
    public void A_task_gate_leads_to_its_task()
    {
        _machine.Execute(a => FarCall(a, TaskGate));
        Assert.Equal(0x1234u, _machine.Eax);
        Assert.Equal(NestedTask, (uint)_machine.Cpu.GetGeneralRegister(3) & NestedTask);
        Assert.Equal(Busy, _machine.Read32(ProtectedMachine.Gdt + ProtectedMachine.MainTask + 4) & Busy);
    }

    [Fact]
    public void An_exception_through_a_task_gate_pushes_its_error_code_on_the_new_stack()
    {
        _machine.Gate(13, OtherTask, 0, 0x85);
        _machine.Load(ProtectedMachine.Second, 32, a =>
        {
            a.mov(ebx, __[esp]);
            a.hlt();
        });
        _machine.Execute(a =>
        {
            a.mov(eax, 0x1230);
            a.mov(ds, eax);
        });
        Assert.Equal(0x1230u, _machine.Vector);
        // The old task stands at the instruction, with RF set.
        Assert.Equal(ProcessorFixture.CodeAddress + 5, _machine.Read32(ProtectedMachine.MainTaskState + 32));
        Assert.Equal(0x1_0000u, _machine.Read32(ProtectedMachine.MainTaskState + 36) & 0x1_0000);
    }

    [Fact]
    public void An_interrupted_task_goes_on_after_the_handler_task()
    {
        _machine.Gate(0x40, OtherTask, 0, 0x85);
        _machine.Load(ProtectedMachine.Second, 32, a =>
        {
            a.inc(__dword_ptr[0x30_0000]);
            a.iretd();
        });
        _machine.Fixture.PendingVector = 0x40;
        _machine.Cpu.SignalInterrupt();
        _machine.Execute(a =>
        {
            a.mov(eax, 3);
            a.sti();
            a.nop();
            a.nop();
            a.add(eax, 4);
            a.cli();
        });
        Assert.Equal(7u, _machine.Eax);
        Assert.Equal(1u, _machine.Read32(0x30_0000));
    }

    [Fact]
    public void A_short_task_state_segment_is_saved_in_words()
    {
        const ulong shortState = 0x5C00;
        _machine.Describe(ShortTask, shortState, 0x2B, 0x81);
        _machine.Write16(shortState + 14, 0x8000);
        _machine.Write16(shortState + 16, 2);
        _machine.Write16(shortState + 26, 0x7000);
        _machine.Write16(shortState + 34, ProtectedMachine.KernelData);
        _machine.Write16(shortState + 36, ProtectedMachine.KernelCode);
        _machine.Write16(shortState + 38, ProtectedMachine.KernelData);
        _machine.Write16(shortState + 40, ProtectedMachine.KernelData);
        _machine.Load(0x8000, 32, a =>
        {
            a.mov(ebp, 0x5678);
            a.iretd();
        });
        _machine.Execute(a =>
        {
            FarCall(a, ShortTask);
            a.mov(eax, 9);
        });
        Assert.Equal(9u, _machine.Eax);
        Assert.Equal(0x5678, _machine.Read16(shortState + 28));
        Assert.Equal(0x8006, _machine.Read16(shortState + 14));
        Assert.Equal(ProtectedMachine.MainTask, _machine.Read16(shortState));
    }

    [Fact]
    public void A_task_may_be_a_virtual_8086_program_in_another_address_space()
    {
        _machine.Write32(OtherState + 36, 0x2_0002);
        _machine.Write32(OtherState + 32, 0x10);
        _machine.Write32(OtherState + 56, 0xFFF0);
        _machine.Write32(OtherState + 72, 0x300);
        _machine.Write32(OtherState + 76, 0x900);
        _machine.Write32(OtherState + 80, 0x400);
        _machine.Write32(OtherState + 84, 0x300);
        _machine.Write32(OtherState + 4, (uint)ProtectedMachine.KernelStack);
        _machine.Write32(OtherState + 8, ProtectedMachine.KernelData);
        _machine.Load(0x9010, 16, a =>
        {
            a.mov(ax, ds);
            a.hlt();
        });
        _machine.Execute(a => FarJump(a, OtherTask));
        Assert.Equal(0x300u, _machine.Eax & 0xFFFF);
        // HLT at CPL 3: error code, EIP, CS.
        Assert.Equal(13u, _machine.Vector);
        Assert.Equal(0x12u, _machine.Stacked(1));
        Assert.Equal(0x900u, _machine.Stacked(2));
        Assert.Equal(0x2_0000u, _machine.Stacked(3) & 0x2_0000);
    }

    [Theory]
    [InlineData(StackField, 0x0000, 10, 0x0000)]
    [InlineData(StackField, 0x0FF8, 10, 0x0FF8)]
    [InlineData(StackField, ProtectedMachine.KernelCode, 10, ProtectedMachine.KernelCode)]
    [InlineData(StackField, ProtectedMachine.UserData, 10, 0x20)]
    [InlineData(StackField, AbsentData, 12, AbsentData)]
    [InlineData(CodeField, 0x0000, 10, 0x0000)]
    [InlineData(CodeField, ProtectedMachine.KernelData, 10, ProtectedMachine.KernelData)]
    [InlineData(DataField, 0x0FF8, 10, 0x0FF8)]
    [InlineData(DataField, ProtectedMachine.MainTask, 10, ProtectedMachine.MainTask)]
    [InlineData(DataField, AbsentData, 11, AbsentData)]
    [InlineData(LocalTableField, ProtectedMachine.KernelData, 10, ProtectedMachine.KernelData)]
    public void What_is_wrong_with_a_new_tasks_segments_is_raised_in_the_new_task(int field, int selector, int vector, int error)
    {
        const ushort handlerTask = 0x50;
        const ulong handlerState = 0x5D00;
        _machine.Describe(AbsentData, 0, 0xFFFFF, 0x13, 0xC);
        _machine.DescribeTask(handlerTask, handlerState);
        _machine.Write32(handlerState + 32, 0x15_0000);
        _machine.Load(0x15_0000, 32, a =>
        {
            a.mov(ecx, __[esp]);
            a.hlt();
        });
        _machine.Gate((uint)vector, handlerTask, 0, 0x85);
        _machine.Write16(OtherState + (ulong)field, (ushort)selector);
        _machine.Execute(a => FarJump(a, OtherTask));
        Assert.Equal((uint)error, (uint)_machine.Cpu.GetGeneralRegister(1));
        Assert.Equal(OtherTask, _machine.Read16(handlerState));
        Assert.Equal((uint)ProtectedMachine.Second, _machine.Read32(OtherState + 32));
    }

    [Fact]
    public void Data_segments_of_a_new_task_may_be_null()
    {
        _machine.Write16(OtherState + DataField, 0);
        _machine.Execute(a => FarJump(a, OtherTask));
        Assert.Equal(0x1234u, _machine.Eax);
    }

    [Fact]
    public void A_busy_task_cannot_be_called()
    {
        _machine.Execute(a => FarCall(a, ProtectedMachine.MainTask));
        Assert.Equal(13u, _machine.Vector);
        Assert.Equal((uint)ProtectedMachine.MainTask, _machine.Stacked(0));
        Assert.Equal((uint)ProcessorFixture.CodeAddress, _machine.Stacked(1));
    }

    [Fact]
    public void A_short_limit_of_the_new_task_is_an_invalid_task_in_the_old_one()
    {
        _machine.Describe(OtherTask, OtherState, 0x66, 0x89);
        _machine.Execute(a => FarJump(a, OtherTask));
        Assert.Equal(10u, _machine.Vector);
        Assert.Equal((uint)OtherTask, _machine.Stacked(0));
        Assert.Equal(ProtectedMachine.MainTask, _machine.Cpu.GetSegment(SegmentName.Tr).Selector);
    }

    [Fact]
    public void An_absent_task_is_reported_as_such()
    {
        _machine.Describe(OtherTask, OtherState, 0x67, 0x09);
        _machine.Execute(a => FarJump(a, TaskGate));
        Assert.Equal(11u, _machine.Vector);
        Assert.Equal((uint)OtherTask, _machine.Stacked(0));
    }

    [Fact]
    public void A_return_to_a_task_that_is_not_busy_is_an_invalid_task()
    {
        _machine.Write16(ProtectedMachine.MainTaskState, OtherTask);
        _machine.Execute(a =>
        {
            a.pushfd();
            a.or(__dword_ptr[esp], (int)NestedTask);
            a.popfd();
            a.iretd();
        });
        Assert.Equal(10u, _machine.Vector);
        Assert.Equal((uint)OtherTask, _machine.Stacked(0));
    }

    [Fact]
    public void User_code_cannot_reach_a_task_of_the_kernel()
    {
        _machine.ExecuteUser(a => FarCall(a, OtherTask));
        Assert.Equal(13u, _machine.Vector);
        Assert.Equal((uint)OtherTask, _machine.Stacked(0));
    }

    [Fact]
    public void User_code_reaches_a_task_through_a_gate_of_its_privilege()
    {
        _machine.GateInGdt(TaskGate, OtherTask, 0, 0xE5);
        _machine.ExecuteUser(a => FarCall(a, TaskGate));
        Assert.Equal(0x1234u, _machine.Eax);
    }

    public void Dispose() => _machine.Dispose();

    private static void FarJump(Assembler a, ushort selector) => a.db(0xEA, 0, 0, 0, 0, (byte)selector, (byte)(selector >> 8));

    private static void FarCall(Assembler a, ushort selector) => a.db(0x9A, 0, 0, 0, 0, (byte)selector, (byte)(selector >> 8));
}
