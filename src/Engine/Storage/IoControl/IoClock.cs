using System.Diagnostics;

namespace Hypervisor.Engine.Storage.IoControl;

/// <summary>The monotonic time of the scheduler, nanoseconds.</summary>
internal static class IoClock
{
    private const long NanosecondsPerSecond = 1_000_000_000;

    private static readonly bool IsNanoseconds = Stopwatch.Frequency == NanosecondsPerSecond;

    public static long Now => IsNanoseconds ? Stopwatch.GetTimestamp() : (long)(Stopwatch.GetTimestamp() * ((double)NanosecondsPerSecond / Stopwatch.Frequency));
}
