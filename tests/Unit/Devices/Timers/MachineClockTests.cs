using Hypervisor.Engine.Devices.Timers;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Timers;

public sealed class MachineClockTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    [Fact]
    public void An_armed_timer_fires_once_and_not_before_its_deadline()
    {
        using var clock = new MachineClock();
        using var fired = new SemaphoreSlim(0);
        long firedAt = 0;
        var timer = clock.CreateTimer(() =>
        {
            firedAt = clock.Now;
            fired.Release();
        });
        long deadline = clock.Now + 3_000_000;
        timer.Arm(deadline);
        Assert.True(fired.Wait(Patience));
        Assert.True(firedAt >= deadline);
        Assert.False(fired.Wait(20));
    }

    [Fact]
    public void A_deadline_in_the_past_fires_at_once()
    {
        using var clock = new MachineClock();
        using var fired = new SemaphoreSlim(0);
        clock.CreateTimer(() => fired.Release()).Arm(clock.Now - 1);
        Assert.True(fired.Wait(Patience));
    }

    [Fact]
    public void A_nearer_deadline_overtakes_one_that_is_waited_for()
    {
        using var clock = new MachineClock();
        using var fired = new SemaphoreSlim(0);
        clock.CreateTimer(() => { }).Arm(clock.Now + 3_600_000_000_000);
        Thread.Sleep(5);
        clock.CreateTimer(() => fired.Release()).Arm(clock.Now + 1_000_000);
        Assert.True(fired.Wait(Patience));
    }

    [Fact]
    public void A_timer_may_arm_itself_again_in_its_callback()
    {
        using var clock = new MachineClock();
        using var done = new ManualResetEventSlim();
        int count = 0;
        Hypervisor.Engine.Devices.IMachineTimer? timer = null;
        timer = clock.CreateTimer(() =>
        {
            if (++count == 10)
            {
                done.Set();
            }
            else
            {
                timer!.Arm(clock.Now + 100_000);
            }
        });
        timer.Arm(clock.Now);
        Assert.True(done.Wait(Patience));
    }

    [Fact]
    public void Time_stands_still_while_paused_and_no_timer_fires()
    {
        using var clock = new MachineClock(paused: true);
        using var fired = new SemaphoreSlim(0);
        Assert.Equal(0, clock.Now);
        clock.CreateTimer(() => fired.Release()).Arm(0);
        Assert.False(fired.Wait(20));
        Assert.Equal(0, clock.Now);
        clock.Resume();
        Assert.True(fired.Wait(Patience));
        clock.Pause();
        long stopped = clock.Now;
        Thread.Sleep(2);
        Assert.Equal(stopped, clock.Now);
    }

    [Fact]
    public void A_disarmed_timer_does_not_fire()
    {
        using var clock = new MachineClock(paused: true);
        using var fired = new SemaphoreSlim(0);
        var timer = clock.CreateTimer(() => Assert.Fail("disarmed"));
        timer.Arm(10);
        timer.Disarm();
        clock.CreateTimer(() => fired.Release()).Arm(20);
        clock.Resume();
        Assert.True(fired.Wait(Patience));
    }

    [Fact]
    public void Arming_allocates_nothing()
    {
        using var clock = new MachineClock(paused: true);
        var timer = clock.CreateTimer(() => { });
        Assert.Equal(0, Allocations.Least(() =>
        {
            for (int i = 0; i < 1000; i++)
            {
                timer.Arm(1_000_000 + i);
                timer.Disarm();
            }
        }));
    }

    [Fact]
    public void A_failing_callback_is_reported_and_the_clock_goes_on()
    {
        Exception? seen = null;
        using var fired = new SemaphoreSlim(0);
        using var clock = new MachineClock(callbackFailed: e => seen = e);
        clock.CreateTimer(() => throw new InvalidOperationException("defect")).Arm(0);
        clock.CreateTimer(() => fired.Release()).Arm(1);
        Assert.True(fired.Wait(Patience));
        Assert.IsType<InvalidOperationException>(seen);
    }

    [Fact]
    public void The_heap_returns_deadlines_in_order_through_random_changes()
    {
        var random = new Random(7);
        var heap = new TimerHeap();
        var entries = Enumerable.Range(0, 200).Select(_ => new Entry()).ToArray();
        for (int i = 0; i < 5000; i++)
        {
            var entry = entries[random.Next(entries.Length)];
            if (random.Next(3) == 0)
            {
                heap.Remove(entry);
            }
            else
            {
                heap.Set(entry, random.Next(1000));
            }

            var expected = entries.Where(e => e.Position != TimerHeapEntry.Absent).ToList();
            Assert.Equal(expected.Count, heap.Count);
            Assert.Equal(expected.Count == 0 ? null : expected.Min(e => e.Deadline), heap.First?.Deadline);
        }
    }

    private sealed class Entry : TimerHeapEntry;
}
