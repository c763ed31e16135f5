using Hypervisor.Engine.Scheduling;
using static Hypervisor.Tests.Unit.Scheduling.SchedulerSimulation;

namespace Hypervisor.Tests.Unit.Scheduling;

/// <summary>The accounts of worlds, whatever happens to their machines: times sum to wall time, between any two looks.</summary>
public sealed class SchedulingAccountingTests
{
    private const int MHz = 2000;

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Times_sum_to_wall_time_while_machines_are_paused_reset_moved_limited_and_powered_off_and_on(int seed)
    {
        var random = new Random(seed);
        int processors = random.Next(2, 9);
        var simulation = new SchedulerSimulation(HostTopology.Uniform(processors, nodes: 1 + (seed % 2), MHz), seed);
        SchedulingPolicy policy = simulation.Policy;
        if (seed % 3 == 0)
        {
            simulation.AddOutsideLoad(4 * Millisecond, 6 * Millisecond);
        }

        SchedulingPool outer = policy.AddPool(policy.Root, "outer", new CpuEntitlement(4000), 0);
        SchedulingPool[] pools = [policy.Root, outer, policy.AddPool(outer, "inner", new CpuEntitlement(2000), 0)];
        var machines = new List<SchedulingMachine>();
        var looks = new Dictionary<World, (long Time, WorldTimes Times)>();

        SchedulingMachine PowerOn()
        {
            var settings = new CpuEntitlement(random.Next(100, 4000), random.Next(3) == 0 ? random.Next(200) : 0, LimitOf(random, 4 * MHz));
            SchedulingPool pool = pools[random.Next(pools.Length)];
            int worlds = random.Next(1, 5);
            return random.Next(2) == 0
                ? simulation.AddHog(pool, "hog", settings, worlds)
                : simulation.AddSleeper(pool, "sleeper", settings, random.Next(100, 9000) * Microsecond, random.Next(100, 20_000) * Microsecond, worlds);
        }

        for (int i = 0; i < 8; i++)
        {
            machines.Add(PowerOn());
        }

        bool coStopped = false, limited = false;
        for (int step = 0; step < 600; step++)
        {
            simulation.RunUntil(simulation.Now + random.NextInt64(20 * Millisecond));
            int index = random.Next(machines.Count);
            SchedulingMachine machine = machines[index];
            switch (random.Next(9))
            {
                case 0:
                    foreach (World world in machine.Worlds)
                    {
                        simulation.Block(world);
                    }

                    break;
                case 1:
                    // A reset: all of them stop, the first begins anew.
                    foreach (World world in machine.Worlds)
                    {
                        simulation.Block(world);
                    }

                    simulation.Wake(machine.Worlds[0]);
                    break;
                case 2:
                    foreach (World world in machine.Worlds.Where(static world => world.State is WorldState.Blocked or WorldState.Idle))
                    {
                        simulation.Wake(world);
                    }

                    break;
                case 3:
                    foreach (World world in machine.Worlds)
                    {
                        simulation.Block(world);
                        looks.Remove(world);
                    }

                    policy.Remove(machine, simulation.Now);
                    simulation.Forget(machine);
                    machines[index] = PowerOn();
                    break;
                case 4:
                    policy.SetAffinity(machine, random.Next(3) == 0 ? null : new ProcessorSet(processors, [random.Next(processors), random.Next(processors)]), simulation.Now);
                    break;
                case 5:
                    policy.Move(machine, pools[random.Next(pools.Length)], simulation.Now);
                    break;
                case 6:
                    policy.SetEntitlement(machine, new CpuEntitlement(random.Next(100, 4000), random.Next(100), LimitOf(random, 4 * MHz)), simulation.Now);
                    break;
                case 7:
                    policy.SetEntitlement(pools[random.Next(1, 3)], new CpuEntitlement(random.Next(1000, 8000), 0, LimitOf(random, processors * MHz)), simulation.Now);
                    break;
                default:
                    policy.SetBudget(random.Next(1, processors + 1), LimitOf(random, processors * MHz), simulation.Now);
                    break;
            }

            Assert.InRange(machines.Sum(static machine => machine.Worlds.Count(static world => world.State == WorldState.Running)), 0, processors);
            foreach (World world in machines.SelectMany(static machine => machine.Worlds))
            {
                WorldTimes times = world.TimesAt(simulation.Now);
                (long time, WorldTimes before) = looks.GetValueOrDefault(world, (world.Created, default));
                Assert.Equal(simulation.Now - time, times.Total - before.Total);
                Assert.True(
                    times.Run >= before.Run && times.Ready >= before.Ready && times.CoStop >= before.CoStop && times.Idle >= before.Idle && times.Blocked >= before.Blocked
                    && times.Limited >= before.Limited && times.Ready - before.Ready >= times.Limited - before.Limited,
                    $"seed {seed}, step {step}: {before} before, now {times}");
                looks[world] = (simulation.Now, times);
                coStopped |= times.CoStop > 0;
                limited |= times.Limited > 0;
            }
        }

        Assert.True(limited && (coStopped || processors == 8), $"seed {seed}: limits {limited}, co-stop {coStopped}");
    }

    public static TheoryData<int> Seeds() => [.. Enumerable.Range(1, 25)];

    private static long LimitOf(Random random, int most) => random.Next(3) == 0 ? random.Next(50, most) : CpuEntitlement.Unlimited;
}
