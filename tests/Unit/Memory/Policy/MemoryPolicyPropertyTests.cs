using Hypervisor.Engine.Memory.Policy;
using static Hypervisor.Tests.Unit.Memory.Policy.MemorySimulation;

namespace Hypervisor.Tests.Unit.Memory.Policy;

/// <summary>What holds at every moment on hosts with machines, pools, drivers and loads made by chance.</summary>
public sealed class MemoryPolicyPropertyTests
{
    [Theory]
    [InlineData(1, 12)]
    [InlineData(2, 40)]
    [InlineData(3, 40)]
    [InlineData(4, 100)]
    [InlineData(5, 300)]
    public void Promises_are_kept_whatever_machines_do(int seed, int count)
    {
        var random = new Random(seed);
        MemorySimulation simulation = Random(random, count);
        var lastTargets = new Dictionary<SimulatedMachine, (long Target, double Time)>();
        simulation.Decided = () =>
        {
            long step(SimulatedMachine machine, int divisor) => Math.Max(8 * MB, machine.Plan.MemoryBytes / divisor);
            foreach (SimulatedMachine machine in simulation.Machines)
            {
                MachineMemoryDecision decision = machine.Decision;
                MachineMemoryPlan plan = machine.Plan;
                string state = $"{simulation.Host.State} {decision} {machine.Consumed:0}";
                Assert.True(decision.EntitlementBytes >= 0 && decision.EntitlementBytes <= Math.Min(plan.MemoryBytes, plan.LimitBytes), state);
                Assert.True(decision.EntitlementBytes >= Math.Min(plan.ReservationBytes, machine.Consumed) - 1, state);
                Assert.True(decision.BalloonTargetBytes >= 0 && decision.BalloonTargetBytes <= Math.Min(plan.BalloonMaxBytes, plan.MemoryBytes - plan.ReservationBytes), state);
                Assert.True(decision.EvictBytes >= 0 && (decision.EvictBytes == 0 || machine.Consumed - decision.EvictBytes >= Math.Min(plan.ReservationBytes, plan.LimitBytes) - 4096), state);
                Assert.True(decision.BlockAboveBytes >= plan.ReservationBytes && decision.CeilingBytes >= plan.ReservationBytes, state);
                Assert.True(decision.RestoreBytes == 0 || simulation.Host.State == HostMemoryState.High, state);
                Assert.Equal(simulation.Host.State == HostMemoryState.High, decision.AllowsLargePages);
                if (machine.Driver != BalloonDriver.None && lastTargets.TryGetValue(machine, out var last))
                {
                    // Bounded steps, from where the balloon was or was to be.
                    double passed = Math.Min(1, simulation.Time - last.Time) + 0.001;
                    Assert.True(decision.BalloonTargetBytes <= Math.Max(last.Target, machine.Balloon) + (step(machine, 16) * passed), state);
                    double least = Math.Min(Math.Min(last.Target, machine.Balloon) - (step(machine, 8) * passed) - 4096, Math.Min(plan.BalloonMaxBytes, plan.MemoryBytes - plan.ReservationBytes));
                    Assert.True(decision.BalloonTargetBytes >= least - 1, state);
                }

                lastTargets[machine] = (decision.BalloonTargetBytes, simulation.Time);
            }
        };

        for (int phase = 0; phase < 12; phase++)
        {
            foreach (SimulatedMachine machine in simulation.Machines)
            {
                if (random.Next(3) == 0)
                {
                    machine.WantedHot = machine.Size * random.NextDouble() * 0.9;
                }
            }

            simulation.Run(20);
        }

        Assert.Equal(0, simulation.WorstExcess);
        Assert.True(simulation.WorstState >= HostMemoryState.Soft);
        foreach (SimulatedMachine machine in simulation.Machines)
        {
            // A machine that uses what is reserved for it has that.
            double wanted = Math.Min(machine.Plan.ReservationBytes, machine.Hot);
            Assert.True(machine.Consumed >= wanted - MB, $"{machine.Consumed / MB:0} of {wanted / MB:0} MB");
            Assert.True(machine.Consumed <= machine.Plan.LimitBytes * (17.0 / 16), $"{machine.Consumed / MB:0} MB");
        }
    }

    [Fact]
    public void The_same_inputs_give_the_same_decisions()
    {
        static string Play()
        {
            MemorySimulation simulation = Random(new Random(9), 20);
            simulation.Run(60);
            return string.Join('\n', simulation.Machines.Select(static machine => machine.Decision.ToString()));
        }

        Assert.Equal(Play(), Play());
    }

    // As many machines as a host of that size would have, with more than twice the memory that there is; reservations are admitted as the inventory does.
    private static MemorySimulation Random(Random random, int count)
    {
        long[] sizes = [.. Enumerable.Range(0, count).Select(_ => 128L << random.Next(5))];
        long budgetMB = Math.Max(512, (sizes.Sum() * 2 / 5) + (16 * count)), left = (budgetMB * 9 / 10) - (16 * count);
        MemoryPoolPlan[] pools = [.. Enumerable.Range(0, 6).Select(i => new MemoryPoolPlan(random.Next(-1, i), random.Next(1, 10) * 10_000))];
        var simulation = new MemorySimulation(budgetMB * MB) { Pools = pools };
        foreach (long size in sizes)
        {
            long reservation = random.Next(3) == 0 ? Math.Min(random.NextInt64(size), left) : 0, limit = random.Next(6) == 0 ? Math.Max(reservation, size * 2 / 3) : -1;
            left -= reservation;
            SimulatedMachine machine = simulation.Add(size, (int)size * 5 << random.Next(3), reservation, limit, random.Next(-1, pools.Length));
            machine.Driver = random.Next(10) switch
            {
                0 => BalloonDriver.None,
                1 => BalloonDriver.Dead,
                2 => BalloonDriver.Lying,
                _ => BalloonDriver.Honest,
            };
            machine.WantedHot = size * MB * random.NextDouble();
            machine.Growth = machine.FaultSpeed = budgetMB * MB / 40.0 / count;
        }

        return simulation;
    }
}
