using Hypervisor.Engine.Devices.Interrupts;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Network;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Machines;

/// <summary>A powered-on machine: partition, memory, devices and the threads of its virtual processors.</summary>
public interface IMachine : IDisposable
{
    /// <summary>The configuration it was started with.</summary>
    VirtualMachineConfiguration Configuration { get; }

    /// <summary>The backend that runs it.</summary>
    BackendKind Backend { get; }

    /// <summary>The serial console.</summary>
    MachineConsole Console { get; }

    /// <summary>Lets the virtual processors run. Once.</summary>
    void Start();

    /// <summary>Presses the ACPI power button; the guest decides.</summary>
    void PressPowerButton();

    /// <summary>Resets the machine as its reset line would and boots again.</summary>
    void Reset();

    /// <summary>Stops the virtual processors at once, closes disks and networks. Idempotent.</summary>
    void PowerOff();

    /// <summary>What its virtual processors counted, by index; empty where the hardware executes the guest. Also when the machine is off.</summary>
    IReadOnlyList<VirtualProcessorCounters> GetProcessorCounters() => [];

    /// <summary>
    /// The guest's code at an address beside the host code that a virtual processor made of it; null where the hardware executes the
    /// guest. The processor stands still meanwhile.
    /// </summary>
    /// <param name="processor">Index of the virtual processor, below their number.</param>
    /// <param name="address">Linear address; null takes the place where the processor goes on.</param>
    /// <exception cref="PowerStateException">The machine ended meanwhile.</exception>
    /// <exception cref="TimeoutException">The processor did not come to a stop in time.</exception>
    IReadOnlyList<GuestTranslationLine>? DescribeTranslation(int processor, ulong? address) => null;

    /// <summary>Its network ports and what went through them so far; also when the machine is off.</summary>
    IReadOnlyList<NetworkPortSample> GetNetworkPorts() => [];

    /// <summary>What interrupts its processors, and how often so far; also when the machine is off.</summary>
    IReadOnlyList<InterruptSourceSample> GetInterruptSources() => [];

    /// <summary>Completes when the machine is off, with the reason; never faults.</summary>
    Task<MachineStop> Stopped { get; }

    /// <summary>Told of what happens inside (guest reset, disk errors, …); from any thread.</summary>
    event Action<MachineEvent>? EventRaised;

    /// <summary>Host ports actually bound for port forwards.</summary>
    IReadOnlyList<PortForward> PortForwards { get; }
}

/// <summary>Why a machine is off.</summary>
/// <param name="Reason">What ended it.</param>
/// <param name="Message">A sentence for a person.</param>
/// <param name="ExitCode">Value written to the debug-exit port, if that ended it.</param>
public sealed record MachineStop(MachineStopReason Reason, string Message, int? ExitCode = null);

/// <summary>What ended a machine's run.</summary>
public enum MachineStopReason
{
    /// <summary>The guest entered ACPI S5.</summary>
    GuestShutdown,
    /// <summary>Powered off from outside.</summary>
    PoweredOff,
    /// <summary>The guest wrote to the debug-exit port.</summary>
    DebugExit,
    /// <summary>A virtual processor triple-faulted and the machine is set not to reset then, or kept doing so.</summary>
    GuestCrash,
    /// <summary>The backend or a device of the host failed.</summary>
    HostFailure,
}

/// <summary>Something that happened in a machine.</summary>
/// <param name="Severity">How bad.</param>
/// <param name="Message">A sentence for a person.</param>
public sealed record MachineEvent(MachineEventSeverity Severity, string Message);

/// <summary>Severity of an event, with vSphere's names.</summary>
public enum MachineEventSeverity
{
    /// <summary>For the record.</summary>
    Info,
    /// <summary>Worth a look.</summary>
    Warning,
    /// <summary>Something failed.</summary>
    Error,
}

/// <summary>Assembles machines.</summary>
public interface IMachineFactory
{
    /// <summary>Builds everything and loads the guest; nothing runs yet.</summary>
    /// <exception cref="MachineException">The configuration cannot be run here; the message names the thing and the remedy.</exception>
    IMachine Create(VirtualMachineConfiguration configuration);
}

/// <summary>A machine could not be built or changed; the message is for a person and names the remedy.</summary>
public sealed class MachineException : Exception
{
    /// <inheritdoc/>
    public MachineException() { }
    /// <inheritdoc/>
    public MachineException(string message) : base(message) { }
    /// <inheritdoc/>
    public MachineException(string message, Exception inner) : base(message, inner) { }
}
