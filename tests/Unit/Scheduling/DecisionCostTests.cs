using Hypervisor.Engine.Scheduling;
using Hypervisor.Tests.Unit.Support;
using static Hypervisor.Tests.Unit.Scheduling.SchedulerSimulation;

namespace Hypervisor.Tests.Unit.Scheduling;

public sealed class DecisionCostTests
{
    [Fact]
    public void Decisions_allocate_nothing()
    {
        const int Processors = 16;
        var policy = new SchedulingPolicy(HostTopology.Uniform(Processors, nodes: 2));
        var worlds = new List<World>();
        for (int p = 0; p < 8; p++)
        {
            SchedulingPool pool = policy.AddPool(policy.Root, $"p{p}", new CpuEntitlement(1000, 500, p == 0 ? 3000 : -1), 0);
            for (int m = 0; m < 25; m++)
            {
                worlds.AddRange(policy.AddMachine(pool, $"m{m}", 2, new CpuEntitlement(100 + m, m), 0).Worlds);
            }
        }

        long now = 0;
        Assert.Equal(0, Allocations.Least(() => Churn(policy, worlds, ref now, 5000)));
    }

    private static void Churn(SchedulingPolicy policy, List<World> worlds, ref long now, int rounds)
    {
        for (int i = 0; i < rounds; i++)
        {
            now += 300 * Microsecond;
            World world = worlds[i * 7919 % worlds.Count];
            if (world.State == WorldState.Running)
            {
                int slot = world.Slot;
                policy.Stop(world, i % 3 == 0 ? WorldState.Ready : WorldState.Idle, now);
                policy.Dispatch(slot, now);
            }
            else if (policy.Wake(world, now) is { Action: not WakeAction.None } decision)
            {
                if (decision.Action == WakeAction.Preempt)
                {
                    policy.Stop(policy.RunningOn(decision.Slot)!, WorldState.Ready, now);
                }

                policy.Dispatch(decision.Slot, now);
            }

            if (policy.FindWork(now) is >= 0 and int free)
            {
                policy.Dispatch(free, now);
            }
        }
    }
}
