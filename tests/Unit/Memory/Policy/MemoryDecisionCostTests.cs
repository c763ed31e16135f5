using System.Diagnostics;
using Hypervisor.Engine.Memory.Policy;
using static Hypervisor.Tests.Unit.Memory.Policy.MemorySimulation;

namespace Hypervisor.Tests.Unit.Memory.Policy;

public sealed class MemoryDecisionCostTests
{
    [Fact]
    public void Decisions_allocate_nothing()
    {
        (MemoryPolicy policy, HostMemoryInput host, MemoryPoolPlan[] pools, MachineMemoryInput[] machines) = Host(400);
        var decisions = new MachineMemoryDecision[machines.Length];
        long now = Decide(policy, host, pools, machines, decisions, 5, 0);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Decide(policy, host, pools, machines, decisions, 50, now);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void A_decision_for_thousands_of_machines_takes_about_as_much_a_machine_as_one_for_hundreds()
    {
        double few = NanosecondsPerMachine(200), many = NanosecondsPerMachine(10_000);

        // Sorting adds a factor of log 10000 / log 200, less than two; a quadratic decision would take fifty times as much.
        Assert.True(many < 10 * few, $"{few:0} ns a machine of 200, {many:0} ns of 10,000");
    }

    private static double NanosecondsPerMachine(int count)
    {
        (MemoryPolicy policy, HostMemoryInput host, MemoryPoolPlan[] pools, MachineMemoryInput[] machines) = Host(count);
        var decisions = new MachineMemoryDecision[machines.Length];
        long now = Decide(policy, host, pools, machines, decisions, 5, 0);
        double best = double.MaxValue;
        for (int round = 0; round < 5; round++)
        {
            long start = Stopwatch.GetTimestamp();
            now = Decide(policy, host, pools, machines, decisions, 4, now);
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalNanoseconds / (4.0 * count));
        }

        return best;
    }

    private static long Decide(MemoryPolicy policy, HostMemoryInput host, MemoryPoolPlan[] pools, MachineMemoryInput[] machines, MachineMemoryDecision[] decisions, int times, long now)
    {
        for (int i = 0; i < times; i++)
        {
            now += Second;
            policy.Decide(in host, pools, machines, decisions, now);
        }

        return now;
    }

    // A short host with machines of all kinds in nested pools.
    private static (MemoryPolicy Policy, HostMemoryInput Host, MemoryPoolPlan[] Pools, MachineMemoryInput[] Machines) Host(int count)
    {
        var random = new Random(5);
        MemoryPoolPlan[] pools = [.. Enumerable.Range(0, 20).Select(i => new MemoryPoolPlan((i / 2) - 1, random.Next(1, 1000), 0, i % 5 == 0 ? 40 * GB : MachineMemoryPlan.Unlimited))];
        MachineMemoryInput[] machines = [.. Enumerable.Range(0, count).Select(_ => new MachineMemoryInput
        {
            Plan = new MachineMemoryPlan { MemoryBytes = GB, Shares = random.Next(1, 20_000), ReservationBytes = random.Next(100) * MB, Pool = random.Next(-1, pools.Length), BalloonMaxBytes = 600 * MB },
            History = new MachineMemoryHistory(),
            OverheadBytes = 30 * MB,
            ConsumedBytes = random.Next(400, 1000) * MB,
            ActiveBytes = random.Next(1000) * MB,
            HasBalloon = random.Next(5) != 0,
            EvictionRoomBytes = GB,
        })];
        long used = machines.Sum(static machine => machine.ConsumedBytes + machine.OverheadBytes);
        return (new MemoryPolicy(), new HostMemoryInput { BudgetBytes = used, UsedBytes = used - (used / 100), ProcessorMHz = 10_000, Settings = MemoryPolicySettings.Default }, pools, machines);
    }
}
