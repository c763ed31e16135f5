namespace Hypervisor.Engine.Network.UserMode;

/// <summary>Counters of a <see cref="UserModeNetwork"/>, a snapshot.</summary>
public sealed record UserModeNetworkStatistics
{
    /// <summary>Frames the guest sent.</summary>
    public required long FramesFromGuest { get; init; }

    /// <summary>Bytes of those frames.</summary>
    public required long BytesFromGuest { get; init; }

    /// <summary>Frames of the guest that were malformed, not for this network or refused.</summary>
    public required long DroppedFromGuest { get; init; }

    /// <summary>Frames handed to the guest.</summary>
    public required long FramesToGuest { get; init; }

    /// <summary>Bytes of those frames.</summary>
    public required long BytesToGuest { get; init; }

    /// <summary>Frames the guest had no room for, and that were not kept.</summary>
    public required long DroppedToGuest { get; init; }

    /// <summary>TCP segments sent to the guest again.</summary>
    public required long TcpRetransmissions { get; init; }

    /// <summary>TCP connections now.</summary>
    public required int TcpFlows { get; init; }

    /// <summary>UDP flows now.</summary>
    public required int UdpFlows { get; init; }
}
