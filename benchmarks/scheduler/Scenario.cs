using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Benchmarks.Scheduler;

/// <summary>Machines of one busy processor each, and what they are to get.</summary>
/// <param name="Name">For the table.</param>
/// <param name="Machines">Their shares, reservations and limits, in thousandths of a processor.</param>
/// <param name="BudgetMHz">What of the host they may have together, in thousandths of a processor; negative for all of it.</param>
internal sealed record Scenario(string Name, IReadOnlyList<CpuEntitlement> Machines, int BudgetMHz = -1)
{
    /// <summary>MHz of a processor in a scenario: a thousandth is one.</summary>
    public const int ProcessorMHz = 1000;

    public static IReadOnlyList<Scenario> All { get; } =
    [
        new("2 equal", Equal(2)),
        new("3 equal", Equal(3)),
        new("8 equal", Equal(8)),
        new("16 equal", Equal(16)),
        new("shares 1:2:4", [new(500), new(1000), new(2000)]),
        new("shares 1:2:4, two each", [new(500), new(500), new(1000), new(1000), new(2000), new(2000)]),
        new("limits 20 %, 50 %", [new(1000, 0, 200), new(1000, 0, 500), new(1000), new(1000)]),
        new("half the host, shares 1:3", [new(1000), new(3000)], ProcessorMHz),
        new("three quarters of the host, shares 1:3", [new(1000), new(3000)], ProcessorMHz * 3 / 2),
        new("a tenth of the host, shares 1:3", [new(1000), new(3000)], ProcessorMHz / 5),
        new("half the host, shares 1:3, four each", [.. Enumerable.Repeat(new CpuEntitlement(500), 4), .. Enumerable.Repeat(new CpuEntitlement(1500), 4)], ProcessorMHz),
        new("reservation 60 %", [new(100, 600), new(1000), new(1000), new(1000), new(1000)]),
    ];

    /// <summary>Processors that each machine is entitled to, of as many as there are and of the time that other programs left.</summary>
    /// <param name="processors">How many there are.</param>
    /// <param name="left">What the machines had together, processors.</param>
    /// <param name="most">What each could have had; null for a processor each.</param>
    public double[] Entitled(int processors, double left, double[]? most = null)
    {
        double budget = BudgetMHz < 0 ? processors : Math.Min(processors, BudgetMHz / (double)ProcessorMHz);
        var policy = new SchedulingPolicy(HostTopology.Uniform(processors, 1, ProcessorMHz));
        SchedulingMachine[] machines = [.. Machines.Select((settings, index) => policy.AddMachine(policy.Root, $"m{index}", 1, settings, 0))];
        Dictionary<SchedulingMachine, double> divided = Entitlement.Divide(
            policy.Root, machines.Index().ToDictionary(static pair => pair.Item, pair => (most?[pair.Index] ?? 1) * ProcessorMHz), (long)(Math.Min(left, budget) * ProcessorMHz));
        return [.. machines.Select(machine => divided[machine] / ProcessorMHz)];
    }

    private static CpuEntitlement[] Equal(int count) => [.. Enumerable.Repeat(new CpuEntitlement(1000), count)];
}
