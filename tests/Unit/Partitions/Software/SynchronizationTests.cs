using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Partitions.Software;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Partitions.Software;

/// <summary>Whoever wants processors to forget pages waits for them, from anywhere that may.</summary>
public sealed class SynchronizationTests
{
    private const int Processors = 4;
    private const ushort SynchronizePort = 0x520;
    private const byte StartVector = 9;

    [Fact]
    public void Processors_that_wait_for_each_other_in_device_accesses_all_go_on()
    {
        using var machine = new TestMachine(new SoftwarePartitionFactory(), Processors);
        var partition = (SoftwarePartition)machine.Partition;
        int left = 4000;
        using var start = new Barrier(Processors);
        using var started = new ThreadLocal<bool>();
        machine.OnReadPort = (_, _) =>
        {
            if (!started.Value)
            {
                started.Value = true;
                Assert.True(start.SignalAndWait(TimeSpan.FromSeconds(60)));
            }

            if (left % 2 == 0)
            {
                partition.SynchronizeAll();
            }
            else
            {
                partition.Synchronize(TestMachine.DataAddress >> 12);
            }

            return (uint)Math.Max(Interlocked.Decrement(ref left), 0);
        };

        // The others run the same in real mode: stores, and a port.
        machine.Load(16, StartVector << 12, a =>
        {
            var again = a.CreateLabel();
            a.Label(ref again);
            a.inc(__word_ptr[0x100]);
            a.mov(dx, SynchronizePort);
            a.@in(eax, dx);
            a.test(eax, eax);
            a.jnz(again);
            a.mov(dx, TestMachine.DonePort);
            a.@out(dx, al);
            a.hlt();
        });
        for (int n = 1; n < Processors; n++)
        {
            machine.Partition.SignalMsi(0xFEE0_0000 | ((ulong)n << 12), 0x500);
            machine.Partition.SignalMsi(0xFEE0_0000 | ((ulong)n << 12), 0x600 | StartVector);
        }

        machine.LoadLong(a =>
        {
            var again = a.CreateLabel();
            a.mov(rbx, TestMachine.DataAddress);
            a.Label(ref again);
            a.inc(__qword_ptr[rbx]);
            a.mov(dx, SynchronizePort);
            a.@in(eax, dx);
            a.test(eax, eax);
            a.jnz(again);
            a.Done();
        });
        var threads = machine.Partition.Processors.Skip(1).Select(processor => new Thread(() => machine.RunUntilStop(processor))).ToArray();
        Array.ForEach(threads, thread => thread.Start());
        machine.RunToEnd();
        foreach (var processor in machine.Partition.Processors)
        {
            processor.Kick();
        }

        Array.ForEach(threads, thread => thread.Join());
        Assert.True(left <= 0);
        Assert.True(machine.Memory.TryRead(0x100, out ushort stores));
        Assert.NotEqual(0, stores);
    }

    [Fact]
    public void A_processor_that_does_not_run_is_not_waited_for()
    {
        using var machine = new TestMachine(new SoftwarePartitionFactory(), Processors);
        var partition = (SoftwarePartition)machine.Partition;
        for (ulong page = 0; page < 100; page++)
        {
            partition.Synchronize(page);
        }

        partition.Synchronize([1, 2, 3]);
        partition.Synchronize([]);
        partition.SynchronizeAll();
        machine.LoadLong(a =>
        {
            a.Report(5);
            a.Done();
        });
        machine.RunToEnd();
        Assert.Equal([5u], machine.Reports);
    }

    [Fact]
    public void A_guest_does_the_same_while_it_is_told_to_forget_and_tracked()
    {
        using var machine = new TestMachine(new SoftwarePartitionFactory());
        var partition = (SoftwarePartition)machine.Partition;
        int stop = 0;
        machine.OnReadPort = (_, _) => (uint)Volatile.Read(ref stop);
        machine.LoadLong(a =>
        {
            var again = a.CreateLabel();
            var store = a.CreateLabel();
            a.mov(rbx, TestMachine.DataAddress);
            a.Label(ref again);
            a.mov(ecx, 10_000);
            a.Label(ref store);
            a.inc(__qword_ptr[rbx]);
            a.inc(__qword_ptr[rbx + 64]);
            a.dec(ecx);
            a.jnz(store);
            a.mov(dx, SynchronizePort);
            a.@in(eax, dx);
            a.test(eax, eax);
            a.jz(again);
            a.Done();
        });
        var thread = new Thread(machine.RunToEnd);
        thread.Start();

        for (int n = 0; n < 200; n++)
        {
            partition.SetDirtyTracking(0, true);
            partition.SetDirtyTracking(0, false);
            partition.Synchronize(TestMachine.DataAddress >> 12);
        }

        Volatile.Write(ref stop, 1);
        thread.Join();
        Assert.True(machine.Memory.TryRead(TestMachine.DataAddress, out ulong first));
        Assert.True(machine.Memory.TryRead(TestMachine.DataAddress + 64, out ulong second));
        Assert.Equal(first, second);
        Assert.Equal(0ul, first % 10_000);
    }
}
