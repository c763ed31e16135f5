using Hypervisor.Engine.Scheduling;
using static Hypervisor.Tests.Unit.Scheduling.SchedulerSimulation;

namespace Hypervisor.Tests.Unit.Scheduling;

/// <summary>What counts when the virtual processors of one machine are compared: two of them on one processor of the host.</summary>
public sealed class SiblingProgressTests
{
    private readonly SchedulingPolicy _policy = new(HostTopology.Uniform(1));
    private readonly World _first, _second;
    private long _now;

    public SiblingProgressTests()
    {
        SchedulingMachine machine = _policy.AddMachine(_policy.Root, "wide", 2, CpuEntitlement.Default, 0);
        (_first, _second) = (machine.Worlds[0], machine.Worlds[1]);
    }

    // Turns that the first gets of some; each keeps the processor for as long after its slice as is said of it.
    private int TurnsOfFirst(int turns, long late)
    {
        int first = 0;
        for (int i = 0; i < turns; i++)
        {
            World world = _policy.Dispatch(0, _now)!;
            first += world == _first ? 1 : 0;
            _now = world.SliceEnd + (world == _first ? late : 0);
            _policy.Stop(world, WorldState.Ready, _now);
        }

        return first;
    }

    [Fact]
    public void Time_that_other_programs_had_is_not_progress()
    {
        const long Stolen = 60 * Millisecond;
        _policy.TimeStolenFrom = (world, now) => world == _first ? Math.Clamp(now - world.SliceEnd, 0, Stolen) : 0;
        _policy.Wake(_first, 0);
        _policy.Wake(_second, 0);
        TurnsOfFirst(100, Stolen);

        // Both have run for as long; the first has had its slot for many times that.
        long run = _first.TimesAt(_now).Run - (_first.TimesAt(_now).Dispatches * Stolen);
        Assert.InRange(run - _second.TimesAt(_now).Run, -_policy.Options.Slice * 2, _policy.Options.Slice * 2);
    }

    [Fact]
    public void One_that_did_not_leave_for_long_makes_up_for_no_more_than_its_credit()
    {
        _policy.Wake(_first, 0);
        _policy.Wake(_second, 0);
        Assert.Equal(_first, _policy.Dispatch(0, 0));
        _now = 3 * Second;
        _policy.Stop(_first, WorldState.Ready, _now);
        int turns = 0;
        for (World? world = _second; world != _first; turns++)
        {
            world = _policy.Dispatch(0, _now)!;
            _now = world.SliceEnd;
            _policy.Stop(world, WorldState.Ready, _now);
        }

        Assert.InRange((_now - (3 * Second)) / (double)_policy.Options.RunCredit, 0.5, 1.5);
    }

    [Fact]
    public void One_that_wakes_after_its_sibling_ran_long_alone_is_not_behind_it()
    {
        _policy.Wake(_first, 0);
        Assert.Equal(_first, _policy.Dispatch(0, 0));
        _now = 3 * Second;
        _policy.Stop(_first, WorldState.Idle, _now);
        _policy.Wake(_second, _now);
        _policy.Wake(_first, _now);
        Assert.InRange(TurnsOfFirst(20, 0), 7, 13);
    }
}
