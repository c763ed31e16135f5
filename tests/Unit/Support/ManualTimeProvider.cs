namespace Hypervisor.Tests.Unit.Support;

/// <summary>Time that moves only when a test says so; timers fire on the test's thread.</summary>
internal sealed class ManualTimeProvider : TimeProvider
{
    private readonly Lock _lock = new();
    private readonly List<ManualTimer> _timers = [];
    private TimeSpan _now = TimeSpan.FromDays(1);
    private TimeSpan _clockShift;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>A timer is set.</summary>
    public bool HasTimer
    {
        get
        {
            lock (_lock)
            {
                return _timers.Exists(static timer => timer.Due != TimeSpan.MaxValue);
            }
        }
    }

    /// <summary>The clock on the wall: it begins at midnight on 2 January 2026, UTC.</summary>
    public override DateTimeOffset GetUtcNow()
    {
        lock (_lock)
        {
            return new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero) + _now + _clockShift;
        }
    }

    /// <summary>Sets the clock on the wall forward or back; no time passes.</summary>
    public void ShiftClock(TimeSpan by)
    {
        lock (_lock)
        {
            _clockShift += by;
        }
    }

    public override long GetTimestamp()
    {
        lock (_lock)
        {
            return _now.Ticks;
        }
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, () => callback(state));
        timer.Change(dueTime, period);
        lock (_lock)
        {
            _timers.Add(timer);
        }

        return timer;
    }

    public void Advance(TimeSpan time)
    {
        ManualTimer[] due;
        lock (_lock)
        {
            _now += time;
            due = [.. _timers.Where(t => t.Due <= _now)];
            foreach (var timer in due)
            {
                timer.Due = TimeSpan.MaxValue;
            }
        }

        foreach (var timer in due)
        {
            timer.Callback();
        }
    }

    private sealed class ManualTimer(ManualTimeProvider owner, Action callback) : ITimer
    {
        public TimeSpan Due { get; set; } = TimeSpan.MaxValue;

        public Action Callback { get; } = callback;

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (owner._lock)
            {
                Due = dueTime < TimeSpan.Zero ? TimeSpan.MaxValue : owner._now + dueTime;
            }

            return true;
        }

        public void Dispose() => Due = TimeSpan.MaxValue;

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
