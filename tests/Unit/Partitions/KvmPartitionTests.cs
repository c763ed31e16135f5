using Hypervisor.Engine.Native.Posix;
using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Partitions.Kvm;
using Hypervisor.Tests.Unit.Support;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Partitions;

/// <summary>The contract on KVM, and what only KVM has.</summary>
[Backend(Factory = typeof(KvmPartitionFactory))]
public class KvmPartitionTests() : PartitionContractTests(new KvmPartitionFactory())
{
    private const byte Vector = 0x40;

    /// <summary>A driver that emulates ring 0 lets CPUID there show the host's own features, whatever was set.</summary>
    protected override bool HonoursProcessorModel => new KvmPartitionFactory().Probe().Accelerated;

    /// <summary>A driver that emulates ring 0 looks at interrupts between runs of instructions only.</summary>
    protected override bool TakesInterruptsBetweenInstructions => new KvmPartitionFactory().Probe().Accelerated;

    /// <summary>A driver that emulates ring 0 gives up at transfers through gates.</summary>
    protected override bool HasLegacyTransfers => new KvmPartitionFactory().Probe().Accelerated;

    [KvmFact]
    public void A_signalled_event_raises_the_message_of_its_route()
    {
        using var machine = new TestMachine(new KvmPartitionFactory());
        var events = (IEventFdPartition)machine.Partition;
        using var trigger = EventFd.Create();
        int route = events.AddMessageRoute(0xFEE0_0000, 0x33);
        events.UpdateMessageRoute(route, 0xFEE0_0000, Vector);
        events.AttachIrqFd(route, trigger);
        Label handler = default;
        machine.OnReport = value =>
        {
            if (value == 1)
            {
                trigger.Signal();
            }
        };
        machine.LoadLong(
            a =>
            {
                a.EnableApic();
                a.Report(1);
                a.sti();
                a.hlt();
                a.Report(3);
                a.Done();
                handler = a.InterruptHandler(2);
            },
            (Vector, () => handler));
        machine.RunToEnd();
        Assert.Equal([1u, 2, 3], machine.Reports);
        events.DetachIrqFd(route, trigger);
        events.RemoveMessageRoute(route);
    }

    [KvmFact]
    public void A_doorbell_signals_its_event_and_the_bus_hears_nothing()
    {
        using var machine = new TestMachine(new KvmPartitionFactory());
        var events = (IEventFdPartition)machine.Partition;
        using var memoryBell = EventFd.Create();
        using var portBell = EventFd.Create();
        events.AttachDoorbell(DoorbellSpace.Memory, TestMachine.MmioAddress, 2, null, memoryBell);
        events.AttachDoorbell(DoorbellSpace.Port, 0x66, 1, 5, portBell);
        machine.LoadLong(a =>
        {
            a.mov(rbx, TestMachine.MmioAddress);
            a.mov(__word_ptr[rbx], 7);
            a.mov(__word_ptr[rbx], 8);
            a.mov(al, 5);
            a.@out(0x66, al);
            a.mov(al, 6);
            a.@out(0x66, al);
            a.Done();
        });
        machine.RunToEnd();
        Assert.Equal(2ul, memoryBell.Take());
        Assert.Equal(1ul, portBell.Take());
        Assert.Empty(machine.MmioWrites);

        // A value that does not match goes on to the bus.
        Assert.Equal([(0x66, 1, 6u)], machine.PortWrites);
        events.DetachDoorbell(DoorbellSpace.Memory, TestMachine.MmioAddress, 2, null, memoryBell);
        events.DetachDoorbell(DoorbellSpace.Port, 0x66, 1, 5, portBell);
    }

    [KvmFact]
    public void A_level_line_through_the_io_apic_interrupts_until_it_is_lowered()
    {
        using var machine = new TestMachine(new KvmPartitionFactory());
        Label handler = default;
        int served = 0;
        machine.OnReport = value =>
        {
            if (value == 1)
            {
                machine.Partition.SetInterruptLine(10, true);
            }
            else if (value == 2 && ++served == 3)
            {
                machine.Partition.SetInterruptLine(10, false);
            }
        };
        machine.LoadLong(
            a =>
            {
                a.EnableApic();

                // The PIC hears the line too; it is closed as every system with an I/O APIC does.
                a.mov(al, 0xFF);
                a.@out(0x21, al);
                a.@out(0xA1, al);

                // Redirection entry of pin 10: level-triggered, to APIC 0 (82093AA, 3.2.4).
                a.mov(rbx, 0xFEC0_0000);
                a.mov(__dword_ptr[rbx], 0x10 + 2 * 10 + 1);
                a.mov(__dword_ptr[rbx + 0x10], 0);
                a.mov(__dword_ptr[rbx], 0x10 + 2 * 10);
                a.mov(__dword_ptr[rbx + 0x10], 1 << 15 | Vector);
                a.Report(1);
                a.sti();
                var wait = a.CreateLabel();
                a.Label(ref wait);
                a.cmp(__dword_ptr[(long)TestMachine.DataAddress], 3);
                a.jb(wait);
                a.Report(3);
                a.Done();
                handler = a.InterruptHandler(2);
            },
            (Vector, () => handler));
        machine.RunToEnd();

        // A driver that emulates ring 0 may still deliver once what it had taken up before the line fell.
        Assert.Equal([1u, 2, 2, 2], machine.Reports.Take(4));
        Assert.InRange(machine.Reports.Count(report => report == 2), 3, 4);
        Assert.Single(machine.Reports, 3u);
    }

    [KvmFact]
    public void The_interval_timer_interrupts_through_the_pic_in_real_mode()
    {
        using var machine = new TestMachine(new KvmPartitionFactory());
        machine.LoadReal(a =>
        {
            var handler = a.CreateLabel();
            var start = a.CreateLabel();
            a.jmp(start);
            a.Label(ref handler);
            a.Report(2);
            a.mov(al, 0x20);
            a.@out(0x20, al);
            a.iret();
            a.Label(ref start);

            // Vector 20h: the interrupt table's entry 80h; the handler stands behind the two-byte jump.
            a.mov(__word_ptr[0x80], 0x1002);
            a.mov(__word_ptr[0x82], 0);

            // ICW1 to ICW4, then only line 0 open (8259A data sheet).
            foreach (var (port, value) in new (byte, byte)[] { (0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0x21, 0xFE), (0x43, 0x30), (0x40, 0), (0x40, 8) })
            {
                a.mov(al, value);
                a.@out(port, al);
            }

            a.sti();
            a.hlt();
            a.Report(3);
            a.Done();
        });
        machine.RunToEnd();
        Assert.Equal([2u, 3], machine.Reports);
    }

    [KvmFact]
    public void The_paravirtual_clock_goes_on_and_can_be_set()
    {
        using var machine = new TestMachine(new KvmPartitionFactory());
        var partition = (KvmPartition)machine.Partition;
        partition.SetClock(1_000_000_000_000);
        Assert.InRange(partition.GetClock(), 1_000_000_000_000ul, 1_100_000_000_000ul);
        Assert.True(partition.Capabilities.KvmClock);
        Assert.NotEqual(0ul, partition.Capabilities.TscFrequency);
    }

    [KvmFact]
    public void Accesses_to_unknown_model_specific_registers_are_counted()
    {
        using var machine = new TestMachine(new KvmPartitionFactory());
        Label handler = default;
        machine.LoadLong(
            a =>
            {
                a.mov(ecx, 0x1234_5678);
                a.wrmsr();
                handler = a.FaultHandler(13, hasErrorCode: true);
            },
            (13, () => handler));
        machine.RunToEnd();
        Assert.Equal(1, ((KvmPartition)machine.Partition).UnknownMsrAccesses);
        Assert.Equal(0x1234_5678u, ((KvmVirtualProcessor)machine.Processor).LastUnknownMsr);
    }

    [KvmFact]
    public void Saved_state_of_a_processor_can_be_given_back()
    {
        using var machine = new TestMachine(new KvmPartitionFactory());
        var processor = (KvmVirtualProcessor)machine.Processor;
        var debug = processor.DebugRegisters;
        unsafe
        {
            debug.Db[1] = 0x1234_5000;
        }

        processor.DebugRegisters = debug;
        processor.Events = processor.Events;
        processor.LocalApic = processor.LocalApic;
        processor.MpState = processor.MpState;
        processor.ExtendedControl = processor.ExtendedControl;
        debug = processor.DebugRegisters;
        unsafe
        {
            Assert.Equal(0x1234_5000ul, debug.Db[1]);
        }
    }
}
