using Hypervisor.Engine.Memory.Policy;

namespace Hypervisor.Tests.Unit.Memory.Policy;

/// <summary>Division by shares, tax, reservations, limits and pools, beside numbers worked out by hand and beside a slow division.</summary>
public sealed class MemoryEntitlementTests
{
    private const long MB = 1 << 20;

    private static MachineMemoryInput Machine(long consumedMB, long activeMB, int shares = 100, long reservationMB = 0, long limitMB = 1 << 20, int pool = -1, long overheadMB = 0, long memoryMB = 0) => new()
    {
        Plan = new MachineMemoryPlan
        {
            MemoryBytes = Math.Max(memoryMB, consumedMB) * MB,
            Shares = shares,
            ReservationBytes = reservationMB * MB,
            LimitBytes = limitMB * MB,
            Pool = pool,
        },
        History = new MachineMemoryHistory(),
        ConsumedBytes = consumedMB * MB,
        ActiveBytes = activeMB * MB,
        OverheadBytes = overheadMB * MB,
    };

    private static long[] Divide(long availableMB, MachineMemoryInput[] machines, MemoryPoolPlan[]? pools = null, int tax = 75)
    {
        var entitlement = new MemoryEntitlement();
        long[] results = new long[machines.Length];
        entitlement.Measure(pools ?? [], machines, tax);
        entitlement.Divide((double)availableMB * MB, machines, results, new long[machines.Length]);
        return [.. results.Select(static bytes => (bytes + (MB / 2)) / MB)];
    }

    [Fact]
    public void Enough_for_all_is_given_to_all() => Assert.Equal([100, 200], Divide(1000, [Machine(100, 0), Machine(200, 200, shares: 1)]));

    [Fact]
    public void Machines_that_use_all_they_have_get_memory_by_shares() =>
        Assert.Equal([100, 200, 300], Divide(600, [Machine(1000, 1000, 100), Machine(1000, 1000, 200), Machine(1000, 1000, 300)]));

    [Fact]
    public void Idle_memory_costs_four_times_as_much_with_a_tax_of_75_percent()
    {
        // Two machines of equal shares, one of them idle: half each without a tax, four to one with it (Waldspurger 2002, section 5.4).
        Assert.Equal([300, 300], Divide(600, [Machine(600, 600), Machine(600, 0)], tax: 0));
        Assert.Equal([480, 120], Divide(600, [Machine(600, 600), Machine(600, 0)]));
    }

    [Fact]
    public void A_machine_keeps_what_it_uses_at_the_low_price() =>
        // Level 250: the second pays 100 for what it uses and 150 for 37.5 more.
        Assert.Equal([250, 138], Divide(388, [Machine(600, 600), Machine(600, 100)]));

    [Fact]
    public void Reservations_and_limits_bound_what_shares_give()
    {
        Assert.Equal([400, 100, 100], Divide(600, [Machine(600, 0, reservationMB: 400), Machine(600, 600), Machine(600, 600)]));
        Assert.Equal([50, 275, 275], Divide(600, [Machine(600, 600, limitMB: 50), Machine(600, 600), Machine(600, 600)]));
        Assert.Equal([20, 580], Divide(600, [Machine(20, 0, reservationMB: 400, memoryMB: 600), Machine(600, 600)]));
        Assert.Equal([400, 300], Divide(500, [Machine(600, 0, reservationMB: 400), Machine(600, 600, reservationMB: 300)]));
    }

    [Fact]
    public void Pools_divide_first_and_what_one_leaves_goes_to_its_siblings()
    {
        MemoryPoolPlan[] pools = [new(-1, 300), new(-1, 100), new(1, 50), new(-1, 1000, LimitBytes: 60 * MB)];
        Assert.Equal(
            [270, 180, 120, 30, 60],
            Divide(660, [Machine(900, 900, 300, pool: 0), Machine(900, 900, 200, pool: 0), Machine(900, 900, 200, pool: 1), Machine(900, 900, 10, pool: 2), Machine(900, 900, pool: 3)], pools));
        Assert.Equal([100, 500], Divide(600, [Machine(100, 100, pool: 0), Machine(900, 900, pool: 1)], pools));
    }

    [Fact]
    public void A_reserving_pool_gives_its_reservation_to_what_is_in_it_by_shares()
    {
        MemoryPoolPlan[] pools = [new(-1, 1, ReservationBytes: 400 * MB), new(-1, 1000)];
        Assert.Equal([100, 300, 200], Divide(600, [Machine(900, 900, 100, pool: 0), Machine(900, 900, 300, pool: 0), Machine(900, 900, pool: 1)], pools));
    }

    [Fact]
    public void Overhead_is_taken_before_guests_get_anything()
    {
        Assert.Equal([250, 250], Divide(600, [Machine(600, 600, overheadMB: 50), Machine(600, 600, overheadMB: 50)]));
        Assert.Equal([0, 0], Divide(50, [Machine(600, 600, overheadMB: 50), Machine(600, 600, overheadMB: 50)]));
    }

    [Fact]
    public void A_pool_named_as_its_own_parent_counts_as_the_hosts() => Assert.Equal([300], Divide(300, [Machine(600, 600, pool: 0)], [new(0, 1)]));

    [Fact]
    public void Random_trees_get_what_a_slow_division_gives()
    {
        var random = new Random(11);
        for (int round = 0; round < 300; round++)
        {
            MemoryPoolPlan[] pools = [.. Enumerable.Range(0, random.Next(6)).Select(i => new MemoryPoolPlan(
                random.Next(-1, i), random.Next(1, 1000), random.Next(3) == 0 ? random.Next(500) * MB : 0, random.Next(3) == 0 ? random.Next(500, 2000) * MB : MachineMemoryPlan.Unlimited))];
            MachineMemoryInput[] machines = [.. Enumerable.Range(0, random.Next(1, 20)).Select(_ =>
            {
                int consumed = random.Next(1, 1000), limit = random.Next(4) == 0 ? random.Next(1, 1000) : 1 << 20;
                return Machine(consumed, random.Next(consumed + 1), random.Next(1, 1000), random.Next(4) == 0 ? random.Next(Math.Min(limit, 200)) : 0, limit, random.Next(-1, pools.Length), random.Next(10));
            })];
            int available = random.Next(100, 10_000), tax = random.Next(0, 100);
            long[] expected = new SlowDivision(pools, machines, tax).Divide((double)available * MB), actual = Divide(available, machines, pools, tax);
            for (int i = 0; i < machines.Length; i++)
            {
                Assert.InRange(actual[i] - (expected[i] / (double)MB), -1, 1);
            }
        }
    }
}
