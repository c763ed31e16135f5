using System.Buffers.Binary;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>ICMP messages to the guest (RFC 792).</summary>
internal static class IcmpMessage
{
    public const int HeaderLength = 8;
    public const byte EchoReply = 0, DestinationUnreachable = 3, EchoRequest = 8;
    public const byte HostUnreachable = 1, PortUnreachable = 3, AdministrativelyProhibited = 13;

    /// <summary>Sends an echo reply.</summary>
    public static void SendEchoReply(
        NetworkCore core, MacAddress guestMac, uint source, uint guest, uint identifierAndSequence, ReadOnlySpan<byte> data)
    {
        var message = core.Link.Payload[..(HeaderLength + data.Length)];
        data.CopyTo(message[HeaderLength..]);
        message[0] = EchoReply;
        message[1] = 0;
        BinaryPrimitives.WriteUInt32BigEndian(message[4..], identifierAndSequence);
        Send(core, guestMac, source, guest, message);
    }

    /// <summary>Tells the guest that its packet led nowhere.</summary>
    /// <param name="core">The network.</param>
    /// <param name="guestMac">The guest's Ethernet address.</param>
    /// <param name="guest">The guest's address.</param>
    /// <param name="packet">The packet's header and at least the first 8 bytes behind it, as far as there are.</param>
    /// <param name="code">Why.</param>
    public static void SendUnreachable(NetworkCore core, MacAddress guestMac, uint guest, ReadOnlySpan<byte> packet, byte code)
    {
        int headerLength = (packet[0] & 0xF) * 4;
        var quote = packet[..Math.Min(packet.Length, headerLength + 8)];
        var message = core.Link.Payload[..(HeaderLength + quote.Length)];
        quote.CopyTo(message[HeaderLength..]);
        message[0] = DestinationUnreachable;
        message[1] = code;
        BinaryPrimitives.WriteUInt32BigEndian(message[4..], 0);
        Send(core, guestMac, core.Subnet.Gateway, guest, message);
    }

    private static void Send(NetworkCore core, MacAddress guestMac, uint source, uint guest, Span<byte> message)
    {
        BinaryPrimitives.WriteUInt16BigEndian(message[2..], 0);
        BinaryPrimitives.WriteUInt16BigEndian(message[2..], InternetChecksum.Finish(InternetChecksum.Add(0, message)));
        core.Link.SendIpv4(guestMac, source, guest, Ipv4Packet.Icmp, message.Length);
    }
}
