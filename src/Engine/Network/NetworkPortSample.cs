namespace Hypervisor.Engine.Network;

/// <summary>A network port of a machine, and what went through it so far.</summary>
public sealed record NetworkPortSample
{
    /// <summary>Number of the port; no two ports that this process has made share one.</summary>
    public required int PortId { get; init; }

    /// <summary>The machine.</summary>
    public required string MachineName { get; init; }

    /// <summary>Identity of the machine.</summary>
    public required Guid MachineId { get; init; }

    /// <summary>The adapter, such as <c>network adapter 1</c>.</summary>
    public required string Adapter { get; init; }

    /// <summary>The adapter's address.</summary>
    public required string MacAddress { get; init; }

    /// <summary>The network or switch that the port belongs to.</summary>
    public required string Network { get; init; }

    /// <summary>The host's adapter that frames of the port go through; null where they leave through sockets of this process.</summary>
    public string? Uplink { get; init; }

    /// <summary>The cable is plugged in.</summary>
    public required bool LinkUp { get; init; }

    /// <summary>Time since the port was made.</summary>
    public required TimeSpan UpTime { get; init; }

    /// <summary>The counters, from the guest's point of view. Frames that the network gave up because the guest had no room are in what was dropped.</summary>
    public required NetworkAdapterStatistics Statistics { get; init; }
}
