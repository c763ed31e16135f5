using Hypervisor.Engine.Scheduling;
using Hypervisor.Tests.Unit.Scheduling;

namespace Hypervisor.Benchmarks.Scheduler;

/// <summary>10,000 worlds on 128 processors in simulated time, in one of several mixtures; what the policy's decisions cost.</summary>
/// <param name="Name">For the table.</param>
/// <param name="Nodes">NUMA nodes.</param>
/// <param name="Populate">Adds the machines.</param>
internal sealed record DecisionMix(string Name, int Nodes, Action<SchedulerSimulation> Populate)
{
    private const int Processors = 128, Worlds = 10_000, PoolCount = 20, Depth = 6;
    private const long Millisecond = SchedulerSimulation.Millisecond;

    public static IReadOnlyList<DecisionMix> All { get; } =
    [
        new("pools, hogs and sleepers", 1, Usual),
        new("all hogs, one pool", 1, static simulation => Hogs(simulation, 1, static _ => CpuEntitlement.Default)),
        new("all hogs of 8 processors", 1, static simulation => Hogs(simulation, 8, static _ => CpuEntitlement.Default)),
        new("all hogs, all reserved", 1, static simulation => Hogs(simulation, 1, static index => new CpuEntitlement(1000, 1 + (index % 40)))),
        new("all hogs, all limited", 1, static simulation => Hogs(simulation, 1, static index => new CpuEntitlement(1000, 0, 10 + (index % 40)))),
        new("all sleepers, light load", 1, static simulation => Sleepers(simulation, 400)),
        new("all sleepers, overload", 1, static simulation => Sleepers(simulation, 20)),
        new("pools six deep, hogs and sleepers", 1, Deep),
        new("8 NUMA nodes, hogs and sleepers", 8, Usual),
        new("64 affinities, hogs", 1, Affinities),
        new("all of this at once, overload", 8, Everything),
    ];

    /// <summary>Mean cost of a decision, and of how many.</summary>
    public (double Nanoseconds, long Decisions) Measure()
    {
        var simulation = new SchedulerSimulation(HostTopology.Uniform(Processors, Nodes));
        Populate(simulation);
        simulation.RunUntil(2 * SchedulerSimulation.Second);
        simulation.Measures = true;
        (long decisions, TimeSpan spent) = (simulation.Decisions, simulation.TimeInPolicy);
        simulation.RunUntil(4 * SchedulerSimulation.Second);
        long counted = simulation.Decisions - decisions;
        return ((simulation.TimeInPolicy - spent).TotalNanoseconds / counted, counted);
    }

    private static void Usual(SchedulerSimulation simulation)
    {
        for (int p = 0; p < PoolCount; p++)
        {
            Mixed(simulation, simulation.Policy.AddPool(simulation.Policy.Root, $"pool{p}", new CpuEntitlement(1000 * (1 + (p % 4)), 100), 0), Worlds / PoolCount / 2);
        }
    }

    private static void Deep(SchedulerSimulation simulation)
    {
        for (int p = 0; p < PoolCount; p++)
        {
            SchedulingPool pool = simulation.Policy.Root;
            for (int level = 0; level < Depth; level++)
            {
                pool = simulation.Policy.AddPool(pool, $"pool{p}.{level}", new CpuEntitlement(1000 * (1 + (p % 4)), 100), 0);
            }

            Mixed(simulation, pool, Worlds / PoolCount / 2);
        }
    }

    // Machines of two processors; one in five never sleeps.
    private static void Mixed(SchedulerSimulation simulation, SchedulingPool pool, int machines)
    {
        for (int m = 0; m < machines; m++)
        {
            _ = m % 5 == 0
                ? simulation.AddHog(pool, $"hog{m}", new CpuEntitlement(1000, m), 2)
                : simulation.AddSleeper(pool, $"sleeper{m}", CpuEntitlement.Default, Millisecond, 400 * Millisecond, 2);
        }
    }

    private static void Hogs(SchedulerSimulation simulation, int worlds, Func<int, CpuEntitlement> settings)
    {
        for (int m = 0; m < Worlds / worlds; m++)
        {
            simulation.AddHog(simulation.Policy.Root, $"hog{m}", settings(m), worlds);
        }
    }

    private static void Sleepers(SchedulerSimulation simulation, int sleepMilliseconds)
    {
        for (int m = 0; m < Worlds; m++)
        {
            simulation.AddSleeper(simulation.Policy.Root, $"sleeper{m}", CpuEntitlement.Default, Millisecond, sleepMilliseconds * Millisecond);
        }
    }

    private static void Affinities(SchedulerSimulation simulation)
    {
        const int Wide = 8, Kinds = 64;
        for (int m = 0; m < Worlds; m++)
        {
            int first = m % Kinds * (Processors - Wide) / Kinds;
            SchedulingMachine machine = simulation.AddHog(simulation.Policy.Root, $"hog{m}", CpuEntitlement.Default);
            simulation.Policy.SetAffinity(machine, new ProcessorSet(Processors, Enumerable.Range(first, Wide)), 0);
        }
    }

    private static void Everything(SchedulerSimulation simulation)
    {
        const int Width = 2, Kinds = 64, Wide = 8;
        for (int p = 0; p < PoolCount; p++)
        {
            SchedulingPool pool = simulation.Policy.Root;
            for (int level = 0; level < Depth; level++)
            {
                pool = simulation.Policy.AddPool(pool, $"pool{p}.{level}", new CpuEntitlement(1000 * (1 + (p % 4)), 100, level == 0 ? 40_000 : CpuEntitlement.Unlimited), 0);
            }

            for (int m = 0; m < Worlds / PoolCount / Width; m++)
            {
                var settings = new CpuEntitlement(500 + m, m % 3 == 0 ? 1 + m : 0, m % 4 == 0 ? 400 : CpuEntitlement.Unlimited);
                SchedulingMachine machine = m % 5 == 0
                    ? simulation.AddHog(pool, $"hog{m}", settings, Width)
                    : simulation.AddSleeper(pool, $"sleeper{m}", settings, Millisecond, 20 * Millisecond, Width);
                if (m % 7 == 0)
                {
                    int first = m % Kinds * (Processors - Wide) / Kinds;
                    simulation.Policy.SetAffinity(machine, new ProcessorSet(Processors, Enumerable.Range(first, Wide)), 0);
                }
            }
        }
    }
}
