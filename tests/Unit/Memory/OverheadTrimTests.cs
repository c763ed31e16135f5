using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Memory.Stores;

namespace Hypervisor.Tests.Unit.Memory;

/// <summary>When a backend is asked to give back what it takes beside guest memory.</summary>
public sealed class OverheadTrimTests : IDisposable
{
    private const long Megabyte = 1 << 20, Promised = 26 * Megabyte, Devices = 9 * Megabyte;

    private readonly MemoryManager _manager;
    private readonly SharedFrames _frames = new();
    private readonly GuestMemory _memory = new();
    private readonly ManagedPartition _partition = new();
    private readonly ManagedMemory _machine;
    private long _now;

    public OverheadTrimTests()
    {
        _manager = new MemoryManager(new MemoryConfigurationSource(), clock: () => _now);
        _memory.AddBlock(0, 1 << 20);
        _machine = new ManagedMemory(
            _manager,
            new ManagedMemoryOptions
            {
                Id = Guid.NewGuid(),
                Name = "m",
                Memory = _memory,
                Partition = _partition,
                Plan = new MachineMemoryPlan { MemoryBytes = 1 << 20 },
                SwapPath = null,
                OverheadBytes = Promised,
                DeviceOverheadBytes = Devices,
                Raise = static _ => { },
                Failed = static _ => { },
            },
            1, new MemoryMeter(), _frames);
    }

    public void Dispose()
    {
        _machine.Dispose();
        _memory.Dispose();
        _manager.Dispose();
        _frames.Dispose();
    }

    [Theory]
    [InlineData(HostMemoryState.High, 60, 0)]
    [InlineData(HostMemoryState.Clear, 60, 1)]
    [InlineData(HostMemoryState.Low, 60, 1)]
    [InlineData(HostMemoryState.Low, 20, 0)]
    public void What_is_beyond_the_promise_is_taken_back_when_memory_is_short(HostMemoryState state, int megabytes, int trims)
    {
        _partition.HostBytes = megabytes * Megabyte;
        Apply(state);
        Assert.Equal(trims, _partition.Trims);
    }

    [Fact]
    public void It_is_not_taken_back_again_before_a_minute_is_over()
    {
        _partition.HostBytes = 60 * Megabyte;
        for (int second = 0; second < 60; second++)
        {
            Apply(HostMemoryState.Soft);
            _now += MemoryManager.Second;
        }

        Assert.Equal(1, _partition.Trims);
        Apply(HostMemoryState.Soft);
        Assert.Equal(2, _partition.Trims);
    }

    private void Apply(HostMemoryState state) =>
        _machine.Apply(new MachineMemoryDecision { CeilingBytes = MachineMemoryPlan.Unlimited }, state, MemoryManager.Second, Timeout.InfiniteTimeSpan);
}
