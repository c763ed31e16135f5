using Hypervisor.Engine.Devices;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>
/// A clock that moves only when a test says so; timers fire on the test's thread, in order of their deadlines. Devices arm and disarm
/// them from threads of their own.
/// </summary>
internal sealed class ManualMachineClock : IMachineClock
{
    private readonly Lock _lock = new();
    private readonly List<ManualTimer> _timers = [];
    private long _now;

    public long Now => Volatile.Read(ref _now);

    public DateTimeOffset Start { get; set; } = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public DateTimeOffset UtcNow => Start + TimeSpan.FromTicks(Now / 100);

    /// <summary>The earliest armed deadline, or null.</summary>
    public long? NextDeadline
    {
        get
        {
            lock (_lock)
            {
                return Earliest()?.Deadline;
            }
        }
    }

    public IMachineTimer CreateTimer(Action callback)
    {
        var timer = new ManualTimer(this, callback);
        lock (_lock)
        {
            _timers.Add(timer);
        }

        return timer;
    }

    /// <summary>Moves time forward, stopping at every deadline on the way.</summary>
    public void Advance(long nanoseconds) => AdvanceTo(Now + nanoseconds);

    /// <summary>Moves time forward to a moment.</summary>
    public void AdvanceTo(long moment)
    {
        while (TakeDue(moment) is { } due)
        {
            Volatile.Write(ref _now, Math.Max(Now, due.Deadline));
            due.Timer.Callback();
        }

        Volatile.Write(ref _now, Math.Max(Now, moment));
    }

    /// <summary>Moves time forward at one go, as on a busy host: timers fire late, at the new time.</summary>
    public void Jump(long nanoseconds)
    {
        long end = Now + nanoseconds;
        Volatile.Write(ref _now, end);
        while (TakeDue(end) is { } due)
        {
            due.Timer.Callback();
        }
    }

    // The earliest timer that is due, disarmed.
    private (ManualTimer Timer, long Deadline)? TakeDue(long moment)
    {
        lock (_lock)
        {
            if (Earliest() is not { Deadline: long deadline } timer || deadline > moment)
            {
                return null;
            }

            timer.Deadline = null;
            return (timer, deadline);
        }
    }

    private ManualTimer? Earliest() => _timers.Where(static timer => timer.Deadline is not null).MinBy(static timer => timer.Deadline);

    private sealed class ManualTimer(ManualMachineClock clock, Action callback) : IMachineTimer
    {
        public Action Callback { get; } = callback;

        // Under the clock's lock.
        public long? Deadline { get; set; }

        public void Arm(long deadline)
        {
            lock (clock._lock)
            {
                Deadline = deadline;
            }
        }

        public void Disarm()
        {
            lock (clock._lock)
            {
                Deadline = null;
            }
        }

        public void Dispose()
        {
            lock (clock._lock)
            {
                Deadline = null;
                clock._timers.Remove(this);
            }
        }
    }
}
