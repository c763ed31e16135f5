using Hypervisor.Engine.Memory.Policy;
using static Hypervisor.Tests.Unit.Memory.Policy.MemorySimulation;

namespace Hypervisor.Tests.Unit.Memory.Policy;

/// <summary>What becomes of machines on hosts that are too small for them, over minutes of simulated time.</summary>
public sealed class MemoryPolicyScenarioTests
{
    // All of its memory is in use, more than it can get, so that nothing but shares tells machines apart.
    private static MemorySimulation Busy(long budgetMB, params int[] shares)
    {
        var simulation = new MemorySimulation(budgetMB * MB);
        Array.ForEach(shares, one => simulation.Add(1024, one).WantedHot = 1000 * MB);
        return simulation;
    }

    private static double[] MeanConsumed(MemorySimulation simulation, int seconds)
    {
        double[] sums = new double[simulation.Machines.Count];
        simulation.Run(seconds, _ =>
        {
            for (int i = 0; i < sums.Length; i++)
            {
                sums[i] += simulation.Machines[i].Consumed / seconds;
            }
        });
        return sums;
    }

    // A guest that has used most of its memory once and now uses some of it; the rest is cache.
    private static SimulatedMachine Add(MemorySimulation simulation, long memoryMB, long hotMB, long coldMB, long reservationMB = 0, long limitMB = -1) =>
        simulation.Add(memoryMB, (int)memoryMB * 10, reservationMB, limitMB).Fill(hotMB * MB, coldMB * MB);

    [Fact]
    public void Equally_active_machines_get_memory_in_the_ratio_of_their_shares_within_2_percent()
    {
        MemorySimulation simulation = Busy(1800, 1000, 2000, 3000);
        simulation.Run(120);
        double[] means = MeanConsumed(simulation, 60);
        Assert.All(means, (mean, i) => Assert.InRange(mean / (means.Sum() * (i + 1) / 6), 0.98, 1.02));
        Assert.Equal(0, simulation.WorstExcess);
    }

    [Fact]
    public void Shares_changed_while_machines_run_count_at_once()
    {
        MemorySimulation simulation = Busy(1800, 1000, 1000, 1000);
        simulation.Run(60);
        simulation.Machines[2].Plan = simulation.Machines[2].Plan with { Shares = 2000 };
        simulation.Run(90);
        double[] means = MeanConsumed(simulation, 30);
        Assert.All(means, (mean, i) => Assert.InRange(mean / (means.Sum() * (i == 2 ? 2 : 1) / 4), 0.98, 1.02));
    }

    [Fact]
    public void A_host_with_room_for_all_takes_nothing_from_anybody()
    {
        var simulation = new MemorySimulation(4096 * MB);
        for (int i = 0; i < 6; i++)
        {
            Add(simulation, 512, 100, 300);
        }

        simulation.Run(60);
        Assert.Equal((HostMemoryState.High, 0), (simulation.WorstState, simulation.StateChanges));
        Assert.All(simulation.Machines, static machine => Assert.Equal((0, 0, 0), (machine.Balloon, machine.Evicted, machine.Blocked)));
        Assert.All(simulation.Machines, static machine => Assert.True(machine.Decision.AllowsLargePages));
    }

    [Fact]
    public void Balloons_alone_bring_back_what_a_machine_that_grows_slowly_needs_and_idle_machines_pay()
    {
        var simulation = new MemorySimulation(2200 * MB);
        SimulatedMachine busy = Add(simulation, 1024, 300, 0), idle = Add(simulation, 1024, 20, 980), working = Add(simulation, 1024, 500, 100);
        (busy.WantedHot, busy.Growth) = (900 * MB, 8 * MB);
        simulation.Run(240);
        Assert.Equal(0, simulation.Machines.Sum(static machine => machine.Evicted));
        Assert.InRange(busy.Consumed / MB, 890, 910);
        Assert.True(working.Consumed > 450 * MB && idle.Consumed < 700 * MB, $"{working.Consumed / MB:0} and {idle.Consumed / MB:0} MB");
        Assert.True(simulation.WorstState <= HostMemoryState.Soft);
    }

    [Fact]
    public void Without_a_tax_an_idle_machine_keeps_what_its_shares_say()
    {
        double[] idle = [.. new[] { 75, 0 }.Select(static tax =>
        {
            var simulation = new MemorySimulation(1500 * MB) { Settings = MemoryPolicySettings.Default with { IdleTaxPercent = tax } };
            SimulatedMachine lazy = Add(simulation, 1024, 0, 1000);
            Add(simulation, 1024, 0, 0).WantedHot = 1000 * MB;
            lazy.Overhead = simulation.Machines[1].Overhead = 0;
            simulation.Run(180);
            return lazy.Consumed / simulation.Used;
        })];
        Assert.InRange(idle[1], 0.48, 0.52);
        Assert.InRange(idle[0], 0.19, 0.33);
    }

    [Fact]
    public void Under_a_steady_load_nothing_moves_after_a_while()
    {
        var simulation = new MemorySimulation(3000 * MB);
        for (int i = 0; i < 8; i++)
        {
            Add(simulation, 512, 60 + (40 * i), 450 - (60 + (40 * i)) + (i % 2 * 40));
        }

        simulation.Run(180);
        simulation.Reset();
        simulation.Run(600);
        Assert.Equal((0, 0), (simulation.StateChanges, simulation.WorstExcess));
        Assert.All(simulation.Machines, static machine => Assert.InRange(machine.BalloonMoved + machine.Evicted + machine.BroughtIn, 0, machine.Size / 50));
    }

    [Fact]
    public void A_wavering_estimate_moves_little()
    {
        var random = new Random(3);
        var simulation = new MemorySimulation(3000 * MB);
        for (int i = 0; i < 8; i++)
        {
            Add(simulation, 512, 60 + (40 * i), 450 - (60 + (40 * i)));
        }

        ActiveMemoryEstimator[] estimators = [.. simulation.Machines.Select(static _ => new ActiveMemoryEstimator())];
        void Sample(double time)
        {
            for (int i = 0; i < estimators.Length && time % 60 == 0; i++)
            {
                int touched = Enumerable.Range(0, 100).Count(_ => random.NextDouble() < simulation.Machines[i].Hot / simulation.Machines[i].Size);
                estimators[i].EndPeriod(touched, 100);
                simulation.Machines[i].Estimate = estimators[i].Fraction;
            }
        }

        simulation.Run(600, Sample);
        simulation.Reset();
        simulation.Run(1800, Sample);

        // In half an hour no machine's balloon moves by more than its memory, and next to nothing is swapped.
        Assert.All(simulation.Machines, static machine => Assert.InRange(machine.BalloonMoved, 0, machine.Size));
        Assert.InRange(simulation.Machines.Sum(static machine => machine.Evicted + machine.BroughtIn), 0, 8 * MB);
    }

    [Fact]
    public void What_was_taken_comes_back_when_memory_does()
    {
        var simulation = new MemorySimulation(2000 * MB);
        SimulatedMachine first = Add(simulation, 1024, 100, 700), second = Add(simulation, 1024, 100, 0), third = Add(simulation, 1024, 50, 500);
        third.Driver = BalloonDriver.None;
        (second.WantedHot, second.Growth) = (1000 * MB, 50 * MB);
        simulation.Run(120);
        Assert.True(first.Balloon > 100 * MB && third.Away > 50 * MB);
        simulation.Machines.Remove(second);
        simulation.Run(60);
        Assert.Equal(HostMemoryState.High, simulation.Policy.State);
        Assert.Equal((0, 0), (first.Balloon, third.Away));
    }

    [Fact]
    public void A_limit_holds_where_memory_is_plenty_first_by_the_balloon()
    {
        var simulation = new MemorySimulation(8192 * MB);
        SimulatedMachine limited = Add(simulation, 1024, 100, 700, limitMB: 500), without = Add(simulation, 1024, 100, 0, limitMB: 500);
        without.Driver = BalloonDriver.None;
        without.WantedHot = 900 * MB;
        double worst = 0;
        simulation.Run(30);
        simulation.Run(120, _ => worst = Math.Max(worst, Math.Max(limited.Consumed, without.Consumed)));
        Assert.InRange(worst / MB, 495, 500 * 17 / 16.0);
        Assert.True(limited.Balloon > 200 * MB && without.Away > 350 * MB);
        limited.Plan = limited.Plan with { LimitBytes = MachineMemoryPlan.Unlimited };
        simulation.Run(30);
        Assert.Equal(0, limited.Balloon);
        Assert.Equal(HostMemoryState.High, simulation.WorstState);
    }

    [Fact]
    public void A_pools_limit_holds_for_what_is_in_it_together()
    {
        var simulation = new MemorySimulation(8192 * MB) { Pools = [new MemoryPoolPlan(-1, 1000, LimitBytes: 800 * MB)] };
        for (int i = 0; i < 3; i++)
        {
            simulation.Add(1024, 1000 * (i + 1), pool: 0).WantedHot = 700 * MB;
        }

        SimulatedMachine outside = simulation.Add(1024, 1);
        outside.WantedHot = 1000 * MB;
        simulation.Run(60);
        Assert.InRange(MeanConsumed(simulation, 60).Take(3).Sum(static mean => mean / MB) + (3 * 16), 780, 800 * 17 / 16.0);
        Assert.InRange(outside.Consumed / MB, 999, 1001);
    }

    [Fact]
    public void Reservations_are_kept_and_raising_one_brings_memory_back()
    {
        var simulation = new MemorySimulation(2000 * MB);
        SimulatedMachine reserved = Add(simulation, 1024, 10, 600, reservationMB: 500), second = Add(simulation, 1024, 0, 0), third = Add(simulation, 1024, 10, 700);
        (second.WantedHot, third.Plan) = (1000 * MB, third.Plan with { Shares = 1 });
        double least = double.MaxValue;
        simulation.Run(120, _ => least = Math.Min(least, reserved.Consumed));
        Assert.True(least >= 500 * MB, $"{least / MB:0} MB");
        Assert.InRange(third.Consumed / MB, 0, 450);

        third.Plan = third.Plan with { ReservationBytes = 900 * MB };
        simulation.Run(2);
        Assert.InRange(third.Balloon / MB, 0, 124);
    }

    [Theory]
    [InlineData(nameof(BalloonDriver.None), 10)]
    [InlineData(nameof(BalloonDriver.Dead), 25)]
    [InlineData(nameof(BalloonDriver.Lying), 25)]
    public void Memory_comes_back_by_eviction_when_a_balloon_does_not_give_it(string kind, int seconds)
    {
        var simulation = new MemorySimulation(2000 * MB);
        SimulatedMachine bad = Add(simulation, 1024, 20, 900), good = Add(simulation, 1024, 0, 900);
        BalloonDriver driver = bad.Driver = Enum.Parse<BalloonDriver>(kind);
        simulation.Run(10);
        simulation.Budget = 1880 * MB;
        simulation.Run(1);
        Assert.Equal(HostMemoryState.Soft, simulation.Policy.State);
        simulation.Run(seconds);
        Assert.True(bad.Evicted > 10 * MB, $"{bad.Evicted / MB:0} MB");
        Assert.Equal(0, good.Evicted);
        Assert.True(simulation.Policy.State <= HostMemoryState.Clear);
        if (driver == BalloonDriver.Dead)
        {
            Assert.True(bad.Decision.IsBalloonFailing);
            Assert.False(good.Decision.IsBalloonFailing);
        }
    }

    [Fact]
    public void A_budget_that_is_halved_under_running_machines_is_kept_within_seconds()
    {
        var simulation = new MemorySimulation(4000 * MB);
        for (int i = 0; i < 4; i++)
        {
            Add(simulation, 1024, 300, 600);
        }

        simulation.Run(10);
        simulation.Budget = 2000 * MB;
        simulation.Run(10);
        simulation.Reset();
        simulation.Run(60);
        Assert.Equal(0, simulation.WorstExcess);
        Assert.True(simulation.Policy.State <= HostMemoryState.Clear);
    }

    [Fact]
    public void Machines_wait_when_nothing_more_can_be_taken_and_the_host_says_so()
    {
        MemorySimulation simulation = Busy(1000, 1000, 1000);
        foreach (SimulatedMachine machine in simulation.Machines)
        {
            (machine.Driver, machine.SwapCapacity) = (BalloonDriver.Dead, 50 * MB);
        }

        simulation.Run(60);
        Assert.Equal(0, simulation.WorstExcess);
        Assert.True(simulation.Host.UnreclaimableBytes > 0);
        Assert.All(simulation.Machines, static machine => Assert.True(machine.Blocked > 20));

        simulation.Machines.ForEach(static machine => machine.SwapCapacity = double.MaxValue);
        simulation.Run(30);
        simulation.Reset();
        simulation.Run(30);
        Assert.Equal(0, simulation.Host.UnreclaimableBytes);
        Assert.All(simulation.Machines, static machine => Assert.True(machine.BroughtIn > 0 && machine.Hot > 600 * MB));
    }
}
