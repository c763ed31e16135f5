using System.Buffers.Binary;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>Answers ARP requests for the network's own addresses and learns the guests' (RFC 826).</summary>
internal sealed class ArpResponder(Subnet subnet, GuestLink link, NeighborTable neighbors)
{
    private const int PacketLength = 28;
    private const ushort EthernetHardware = 1, OperationRequest = 1, OperationReply = 2;

    /// <summary>Takes the payload of an ARP frame.</summary>
    /// <returns>False when it is malformed.</returns>
    public bool Receive(ReadOnlySpan<byte> packet)
    {
        if (packet.Length < PacketLength
            || BinaryPrimitives.ReadUInt16BigEndian(packet) != EthernetHardware
            || BinaryPrimitives.ReadUInt16BigEndian(packet[2..]) != EthernetFrame.Ipv4
            || packet[4] != MacAddress.Length || packet[5] != sizeof(uint))
        {
            return false;
        }

        var operation = BinaryPrimitives.ReadUInt16BigEndian(packet[6..]);
        var senderMac = MacAddress.Read(packet[8..]);
        uint sender = BinaryPrimitives.ReadUInt32BigEndian(packet[14..]);
        uint target = BinaryPrimitives.ReadUInt32BigEndian(packet[24..]);
        if (subnet.IsGuest(sender))
        {
            neighbors.Learn(sender, senderMac);
        }

        // A probe (RFC 5227) has sender 0 and is answered too, so that a guest does not take an address of ours.
        if (operation == OperationRequest && subnet.IsOwn(target))
        {
            Send(OperationReply, senderMac, target, senderMac, sender);
        }

        return true;
    }

    /// <summary>Asks who has an address.</summary>
    public void Ask(uint address) => Send(OperationRequest, MacAddress.Broadcast, subnet.Gateway, default, address);

    private void Send(ushort operation, MacAddress destination, uint sender, MacAddress targetMac, uint target)
    {
        Span<byte> frame = stackalloc byte[EthernetFrame.HeaderLength + PacketLength];
        EthernetFrame.WriteHeader(frame, destination, subnet.GatewayMac, EthernetFrame.Arp);
        var packet = frame[EthernetFrame.HeaderLength..];
        BinaryPrimitives.WriteUInt16BigEndian(packet, EthernetHardware);
        BinaryPrimitives.WriteUInt16BigEndian(packet[2..], EthernetFrame.Ipv4);
        packet[4] = MacAddress.Length;
        packet[5] = sizeof(uint);
        BinaryPrimitives.WriteUInt16BigEndian(packet[6..], operation);
        subnet.GatewayMac.Write(packet[8..]);
        BinaryPrimitives.WriteUInt32BigEndian(packet[14..], sender);
        targetMac.Write(packet[18..]);
        BinaryPrimitives.WriteUInt32BigEndian(packet[24..], target);
        link.SendFrame(frame);
    }
}
