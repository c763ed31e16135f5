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

    /// <summary>Whether a thread of this process sleeps in the kernel, and does not merely wait for a processor of the host.</summary>
    public static bool IsAsleep(int thread)
    {
        try
        {
            // proc(5): "id (name) state ..."; the name may have parentheses of its own.
            string line = File.ReadAllText($"/proc/self/task/{thread}/stat");
            int end = line.LastIndexOf(')');
            return end >= 0 && end + 2 < line.Length && line[end + 2] is 'S' or 'D';
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // It has ended, or there is no /proc here.
            return false;
        }
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
