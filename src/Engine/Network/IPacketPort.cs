namespace Hypervisor.Engine.Network;

/// <summary>
/// A place where a virtual network adapter is plugged in: a port of a switch, or a network directly. The adapter sends into the port
/// and is handed frames through its <see cref="IPacketReceiver"/>. Frames are Ethernet II without FCS.
/// </summary>
/// <remarks>
/// Thread-safe. A port may deliver to its receiver from within any of these calls, so the caller must hold no lock that its receiver
/// takes. Dispose unplugs: afterwards nothing is delivered and what is sent is dropped.
/// </remarks>
public interface IPacketPort : IDisposable
{
    /// <summary>What may be left undone in a frame given to <see cref="Send"/>.</summary>
    PacketCapabilities SendCapabilities { get; }

    /// <summary>
    /// Takes a frame. The span is the caller's and is not used after the call. Never throws and never blocks: a frame that is
    /// malformed or finds no room is dropped and counted by the network.
    /// </summary>
    /// <param name="frame">The frame; its content cannot change during the call (it is no view of guest memory).</param>
    /// <param name="offload">Work left to the receiver, within <see cref="SendCapabilities"/>.</param>
    void Send(ReadOnlySpan<byte> frame, in PacketOffload offload);

    /// <summary>Ends a group of <see cref="Send"/>s: acknowledgements and answers that were held back go out now.</summary>
    void Flush();

    /// <summary>Tells that a receiver which refused a frame has room again.</summary>
    void ReceiverReady();
}

/// <summary>The side of a virtual network adapter that takes frames.</summary>
public interface IPacketReceiver
{
    /// <summary>What may be left undone in a frame given to <see cref="TryReceive"/>; changes when the guest's driver negotiates.</summary>
    PacketCapabilities ReceiveCapabilities { get; }

    /// <summary>
    /// Takes a frame; the span is valid during the call only. Called from any thread, one call at a time for a port. False when there
    /// is no room: the sender may keep the frame and try again after <see cref="IPacketPort.ReceiverReady"/>, or drop it.
    /// </summary>
    bool TryReceive(ReadOnlySpan<byte> frame, in PacketOffload offload);

    /// <summary>Ends a group of received frames: the time for one interrupt.</summary>
    void EndReceive();
}

/// <summary>Work on a frame that the next station can take over.</summary>
[Flags]
public enum PacketCapabilities
{
    /// <summary>Frames are complete.</summary>
    None = 0,

    /// <summary>A TCP or UDP checksum may be partial (see <see cref="PacketOffload.NeedsChecksum"/>).</summary>
    Checksum = 1,

    /// <summary>A TCP segment over IPv4 of up to 65535 bytes may stand in one frame.</summary>
    TcpSegmentation4 = 2,
}

/// <summary>How a large frame is to be cut.</summary>
public enum PacketSegmentation
{
    /// <summary>Not at all.</summary>
    None,

    /// <summary>Into TCP segments over IPv4.</summary>
    Tcp4,
}

/// <summary>What is left undone in a frame.</summary>
public readonly record struct PacketOffload
{
    /// <summary>
    /// The checksum field holds the pseudo-header's sum only; the sum from <see cref="ChecksumStart"/> to the end of the frame is to be
    /// stored <see cref="ChecksumOffset"/> bytes behind that.
    /// </summary>
    public bool NeedsChecksum { get; init; }

    /// <summary>Offset of the first summed byte in the frame.</summary>
    public ushort ChecksumStart { get; init; }

    /// <summary>Offset of the checksum field from <see cref="ChecksumStart"/>.</summary>
    public ushort ChecksumOffset { get; init; }

    /// <summary>How the frame is cut.</summary>
    public PacketSegmentation Segmentation { get; init; }

    /// <summary>Bytes of payload a segment, when <see cref="Segmentation"/> says so.</summary>
    public ushort SegmentSize { get; init; }

    /// <summary>Bytes of the headers that each segment repeats.</summary>
    public ushort HeaderLength { get; init; }
}
