using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Unit.Support;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Partitions;

public abstract partial class PartitionContractTests
{
    private const byte DivideError = 0, InvalidOpcode = 6, GeneralProtection = 13, PageFault = 14;

    [BackendFact]
    public void An_undefined_instruction_raises_invalid_opcode() => AssertFault(InvalidOpcode, null, a => a.ud2());

    [BackendFact]
    public void A_division_by_zero_raises_a_divide_error() => AssertFault(DivideError, null, a =>
    {
        a.div(ecx);
        return;
    });

    [BackendFact]
    public void A_non_canonical_address_raises_general_protection() => AssertFault(GeneralProtection, 0, a => a.mov(eax, __dword_ptr[rdi]), a => a.mov(rdi, 0x0000_8000_0000_0000));

    [BackendFact]
    public void A_selector_beyond_the_table_raises_general_protection_with_the_selector() => AssertFault(GeneralProtection, 0x1230, a => a.mov(ds, ebx), a => a.mov(ebx, 0x1230));

    [BackendFact]
    public void An_unknown_model_specific_register_raises_general_protection() => AssertFault(GeneralProtection, 0, a => a.rdmsr(), a => a.mov(ecx, 0x1234_5678));

    [BackendFact]
    public void A_read_of_an_absent_page_raises_a_page_fault() => AssertPageFault(0, 0, a => a.mov(eax, __dword_ptr[rdi]));

    [BackendFact]
    public void A_write_to_an_absent_page_raises_a_page_fault() => AssertPageFault(0, 2, a => a.mov(__dword_ptr[rdi], eax));

    [BackendFact]
    public void A_write_to_a_read_only_page_raises_a_page_fault() => AssertPageFault(TestMachine.DataAddress | 1, 3, a => a.mov(__dword_ptr[rdi], eax));

    [BackendFact]
    public void A_fetch_from_a_no_execute_page_raises_a_page_fault()
    {
        using var machine = CreateMachine();
        Label handler = default;
        machine.LoadLong(
            a =>
            {
                a.mov(rdi, TestMachine.DataAddress);
                a.jmp(rdi);
                handler = a.FaultHandler(PageFault, hasErrorCode: true);
            },
            (PageFault, () => handler));
        machine.SetPageEntry(TestMachine.DataAddress, TestMachine.DataAddress | 3 | 1ul << 63);
        machine.RunToEnd();

        // Present, instruction fetch.
        Assert.Equal([PageFault, 0x11u, (uint)TestMachine.DataAddress], machine.Reports);
        Assert.Equal(TestMachine.DataAddress, machine.Processor.GetSystemRegisters().Cr2);
    }

    [BackendFact]
    public void A_handler_may_mend_the_page_and_run_the_instruction_again()
    {
        using var machine = CreateMachine();
        Label handler = default;
        machine.Memory.TryWrite(TestMachine.DataAddress, 0xFEED_BEEFu);
        machine.LoadLong(
            a =>
            {
                a.mov(rdi, TestMachine.DataAddress);
                a.mov(eax, __dword_ptr[rdi]);
                a.Report();
                a.Done();
                handler = a.CreateLabel();
                a.Label(ref handler);
                a.push(rax);
                a.mov(rax, cr2);

                // The page table of the first 2 MB stands at 6000h.
                a.mov(rcx, rax);
                a.shr(rcx, 12);
                a.or(rax, 3);
                a.mov(__qword_ptr[rcx * 8 + 0x6000], rax);
                a.pop(rax);
                a.add(rsp, 8);
                a.iretq();
            },
            (PageFault, () => handler));
        machine.SetPageEntry(TestMachine.DataAddress, 0);
        machine.RunToEnd();
        Assert.Equal([0xFEED_BEEFu], machine.Reports);
    }

    [BackendFact]
    public void A_triple_fault_shuts_the_processor_down()
    {
        using var machine = CreateMachine();
        machine.LoadLong(a => a.ud2());
        var system = machine.Processor.GetSystemRegisters();
        system.Idt = default;
        machine.Processor.SetSystemRegisters(system);
        Assert.Equal(VpExitReason.Shutdown, machine.RunUntilStop(machine.Processor).Reason);
    }

    [BackendFact]
    public void A_jump_into_nowhere_ends_in_a_defined_way()
    {
        using var machine = CreateMachine();
        machine.LoadLong(a =>
        {
            a.mov(rax, TestMachine.MmioAddress);
            a.jmp(rax);
        });
        var system = machine.Processor.GetSystemRegisters();
        system.Idt = default;
        machine.Processor.SetSystemRegisters(system);

        // A processor without anything there fetches FFFFh, which is undefined; KVM declines to emulate a fetch from no memory.
        Assert.Contains(machine.RunUntilStop(machine.Processor).Reason, (VpExitReason[])[VpExitReason.Shutdown, VpExitReason.InternalError]);
    }

    private void AssertPageFault(ulong entry, uint errorCode, Action<Assembler> access)
    {
        using var machine = CreateMachine();
        Label handler = default;
        ulong rip = 0;
        var assembled = machine.LoadLong(
            a =>
            {
                a.mov(rdi, TestMachine.DataAddress + 0x123);
                access(a);
                handler = a.FaultHandler(PageFault, hasErrorCode: true);
            },
            (PageFault, () => handler));
        rip = TestMachine.CodeAddress + assembled.Result[0].NewInstructionOffsets[1];
        machine.SetPageEntry(TestMachine.DataAddress, entry);
        machine.RunToEnd();
        Assert.Equal([PageFault, errorCode, (uint)rip], machine.Reports);
        Assert.Equal(TestMachine.DataAddress + 0x123, machine.Processor.GetSystemRegisters().Cr2);
    }

    private void AssertFault(byte vector, uint? errorCode, Action<Assembler> faulting, Action<Assembler>? before = null)
    {
        using var machine = CreateMachine();
        Label handler = default;
        int preceding = 1;
        var assembled = machine.LoadLong(
            a =>
            {
                a.xor(ecx, ecx);
                before?.Invoke(a);
                preceding = a.Instructions.Count;
                faulting(a);
                handler = a.FaultHandler(vector, errorCode is not null);
            },
            (vector, () => handler));
        machine.RunToEnd();
        uint rip = (uint)TestMachine.CodeAddress + assembled.Result[0].NewInstructionOffsets[preceding];
        uint[] expected = errorCode is { } code ? [vector, code, rip] : [vector, rip];
        Assert.Equal(expected, machine.Reports);
    }
}
