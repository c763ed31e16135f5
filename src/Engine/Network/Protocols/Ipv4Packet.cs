using System.Buffers.Binary;
using System.Net;

namespace Hypervisor.Engine.Network.Protocols;

/// <summary>An IPv4 packet whose header was checked (RFC 791, 3.1). Addresses are numbers with the first octet on top.</summary>
internal readonly ref struct Ipv4Packet
{
    public const int HeaderLength = 20;
    public const int MaximumLength = 65535;
    public const byte Icmp = 1, Tcp = 6, Udp = 17;
    public const byte DefaultTimeToLive = 64;
    public const ushort DontFragment = 0x4000, MoreFragments = 0x2000, FragmentOffsetMask = 0x1FFF;

    private Ipv4Packet(ReadOnlySpan<byte> header, ReadOnlySpan<byte> payload)
    {
        Header = header;
        Payload = payload;
    }

    public ReadOnlySpan<byte> Header { get; }

    public ReadOnlySpan<byte> Payload { get; }

    public byte TypeOfService => Header[1];

    public ushort Identification => BinaryPrimitives.ReadUInt16BigEndian(Header[4..]);

    /// <summary>Offset of the payload in its datagram, in bytes.</summary>
    public int FragmentOffset => (BinaryPrimitives.ReadUInt16BigEndian(Header[6..]) & FragmentOffsetMask) * 8;

    public bool HasMoreFragments => (BinaryPrimitives.ReadUInt16BigEndian(Header[6..]) & MoreFragments) != 0;

    public byte TimeToLive => Header[8];

    public byte Protocol => Header[9];

    public uint Source => BinaryPrimitives.ReadUInt32BigEndian(Header[12..]);

    public uint Destination => BinaryPrimitives.ReadUInt32BigEndian(Header[16..]);

    /// <summary>The same packet with the payload that its fragments made.</summary>
    public Ipv4Packet WithPayload(ReadOnlySpan<byte> payload) => new(Header, payload);

    /// <summary>Checks version, lengths and header checksum; padding behind the packet is cut off.</summary>
    public static bool TryParse(ReadOnlySpan<byte> data, out Ipv4Packet packet)
    {
        packet = default;
        if (data.Length < HeaderLength || data[0] >> 4 != 4)
        {
            return false;
        }

        int headerLength = (data[0] & 0xF) * 4;
        int totalLength = BinaryPrimitives.ReadUInt16BigEndian(data[2..]);
        if (headerLength < HeaderLength || totalLength < headerLength || totalLength > data.Length
            || !InternetChecksum.IsValid(InternetChecksum.Add(0, data[..headerLength])))
        {
            return false;
        }

        packet = new Ipv4Packet(data[..headerLength], data[headerLength..totalLength]);
        return true;
    }

    /// <summary>Writes a header without options.</summary>
    public static void WriteHeader(
        Span<byte> destination, uint sourceAddress, uint destinationAddress, byte protocol, int payloadLength, ushort identification, ushort fragment)
    {
        destination[0] = 0x45;
        destination[1] = 0;
        BinaryPrimitives.WriteUInt16BigEndian(destination[2..], (ushort)(HeaderLength + payloadLength));
        BinaryPrimitives.WriteUInt16BigEndian(destination[4..], identification);
        BinaryPrimitives.WriteUInt16BigEndian(destination[6..], fragment);
        destination[8] = DefaultTimeToLive;
        destination[9] = protocol;
        BinaryPrimitives.WriteUInt16BigEndian(destination[10..], 0);
        BinaryPrimitives.WriteUInt32BigEndian(destination[12..], sourceAddress);
        BinaryPrimitives.WriteUInt32BigEndian(destination[16..], destinationAddress);
        BinaryPrimitives.WriteUInt16BigEndian(destination[10..], InternetChecksum.Finish(InternetChecksum.Add(0, destination[..HeaderLength])));
    }

    /// <summary>The number for an IPv4 address.</summary>
    public static uint ToNumber(IPAddress address)
    {
        Span<byte> octets = stackalloc byte[4];
        return address.TryWriteBytes(octets, out int written) && written == 4
            ? BinaryPrimitives.ReadUInt32BigEndian(octets)
            : throw new ArgumentException($"{address} is not an IPv4 address.", nameof(address));
    }

    /// <summary>The IPv4 address for a number.</summary>
    public static IPAddress ToAddress(uint number)
    {
        Span<byte> octets = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(octets, number);
        return new IPAddress(octets);
    }
}
