using Hypervisor.Engine.Devices;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>A clock that moves only when a test says so; timers fire on the test's thread, in order of their deadlines.</summary>
internal sealed class ManualMachineClock : IMachineClock
{
    private readonly List<ManualTimer> _timers = [];

    public long Now { get; private set; }

    public DateTimeOffset Start { get; set; } = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public DateTimeOffset UtcNow => Start + TimeSpan.FromTicks(Now / 100);

    /// <summary>The earliest armed deadline, or null.</summary>
    public long? NextDeadline => _timers.Where(t => t.Deadline is not null).Min(t => t.Deadline);

    public IMachineTimer CreateTimer(Action callback)
    {
        var timer = new ManualTimer(this, callback);
        _timers.Add(timer);
        return timer;
    }

    /// <summary>Moves time forward, stopping at every deadline on the way.</summary>
    public void Advance(long nanoseconds) => AdvanceTo(Now + nanoseconds);

    /// <summary>Moves time forward to a moment.</summary>
    public void AdvanceTo(long moment)
    {
        while (NextDeadline is long deadline && deadline <= moment)
        {
            Now = Math.Max(Now, deadline);
            Fire(deadline);
        }

        Now = Math.Max(Now, moment);
    }

    /// <summary>Moves time forward at one go, as on a busy host: timers fire late, at the new time.</summary>
    public void Jump(long nanoseconds)
    {
        long end = Now + nanoseconds;
        Now = end;
        while (NextDeadline is long deadline && deadline <= end)
        {
            Fire(deadline);
        }
    }

    private void Fire(long deadline)
    {
        var timer = _timers.First(t => t.Deadline == deadline);
        timer.Deadline = null;
        timer.Callback();
    }

    private sealed class ManualTimer(ManualMachineClock clock, Action callback) : IMachineTimer
    {
        public Action Callback { get; } = callback;

        public long? Deadline { get; set; }

        public void Arm(long deadline) => Deadline = deadline;

        public void Disarm() => Deadline = null;

        public void Dispose()
        {
            Deadline = null;
            clock._timers.Remove(this);
        }
    }
}
