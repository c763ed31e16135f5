using Hypervisor.Engine.Devices.Virtio;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Memory.Stores;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Memory;

/// <summary>When a machine's guest is asked which of its memory is free.</summary>
public sealed class HintRequestTests : IDisposable
{
    private const ulong ReportingFeature = 1 << 5;

    private readonly MemoryConfigurationSource _source = new();
    private readonly MemoryManager _manager;
    private readonly SharedFrames _frames = new();
    private readonly ManualMachineClock _clock = new();
    private readonly MockVirtioDriver _driver;
    private readonly ManagedMemory _machine;
    private long _now;

    public HintRequestTests()
    {
        _manager = new MemoryManager(_source, clock: () => _now);
        _driver = new MockVirtioDriver(memory => new VirtioBalloon(memory, _clock, default));
        _machine = new ManagedMemory(
            _manager,
            new ManagedMemoryOptions
            {
                Id = Guid.NewGuid(),
                Name = "m",
                Memory = _driver.Memory,
                Partition = new ManagedPartition(),
                Plan = new MachineMemoryPlan { MemoryBytes = (long)MockVirtioDriver.MemoryBytes },
                SwapPath = null,
                OverheadBytes = 0,
                Raise = static _ => { },
                Failed = static _ => { },
            },
            1, new MemoryMeter(), _frames) { Balloon = Balloon };
    }

    private VirtioBalloon Balloon => (VirtioBalloon)_driver.Device;

    public void Dispose()
    {
        _driver.Dispose();
        _machine.Dispose();
        _manager.Dispose();
        _frames.Dispose();
    }

    [Theory]
    [InlineData(~ReportingFeature, HostMemoryState.High, 0, 0, false)]
    [InlineData(~ReportingFeature, HostMemoryState.Clear, 0, 0, true)]
    [InlineData(~ReportingFeature, HostMemoryState.Soft, 0, 0, true)]
    [InlineData(~ReportingFeature, HostMemoryState.High, 1 << 20, 0, true)]
    [InlineData(~ReportingFeature, HostMemoryState.High, 0, 1 << 20, true)]
    [InlineData(ulong.MaxValue, HostMemoryState.Low, 1 << 20, 1 << 20, false)]
    public void A_guest_that_does_not_report_is_asked_when_memory_is_wanted_of_it(ulong features, HostMemoryState state, long balloon, long evict, bool isAsked)
    {
        _driver.Start(features);
        Apply(state, balloon, evict);
        Assert.Equal(isAsked, Balloon.IsHinting);
    }

    [Fact]
    public void It_is_not_asked_again_at_once()
    {
        _driver.Start(~ReportingFeature);
        Apply(HostMemoryState.Soft);
        MockVirtioDriver.WaitFor(() => Command >= 2);
        Answer();
        _now += MemoryManager.Second;
        Apply(HostMemoryState.Soft);
        Assert.False(Balloon.IsHinting);
        _now += _manager.HintInterval;
        Apply(HostMemoryState.Soft);
        Assert.True(Balloon.IsHinting);
    }

    private uint Command => (uint)_driver.Bus.ReadMmio(_driver.DeviceConfig + 8, 4);

    private void Answer()
    {
        _driver.Request(3, (_driver.AllocateWith(BitConverter.GetBytes(Command)), 4, false));
        _driver.Request(3, (_driver.AllocateWith(BitConverter.GetBytes(0u)), 4, false));
    }

    private void Apply(HostMemoryState state, long balloon = 0, long evict = 0) =>
        _machine.Apply(new MachineMemoryDecision { BalloonTargetBytes = balloon, EvictBytes = evict, CeilingBytes = MachineMemoryPlan.Unlimited }, state, MemoryManager.Second, Timeout.InfiniteTimeSpan);
}
