using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Unit.Support;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Partitions;

// What 32-bit operating systems use and 64-bit ones do not: tasks, call gates, virtual-8086 mode.
public abstract partial class PartitionContractTests
{
    private const ushort KernelCode = 0x08, KernelData = 0x10, FirstTask = 0x18, OtherTask = 0x20, UserCode = 0x2B, UserData = 0x33, CallGate = 0x38;
    private const ulong LegacyTables = 0x9000, LegacyVectors = 0xA000, FirstState = 0xB000, OtherState = 0xD400, SecondCode = 0x1_4000, UserProgram = 0x1_8000;

    [BackendFact]
    public void A_called_task_returns_to_its_caller()
    {
        using var machine = CreateMachine();
        machine.Load(32, SecondCode, a =>
        {
            a.mov(eax, esi);
            a.Report();
            a.mov(edi, 9);
            a.pushfd();
            a.pop(eax);
            a.and(eax, 0x4000);
            a.Report();
            a.iretd();
        });
        LoadLegacy(machine, a =>
        {
            a.mov(edi, 0x77);
            FarCall(a, OtherTask);
            a.mov(eax, edi);
            a.Report();
            a.mov(eax, cr0);
            a.and(eax, 8);
            a.Report();
            a.Done();
        });
        WriteTask(machine, OtherState, SecondCode);
        CheckLegacy(machine, 0x1234, 0x4000, 0x77, 8);
    }

    [BackendFact]
    public void A_call_gate_copies_parameters_to_the_inner_stack()
    {
        using var machine = CreateMachine();
        machine.Load(32, SecondCode, a =>
        {
            a.mov(eax, __dword_ptr[esp + 8]);
            a.Report();
            a.mov(eax, esp);
            a.Report();
            a.retf(8);
        });
        machine.Load(32, UserProgram, a =>
        {
            a.push(0x11);
            a.push(0x22);
            FarCall(a, CallGate);
            a.mov(eax, esp);
            a.Report();
            a.Done();
        });
        LoadLegacy(machine, a =>
        {
            a.push(UserData);
            a.push(0x1_F000);
            a.push(0x3002);
            a.push(UserCode);
            a.push((int)UserProgram);
            a.iretd();
        });
        CheckLegacy(machine, 0x22, 0x1_E000 - 24, 0x1_F000);
    }

    [BackendFact]
    public void An_8086_program_faults_into_the_monitor_with_all_its_segments_on_the_stack()
    {
        using var machine = CreateMachine();
        machine.Load(16, UserProgram, a =>
        {
            a.mov(ax, ds);
            a.cli();
        });
        machine.Load(32, SecondCode, a =>
        {
            a.Report();
            for (int slot = 1; slot < 10; slot++)
            {
                a.mov(eax, __dword_ptr[esp + (slot * 4)]);
                a.Report();
            }

            a.Done();
        });
        LoadLegacy(machine, a =>
        {
            a.push(0x600);
            a.push(0x500);
            a.push(0x300);
            a.push(0x200);
            a.push(0x400);
            a.push(0xFFF0);
            a.push(0x2_0002);
            a.push((int)(UserProgram >> 4));
            a.push(0);
            a.iretd();
        });
        // RF is set in the image of a fault.
        CheckLegacy(machine, 0x300, 2, (uint)(UserProgram >> 4), 0x3_0002, 0xFFF0, 0x400, 0x200, 0x300, 0x500, 0x600);
    }

    /// <summary>The backend does far transfers through gates and returns to outer privileges in protected mode.</summary>
    protected virtual bool HasLegacyTransfers => true;

    private void CheckLegacy(TestMachine machine, params uint[] expected)
    {
        if (HasLegacyTransfers)
        {
            machine.RunToEnd();
            Assert.Equal(expected, machine.Reports);
        }
        else
        {
            Assert.Equal(VpExitReason.InternalError, machine.RunUntilStop(machine.Processor).Reason);
        }
    }

    private static void FarCall(Assembler a, ushort selector) => a.db(0x9A, 0, 0, 0, 0, (byte)selector, (byte)(selector >> 8));

    // Protected mode with two tasks, user segments, a call gate and a handler of #GP, the latter two at SecondCode.
    private static void LoadLegacy(TestMachine machine, Action<Assembler> program)
    {
        machine.LoadProtected(program);
        void Describe(ushort selector, ulong value) => machine.Memory.TryWrite(LegacyTables + (selector & ~7u), value);
        Describe(KernelCode, 0x00CF_9B00_0000_FFFF);
        Describe(KernelData, 0x00CF_9300_0000_FFFF);
        Describe(FirstTask, 0x0000_8B00_0000_2067 | (FirstState << 16));
        Describe(OtherTask, 0x0000_8900_0000_0067 | (OtherState << 16));
        Describe(UserCode, 0x00CF_FB00_0000_FFFF);
        Describe(UserData, 0x00CF_F300_0000_FFFF);
        Describe(CallGate, 0x0000_EC02_0008_0000 | (SecondCode & 0xFFFF) | ((SecondCode >> 16) << 48));
        machine.Memory.TryWrite(LegacyVectors + (13 * 8), 0x0000_8E00_0008_0000 | (SecondCode & 0xFFFF) | ((SecondCode >> 16) << 48));
        machine.Memory.TryWrite(FirstState + 4, 0x1_E000u);
        machine.Memory.TryWrite(FirstState + 8, (uint)KernelData);
        machine.Memory.TryWrite(FirstState + 102, (ushort)0x68);
        var system = machine.Processor.GetSystemRegisters();
        system.Gdt = new DescriptorTableRegister { Base = LegacyTables, Limit = 0xFF };
        system.Idt = new DescriptorTableRegister { Base = LegacyVectors, Limit = 0x7FF };
        system.Tr = new SegmentRegister { Base = FirstState, Limit = 0x2067, Attributes = 0x8B, Selector = FirstTask };
        machine.Processor.SetSystemRegisters(system);
    }

    private static void WriteTask(TestMachine machine, ulong state, ulong code)
    {
        machine.Memory.TryWrite(state + 32, (uint)code);
        machine.Memory.TryWrite(state + 36, 2u);
        machine.Memory.TryWrite(state + 56, 0x1_D000u);
        machine.Memory.TryWrite(state + 64, 0x1234u);
        machine.Memory.TryWrite(state + 72, (uint)KernelData);
        machine.Memory.TryWrite(state + 76, (uint)KernelCode);
        machine.Memory.TryWrite(state + 80, (uint)KernelData);
        machine.Memory.TryWrite(state + 84, (uint)KernelData);
    }
}
