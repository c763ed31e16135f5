using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Memory.Stores;

namespace Hypervisor.Tests.Unit.Memory;

public sealed class BalloonEventTests : IDisposable
{
    private const long Minute = 60 * MemoryManager.Second;

    private readonly List<MachineEvent> _events = [];
    private readonly MemoryConfigurationSource _source = new();
    private readonly MemoryManager _manager;
    private readonly SharedFrames _frames = new();
    private readonly ManagedMemory _machine;
    private long _now;

    public BalloonEventTests()
    {
        _manager = new MemoryManager(_source, clock: () => _now);
        _machine = new ManagedMemory(
            _manager,
            new ManagedMemoryOptions
            {
                Id = Guid.NewGuid(),
                Name = "m",
                Memory = new GuestMemory(),
                Partition = null!,
                Plan = new MachineMemoryPlan { MemoryBytes = 64 << 20 },
                SwapPath = null,
                OverheadBytes = 0,
                Raise = _events.Add,
                Failed = static _ => { },
            },
            1, new MemoryMeter(), _frames);
    }

    public void Dispose()
    {
        _machine.Dispose();
        _manager.Dispose();
        _frames.Dispose();
    }

    [Fact]
    public void A_balloon_that_fails_is_told_of_once_and_again_when_it_worked_for_a_while()
    {
        Decide(failing: false);
        Assert.Empty(_events);
        Decide(failing: true);
        MachineEvent told = Assert.Single(_events);
        Assert.Equal(MachineEventSeverity.Warning, told.Severity);
        Assert.Contains("holds 0 MB of 32 MB", told.Message, StringComparison.Ordinal);

        // It is tried again after each minute, and fails again.
        for (int i = 0; i < 20; i++)
        {
            _now += Minute;
            Decide(failing: i % 2 == 0);
        }

        Assert.Single(_events);
        for (int i = 0; i < 6; i++)
        {
            _now += Minute;
            Decide(failing: false);
        }

        Decide(failing: true);
        Assert.Equal(2, _events.Count);
    }

    private void Decide(bool failing) =>
        _machine.Apply(new MachineMemoryDecision { BalloonTargetBytes = 32 << 20, CeilingBytes = MachineMemoryPlan.Unlimited, IsBalloonFailing = failing }, HostMemoryState.Soft, MemoryManager.Second, Timeout.InfiniteTimeSpan);
}
