using Hypervisor.Engine.Scheduling;
using static Hypervisor.Tests.Unit.Scheduling.SchedulerSimulation;

namespace Hypervisor.Tests.Unit.Scheduling;

/// <summary>What the policy promises, on small hosts where the right answer is plain.</summary>
public sealed class SchedulingPolicyTests
{
    private const int MHz = 2000;
    private const double Tolerance = 0.02;

    private static SchedulerSimulation TwoProcessors() => new(HostTopology.Uniform(2, processorMHz: MHz));

    private static void AssertRan(SchedulerSimulation simulation, SchedulingMachine machine, double processors, long since = 0, long before = 0)
    {
        double ran = (simulation.RunTime(machine) - before) / (double)(simulation.Now - since);
        Assert.True(Math.Abs(ran - processors) <= processors * Tolerance, $"'{machine.Name}' ran {ran:0.000} processors, not {processors:0.000}");
    }

    [Fact]
    public void Equal_shares_divide_two_processors_among_three_machines()
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingMachine[] machines = [.. Enumerable.Range(0, 3).Select(i => simulation.AddHog(simulation.Policy.Root, $"m{i}", new CpuEntitlement(1000)))];
        simulation.RunUntil(10 * Second);
        Assert.All(machines, machine => AssertRan(simulation, machine, 2.0 / 3));
    }

    [Fact]
    public void Shares_of_two_to_one_to_one_are_kept()
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingMachine high = simulation.AddHog(simulation.Policy.Root, "high", new CpuEntitlement(4000), worlds: 2);
        SchedulingMachine a = simulation.AddHog(simulation.Policy.Root, "a", new CpuEntitlement(2000), worlds: 2);
        SchedulingMachine b = simulation.AddHog(simulation.Policy.Root, "b", new CpuEntitlement(2000), worlds: 2);
        simulation.RunUntil(10 * Second);
        AssertRan(simulation, high, 1);
        AssertRan(simulation, a, 0.5);
        AssertRan(simulation, b, 0.5);
    }

    [Fact]
    public void A_machine_that_cannot_use_its_shares_leaves_the_rest_to_the_others()
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingMachine big = simulation.AddHog(simulation.Policy.Root, "big", new CpuEntitlement(8000));
        SchedulingMachine a = simulation.AddHog(simulation.Policy.Root, "a", new CpuEntitlement(2000));
        SchedulingMachine b = simulation.AddHog(simulation.Policy.Root, "b", new CpuEntitlement(1000));
        simulation.RunUntil(10 * Second);
        AssertRan(simulation, big, 1);
        AssertRan(simulation, a, 2.0 / 3);
        AssertRan(simulation, b, 1.0 / 3);
    }

    [Fact]
    public void A_reservation_holds_against_a_hundred_times_its_shares()
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingMachine small = simulation.AddHog(simulation.Policy.Root, "small", new CpuEntitlement(10, MHz / 2));
        SchedulingMachine[] others = [.. Enumerable.Range(0, 4).Select(i => simulation.AddHog(simulation.Policy.Root, $"m{i}", new CpuEntitlement(1000)))];
        simulation.RunUntil(10 * Second);
        AssertRan(simulation, small, 0.5);
        Assert.All(others, machine => AssertRan(simulation, machine, 1.5 / 4));
    }

    [Fact]
    public void A_reservation_below_what_shares_give_changes_nothing()
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingMachine reserved = simulation.AddHog(simulation.Policy.Root, "reserved", new CpuEntitlement(1000, MHz * 48 / 100));
        SchedulingMachine[] others = [.. Enumerable.Range(0, 3).Select(i => simulation.AddHog(simulation.Policy.Root, $"m{i}", new CpuEntitlement(1000)))];
        simulation.RunUntil(10 * Second);
        AssertRan(simulation, reserved, 0.5);
        Assert.All(others, machine => AssertRan(simulation, machine, 0.5));
    }

    [Theory]
    [InlineData(100)]
    [InlineData(600)]
    [InlineData(1900)]
    public void A_limit_holds_on_an_idle_host(long limit)
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingMachine limited = simulation.AddHog(simulation.Policy.Root, "limited", new CpuEntitlement(1000, 0, limit));
        simulation.RunUntil(10 * Second);
        AssertRan(simulation, limited, limit / (double)MHz);
        WorldTimes times = limited.Worlds[0].TimesAt(simulation.Now);
        Assert.Equal(times.Ready, times.Limited);
    }

    [Theory]
    [InlineData("machine")]
    [InlineData("pool")]
    [InlineData("host")]
    public void What_ran_before_a_limit_was_set_is_not_owed_to_it(string limited)
    {
        var policy = new SchedulingPolicy(HostTopology.Uniform(2, processorMHz: MHz));
        SchedulingPool pool = policy.AddPool(policy.Root, "pool", new CpuEntitlement(1000), 0);
        SchedulingMachine machine = policy.AddMachine(pool, "m", 1, new CpuEntitlement(1000), 0);
        World world = machine.Worlds[0];
        int slot = policy.Wake(world, 0).Slot;
        Assert.Equal(world, policy.Dispatch(slot, 0));

        // Nobody else wants the processor: nobody looks for ten seconds.
        Assert.Equal(long.MaxValue, policy.NextLook(slot));
        long now = 10 * Second;
        var twentieth = new CpuEntitlement(1000, 0, MHz / 20);
        switch (limited)
        {
            case "machine":
                policy.SetEntitlement(machine, twentieth, now);
                break;
            case "pool":
                policy.SetEntitlement(pool, twentieth, now);
                break;
            default:
                policy.SetBudget(2, MHz / 20, now);
                break;
        }

        Assert.InRange(policy.NextLook(slot), 0, now);
        Assert.False(policy.MustStop(slot, now));
        now = policy.NextLook(slot);
        Assert.True(policy.MustStop(slot, now));
        policy.Stop(world, WorldState.Ready, now);
        Assert.InRange(policy.NextLimitRelease, now, now + (policy.Options.Slice * 20));
    }

    [Fact]
    public void A_limit_of_a_pool_holds_for_everything_in_it_together()
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingPool pool = simulation.Policy.AddPool(simulation.Policy.Root, "pool", new CpuEntitlement(4000, 0, MHz / 2), 0);
        SchedulingMachine a = simulation.AddHog(pool, "a", new CpuEntitlement(3000));
        SchedulingMachine b = simulation.AddHog(pool, "b", new CpuEntitlement(1000));
        SchedulingMachine outside = simulation.AddHog(simulation.Policy.Root, "outside", new CpuEntitlement(1000), worlds: 2);
        simulation.RunUntil(10 * Second);
        AssertRan(simulation, a, 0.375);
        AssertRan(simulation, b, 0.125);
        AssertRan(simulation, outside, 1.5);
    }

    [Fact]
    public void Shares_of_a_machine_count_inside_its_pool_only()
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingPool pool = simulation.Policy.AddPool(simulation.Policy.Root, "pool", new CpuEntitlement(1000), 0);
        SchedulingMachine[] inside = [.. Enumerable.Range(0, 5).Select(i => simulation.AddHog(pool, $"in{i}", new CpuEntitlement(100_000)))];
        SchedulingMachine outside = simulation.AddHog(simulation.Policy.Root, "outside", new CpuEntitlement(1000), worlds: 2);
        simulation.RunUntil(10 * Second);
        Assert.All(inside, machine => AssertRan(simulation, machine, 0.2));
        AssertRan(simulation, outside, 1);
    }

    [Fact]
    public void A_reservation_in_a_pool_is_kept_against_the_pools_siblings()
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingPool pool = simulation.Policy.AddPool(simulation.Policy.Root, "pool", new CpuEntitlement(100), 0);
        SchedulingMachine reserved = simulation.AddHog(pool, "reserved", new CpuEntitlement(100, MHz / 2));
        SchedulingMachine poor = simulation.AddHog(pool, "poor", new CpuEntitlement(900));
        SchedulingMachine outside = simulation.AddHog(simulation.Policy.Root, "outside", new CpuEntitlement(10_000), worlds: 2);
        simulation.RunUntil(10 * Second);
        AssertRan(simulation, reserved, 0.5);
        Assert.True(simulation.RunTime(poor) > 0);
        AssertRan(simulation, outside, 1.5);
    }

    [Fact]
    public void Where_reservations_take_everything_the_others_still_get_a_little()
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingPool pool = simulation.Policy.AddPool(simulation.Policy.Root, "pool", new CpuEntitlement(10), 0);
        SchedulingMachine reserved = simulation.AddHog(pool, "reserved", new CpuEntitlement(10, MHz));
        SchedulingMachine[] others = [.. Enumerable.Range(0, 4).Select(i => simulation.AddHog(pool, $"m{i}", new CpuEntitlement(1000)))];
        simulation.AddHog(simulation.Policy.Root, "outside", new CpuEntitlement(100_000), worlds: 2);
        simulation.RunUntil(20 * Second);
        AssertRan(simulation, reserved, 1);
        Assert.All(others, machine => Assert.True(simulation.RunTime(machine) >= 5 * Millisecond));
    }

    [Fact]
    public void A_limit_on_the_host_is_its_budget()
    {
        SchedulerSimulation simulation = TwoProcessors();
        simulation.Policy.SetBudget(2, MHz, 0);
        SchedulingMachine a = simulation.AddHog(simulation.Policy.Root, "a", new CpuEntitlement(3000), worlds: 2);
        SchedulingMachine b = simulation.AddHog(simulation.Policy.Root, "b", new CpuEntitlement(1000));
        simulation.RunUntil(10 * Second);
        AssertRan(simulation, a, 0.75);
        AssertRan(simulation, b, 0.25);
    }

    [Fact]
    public void Shares_divide_a_hosts_budget_although_there_is_a_processor_for_each()
    {
        SchedulerSimulation simulation = TwoProcessors();
        simulation.Policy.SetBudget(2, MHz / 2, 0);
        SchedulingMachine a = simulation.AddHog(simulation.Policy.Root, "a", new CpuEntitlement(3000));
        SchedulingMachine b = simulation.AddHog(simulation.Policy.Root, "b", new CpuEntitlement(1000));
        simulation.RunUntil(10 * Second);
        AssertRan(simulation, a, 0.375);
        AssertRan(simulation, b, 0.125);
    }

    [Fact]
    public void A_processor_taken_out_of_use_is_left_within_a_slice()
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingMachine a = simulation.AddHog(simulation.Policy.Root, "a", new CpuEntitlement(1000));
        SchedulingMachine b = simulation.AddHog(simulation.Policy.Root, "b", new CpuEntitlement(1000));
        simulation.RunUntil(Second);
        simulation.Policy.SetBudget(1, CpuEntitlement.Unlimited, simulation.Now);
        long[] before = [simulation.RunTime(a), simulation.RunTime(b)];
        simulation.RunUntil(11 * Second);
        AssertRan(simulation, a, 0.5, Second, before[0]);
        AssertRan(simulation, b, 0.5, Second, before[1]);
    }

    [Fact]
    public void A_waking_sleeper_runs_at_once_beside_hogs()
    {
        SchedulerSimulation simulation = TwoProcessors();
        for (int i = 0; i < 6; i++)
        {
            simulation.AddHog(simulation.Policy.Root, $"hog{i}", new CpuEntitlement(1000));
        }

        SchedulingMachine interactive = simulation.AddSleeper(simulation.Policy.Root, "interactive", new CpuEntitlement(1000), Millisecond, 50 * Millisecond);
        simulation.RunUntil(10 * Second);
        List<long> latencies = [.. simulation.WakeLatencies[interactive.Worlds[0]].Order()];
        Assert.True(latencies[latencies.Count / 2] < Millisecond, $"median {latencies[latencies.Count / 2]} ns");
    }

    [Fact]
    public void One_who_sleeps_a_little_gets_no_more_than_its_share()
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingMachine[] hogs = [.. Enumerable.Range(0, 4).Select(i => simulation.AddHog(simulation.Policy.Root, $"hog{i}", new CpuEntitlement(1000)))];
        SchedulingMachine cunning = simulation.AddSleeper(simulation.Policy.Root, "cunning", new CpuEntitlement(100), 4 * Millisecond, Millisecond / 10);
        simulation.RunUntil(20 * Second);
        double ran = simulation.RunTime(cunning) / (double)simulation.Now;
        Assert.True(ran < 2 * 100 / 4100.0 * 1.1, $"{ran:0.000}");
        Assert.All(hogs, hog => Assert.True(simulation.RunTime(hog) > 0.48 * simulation.Now));
    }

    [Fact]
    public void Having_been_alone_is_not_held_against_a_machine_when_another_comes()
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingMachine[] old = [.. Enumerable.Range(0, 2).Select(i => simulation.AddHog(simulation.Policy.Root, $"old{i}", new CpuEntitlement(1000, MHz / 4)))];
        simulation.RunUntil(10 * Second);
        long before = simulation.RunTime(old[0]);
        SchedulingMachine newcomer = simulation.AddHog(simulation.Policy.Root, "new", new CpuEntitlement(1000), worlds: 2);
        simulation.RunUntil(11 * Second);
        double ran = (simulation.RunTime(old[0]) - before) / (double)Second;
        Assert.InRange(ran, 0.60, 0.73);
        AssertRan(simulation, newcomer, 0.667, 10 * Second);
    }

    [Fact]
    public void Times_of_a_world_sum_to_the_time_since_it_was_made()
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingMachine[] machines =
        [
            simulation.AddHog(simulation.Policy.Root, "a", new CpuEntitlement(1000), worlds: 3),
            simulation.AddSleeper(simulation.Policy.Root, "b", new CpuEntitlement(1000, 0, 300), 2 * Millisecond, 3 * Millisecond, worlds: 2),
            simulation.AddHog(simulation.Policy.Root, "c", new CpuEntitlement(500)),
        ];
        simulation.RunUntil(5 * Second);
        Assert.All(machines.SelectMany(static machine => machine.Worlds), world => Assert.Equal(simulation.Now - world.Created, world.TimesAt(simulation.Now).Total));
    }

    [Fact]
    public void Siblings_stay_within_the_skew_that_is_allowed()
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingMachine wide = simulation.AddHog(simulation.Policy.Root, "wide", new CpuEntitlement(4000), worlds: 4);
        SchedulingMachine other = simulation.AddHog(simulation.Policy.Root, "other", new CpuEntitlement(1000));
        simulation.RunUntil(10 * Second);
        long[] ran = [.. wide.Worlds.Select(world => world.TimesAt(simulation.Now).Run)];
        Assert.InRange(ran.Max() - ran.Min(), 0, simulation.Policy.Options.MaxSkew * 2);
        Assert.InRange(wide.LargestSkew, 1, simulation.Policy.Options.MaxSkew * 2);
        Assert.Contains(wide.Worlds, world => world.TimesAt(simulation.Now).CoStop > 0);
        AssertRan(simulation, wide, 1.6);
        AssertRan(simulation, other, 0.4);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(60)]
    public void A_processor_that_wakes_beside_one_that_ran_long_alone_joins_it_and_holds_nobody_up(int disturbanceMilliseconds)
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingMachine wide = simulation.AddHog(simulation.Policy.Root, "wide", new CpuEntitlement(1000), worlds: 4);
        simulation.RunUntil(10 * Millisecond);
        foreach (World world in wide.Worlds.Skip(1))
        {
            simulation.Block(world);
        }

        // The first is alone for three seconds; then it pauses, and its siblings wake beside others.
        simulation.RunUntil(3 * Second);
        simulation.Wake(wide.Worlds[1]);
        simulation.RunUntil(4 * Second);
        simulation.Block(wide.Worlds[1]);
        simulation.AddHog(simulation.Policy.Root, "other", new CpuEntitlement(1000), worlds: 2);
        simulation.LongestDisturbance = disturbanceMilliseconds * Millisecond;
        simulation.Wake(wide.Worlds[2]);
        simulation.Wake(wide.Worlds[3]);
        simulation.RunUntil(4200 * Millisecond);
        simulation.Wake(wide.Worlds[1]);
        long[] before = [.. wide.Worlds.Select(world => world.TimesAt(simulation.Now).Run)];
        simulation.RunUntil(14_200 * Millisecond);
        long[] ran = [.. wide.Worlds.Select((world, i) => world.TimesAt(simulation.Now).Run - before[i])];
        Assert.InRange(ran.Max() - ran.Min(), 0, (simulation.Policy.Options.Slice * 4) + (simulation.LongestDisturbance * 20));
        if (disturbanceMilliseconds == 0)
        {
            Assert.InRange(wide.LargestSkew, 0, simulation.Policy.Options.Slice * 2);
        }
    }

    [Fact]
    public void An_affinity_list_is_obeyed()
    {
        var simulation = new SchedulerSimulation(HostTopology.Uniform(4, processorMHz: MHz));
        SchedulingMachine pinned = simulation.AddHog(simulation.Policy.Root, "pinned", new CpuEntitlement(1000), worlds: 3);
        simulation.Policy.SetAffinity(pinned, new ProcessorSet(4, [1]), 0);
        SchedulingMachine free = simulation.AddHog(simulation.Policy.Root, "free", new CpuEntitlement(1000), worlds: 4);
        for (int i = 1; i < 500; i++)
        {
            simulation.At(i * 10 * Millisecond, () => Assert.All(pinned.Worlds, static world => Assert.True(world.State != WorldState.Running || world.Slot == 1)));
        }

        simulation.RunUntil(10 * Second);
        Assert.InRange(simulation.RunTime(pinned) / (double)simulation.Now, 0.9, 1.0);
        AssertRan(simulation, free, 4 - (simulation.RunTime(pinned) / (double)simulation.Now));
    }

    [Fact]
    public void A_change_of_shares_counts_at_once()
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingMachine a = simulation.AddHog(simulation.Policy.Root, "a", new CpuEntitlement(1000), worlds: 2);
        SchedulingMachine b = simulation.AddHog(simulation.Policy.Root, "b", new CpuEntitlement(1000), worlds: 2);
        simulation.RunUntil(Second);
        simulation.Policy.SetEntitlement(a, new CpuEntitlement(3000), simulation.Now);
        long before = simulation.RunTime(a);
        simulation.RunUntil(6 * Second);
        AssertRan(simulation, a, 1.5, Second, before);
        Assert.True(simulation.RunTime(b) > 0);
    }

    [Fact]
    public void A_running_machine_moves_between_pools()
    {
        SchedulerSimulation simulation = TwoProcessors();
        SchedulingPool gold = simulation.Policy.AddPool(simulation.Policy.Root, "gold", new CpuEntitlement(3000), 0);
        SchedulingPool lead = simulation.Policy.AddPool(simulation.Policy.Root, "lead", new CpuEntitlement(1000), 0);
        SchedulingMachine a = simulation.AddHog(gold, "a", new CpuEntitlement(1000, 100), worlds: 2);
        SchedulingMachine b = simulation.AddHog(gold, "b", new CpuEntitlement(1000), worlds: 2);
        SchedulingMachine c = simulation.AddHog(lead, "c", new CpuEntitlement(1000), worlds: 2);
        simulation.RunUntil(Second);
        simulation.Policy.Move(b, lead, simulation.Now);
        long[] before = [simulation.RunTime(a), simulation.RunTime(b), simulation.RunTime(c)];
        simulation.RunUntil(11 * Second);
        AssertRan(simulation, a, 1.5, Second, before[0]);
        AssertRan(simulation, b, 0.25, Second, before[1]);
        AssertRan(simulation, c, 0.25, Second, before[2]);
        Assert.Equal(0, gold.ActiveReservation - a.ActiveReservation);
        Assert.Throws<InvalidOperationException>(() => simulation.Policy.Move(lead, lead, simulation.Now));
    }

    [Fact]
    public void Machines_are_spread_over_numa_nodes_and_moved_when_one_is_fuller()
    {
        var simulation = new SchedulerSimulation(HostTopology.Uniform(8, nodes: 2, processorMHz: MHz));
        SchedulingMachine[] machines = [.. Enumerable.Range(0, 8).Select(i => simulation.AddHog(simulation.Policy.Root, $"m{i}", new CpuEntitlement(2000), worlds: 2))];
        Assert.Equal(4, machines.Count(static machine => machine.HomeNode == 0));

        // Those of one node go to sleep: the other node's are too many for it.
        foreach (World world in machines.Where(static machine => machine.HomeNode == 0).Skip(1).SelectMany(static machine => machine.Worlds))
        {
            simulation.At(Second, () => simulation.Block(world));
        }

        simulation.RunUntil(6 * Second);
        long[] before = [.. machines.Select(simulation.RunTime)];
        simulation.RunUntil(16 * Second);
        Assert.Contains(machines, static machine => machine.HomeMigrations > 0);
        foreach (SchedulingMachine machine in machines.Where(static machine => machine.ActiveWorlds > 0))
        {
            double ran = (simulation.RunTime(machine) - before[Array.IndexOf(machines, machine)]) / (10.0 * Second);
            Assert.InRange(ran, 1.2, 2.0);
        }
    }

    [Fact]
    public void A_world_that_ran_long_without_being_looked_at_is_settled_when_another_wakes()
    {
        var policy = new SchedulingPolicy(HostTopology.Uniform(1));
        SchedulingMachine hog = policy.AddMachine(policy.Root, "hog", 1, new CpuEntitlement(1000), 0);
        SchedulingMachine late = policy.AddMachine(policy.Root, "late", 1, new CpuEntitlement(1000), 0);
        Assert.Equal(new WakeDecision(WakeAction.Dispatch, 0), policy.Wake(hog.Worlds[0], 0));
        policy.Dispatch(0, 0);
        Assert.Equal(long.MaxValue, policy.NextLook(0));

        Assert.Equal(new WakeDecision(WakeAction.Preempt, 0), policy.Wake(late.Worlds[0], 10 * Second));
        policy.Stop(hog.Worlds[0], WorldState.Ready, 10 * Second);
        long now = 10 * Second;
        long[] ran = new long[2];
        for (int i = 0; i < 200; i++)
        {
            World world = policy.Dispatch(0, now)!;
            ran[world == hog.Worlds[0] ? 0 : 1]++;
            now = world.SliceEnd;
            policy.Stop(world, WorldState.Ready, now);
        }

        Assert.InRange(ran[0], 97, 103);
    }

    [Fact]
    public void One_that_keeps_its_processor_too_long_while_others_wait_pays_for_it()
    {
        var policy = new SchedulingPolicy(HostTopology.Uniform(1));
        World[] worlds = [.. new[] { 500, 4000 }.Select(shares => policy.AddMachine(policy.Root, $"{shares}", 1, new CpuEntitlement(shares), 0).Worlds[0])];
        Array.ForEach(worlds, world => policy.Wake(world, 0));
        long now = 0;
        while (now < 20 * Second)
        {
            World world = policy.Dispatch(0, now)!;
            now = world.SliceEnd + (world == worlds[0] ? 45 * Millisecond : 0);
            policy.Stop(world, WorldState.Ready, now);
        }

        Assert.InRange(worlds[0].TimesAt(now).Run / (double)now, 0.10, 0.13);
    }

    [Theory]
    [InlineData(0, false)]
    [InlineData(60, false)]
    [InlineData(60, true)]
    public void What_other_programs_took_of_a_turn_is_no_claim_to_another(int stolenMilliseconds, bool somebodyWakesMeanwhile)
    {
        // A reservation of a thousandth of the processor, which is no more than its shares give. Others have the processor in each of its turns.
        const int Turns = 1100;
        long stolen = stolenMilliseconds * Millisecond;
        var policy = new SchedulingPolicy(HostTopology.Uniform(1, processorMHz: MHz));
        World reserved = policy.AddMachine(policy.Root, "reserved", 1, new CpuEntitlement(100, MHz / 1000), 0).Worlds[0];
        World other = policy.AddMachine(policy.Root, "other", 1, new CpuEntitlement(1000), 0).Worlds[0];
        World visitor = policy.AddMachine(policy.Root, "visitor", 1, new CpuEntitlement(1), 0).Worlds[0];
        policy.TimeStolenFrom = (world, now) => world == reserved ? Math.Min(stolen, now - world.RunningSince) : 0;
        policy.Wake(reserved, 0);
        policy.Wake(other, 0);
        long now = 0;
        int turns = 0;
        for (int i = 0; i < Turns; i++)
        {
            World world = policy.Dispatch(0, now)!;
            if (world == reserved)
            {
                turns++;
                now += stolen;
                if (somebodyWakesMeanwhile)
                {
                    // What runs is settled for the comparison with who wakes.
                    policy.Wake(visitor, now);
                    policy.Withdraw(visitor, WorldState.Idle, now);
                }
            }

            now += policy.Options.Slice;
            policy.Stop(world, WorldState.Ready, now);
        }

        // One in eleven, as its shares say.
        Assert.InRange(turns, (Turns / 11) - 2, (Turns / 11) + 2);
    }

    [Fact]
    public void What_makes_no_sense_is_refused()
    {
        var policy = new SchedulingPolicy(HostTopology.Uniform(2));
        SchedulingMachine machine = policy.AddMachine(policy.Root, "m", 1, CpuEntitlement.Default, 0);
        Assert.Throws<ArgumentOutOfRangeException>(() => policy.SetEntitlement(machine, new CpuEntitlement(0), 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => policy.SetEntitlement(machine, new CpuEntitlement(-5), 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => policy.SetEntitlement(machine, new CpuEntitlement(1000, -1), 0));
        Assert.Throws<ArgumentException>(() => policy.SetAffinity(machine, new ProcessorSet(2), 0));
        policy.Wake(machine.Worlds[0], 0);
        Assert.Throws<InvalidOperationException>(() => policy.Remove(machine, 0));
    }
}
