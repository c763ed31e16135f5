using System.Buffers.Binary;

namespace Hypervisor.Engine.Network.Protocols;

/// <summary>The header of a UDP datagram (RFC 768).</summary>
internal static class UdpHeader
{
    public const int Length = 8;

    /// <summary>Checks the length field; the checksum is the caller's to check. Data behind the datagram is cut off.</summary>
    public static bool TryParse(
        ReadOnlySpan<byte> datagram, out ushort sourcePort, out ushort destinationPort, out ushort checksum, out ReadOnlySpan<byte> data)
    {
        sourcePort = destinationPort = checksum = 0;
        data = default;
        if (datagram.Length < Length)
        {
            return false;
        }

        int length = BinaryPrimitives.ReadUInt16BigEndian(datagram[4..]);
        if (length < Length || length > datagram.Length)
        {
            return false;
        }

        sourcePort = BinaryPrimitives.ReadUInt16BigEndian(datagram);
        destinationPort = BinaryPrimitives.ReadUInt16BigEndian(datagram[2..]);
        checksum = BinaryPrimitives.ReadUInt16BigEndian(datagram[6..]);
        data = datagram[Length..length];
        return true;
    }

    public static void Write(Span<byte> datagram, ushort sourcePort, ushort destinationPort, int length, ushort checksum)
    {
        BinaryPrimitives.WriteUInt16BigEndian(datagram, sourcePort);
        BinaryPrimitives.WriteUInt16BigEndian(datagram[2..], destinationPort);
        BinaryPrimitives.WriteUInt16BigEndian(datagram[4..], (ushort)length);
        BinaryPrimitives.WriteUInt16BigEndian(datagram[6..], checksum);
    }
}
