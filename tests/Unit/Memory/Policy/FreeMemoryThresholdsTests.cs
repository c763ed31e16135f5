using Hypervisor.Engine.Memory.Policy;

namespace Hypervisor.Tests.Unit.Memory.Policy;

public sealed class FreeMemoryThresholdsTests
{
    private const long MB = 1 << 20, GB = 1 << 30;

    [Theory]
    [InlineData(28 * 1024, 899)]
    [InlineData(128 * 1024, 899 + 1024)]
    [InlineData(14 * 1024, 449)]
    [InlineData(1536, 48)]
    [InlineData(16, 2)]
    public void MinFree_is_that_of_ESXi_and_the_same_part_of_a_smaller_budget(long budgetMB, long minFreeMB) =>
        Assert.Equal(minFreeMB, FreeMemoryThresholds.MinFree(budgetMB * MB) / MB);

    [Theory]
    [InlineData(1000, HostMemoryState.High)]
    [InlineData(100, HostMemoryState.High)]
    [InlineData(99, HostMemoryState.Clear)]
    [InlineData(63, HostMemoryState.Soft)]
    [InlineData(31, HostMemoryState.Hard)]
    [InlineData(15, HostMemoryState.Low)]
    [InlineData(-50, HostMemoryState.Low)]
    public void A_host_that_runs_short_gets_the_state_of_what_is_free(long free, HostMemoryState state) =>
        Assert.Equal(state, FreeMemoryThresholds.Next(HostMemoryState.High, free, 100));

    [Fact]
    public void A_state_is_left_only_where_the_state_above_is_entered()
    {
        HostMemoryState state = HostMemoryState.Low;
        (long Free, HostMemoryState State)[] steps =
        [
            (31, HostMemoryState.Low), (32, HostMemoryState.Hard), (63, HostMemoryState.Hard), (64, HostMemoryState.Soft), (99, HostMemoryState.Soft),
            (100, HostMemoryState.Clear), (399, HostMemoryState.Clear), (400, HostMemoryState.High), (101, HostMemoryState.High), (99, HostMemoryState.Clear),
        ];
        foreach ((long free, HostMemoryState expected) in steps)
        {
            state = FreeMemoryThresholds.Next(state, free, 100);
            Assert.Equal(expected, state);
        }

        Assert.Equal(HostMemoryState.High, FreeMemoryThresholds.Next(HostMemoryState.Low, 500, 100));
        Assert.True(FreeMemoryThresholds.MinFree(1000 * GB) > FreeMemoryThresholds.MinFree(999 * GB));
    }
}
