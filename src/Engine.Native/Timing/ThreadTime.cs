using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Timing;

/// <summary>Processor time of threads, as the operating system counts it. Linux only; elsewhere there is none to be had.</summary>
public static unsafe partial class ThreadTime
{
    private const nint GetTidCall = 186;
    private const int PerThreadScheduled = 6, ThreadIdShift = 3;
    private const long NanosecondsPerSecond = 1_000_000_000;

    /// <summary>The kernel's id of the calling thread; 0 where <see cref="Of"/> has no answer.</summary>
    public static int CurrentThread =>
        OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64 ? (int)Syscall(GetTidCall) : 0;

    /// <summary>Processor time of a thread of this process, ns; negative when it has ended or cannot be asked.</summary>
    public static long Of(int thread)
    {
        if (thread == 0)
        {
            return -1;
        }

        // The clock of a thread is its id, inverted, above the bits for "a thread's, as scheduled" (linux/posix-timers.h, CPUCLOCK_*).
        int clock = (~thread << ThreadIdShift) | PerThreadScheduled;
        TimeSpec time;
        // SAFETY: the structure lives in this frame.
        return ClockGetTime(clock, &time) == 0 ? (time.Seconds * NanosecondsPerSecond) + time.Nanoseconds : -1;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int ClockGetTime(int clock, TimeSpec* time);

    [LibraryImport("libc", EntryPoint = "syscall")]
    private static partial nint Syscall(nint number);
}
