using Hypervisor.Tests.Unit.Support;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Partitions;

public abstract partial class PartitionContractTests
{
    /// <summary>A message to local APIC 0 in physical mode (Intel SDM vol. 3A, 11.11.1).</summary>
    private const ulong MessageAddress = 0xFEE0_0000;
    private const byte Vector = 0x40, OtherVector = 0x51, NonMaskable = 2;
    private const uint Ready = 0x1000;

    [BackendFact]
    public void A_halted_processor_wakes_on_a_message()
    {
        using var machine = CreateMachine();
        Label handler = default;
        machine.OnReport = value =>
        {
            if (value == Ready)
            {
                SendLater(machine, () => machine.Partition.SignalMsi(MessageAddress, Vector));
            }
        };
        machine.LoadLong(
            a =>
            {
                a.EnableApic();
                a.Report(Ready);
                a.sti();
                a.hlt();
                a.Report(3);
                a.Done();
                handler = a.InterruptHandler(2);
            },
            (Vector, () => handler));
        machine.RunToEnd();
        Assert.Equal([Ready, 2u, 3], machine.Reports);
    }

    [BackendFact]
    public void A_pending_interrupt_is_taken_in_the_one_instruction_between_STI_and_CLI()
    {
        using var machine = CreateMachine();
        Label handler = default;
        machine.OnReport = value =>
        {
            if (value == Ready)
            {
                machine.Partition.SignalMsi(MessageAddress, Vector);
            }
        };
        machine.LoadLong(
            a =>
            {
                a.EnableApic();
                a.Report(Ready);
                a.sti();
                a.nop();
                a.nop();
                a.cli();
                a.Report(3);
                a.Done();
                handler = a.InterruptHandler(2);
            },
            (Vector, () => handler));
        machine.RunToEnd();
        Assert.Equal(3u, machine.Reports[^1]);
        if (TakesInterruptsBetweenInstructions)
        {
            Assert.Equal([Ready, 2u, 3], machine.Reports);
        }
    }

    [BackendFact]
    public void A_running_processor_takes_messages_by_priority_once_it_allows_interrupts()
    {
        using var machine = CreateMachine();
        Label low = default, high = default;
        machine.OnReport = value =>
        {
            if (value == Ready)
            {
                machine.Partition.SignalMsi(MessageAddress, Vector);
                machine.Partition.SignalMsi(MessageAddress, OtherVector);
            }
        };
        machine.LoadLong(
            a =>
            {
                a.EnableApic();
                a.Report(Ready);
                a.sti();
                var wait = a.CreateLabel();
                a.Label(ref wait);
                a.cmp(__dword_ptr[(long)TestMachine.DataAddress], 2);
                a.jb(wait);
                a.Report(4);
                a.Done();
                low = a.InterruptHandler(2);
                high = a.InterruptHandler(3);
            },
            (Vector, () => low),
            (OtherVector, () => high));
        machine.RunToEnd();
        Assert.Equal([Ready, 3u, 2, 4], machine.Reports);
    }

    [BackendFact]
    public void A_message_reaches_a_guest_that_computes_without_exits()
    {
        using var machine = CreateMachine();
        Label handler = default;
        machine.OnReport = value =>
        {
            if (value == Ready)
            {
                SendLater(machine, () => machine.Partition.SignalMsi(MessageAddress, Vector));
            }
        };
        machine.LoadLong(
            a =>
            {
                a.EnableApic();
                a.xor(ecx, ecx);
                a.sti();
                a.Report(Ready);
                var loop = a.CreateLabel();
                a.Label(ref loop);
                a.inc(rsi);
                a.test(ecx, ecx);
                a.je(loop);
                a.Report(3);
                a.Done();
                handler = a.CreateLabel();
                a.Label(ref handler);
                a.mov(ecx, 1);
                a.WriteApic(Guest.ApicEoi, 0);
                a.iretq();
            },
            (Vector, () => handler));
        machine.RunToEnd();
        Assert.Equal([Ready, 3u], machine.Reports);
    }

    [BackendFact]
    public void A_one_shot_timer_of_the_local_apic_wakes_a_halted_processor()
    {
        using var machine = CreateMachine();
        Label handler = default;
        machine.LoadLong(
            a =>
            {
                a.EnableApic();

                // Divide by 1, one shot.
                a.WriteApic(Guest.ApicDivide, 0xB);
                a.WriteApic(Guest.ApicTimer, Vector);
                a.WriteApic(Guest.ApicInitialCount, 1_000_000);
                a.sti();
                a.hlt();
                a.Report(3);
                a.Done();
                handler = a.InterruptHandler(2);
            },
            (Vector, () => handler));
        machine.RunToEnd();
        Assert.Equal([2u, 3], machine.Reports);
    }

    [BackendFact]
    public void A_periodic_timer_of_the_local_apic_fires_again_and_again()
    {
        using var machine = CreateMachine();
        Label handler = default;
        machine.LoadLong(
            a =>
            {
                a.EnableApic();
                a.WriteApic(Guest.ApicDivide, 0xB);
                a.WriteApic(Guest.ApicTimer, 1u << 17 | Vector);
                a.WriteApic(Guest.ApicInitialCount, 2_000_000);
                a.mov(ecx, 3);
                a.sti();
                var loop = a.CreateLabel();
                a.Label(ref loop);
                a.hlt();
                a.dec(ecx);
                a.jne(loop);
                a.cli();
                a.Done();
                handler = a.InterruptHandler(2);
            },
            (Vector, () => handler));
        machine.RunToEnd();
        Assert.True(machine.Reports.Count >= 3);
        Assert.All(machine.Reports, value => Assert.Equal(2u, value));
    }

    [BackendFact]
    public void A_tsc_deadline_that_is_offered_fires()
    {
        using var machine = CreateMachine();
        Label handler = default;
        machine.LoadLong(
            a =>
            {
                var absent = a.CreateLabel();
                a.mov(eax, 1);
                a.cpuid();
                a.bt(ecx, 24);
                a.jnc(absent);
                a.EnableApic();
                a.WriteApic(Guest.ApicTimer, 2u << 17 | Vector);
                a.rdtsc();
                a.shl(rdx, 32);
                a.or(rax, rdx);
                a.add(rax, 1_000_000);
                a.mov(rdx, rax);
                a.shr(rdx, 32);
                a.mov(ecx, 0x6E0);
                a.wrmsr();
                a.sti();
                a.hlt();
                a.Report(3);
                a.Done();
                a.Label(ref absent);
                a.Report(2);
                a.Report(3);
                a.Done();
                handler = a.InterruptHandler(2);
            },
            (Vector, () => handler));
        machine.RunToEnd();
        Assert.Equal([2u, 3], machine.Reports);
    }

    [BackendFact]
    public void A_non_maskable_interrupt_comes_through_disabled_interrupts()
    {
        using var machine = CreateMachine();
        Label handler = default;
        machine.OnReport = value =>
        {
            if (value == Ready)
            {
                SendLater(machine, machine.Processor.InjectNmi);
            }
        };
        machine.LoadLong(
            a =>
            {
                a.xor(ecx, ecx);
                a.cli();
                a.Report(Ready);
                var loop = a.CreateLabel();
                a.Label(ref loop);
                a.test(ecx, ecx);
                a.je(loop);
                a.Report(3);
                a.Done();
                handler = a.CreateLabel();
                a.Label(ref handler);
                a.mov(ecx, 1);
                a.iretq();
            },
            (NonMaskable, () => handler));
        machine.RunToEnd();
        Assert.Equal([Ready, 3u], machine.Reports);
    }

    [BackendFact]
    public void A_second_processor_starts_in_real_mode_at_its_start_up_vector()
    {
        using var machine = CreateMachine(processors: 2);
        machine.Load(16, 0x9000, a =>
        {
            a.mov(ax, cs);
            a.mov(dx, TestMachine.ReportPort);
            a.@out(dx, eax);
            a.mov(dx, TestMachine.DonePort);
            a.@out(dx, al);
            var forever = a.CreateLabel();
            a.Label(ref forever);
            a.hlt();
            a.jmp(forever);
        });
        machine.LoadLong(a =>
        {
            a.EnableApic();
            a.WriteApic(Guest.ApicCommandHigh, 1u << 24);
            a.WriteApic(Guest.ApicCommandLow, 0x4500);
            a.mov(ecx, 10_000);
            var pause = a.CreateLabel();
            a.Label(ref pause);
            a.dec(ecx);
            a.jne(pause);

            // Start-up IPI to 09000h.
            a.WriteApic(Guest.ApicCommandHigh, 1u << 24);
            a.WriteApic(Guest.ApicCommandLow, 0x4609);
            var forever = a.CreateLabel();
            a.Label(ref forever);
            a.jmp(forever);
        });

        var second = machine.Partition.Processors[1];
        Assert.Equal(1, second.Index);
        var thread = new Thread(() => machine.RunUntilStop(second));
        thread.Start();
        machine.RunToEnd();
        second.Kick();
        thread.Join();
        Assert.Equal(0x900u, Assert.Single(machine.Reports) & 0xFFFF);
    }

    /// <summary>Acts from another thread, as devices do.</summary>
    private static void SendLater(TestMachine machine, Action action) => ThreadPool.QueueUserWorkItem(_ =>
    {
        Thread.Sleep(5);
        action();
    });
}
