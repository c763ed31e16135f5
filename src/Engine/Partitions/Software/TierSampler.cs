using System.Diagnostics;
using Hypervisor.Engine.Processor;

namespace Hypervisor.Engine.Partitions.Software;

/// <summary>
/// Looks twenty times a second (five while all are halted) at what the process's software processors are doing, so that they need
/// not look at a clock themselves whenever they change between interpreter and translated code.
/// </summary>
internal static class TierSampler
{
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(50), IdlePeriod = TimeSpan.FromMilliseconds(200);

    // A monitor, for its timed wait. A thread of its own costs an idle process less than a timer, whose callbacks other threads run.
    private static readonly object Gate = new();
    private static readonly List<X86Processor> Processors = [];
    private static Thread? _thread;

    /// <summary>Begins with a processor.</summary>
    public static void Add(X86Processor processor)
    {
        lock (Gate)
        {
            Processors.Add(processor);
            if (_thread is null)
            {
                _thread = new Thread(Run) { IsBackground = true, Name = "tier sampler" };
                _thread.Start();
            }
        }
    }

    /// <summary>Forgets a processor.</summary>
    public static void Remove(X86Processor processor)
    {
        lock (Gate)
        {
            Processors.Remove(processor);
            Monitor.Pulse(Gate);
        }
    }

    private static void Run()
    {
        lock (Gate)
        {
            long last = Stopwatch.GetTimestamp();
            bool idle = false;
            while (Processors.Count > 0)
            {
                Monitor.Wait(Gate, idle ? IdlePeriod : Period);

                // What a late look stands for is longer.
                long now = Stopwatch.GetTimestamp();
                TimeSpan elapsed = Stopwatch.GetElapsedTime(last, now);
                last = now;
                idle = true;
                foreach (X86Processor processor in Processors)
                {
                    idle &= processor.Tier == ProcessorTier.Stopped;
                    processor.SampleTier(elapsed);
                }
            }

            _thread = null;
        }
    }
}
