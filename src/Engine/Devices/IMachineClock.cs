namespace Hypervisor.Engine.Devices;

/// <summary>
/// A machine's monotonic time since power-on, in nanoseconds; stands still while the machine is suspended. Every timer of every
/// device hangs on it, so that tests drive a machine with a clock of their own.
/// </summary>
public interface IMachineClock
{
    /// <summary>Nanoseconds since power-on.</summary>
    long Now { get; }

    /// <summary>Wall-clock time that corresponds to <see cref="Now"/>, for the RTC.</summary>
    DateTimeOffset UtcNow { get; }

    /// <summary>Makes a timer, disarmed. The callback runs on the clock's thread: short, without blocking, without exceptions.</summary>
    IMachineTimer CreateTimer(Action callback);
}

/// <summary>A one-shot timer. Arming it again replaces the deadline. Thread-safe.</summary>
public interface IMachineTimer : IDisposable
{
    /// <summary>Fires once when <see cref="IMachineClock.Now"/> reaches the deadline (at once if it is past).</summary>
    void Arm(long deadline);

    /// <summary>Takes the deadline back. A callback already under way may still finish.</summary>
    void Disarm();
}
