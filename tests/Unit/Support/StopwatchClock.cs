using System.Diagnostics;
using Hypervisor.Engine.Devices;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>A machine's clock that runs with the host's, for guests that run on real backends.</summary>
internal sealed class StopwatchClock : IMachineClock
{
    private readonly long _start = Stopwatch.GetTimestamp();

    public long Now => (long)Stopwatch.GetElapsedTime(_start).TotalNanoseconds;

    public DateTimeOffset UtcNow => DateTimeOffset.UtcNow;

    public IMachineTimer CreateTimer(Action callback) => new ClockTimer(this, callback);

    private sealed class ClockTimer(StopwatchClock clock, Action callback) : IMachineTimer
    {
        private readonly Timer _timer = new(state => ((Action)state!)(), callback, Timeout.Infinite, Timeout.Infinite);

        public void Arm(long deadline) => _timer.Change(Math.Max(0, (deadline - clock.Now + 999_999) / 1_000_000), Timeout.Infinite);

        public void Disarm() => _timer.Change(Timeout.Infinite, Timeout.Infinite);

        public void Dispose() => _timer.Dispose();
    }
}
