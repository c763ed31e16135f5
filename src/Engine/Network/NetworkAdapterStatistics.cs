namespace Hypervisor.Engine.Network;

/// <summary>Counters of a virtual network adapter since power-on, from the guest's point of view.</summary>
/// <param name="TransmittedPackets">Frames the guest sent; a large segment counts as one.</param>
/// <param name="TransmittedBytes">Bytes of those frames.</param>
/// <param name="TransmittedDropped">Frames of the guest that were malformed, or sent while the link was down.</param>
/// <param name="ReceivedPackets">Frames handed to the guest.</param>
/// <param name="ReceivedBytes">Bytes of those frames.</param>
/// <param name="ReceivedDropped">Frames that found no driver, no link, or buffers too small.</param>
public sealed record NetworkAdapterStatistics(
    long TransmittedPackets, long TransmittedBytes, long TransmittedDropped, long ReceivedPackets, long ReceivedBytes, long ReceivedDropped);
