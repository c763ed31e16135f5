using System.Collections.Concurrent;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Tests.Unit.Inventory;

/// <summary>Machines without processors: a test writes their consoles and decides how they answer the power button.</summary>
public sealed class FakeMachineFactory : IMachineFactory
{
    public ConcurrentDictionary<string, FakeMachine> Machines { get; } = new();

    /// <summary>What a new machine's guest does; null boots nothing.</summary>
    public Action<FakeMachine>? OnStart { get; set; }

    public string? Failure { get; set; }

    public IMachine Create(VirtualMachineConfiguration configuration) =>
        Failure is { } failure ? throw new MachineException(failure) : Machines[configuration.Name] = new FakeMachine(configuration, OnStart);
}

public sealed class FakeMachine(VirtualMachineConfiguration configuration, Action<FakeMachine>? onStart) : IMachine
{
    private readonly TaskCompletionSource<MachineStop> _stopped = new();

    public event Action<MachineEvent>? EventRaised;

    public VirtualMachineConfiguration Configuration => configuration;

    public BackendKind Backend => BackendKind.Software;

    public MachineConsole Console { get; } = new();

    public Task<MachineStop> Stopped => _stopped.Task;

    public IReadOnlyList<PortForward> PortForwards => [];

    /// <summary>The guest ignores its power button.</summary>
    public bool IsDeaf { get; set; }

    public int Resets { get; private set; }

    /// <summary>What its processors are said to have counted; none as on hardware.</summary>
    public IReadOnlyList<VirtualProcessorCounters> Counters { get; set; } = [];

    /// <summary>What translations were asked for.</summary>
    public List<(int Processor, ulong? Address)> Described { get; } = [];

    public bool IsDisposed { get; private set; }

    public void Start() => onStart?.Invoke(this);

    public void PressPowerButton()
    {
        if (!IsDeaf)
        {
            _stopped.TrySetResult(new MachineStop(MachineStopReason.GuestShutdown, "the guest shut down"));
        }
    }

    public void Reset() => Resets++;

    public void PowerOff() => _stopped.TrySetResult(new MachineStop(MachineStopReason.PoweredOff, "powered off"));

    public void Dispose() => IsDisposed = true;

    public IReadOnlyList<VirtualProcessorCounters> GetProcessorCounters() => Counters;

    public IReadOnlyList<GuestTranslationLine>? DescribeTranslation(int processor, ulong? address)
    {
        Described.Add((processor, address));
        return Counters.Count == 0 ? null : [new GuestTranslationLine(address ?? 0, 0, "nop", "nop")];
    }

    public void Crash() => _stopped.TrySetResult(new MachineStop(MachineStopReason.GuestCrash, "triple fault"));

    public void Raise(MachineEvent raised) => EventRaised?.Invoke(raised);

    public void Print(string text) => Console.Write(System.Text.Encoding.UTF8.GetBytes(text));
}
