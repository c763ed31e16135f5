using Hypervisor.Engine.Processor;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>An exception whose delivery raises it again, without end.</summary>
public class EndlessDeliveryTests
{
    private const uint AlignmentCheck = 17, AlignmentMask = 1 << 18, AlignmentFlag = 1 << 18;

    [Fact]
    public void A_handler_that_is_never_reached_does_not_keep_the_processor_from_being_stopped()
    {
        // The handler runs at CPL 3 on the stack that was not aligned to begin with: pushing its frame is the next violation.
        using var machine = new ProtectedMachine();
        machine.Gate(AlignmentCheck, ProtectedMachine.UserCode, (uint)ProtectedMachine.User, 0xEE);
        machine.Load(ProtectedMachine.User, 32, a => a.mov(eax, __dword_ptr[(uint)ProtectedMachine.UserStack + 1]));
        using var done = new ManualResetEventSlim();
        var stopper = new Thread(() =>
        {
            // Again and again: the first may come before the guest is there.
            while (!done.Wait(1))
            {
                if (machine.Cpu.GetStatistics().Exceptions > 0)
                {
                    machine.Cpu.RequestStop();
                }
            }
        });
        stopper.Start();
        StopReason reason = machine.Execute(a =>
        {
            a.mov(eax, cr0);
            a.or(eax, AlignmentMask);
            a.mov(cr0, eax);
            a.mov(eax, ProtectedMachine.UserData);
            a.mov(ds, ax);
            a.push(ProtectedMachine.UserData);
            a.push((int)ProtectedMachine.UserStack + 1);
            a.push((int)(AlignmentFlag | 2));
            a.push(ProtectedMachine.UserCode);
            a.push((int)ProtectedMachine.User);
            a.iretd();
        });
        done.Set();
        stopper.Join();
        Assert.Equal(StopReason.Requested, reason);
        Assert.Equal(ProtectedMachine.User, machine.Cpu.Rip);
    }
}
