using System.Diagnostics;

namespace Hypervisor.Engine.Processor;

/// <summary>The time-stamp counter that all processors of a machine share: one origin, one constant frequency.</summary>
public sealed class TimestampCounter
{
    private const ulong NanosecondsPerSecond = 1_000_000_000;

    private readonly long _origin = Stopwatch.GetTimestamp();
    private readonly Func<long>? _nanoseconds;

    /// <summary>Makes a counter that stands at 0 now.</summary>
    /// <param name="frequency">In Hz, at least 1 MHz.</param>
    public TimestampCounter(ulong frequency = 1_000_000_000)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(frequency, 1_000_000ul);
        Frequency = frequency;
    }

    /// <summary>Makes a counter that follows another clock: it stands still when that does.</summary>
    /// <param name="nanoseconds">The clock's time, from 0; never goes back. Any thread.</param>
    /// <param name="frequency">In Hz, at least 1 MHz.</param>
    public TimestampCounter(Func<long> nanoseconds, ulong frequency = NanosecondsPerSecond) : this(frequency)
    {
        ArgumentNullException.ThrowIfNull(nanoseconds);
        _nanoseconds = nanoseconds;
    }

    /// <summary>In Hz.</summary>
    public ulong Frequency { get; }

    /// <summary>The count now.</summary>
    public ulong Read()
    {
        if (_nanoseconds is not null)
        {
            ulong now = (ulong)_nanoseconds();
            return Frequency == NanosecondsPerSecond ? now : (ulong)(now * (UInt128)Frequency / NanosecondsPerSecond);
        }

        ulong elapsed = (ulong)(Stopwatch.GetTimestamp() - _origin);
        return Frequency == (ulong)Stopwatch.Frequency ? elapsed : (ulong)(elapsed * (UInt128)Frequency / (ulong)Stopwatch.Frequency);
    }
}
