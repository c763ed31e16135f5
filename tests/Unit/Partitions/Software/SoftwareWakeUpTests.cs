using System.Diagnostics;
using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Partitions.Software;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Partitions.Software;

public sealed class SoftwareWakeUpTests
{
    private const byte Vector = 0x40;
    private const int Rounds = 3000;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    [Fact]
    public void No_wake_up_is_lost_when_interrupts_race_with_halts()
    {
        using var machine = new TestMachine(new SoftwarePartitionFactory());
        using var asked = new SemaphoreSlim(0);
        bool ended = false;
        machine.OnReport = _ => asked.Release();
        Label handler = default;
        machine.LoadLong(
            a =>
            {
                a.EnableApic();
                a.mov(ecx, Rounds);
                var loop = a.CreateLabel();
                a.Label(ref loop);
                a.cli();
                a.Report(1);
                a.sti();
                a.hlt();
                a.dec(ecx);
                a.jne(loop);
                a.Done();
                handler = a.CreateLabel();
                a.Label(ref handler);
                a.WriteApic(Guest.ApicEoi, 0);
                a.iretq();
            },
            (Vector, () => handler));
        var device = new Thread(() =>
        {
            while (true)
            {
                asked.Wait();
                if (Volatile.Read(ref ended))
                {
                    return;
                }

                machine.Partition.SignalMsi(0xFEE0_0000, Vector);
            }
        });
        device.Start();
        var exit = machine.Processor.Run();
        bool lost = false;
        while (exit.Reason == VpExitReason.Halted && !lost)
        {
            long start = Stopwatch.GetTimestamp();
            machine.Processor.WaitWhileHalted(Patience);
            lost = Stopwatch.GetElapsedTime(start) >= Patience;
            exit = machine.Processor.Run();
        }

        Volatile.Write(ref ended, true);
        asked.Release();
        device.Join();
        Assert.False(lost);
        Assert.Equal(VpExitReason.Kicked, exit.Reason);
        Assert.Equal(Rounds, machine.Reports.Count);
    }
}
