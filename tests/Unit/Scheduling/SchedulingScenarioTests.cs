using Hypervisor.Engine.Scheduling;
using static Hypervisor.Tests.Unit.Scheduling.SchedulerSimulation;

namespace Hypervisor.Tests.Unit.Scheduling;

/// <summary>Promises as properties over random trees of pools and machines, against <see cref="Entitlement"/> as the oracle.</summary>
public sealed class SchedulingScenarioTests
{
    private const int MHz = 2000;

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Hogs_in_random_pools_get_what_they_are_entitled_to(int seed)
    {
        var random = new Random(seed);
        int processors = random.Next(2, 17);
        var simulation = new SchedulerSimulation(HostTopology.Uniform(processors, processorMHz: MHz), seed);
        List<SchedulingMachine> machines = Populate(simulation, random, processors, random.Next(4, 40), (pool, name, settings, worlds) => simulation.AddHog(pool, name, settings, worlds));
        simulation.RunUntil(2 * Second);
        long[] before = [.. machines.Select(simulation.RunTime)];
        simulation.RunUntil(12 * Second);

        Dictionary<SchedulingMachine, double> entitled = Entitlement.Divide(
            simulation.Policy.Root, machines.ToDictionary(static machine => machine, static machine => (double)machine.Worlds.Count * MHz), simulation.Policy.CapacityMHz);
        Dictionary<SchedulingPool, double> worstOff = machines.SelectMany(machine => Ancestors(machine).Select(pool => (pool, mhz: entitled[machine])))
            .GroupBy(static pair => pair.pool).ToDictionary(static group => group.Key, static group => group.Min(static pair => pair.mhz));
        for (int i = 0; i < machines.Count; i++)
        {
            double ran = (simulation.RunTime(machines[i]) - before[i]) / (10.0 * Second) * MHz, owed = entitled[machines[i]];
            // Where reservations take all that a pool has, a little goes to the others nevertheless. And a world that is owed nearly a
            // whole processor, but waits for its pool's turn after each slice, gets a little less.
            bool exact = Ancestors(machines[i]).All(pool => worstOff[pool] > 10) && owed < 0.8 * MHz * machines[i].Worlds.Count;
            double tolerance = exact ? Math.Max(0.02 * owed, 5) : Math.Max(0.08 * owed, 40);
            Assert.True(Math.Abs(ran - owed) <= tolerance, $"seed {seed}: '{machines[i].Name}' ran {ran:0} MHz and is entitled to {owed:0}; {Describe(machines[i])}");
            long limit = machines[i].Settings.LimitMHz;
            Assert.True(limit < 0 || ran <= limit * 1.02, $"seed {seed}: '{machines[i].Name}' ran {ran:0} MHz beyond its limit of {limit}");
        }
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Two_processors_are_divided_to_within_two_percent(int seed)
    {
        var random = new Random(seed);
        var simulation = new SchedulerSimulation(HostTopology.Uniform(2, processorMHz: MHz), seed);
        List<SchedulingMachine> machines = [.. Enumerable.Range(0, random.Next(3, 17))
            .Select(i => simulation.AddHog(simulation.Policy.Root, $"m{i}", new CpuEntitlement(random.Next(500, 4001)), random.Next(1, 3)))];
        simulation.RunUntil(Second);
        long[] before = [.. machines.Select(simulation.RunTime)];
        simulation.RunUntil(11 * Second);
        Dictionary<SchedulingMachine, double> entitled = Entitlement.Divide(
            simulation.Policy.Root, machines.ToDictionary(static machine => machine, static machine => (double)machine.Worlds.Count * MHz), 2 * MHz);
        for (int i = 0; i < machines.Count; i++)
        {
            double ran = (simulation.RunTime(machines[i]) - before[i]) / (10.0 * Second) * MHz, owed = entitled[machines[i]];
            Assert.True(Math.Abs(ran - owed) <= 0.02 * owed, $"seed {seed}: '{machines[i].Name}' ran {ran:0} MHz of {owed:0}; {machines[i].Settings}");
        }
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Shares_divide_a_budget_also_where_other_programs_have_the_processors_now_and_then(int seed)
    {
        // Half of them in a pool with the limit, or the host's.
        var random = new Random(seed);
        var simulation = new SchedulerSimulation(HostTopology.Uniform(2, processorMHz: MHz), seed) { LongestDisturbance = random.Next(100, 160) * Millisecond };
        SchedulingPool pool = simulation.Policy.Root;
        if (seed % 2 == 0)
        {
            pool = simulation.Policy.AddPool(pool, "limited", new CpuEntitlement(4000, 0, MHz), 0);
        }
        else
        {
            simulation.Policy.SetBudget(2, MHz, 0);
        }

        List<SchedulingMachine> machines = [.. Enumerable.Range(0, random.Next(5, 12))
            .Select(i => simulation.AddHog(pool, $"m{i}", new CpuEntitlement(i % 2 == 0 ? 500 : 1500)))];
        simulation.RunUntil(2 * Second);
        long[] before = [.. machines.Select(simulation.UsedTime)];
        simulation.RunUntil(302 * Second);
        double[] used = [.. machines.Select((machine, i) => (simulation.UsedTime(machine) - before[i]) / (300.0 * Second) * MHz)];
        Assert.True(used.Sum() <= MHz * 1.02, $"seed {seed}: {used.Sum():0} MHz together");
        double unit = used.Sum() / machines.Sum(static machine => machine.Settings.Shares);
        for (int i = 0; i < machines.Count; i++)
        {
            double owed = unit * machines[i].Settings.Shares;
            Assert.True(Math.Abs(used[i] - owed) <= 0.1 * owed, $"seed {seed}: '{machines[i].Name}' ran {used[i]:0} MHz of {owed:0}; {machines[i].Settings}; disturbance {simulation.LongestDisturbance / Millisecond} ms; {used.Sum():0} MHz");
        }
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void A_budget_is_divided_by_shares_as_far_as_other_programs_leave_each_machine_its_processors(int seed)
    {
        // A quarter of the hosts is quiet; on the others something else has up to 70 % of each processor, for milliseconds at a time. The
        // budget, the host's or a pool's, is from a tenth of what is left to somewhat more than that; machines are few or many.
        var random = new Random(seed);
        int processors = random.Next(2, 9);
        var simulation = new SchedulerSimulation(HostTopology.Uniform(processors, processorMHz: MHz), seed);
        double taken = seed % 4 == 0 ? 0 : random.Next(10, 71) / 100.0;
        if (taken > 0)
        {
            long busy = random.Next(1000, 6000) * Microsecond;
            simulation.AddOutsideLoad(busy, (long)(busy * (1 - taken) / taken));
        }

        long budget = (long)(random.Next(10, 120) / 100.0 * processors * (1 - taken) * MHz);
        SchedulingPool pool = simulation.Policy.Root;
        if (seed % 2 == 0)
        {
            pool = simulation.Policy.AddPool(pool, "limited", new CpuEntitlement(4000, 0, budget), 0);
        }
        else
        {
            simulation.Policy.SetBudget(processors, budget, 0);
        }

        List<SchedulingMachine> machines = [.. Enumerable.Range(0, random.Next(2, (processors * 2) + 1))
            .Select(i => simulation.AddHog(pool, $"m{i}", new CpuEntitlement(random.Next(500, 4001)), random.Next(1, 3)))];
        simulation.RunUntil(2 * Second);
        long[] before = [.. machines.Select(simulation.UsedTime)];
        long outside = simulation.OutsideTime;
        simulation.RunUntil(42 * Second);

        // Nobody can have more of a processor than the others leave of it.
        double left = MHz * (1 - ((simulation.OutsideTime - outside) / (40.0 * Second * processors)));
        Dictionary<SchedulingMachine, double> entitled = Entitlement.Divide(
            pool, machines.ToDictionary(static machine => machine, machine => machine.Worlds.Count * left), Math.Min(budget, processors * left));
        for (int i = 0; i < machines.Count; i++)
        {
            double used = (simulation.UsedTime(machines[i]) - before[i]) / (40.0 * Second) * MHz, owed = entitled[machines[i]];
            Assert.True(Math.Abs(used - owed) <= 0.02 * owed, $"seed {seed}: '{machines[i].Name}' had {used:0.0} MHz of {owed:0.0}; {machines[i].Settings}; budget {budget} of {processors} x {left:0} MHz");
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_budget_is_divided_by_shares_on_a_big_host_of_eight_nodes(int seed)
    {
        const int Processors = 128;
        var random = new Random(seed);
        var simulation = new SchedulerSimulation(HostTopology.Uniform(Processors, nodes: 8, MHz), seed);
        long budget = (long)((0.2 + (0.1 * seed)) * Processors * MHz);
        SchedulingPool pool = simulation.Policy.Root;
        if (seed == 2)
        {
            pool = simulation.Policy.AddPool(pool, "limited", new CpuEntitlement(4000, 0, budget), 0);
        }
        else
        {
            simulation.Policy.SetBudget(Processors, budget, 0);
        }

        List<SchedulingMachine> machines = [.. Enumerable.Range(0, 100)
            .Select(i => simulation.AddHog(pool, $"m{i}", new CpuEntitlement(random.Next(500, 4001)), random.Next(1, 9)))];
        simulation.RunUntil(2 * Second);
        long[] before = [.. machines.Select(simulation.RunTime)];
        simulation.RunUntil(7 * Second);
        Dictionary<SchedulingMachine, double> entitled = Entitlement.Divide(
            pool, machines.ToDictionary(static machine => machine, static machine => (double)machine.Worlds.Count * MHz), budget);
        for (int i = 0; i < machines.Count; i++)
        {
            double ran = (simulation.RunTime(machines[i]) - before[i]) / (5.0 * Second) * MHz, owed = entitled[machines[i]];
            Assert.True(Math.Abs(ran - owed) <= 0.03 * owed, $"seed {seed}: '{machines[i].Name}' of node {machines[i].HomeNode} ran {ran:0} MHz of {owed:0}; {machines[i].Settings}");
        }
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void A_small_reservation_is_no_more_than_that_where_other_programs_have_the_processors_now_and_then(int seed)
    {
        var random = new Random(seed);
        var simulation = new SchedulerSimulation(HostTopology.Uniform(2, processorMHz: MHz), seed) { LongestDisturbance = random.Next(60, 160) * Millisecond };
        SchedulingPool pool = simulation.Policy.AddPool(simulation.Policy.Root, "pool", new CpuEntitlement(1000), 0);
        SchedulingMachine[] machines =
        [
            simulation.AddHog(pool, "reserved", new CpuEntitlement(1000, 2)),
            simulation.AddHog(pool, "beside", new CpuEntitlement(1000)),
            .. Enumerable.Range(0, 4).Select(i => simulation.AddHog(simulation.Policy.Root, $"m{i}", new CpuEntitlement(1000))),
        ];

        // Somebody who wakes all the time has the others' accounts settled.
        simulation.AddSleeper(simulation.Policy.Root, "sleeper", new CpuEntitlement(100), Millisecond / 10, 10 * Millisecond);
        simulation.RunUntil(2 * Second);
        long[] before = [.. machines.Select(simulation.UsedTime)];
        simulation.RunUntil(302 * Second);
        double[] used = [.. machines.Select((machine, i) => (simulation.UsedTime(machine) - before[i]) / (300.0 * Second) * MHz)];
        double owed = used.Sum() / 5;
        Assert.All(used.Take(2), mhz => Assert.InRange(mhz, owed * 0.49, owed * 0.51));
        Assert.All(used.Skip(2), mhz => Assert.InRange(mhz, owed * 0.98, owed * 1.02));
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Reservations_are_kept_limits_hold_and_nobody_starves_among_sleepers_and_hogs(int seed)
    {
        var random = new Random(seed);
        int processors = random.Next(2, 9);
        var simulation = new SchedulerSimulation(HostTopology.Uniform(processors, processorMHz: MHz), seed);
        var hogs = new List<SchedulingMachine>();
        List<SchedulingMachine> machines = Populate(simulation, random, processors, 30, (pool, name, settings, worlds) =>
        {
            if (random.Next(2) == 0)
            {
                return simulation.AddSleeper(pool, name, settings, random.Next(100, 8000) * Microsecond, random.Next(100, 20_000) * Microsecond, worlds);
            }

            SchedulingMachine hog = simulation.AddHog(pool, name, settings, worlds);
            hogs.Add(hog);
            return hog;
        });
        simulation.RunUntil(10 * Second);
        Dictionary<SchedulingMachine, double> entitled = Entitlement.Divide(
            simulation.Policy.Root, machines.ToDictionary(static machine => machine, static machine => (double)machine.Worlds.Count * MHz), simulation.Policy.CapacityMHz);
        foreach (SchedulingMachine machine in machines)
        {
            double ran = simulation.RunTime(machine) / (double)simulation.Now * MHz;
            Assert.True(ran > 0 || entitled[machine] < 10, $"seed {seed}: '{machine.Name}' starved: {Describe(machine)}");
            if (machine.Settings.LimitMHz >= 0)
            {
                Assert.True(ran <= (machine.Settings.LimitMHz * 1.02) + 10, $"seed {seed}: '{machine.Name}' ran {ran:0} MHz, limit {machine.Settings.LimitMHz}");
            }

            Assert.All(machine.Worlds, world => Assert.Equal(simulation.Now, world.TimesAt(simulation.Now).Total));
        }

        foreach (SchedulingMachine hog in hogs.Where(static hog => hog.Settings.ReservationMHz > 0 && hog.Parent!.Settings.LimitMHz < 0))
        {
            double ran = simulation.RunTime(hog) / (double)simulation.Now * MHz;
            Assert.True(ran >= (hog.Settings.ReservationMHz * 0.98) - 5, $"seed {seed}: '{hog.Name}' ran {ran:0} MHz, reserved {hog.Settings.ReservationMHz}");
        }

        // Work-conserving: processors are busy while anybody waits for a reason other than limits.
        long busy = machines.Sum(simulation.RunTime);
        long wanted = hogs.Where(static hog => !IsLimited(hog)).Sum(static hog => (long)hog.Worlds.Count);
        Assert.True(wanted < processors || busy >= 0.995 * simulation.Now * processors, $"seed {seed}: {busy / (double)simulation.Now:0.00} of {processors} busy");
    }

    [Theory]
    [InlineData(2)]
    [InlineData(8)]
    public void A_big_host_with_ten_thousand_worlds_is_fair_and_no_world_starves(int nodes)
    {
        const int Processors = 128, Pools = 20, MachinesPerPool = 250;
        var random = new Random(nodes);
        var simulation = new SchedulerSimulation(HostTopology.Uniform(Processors, nodes, MHz), nodes);
        var machines = new List<SchedulingMachine>();
        for (int p = 0; p < Pools; p++)
        {
            SchedulingPool pool = simulation.Policy.AddPool(simulation.Policy.Root, $"pool{p}", new CpuEntitlement(1000 * (1 + (p % 4))), 0);
            for (int m = 0; m < MachinesPerPool; m++)
            {
                machines.Add(m % 5 == 0
                    ? simulation.AddHog(pool, $"hog{p}.{m}", new CpuEntitlement(1000), 2)
                    : simulation.AddSleeper(pool, $"sleeper{p}.{m}", new CpuEntitlement(1000), Millisecond, 400 * Millisecond, 2));
            }
        }

        Assert.Equal(10_000, machines.Sum(static machine => machine.Worlds.Count));
        simulation.RunUntil(4 * Second);
        long[] before = [.. machines.Select(simulation.RunTime)];
        simulation.RunUntil(8 * Second);
        Assert.All(machines, machine => Assert.True(simulation.RunTime(machine) > 0, machine.Name));

        // Sleepers of pools with many shares run as they like; what hogs of a pool get follows the pool's shares.
        double[] perPool = [.. Enumerable.Range(0, Pools).Select(p => Enumerable.Range(0, MachinesPerPool)
            .Sum(m => simulation.RunTime(machines[(p * MachinesPerPool) + m]) - before[(p * MachinesPerPool) + m]) / (4.0 * Second))];
        double unit = Processors / 50.0;
        for (int p = 0; p < Pools; p++)
        {
            Assert.InRange(perPool[p] / (unit * (1 + (p % 4))), 0.97, 1.03);
        }
    }

    public static TheoryData<int> Seeds() => [.. Enumerable.Range(1, 25)];

    private static string Describe(SchedulingNode? node) => string.Join(" in ", Ancestors(node).Prepend(node!).Select(static node => $"{node.Name} ({node.Settings})"));

    private static IEnumerable<SchedulingPool> Ancestors(SchedulingNode? node)
    {
        while (node?.Parent is { } parent)
        {
            yield return parent;
            node = parent;
        }
    }

    private static bool IsLimited(SchedulingNode? node)
    {
        for (; node is not null; node = node.Parent)
        {
            if (node.Settings.LimitMHz >= 0)
            {
                return true;
            }
        }

        return false;
    }

    // Reservations stay within what is there: admission control sees to that.
    private static List<SchedulingMachine> Populate(
        SchedulerSimulation simulation, Random random, int processors, int count, Func<SchedulingPool, string, CpuEntitlement, int, SchedulingMachine> add)
    {
        var pools = new List<SchedulingPool> { simulation.Policy.Root };
        for (int i = random.Next(0, 5); i > 0; i--)
        {
            SchedulingPool parent = pools[random.Next(pools.Count)];
            long limit = random.Next(5) == 0 ? random.Next(MHz / 2, processors * MHz) : CpuEntitlement.Unlimited;
            pools.Add(simulation.Policy.AddPool(parent, $"pool{i}", new CpuEntitlement(random.Next(500, 8000), 0, limit), 0));
        }

        var machines = new List<SchedulingMachine>();
        long unreserved = (long)processors * MHz * 8 / 10;
        for (int i = 0; i < count; i++)
        {
            int worlds = random.Next(1, Math.Min(processors, 4) + 1);
            long most = worlds * (long)MHz;
            long limit = random.Next(4) == 0 ? random.NextInt64(most / 10, most) : CpuEntitlement.Unlimited;
            long reservation = 0;
            SchedulingPool pool = pools[random.Next(pools.Count)];
            if (random.Next(3) == 0 && !IsLimited(pool))
            {
                reservation = Math.Min(unreserved, random.NextInt64(limit < 0 ? most : limit) / 2);
                unreserved -= reservation;
            }

            machines.Add(add(pool, $"m{i}", new CpuEntitlement(random.Next(200, 8000), reservation, limit), worlds));
        }

        return machines;
    }
}
