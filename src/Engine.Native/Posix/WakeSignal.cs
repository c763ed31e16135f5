using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Posix;

/// <summary>
/// A real-time signal that does nothing but interrupt a system call of the thread it is sent to. The runtime keeps SIGRTMIN for
/// itself; this takes the first one after it that nobody has claimed. Managed code must not run in a signal handler, so the handler
/// is a native function without side effects (C's <c>abs</c>, which takes the signal's number as any handler does).
/// </summary>
public static partial class WakeSignal
{
    // x86-64 numbers (asm/unistd_64.h).
    private const nint GetTidCall = 186, TgkillCall = 234;
    private const int FirstAfterMinimum = 3;

    /// <summary>SIG_UNBLOCK on x86-64.</summary>
    private const int Unblock = 1;

    private static readonly int Chosen = Choose();
    private static readonly int Process = Environment.ProcessId;

    [ThreadStatic]
    private static int _threadId;

    /// <summary>The signal's number.</summary>
    public static int Number => Chosen;

    /// <summary>The kernel's id of the calling thread.</summary>
    public static int CurrentThread => _threadId != 0 ? _threadId : _threadId = Enter();

    /// <summary>Interrupts a thread of this process. A thread that has ended is ignored.</summary>
    public static void Send(int thread) => Syscall(TgkillCall, Process, thread, Chosen);

    /// <summary>Lets the signal through on a thread that is new here: whoever made it may have blocked all signals.</summary>
    private static unsafe int Enter()
    {
        // sigset_t is 1024 bits with glibc and musl; signal n is bit n - 1.
        ulong* set = stackalloc ulong[16];
        new Span<ulong>(set, 16).Clear();
        set[(Chosen - 1) / 64] = 1ul << ((Chosen - 1) % 64);

        // SAFETY: the set is as large as the C library's type; the old one is not asked for.
        _ = SetThreadMask(Unblock, set, null);
        return (int)Syscall(GetTidCall, 0, 0, 0);
    }

    private static int Choose()
    {
        nint handler = NativeLibrary.GetExport(NativeLibrary.Load("libc", typeof(WakeSignal).Assembly, null), "abs");
        int last = LastRealTime();
        for (int signal = FirstRealTime() + FirstAfterMinimum; signal <= last; signal++)
        {
            // signal() restarts other interrupted calls (SA_RESTART); KVM_RUN and poll answer EINTR all the same.
            nint previous = SetHandler(signal, handler);
            if (previous == 0 || previous == handler)
            {
                return signal;
            }

            SetHandler(signal, previous);
        }

        throw new InvalidOperationException("Every real-time signal of this process is taken; none is left to interrupt virtual processors.");
    }

    [LibraryImport("libc", EntryPoint = "__libc_current_sigrtmin")]
    private static partial int FirstRealTime();

    [LibraryImport("libc", EntryPoint = "__libc_current_sigrtmax")]
    private static partial int LastRealTime();

    [LibraryImport("libc", EntryPoint = "signal")]
    private static partial nint SetHandler(int signal, nint handler);

    [LibraryImport("libc", EntryPoint = "pthread_sigmask")]
    private static unsafe partial int SetThreadMask(int how, ulong* set, ulong* previous);

    [LibraryImport("libc", EntryPoint = "syscall")]
    private static partial nint Syscall(nint number, nint first, nint second, nint third);
}
