using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Inventory;

/// <summary>Something that happened to a machine or to the host, with PowerCLI's property names.</summary>
public sealed record VIEvent
{
    /// <summary>Number, rising in the order of events on a host.</summary>
    public required long Key { get; init; }

    /// <summary>When, with the offset of the host's time zone.</summary>
    public required DateTimeOffset CreatedTime { get; init; }

    /// <summary>The operating system's user who caused it.</summary>
    public required string UserName { get; init; }

    /// <summary>Name the machine had then, or null.</summary>
    public string? Vm { get; init; }

    /// <summary>Identity of the machine, or null.</summary>
    public Guid? VmId { get; init; }

    /// <summary>What happened, for a person.</summary>
    public required string FullFormattedMessage { get; init; }

    /// <summary>How bad it is.</summary>
    public MachineEventSeverity Severity { get; init; }

    /// <summary>vSphere's name for the kind of event, such as <c>VmPoweredOnEvent</c>.</summary>
    public required string EventTypeId { get; init; }

    /// <summary>Process that recorded it.</summary>
    public int ProcessId { get; init; }

    /// <inheritdoc/>
    public override string ToString() => FullFormattedMessage;
}
