using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;

namespace Hypervisor.Tests.Unit.Memory;

/// <summary>Which changes of the memory state are told.</summary>
public sealed class MemoryStateReportTests
{
    private readonly MemoryStateReport _report = new();
    private readonly List<(HostMemoryState, HostMemoryState)> _told = [];
    private long _now;

    [Fact]
    public void A_state_that_goes_to_and_fro_is_told_once()
    {
        for (int i = 0; i < 6000; i++)
        {
            Follow(HostMemoryState.Clear + (i % 4), MemoryManager.Second / 10);
        }

        Assert.Equal(
            [
                (HostMemoryState.High, HostMemoryState.Clear), (HostMemoryState.Clear, HostMemoryState.Soft),
                (HostMemoryState.Soft, HostMemoryState.Hard), (HostMemoryState.Hard, HostMemoryState.Low),
            ],
            _told);
    }

    [Fact]
    public void A_better_state_is_told_when_nothing_worse_was_seen_for_ten_seconds()
    {
        Follow(HostMemoryState.Low, MemoryManager.Second);
        Follow(HostMemoryState.Hard, MemoryManager.Second);
        Follow(HostMemoryState.High, AlmostCalm);
        Assert.Single(_told);
        Follow(HostMemoryState.High, 2 * MemoryManager.Second);
        Assert.Equal((HostMemoryState.Low, HostMemoryState.Hard), _told[^1]);
        Follow(HostMemoryState.High, MemoryStateReport.Calm);
        Assert.Equal((HostMemoryState.Hard, HostMemoryState.High), _told[^1]);
        Follow(HostMemoryState.Soft, MemoryManager.Second);
        Assert.Equal((HostMemoryState.High, HostMemoryState.Soft), _told[^1]);
        Assert.Equal(4, _told.Count);
    }

    private static long AlmostCalm => MemoryStateReport.Calm - (2 * MemoryManager.Second);

    private void Follow(HostMemoryState state, long passed)
    {
        _now += passed;
        if (_report.Follow(state, _now) is { } change)
        {
            _told.Add(change);
        }
    }
}
