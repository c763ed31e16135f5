using System.Diagnostics;

namespace Hypervisor.Engine.Processor;

/// <summary>The time-stamp counter that all processors of a machine share: one origin, one constant frequency.</summary>
public sealed class TimestampCounter
{
    private readonly long _origin = Stopwatch.GetTimestamp();

    /// <summary>Makes a counter that stands at 0 now.</summary>
    /// <param name="frequency">In Hz, at least 1 MHz.</param>
    public TimestampCounter(ulong frequency = 1_000_000_000)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(frequency, 1_000_000ul);
        Frequency = frequency;
    }

    /// <summary>In Hz.</summary>
    public ulong Frequency { get; }

    /// <summary>The count now.</summary>
    public ulong Read()
    {
        ulong elapsed = (ulong)(Stopwatch.GetTimestamp() - _origin);
        return Frequency == (ulong)Stopwatch.Frequency ? elapsed : (ulong)(elapsed * (UInt128)Frequency / (ulong)Stopwatch.Frequency);
    }
}
