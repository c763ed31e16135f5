using System.Buffers.Binary;

namespace Hypervisor.Engine.Network.Protocols;

/// <summary>Control bits of a TCP segment (RFC 9293, 3.1).</summary>
[Flags]
internal enum TcpFlags : byte
{
    None = 0,
    Fin = 1,
    Syn = 2,
    Reset = 4,
    Push = 8,
    Acknowledge = 16,
}

/// <summary>A TCP segment whose lengths were checked.</summary>
internal readonly ref struct TcpSegment
{
    public const int HeaderLength = 20;
    public const int ChecksumOffset = 16;
    public const int MaximumWindowShift = 14;
    private const byte OptionEnd = 0, OptionNone = 1, OptionMaximumSegmentSize = 2, OptionWindowScale = 3, OptionSackPermitted = 4;

    private TcpSegment(ReadOnlySpan<byte> header, ReadOnlySpan<byte> payload)
    {
        SourcePort = BinaryPrimitives.ReadUInt16BigEndian(header);
        DestinationPort = BinaryPrimitives.ReadUInt16BigEndian(header[2..]);
        Sequence = BinaryPrimitives.ReadUInt32BigEndian(header[4..]);
        Acknowledgment = BinaryPrimitives.ReadUInt32BigEndian(header[8..]);
        Flags = (TcpFlags)header[13];
        Window = BinaryPrimitives.ReadUInt16BigEndian(header[14..]);
        Options = header[HeaderLength..];
        Payload = payload;
    }

    public ushort SourcePort { get; }

    public ushort DestinationPort { get; }

    public uint Sequence { get; }

    public uint Acknowledgment { get; }

    public TcpFlags Flags { get; }

    public ushort Window { get; }

    public ReadOnlySpan<byte> Options { get; }

    public ReadOnlySpan<byte> Payload { get; }

    /// <summary>Sequence numbers the segment occupies (RFC 9293, 3.4).</summary>
    public uint Length => (uint)Payload.Length + (Has(TcpFlags.Syn) ? 1u : 0) + (Has(TcpFlags.Fin) ? 1u : 0);

    public bool Has(TcpFlags flag) => (Flags & flag) != 0;

    public static bool TryParse(ReadOnlySpan<byte> data, out TcpSegment segment)
    {
        segment = default;
        if (data.Length < HeaderLength)
        {
            return false;
        }

        int offset = (data[12] >> 4) * 4;
        if (offset < HeaderLength || offset > data.Length)
        {
            return false;
        }

        segment = new TcpSegment(data[..offset], data[offset..]);
        return true;
    }

    /// <summary>Reads the options of a SYN; what is malformed ends the list.</summary>
    /// <param name="maximumSegmentSize">0 when absent.</param>
    /// <param name="windowShift">-1 when absent.</param>
    /// <param name="sackPermitted">True when the option is there.</param>
    public void ReadOptions(out int maximumSegmentSize, out int windowShift, out bool sackPermitted)
    {
        maximumSegmentSize = 0;
        windowShift = -1;
        sackPermitted = false;
        var rest = Options;
        while (rest.Length > 0 && rest[0] != OptionEnd)
        {
            if (rest[0] == OptionNone)
            {
                rest = rest[1..];
                continue;
            }

            if (rest.Length < 2 || rest[1] < 2 || rest[1] > rest.Length)
            {
                return;
            }

            switch (rest[0], rest[1])
            {
                case (OptionMaximumSegmentSize, 4):
                    maximumSegmentSize = BinaryPrimitives.ReadUInt16BigEndian(rest[2..]);
                    break;
                case (OptionWindowScale, 3):
                    // RFC 7323, 2.3: a larger shift counts as 14.
                    windowShift = Math.Min(rest[2], (byte)MaximumWindowShift);
                    break;
                case (OptionSackPermitted, 2):
                    sackPermitted = true;
                    break;
            }

            rest = rest[rest[1]..];
        }
    }

    /// <summary>Writes a header with a checksum field of 0; the options are already behind it.</summary>
    public static void WriteHeader(
        Span<byte> destination, ushort sourcePort, ushort destinationPort, uint sequence, uint acknowledgment, TcpFlags flags, ushort window, int optionLength)
    {
        BinaryPrimitives.WriteUInt16BigEndian(destination, sourcePort);
        BinaryPrimitives.WriteUInt16BigEndian(destination[2..], destinationPort);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], sequence);
        BinaryPrimitives.WriteUInt32BigEndian(destination[8..], acknowledgment);
        destination[12] = (byte)((HeaderLength + optionLength) / 4 << 4);
        destination[13] = (byte)flags;
        BinaryPrimitives.WriteUInt16BigEndian(destination[14..], window);
        BinaryPrimitives.WriteUInt32BigEndian(destination[16..], 0);
    }

    /// <summary>Writes the options of a SYN: segment size, permission of selective acknowledgements, window scale.</summary>
    /// <returns>Bytes written, a multiple of 4.</returns>
    public static int WriteSynOptions(Span<byte> destination, int maximumSegmentSize, bool sackPermitted, int windowShift)
    {
        destination[0] = OptionMaximumSegmentSize;
        destination[1] = 4;
        BinaryPrimitives.WriteUInt16BigEndian(destination[2..], (ushort)maximumSegmentSize);
        int length = 4;
        if (sackPermitted)
        {
            destination[length] = OptionNone;
            destination[length + 1] = OptionNone;
            destination[length + 2] = OptionSackPermitted;
            destination[length + 3] = 2;
            length += 4;
        }

        if (windowShift >= 0)
        {
            destination[length] = OptionNone;
            destination[length + 1] = OptionWindowScale;
            destination[length + 2] = 3;
            destination[length + 3] = (byte)windowShift;
            length += 4;
        }

        return length;
    }
}
