using System.Diagnostics;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Tests.Unit.Support;
using Xunit.Abstractions;
using static Hypervisor.Tests.Unit.Memory.Policy.MemorySimulation;

namespace Hypervisor.Tests.Unit.Memory.Policy;

public sealed class MemoryDecisionCostTests(ITestOutputHelper output)
{
    [Fact]
    public void Decisions_allocate_nothing()
    {
        (MemoryPolicy policy, HostMemoryInput host, MemoryPoolPlan[] pools, MachineMemoryInput[] machines) = Host(400);
        var decisions = new MachineMemoryDecision[machines.Length];
        long now = 0;
        Assert.Equal(0, Allocations.Least(() => now = Decide(policy, host, pools, machines, decisions, 20, now)));
    }

    [Theory]
    [InlineData(200)]
    [InlineData(1000)]
    [InlineData(10_000)]
    public void However_many_machines_there_are_they_are_entitled_together_to_what_there_is(int count)
    {
        (MemoryPolicy policy, HostMemoryInput host, MemoryPoolPlan[] pools, MachineMemoryInput[] machines) = Host(count);
        var decisions = new MachineMemoryDecision[machines.Length];
        long now = 0;
        var best = TimeSpan.MaxValue;
        for (int round = 0; round < 20; round++)
        {
            long start = Stopwatch.GetTimestamp();
            now = Decide(policy, host, pools, machines, decisions, 1, now);
            TimeSpan took = Stopwatch.GetElapsedTime(start);
            best = took < best ? took : best;
        }

        // The time is for people who run this alone, in a Release build.
        output.WriteLine($"{count} machines: {best.TotalMicroseconds:0} us a decision");
        long goal = FreeMemoryThresholds.MinFree(host.BudgetBytes) * 106 / 100, entitled = decisions.Sum(static decision => decision.EntitlementBytes) + machines.Sum(static machine => machine.OverheadBytes);
        Assert.InRange(entitled, (host.BudgetBytes - goal) * 0.9, host.BudgetBytes - goal + count);
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
        MemoryPoolPlan[] pools = [.. Enumerable.Range(0, 20).Select(i => new MemoryPoolPlan((i / 2) - 1, random.Next(1, 1000), 0, i % 5 == 0 ? 100_000 * GB : MachineMemoryPlan.Unlimited))];
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
        return (new MemoryPolicy(), new HostMemoryInput { BudgetBytes = used + (used / 200), UsedBytes = used, ProcessorMHz = 10_000, Settings = MemoryPolicySettings.Default }, pools, machines);
    }
}
