using System.Diagnostics;
using Hypervisor.Engine.Native.Timing;

namespace Hypervisor.Engine.Devices.Timers;

/// <summary>
/// The clock of a running machine: the host's monotonic time since power-on, less the time the machine was paused. One thread waits
/// for the earliest deadline and runs the callbacks; it sleeps when nothing is armed. Arming allocates nothing.
/// </summary>
public sealed class MachineClock : IMachineClock, IDisposable
{
    // What Now is made of, replaced as a whole so that readers need no lock: running, it is the host time less Reference; paused, it
    // is Reference itself.
    private sealed record Phase(bool Running, long Reference, DateTimeOffset PausedAt);

    private readonly Lock _lock = new();
    private readonly TimerHeap _heap = new();
    private readonly PreciseEvent _wake = new();
    private readonly Thread _thread;
    private readonly Action<Exception>? _callbackFailed;
    private volatile Phase _phase;
    private long _sleepsUntil;
    private volatile bool _disposed;

    /// <summary>Starts a clock at zero.</summary>
    /// <param name="name">For the thread's name; usually the machine's.</param>
    /// <param name="paused">Begin paused: time starts with <see cref="Resume"/>.</param>
    /// <param name="callbackFailed">Told of an exception out of a callback, which is a defect of a device; without it the process ends.</param>
    public MachineClock(string name = "machine", bool paused = false, Action<Exception>? callbackFailed = null)
    {
        _callbackFailed = callbackFailed;
        _phase = paused ? new Phase(false, 0, DateTimeOffset.UtcNow) : new Phase(true, HostNow(), default);
        _thread = new Thread(Run) { IsBackground = true, Name = $"clock {name}", Priority = ThreadPriority.AboveNormal };
        _thread.Start();
    }

    /// <inheritdoc/>
    public long Now
    {
        get
        {
            var phase = _phase;
            return phase.Running ? HostNow() - phase.Reference : phase.Reference;
        }
    }

    /// <inheritdoc/>
    public DateTimeOffset UtcNow
    {
        get
        {
            var phase = _phase;
            return phase.Running ? DateTimeOffset.UtcNow : phase.PausedAt;
        }
    }

    /// <inheritdoc/>
    public IMachineTimer CreateTimer(Action callback)
    {
        ArgumentNullException.ThrowIfNull(callback);
        return new Timer(this, callback);
    }

    /// <summary>Lets time stand still: no timer fires until <see cref="Resume"/>. Idempotent.</summary>
    public void Pause()
    {
        lock (_lock)
        {
            if (_phase.Running)
            {
                _phase = new Phase(false, Now, DateTimeOffset.UtcNow);
            }
        }
    }

    /// <summary>Lets time go on from where it stood. Idempotent.</summary>
    public void Resume()
    {
        lock (_lock)
        {
            var phase = _phase;
            if (!phase.Running && !_disposed)
            {
                _phase = new Phase(true, HostNow() - phase.Reference, default);
                _wake.Set();
            }
        }
    }

    /// <summary>Ends the thread. A callback already under way finishes first (unless it is the caller).</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
        }

        _wake.Set();
        if (Thread.CurrentThread != _thread)
        {
            _thread.Join();
            lock (_lock)
            {
                _wake.Dispose();
            }
        }
    }

    private static long HostNow()
    {
        const long NanosecondsPerSecond = 1_000_000_000;
        long ticks = Stopwatch.GetTimestamp();
        return Stopwatch.Frequency == NanosecondsPerSecond
            ? ticks
            : (long)((Int128)ticks * NanosecondsPerSecond / Stopwatch.Frequency);
    }

    private void Run()
    {
        PreciseEvent.PrepareThread();
        while (!_disposed)
        {
            Timer? due = null;
            long wait = -1;
            lock (_lock)
            {
                _sleepsUntil = long.MaxValue;
                if (_phase.Running && _heap.First is Timer first)
                {
                    wait = first.Deadline - Now;
                    if (wait <= 0)
                    {
                        _heap.Remove(first);
                        due = first;
                        _sleepsUntil = long.MinValue; // looks again after the callback: nobody needs to wake it
                    }
                    else
                    {
                        _sleepsUntil = first.Deadline;
                    }
                }
            }

            if (due is null)
            {
                _wake.Wait(wait);
                continue;
            }

            try
            {
                due.Callback();
            }
            catch (Exception exception) when (_callbackFailed is not null)
            {
                _callbackFailed(exception);
            }
        }
    }

    private void Arm(Timer timer, long deadline)
    {
        lock (_lock)
        {
            if (timer.Disposed || _disposed)
            {
                return;
            }

            _heap.Set(timer, deadline);
            if (deadline < _sleepsUntil)
            {
                // Others that arm before the thread has looked need not wake it again unless they are sooner still.
                _sleepsUntil = deadline;
                _wake.Set();
            }
        }
    }

    private void Disarm(Timer timer, bool dispose)
    {
        // The thread is not woken: it finds nothing due when its wait ends.
        lock (_lock)
        {
            timer.Disposed |= dispose;
            _heap.Remove(timer);
        }
    }

    private sealed class Timer(MachineClock clock, Action callback) : TimerHeapEntry, IMachineTimer
    {
        public Action Callback { get; } = callback;

        public bool Disposed { get; set; }

        public void Arm(long deadline) => clock.Arm(this, deadline);

        public void Disarm() => clock.Disarm(this, dispose: false);

        public void Dispose() => clock.Disarm(this, dispose: true);
    }
}
