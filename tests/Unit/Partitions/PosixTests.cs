using Hypervisor.Engine.Native.Posix;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Partitions;

public class PosixTests
{
    [LinuxFact]
    public void An_event_counts_its_signals_until_they_are_taken()
    {
        using var signalled = EventFd.Create();
        Assert.Equal(0ul, signalled.Take());
        Assert.False(signalled.Wait(0));
        signalled.Signal();
        signalled.Signal();
        Assert.True(signalled.Wait(0));
        Assert.Equal(2ul, signalled.Take());
        Assert.False(signalled.Wait(0));
    }

    [LinuxFact]
    public void The_wake_signal_is_not_the_runtimes_own()
    {
        // 34 is SIGRTMIN with glibc, 35 with musl.
        Assert.InRange(WakeSignal.Number, 36, 64);
    }

    [LinuxFact]
    public void The_wake_signal_interrupts_a_waiting_thread_and_harms_nobody()
    {
        using var never = EventFd.Create();
        using var started = new ManualResetEventSlim();
        int thread = 0;
        bool signalled = true;
        var waiting = new Thread(() =>
        {
            thread = WakeSignal.CurrentThread;
            started.Set();
            signalled = never.Wait(-1);
        });
        waiting.Start();
        started.Wait();
        do
        {
            // The first may come before the wait began.
            WakeSignal.Send(thread);
        }
        while (!waiting.Join(1));
        Assert.False(signalled);
        WakeSignal.Send(thread);
    }

    [LinuxFact]
    public void A_file_that_does_not_open_answers_its_error()
    {
        Assert.Equal(-Errno.ENOENT, FileDescriptor.TryOpen("/nonexistent/file", out var descriptor));
        Assert.Null(descriptor);
    }
}
