using System.Diagnostics;
using Hypervisor.Engine.Processor;

namespace Hypervisor.Engine.Partitions.Software;

/// <summary>
/// Looks twenty times a second at what the process's software processors are doing, so that they need not look at a clock
/// themselves whenever they change between interpreter and translated code.
/// </summary>
internal static class TierSampler
{
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(50);

    private static readonly Lock Gate = new();
    private static readonly List<X86Processor> Processors = [];
    private static readonly Timer Clock = new(_ => Sample());
    private static long _last;

    /// <summary>Begins with a processor.</summary>
    public static void Add(X86Processor processor)
    {
        lock (Gate)
        {
            Processors.Add(processor);
            if (Processors.Count == 1)
            {
                _last = Stopwatch.GetTimestamp();
                Clock.Change(Period, Period);
            }
        }
    }

    /// <summary>Forgets a processor.</summary>
    public static void Remove(X86Processor processor)
    {
        lock (Gate)
        {
            if (Processors.Remove(processor) && Processors.Count == 0)
            {
                Clock.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            }
        }
    }

    private static void Sample()
    {
        lock (Gate)
        {
            // What a late tick stands for is longer; two that come at once share it.
            long now = Stopwatch.GetTimestamp();
            TimeSpan elapsed = Stopwatch.GetElapsedTime(_last, now);
            _last = now;
            foreach (X86Processor processor in Processors)
            {
                processor.SampleTier(elapsed);
            }
        }
    }
}
