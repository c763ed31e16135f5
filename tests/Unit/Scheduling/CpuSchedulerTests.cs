using Hypervisor.Engine.Scheduling;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Scheduling;

/// <summary>The scheduler over real threads. What is asserted holds however slow the host is.</summary>
public sealed class CpuSchedulerTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    /// <summary>A thread that runs when it may and notes how many do at the same time.</summary>
    private sealed class Spinner
    {
        private readonly WorldPermit _permit;
        private readonly Thread _thread;
        private readonly Counters _counters;
        private volatile bool _kicked, _ended, _paused;

        public Spinner(MachineSchedule schedule, int index, Counters counters, Action<Spinner>? body = null)
        {
            _counters = counters;
            _permit = schedule.PermitFor(index, () => _kicked = true);
            _thread = new Thread(() => Run(body)) { IsBackground = true };
            _thread.Start();
        }

        public WorldPermit Permit => _permit;

        public int Turns;

        public void Idle()
        {
            Leave(WorldState.Idle);
            Thread.Sleep(1);
        }

        public void Pause()
        {
            _paused = true;
            _kicked = true;
            _permit.Interrupt();
        }

        public void End()
        {
            _ended = true;
            _kicked = true;
            _permit.Interrupt();
            Assert.True(_thread.Join(Patience));
        }

        private void Run(Action<Spinner>? body)
        {
            while (!_ended)
            {
                if (_paused)
                {
                    _permit.Release(WorldState.Blocked);
                    Thread.Sleep(1);
                    continue;
                }

                if (!_permit.Acquire())
                {
                    continue;
                }

                _counters.Enter();
                Interlocked.Increment(ref Turns);
                while (!_kicked && body is null)
                {
                    Thread.SpinWait(50);
                }

                _kicked = false;
                _counters.Exit();
                body?.Invoke(this);
            }

            _permit.Release(WorldState.Blocked);
        }

        private void Leave(WorldState state) => _permit.Release(state);
    }

    private sealed class Counters
    {
        private int _running;

        public int Most;

        public void Enter()
        {
            int now = Interlocked.Increment(ref _running);
            int seen;
            while (now > (seen = Volatile.Read(ref Most)) && Interlocked.CompareExchange(ref Most, now, seen) != seen)
            {
            }
        }

        public void Exit() => Interlocked.Decrement(ref _running);
    }

    private static void Wait(Func<bool> condition) => Assert.True(SpinWait.SpinUntil(condition, Patience));

    [Fact]
    public void No_more_threads_run_than_there_are_processors_and_each_gets_its_turns()
    {
        using var scheduler = new CpuScheduler(HostTopology.Uniform(2));
        var counters = new Counters();
        MachineSchedule[] machines = [.. Enumerable.Range(0, 4).Select(i => scheduler.Add(Guid.NewGuid(), $"m{i}", 2, MachinePlan.Default))];
        Spinner[] spinners = [.. machines.SelectMany(machine => new[] { new Spinner(machine, 0, counters), new Spinner(machine, 1, counters) })];
        Wait(() => spinners.All(static spinner => Volatile.Read(ref spinner.Turns) >= 5));
        Array.ForEach(spinners, static spinner => spinner.End());
        Assert.Equal(2, counters.Most);
        Assert.All(scheduler.Sample(), static sample => Assert.Equal(sample.Age, sample.Times.Total));
        Array.ForEach(machines, static machine => machine.Dispose());
        Assert.Empty(scheduler.Sample());
    }

    [Fact]
    public void Threads_that_sleep_and_wake_and_are_paused_lose_nobody()
    {
        using var scheduler = new CpuScheduler(HostTopology.Uniform(2));
        var counters = new Counters();
        MachineSchedule[] machines = [.. Enumerable.Range(0, 6).Select(i => scheduler.Add(Guid.NewGuid(), $"m{i}", 1, MachinePlan.Default with { Cpu = new CpuEntitlement(500 + (i * 100), i * 50, i == 3 ? 500 : -1) }))];
        Spinner[] spinners = [.. machines.Select((machine, i) => new Spinner(machine, 0, counters, i % 2 == 0 ? static spinner => spinner.Idle() : null))];
        Wait(() => spinners.All(static spinner => Volatile.Read(ref spinner.Turns) >= 20));
        spinners[1].Pause();
        Wait(() => scheduler.Sample()[1].State == WorldState.Blocked);
        int[] before = [.. spinners.Select(static spinner => Volatile.Read(ref spinner.Turns))];
        Wait(() => spinners.Where((spinner, i) => i != 1 && Volatile.Read(ref spinner.Turns) < before[i] + 5).Any() is false);
        Array.ForEach(spinners, static spinner => spinner.End());
        Assert.InRange(counters.Most, 1, 2);
        Array.ForEach(machines, static machine => machine.Dispose());
    }

    [Fact]
    public void A_limit_set_while_a_machine_runs_holds_it()
    {
        using var scheduler = new CpuScheduler(HostTopology.Uniform(2));
        Guid id = Guid.NewGuid();
        using MachineSchedule machine = scheduler.Add(id, "m", 1, MachinePlan.Default);
        var spinner = new Spinner(machine, 0, new Counters());
        Wait(() => scheduler.Sample()[0].Times.Run > 1_000_000);
        Assert.Equal(0, scheduler.Sample()[0].Times.Limited);
        scheduler.Change(id, "m", MachinePlan.Default with { Cpu = new CpuEntitlement(1000, 0, 5) });
        Wait(() => scheduler.Sample()[0].Times.Limited > 20_000_000);
        scheduler.Change(id, "m", MachinePlan.Default);
        long limited = scheduler.Sample()[0].Times.Limited;
        long run = scheduler.Sample()[0].Times.Run;
        Wait(() => scheduler.Sample()[0].Times.Run > run + 50_000_000);
        Assert.Equal(limited, scheduler.Sample()[0].Times.Limited);
        spinner.End();
    }

    [Fact]
    public void Pools_come_go_and_nest_while_machines_run_in_them()
    {
        using var scheduler = new CpuScheduler(HostTopology.Uniform(2));
        Guid outer = Guid.NewGuid(), inner = Guid.NewGuid(), id = Guid.NewGuid();
        var cpu = new CpuEntitlement(2000);
        scheduler.SetPools([new PoolPlan(outer, null, "outer", cpu), new PoolPlan(inner, outer, "inner", cpu with { LimitMHz = 5 })]);
        using MachineSchedule machine = scheduler.Add(id, "m", 1, MachinePlan.Default with { Pool = inner });
        Assert.Equal("inner", machine.Machine.Parent!.Name);
        var spinner = new Spinner(machine, 0, new Counters());
        Wait(() => scheduler.Sample()[0].Times.Limited > 0);
        scheduler.SetPools([new PoolPlan(inner, null, "renamed", cpu)]);
        Assert.Equal("renamed", machine.Machine.Parent!.Name);
        scheduler.SetPools([]);
        Assert.Null(machine.Machine.Parent!.Parent);
        spinner.End();
    }

    [LinuxFact]
    public void A_thread_that_sleeps_inside_its_backend_gives_its_processor_to_others()
    {
        using var scheduler = new CpuScheduler(HostTopology.Uniform(1));
        using MachineSchedule sleeping = scheduler.Add(Guid.NewGuid(), "sleeping", 1, MachinePlan.Default);
        using MachineSchedule other = scheduler.Add(Guid.NewGuid(), "other", 1, MachinePlan.Default);
        bool works = false, ended = false, kicked = false;
        WorldPermit permit = sleeping.PermitFor(0, () => Volatile.Write(ref kicked, true), haltsInside: true);
        var thread = new Thread(() =>
        {
            while (!Volatile.Read(ref ended))
            {
                permit.Acquire();
                while (!Volatile.Read(ref kicked) && !Volatile.Read(ref ended))
                {
                    if (Volatile.Read(ref works))
                    {
                        Thread.SpinWait(50);
                    }
                    else
                    {
                        Thread.Sleep(1);
                    }
                }

                Volatile.Write(ref kicked, false);
            }

            permit.Release(WorldState.Blocked);
        });
        thread.Start();
        WorldTimes Times() => scheduler.Sample()[0].Times;
        Wait(() => Times().Idle > 20_000_000);

        var hog = new Spinner(other, 0, new Counters());
        Wait(() => scheduler.Sample()[1].Times.Run > 50_000_000);
        long run = Times().Run;
        Volatile.Write(ref works, true);
        Wait(() => Times().Run > run + 50_000_000);
        Assert.True(Times().Ready > 0);
        Volatile.Write(ref ended, true);
        Assert.True(thread.Join(Patience));
        hog.End();
    }

    [Fact]
    public void Node_lists_of_linux_are_read_and_a_strange_one_is_one_node()
    {
        string folder = Directory.CreateTempSubdirectory("nodes").FullName;
        Directory.CreateDirectory(Path.Combine(folder, "node0"));
        Directory.CreateDirectory(Path.Combine(folder, "node1"));
        File.WriteAllText(Path.Combine(folder, "node0", "cpulist"), "0-1,4\n");
        File.WriteAllText(Path.Combine(folder, "node1", "cpulist"), "2-3,5\n");
        int[] all = [0, 1, 2, 3, 4, 5];
        Assert.Equal([0, 0, 1, 1, 0, 1], HostTopologyProbe.LinuxNodeOfEach(all, folder));

        // A process that may use some of them only: a node that it has nothing of does not count.
        Assert.Equal([0, 1, 1], HostTopologyProbe.LinuxNodeOfEach([1, 3, 5], folder));
        Assert.Equal([0, 0], HostTopologyProbe.LinuxNodeOfEach([2, 3], folder));
        File.WriteAllText(Path.Combine(folder, "node1", "cpulist"), "x");
        Assert.Equal([0, 0, 0, 0, 0, 0], HostTopologyProbe.LinuxNodeOfEach(all, folder));
        Directory.Delete(folder, recursive: true);
    }
}
