using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Unit.Support;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Partitions;

public abstract partial class PartitionContractTests
{
    [BackendFact]
    public void A_kick_before_the_run_makes_it_return_at_once()
    {
        using var machine = CreateMachine();
        machine.LoadLong(a =>
        {
            a.Report(1);
            a.Done();
        });
        machine.Processor.Kick();
        machine.Processor.Kick();
        Assert.Equal(VpExitReason.Kicked, machine.Processor.Run().Reason);
        Assert.Empty(machine.Reports);

        // Two kicks were one; the next run goes on.
        machine.RunToEnd();
        Assert.Equal([1u], machine.Reports);
    }

    [BackendFact]
    public void A_kick_takes_the_guest_out_of_an_endless_loop_every_time()
    {
        const int rounds = 300;
        using var machine = CreateMachine();
        machine.LoadLong(a =>
        {
            var forever = a.CreateLabel();
            a.Label(ref forever);
            a.inc(rcx);
            a.jmp(forever);
        });
        using var running = new SemaphoreSlim(0);
        var kicker = new Thread(() =>
        {
            for (int i = 0; i < rounds; i++)
            {
                running.Wait();
                if (i % 3 != 0)
                {
                    // Now before, now during the run.
                    Thread.SpinWait(i * 20);
                }

                machine.Processor.Kick();
            }
        });
        kicker.Start();
        for (int i = 0; i < rounds; i++)
        {
            running.Release();
            Assert.Equal(VpExitReason.Kicked, machine.Processor.Run().Reason);
        }

        kicker.Join();
        Assert.NotEqual(0ul, machine.Processor.GetGeneralRegisters().Rcx);
    }

    [BackendFact]
    public void A_kick_takes_the_guest_out_of_a_halt()
    {
        using var machine = CreateMachine();
        machine.LoadLong(a =>
        {
            a.cli();
            a.Report(1);
            a.hlt();
        });
        machine.OnReport = _ => SendLater(machine, machine.Processor.Kick);
        var exit = machine.RunUntilStop(machine.Processor);
        Assert.Equal(VpExitReason.Kicked, exit.Reason);
    }

    [BackendFact]
    public void A_kick_during_a_port_read_leaves_the_registers_of_an_instruction_boundary()
    {
        using var machine = CreateMachine();
        machine.OnReadPort = (_, _) =>
        {
            machine.Processor.Kick();
            return 0x5A;
        };
        var assembled = machine.LoadLong(a =>
        {
            a.xor(eax, eax);
            a.@in(al, 0x10);
            a.nop();
            a.Done();
        });
        Assert.Equal(VpExitReason.Kicked, machine.Processor.Run().Reason);
        var registers = machine.Processor.GetGeneralRegisters();
        Assert.Equal(0x5Aul, registers.Rax);
        Assert.Equal(TestMachine.CodeAddress + assembled.Result[0].NewInstructionOffsets[2], registers.Rip);
    }

    [BackendFact]
    public void A_processor_that_waits_for_its_start_can_be_kicked()
    {
        using var machine = CreateMachine(processors: 2);
        var second = machine.Partition.Processors[1];
        using var kick = new Timer(_ => second.Kick(), null, 20, Timeout.Infinite);
        Assert.Equal(VpExitReason.Kicked, machine.RunUntilStop(second).Reason);
    }

    [BackendFact]
    public void Many_partitions_come_and_go()
    {
        for (int i = 0; i < 20; i++)
        {
            using var machine = CreateMachine(processors: 1 + i % 3);
            machine.LoadReal(a =>
            {
                a.Report(7);
                a.Done();
            });
            machine.RunToEnd();
            Assert.Equal([7u], machine.Reports);
        }
    }

    [BackendFact]
    public void A_new_and_a_reset_processor_start_at_the_reset_vector()
    {
        using var machine = CreateMachine();
        const ulong firmware = 0xFFFF_0000;
        machine.Memory.AddBlock(firmware, 0x10000, writable: false);
        machine.Map(firmware, MemoryAccess.Rom);
        machine.Load(16, 0xFFFF_FFF0, a =>
        {
            a.@out(0x80, al);
            a.mov(dx, TestMachine.DonePort);
            a.@out(dx, al);
        });
        machine.RunToEnd();
        machine.LoadLong(a =>
        {
            a.mov(rax, 0x1234);
            a.mov(cr2, rax);
            a.Report(1);
            a.Done();
        });
        machine.RunToEnd();
        machine.Processor.Reset();
        var general = machine.Processor.GetGeneralRegisters();
        var system = machine.Processor.GetSystemRegisters();
        Assert.Equal(0xFFF0ul, general.Rip);
        Assert.Equal(2ul, general.Rflags);
        Assert.Equal(0ul, general.Rax);
        Assert.Equal(firmware, system.Cs.Base);
        Assert.Equal(0xF000, system.Cs.Selector);
        Assert.Equal(0x6000_0010ul, system.Cr0);
        Assert.Equal(0ul, system.Cr3);
        Assert.Equal(0ul, system.Cr4);
        Assert.Equal(0ul, system.Efer);
        Assert.Equal(0xFEE0_0900ul, system.ApicBase);
        machine.RunToEnd();
        Assert.Equal(2, machine.PortWrites.Count(write => write.Port == 0x80));
    }

    [BackendFact]
    public void An_absurd_number_of_processors_is_refused()
    {
        Assert.Throws<PartitionException>(() => CreateMachine(processors: 0));
        Assert.Throws<PartitionException>(() => CreateMachine(processors: 65));
    }
}
