using System.Buffers.Binary;
using Hypervisor.Engine.Network;

namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>Features, configuration, frame header and control commands of a network card (virtio 1.2, 5.1).</summary>
internal static class VirtioNetLayout
{
    public const int ReceiveQueue = 0, TransmitQueue = 1, ControlQueue = 2;

    public const ulong FeatureChecksum = 1ul << 0, FeatureGuestChecksum = 1ul << 1, FeatureMtu = 1ul << 3, FeatureMac = 1ul << 5;
    public const ulong FeatureGuestTso4 = 1ul << 7, FeatureHostTso4 = 1ul << 11, FeatureMergeableBuffers = 1ul << 15;
    public const ulong FeatureStatus = 1ul << 16, FeatureControlQueue = 1ul << 17, FeatureControlRx = 1ul << 18;
    public const ulong FeatureControlVlan = 1ul << 19, FeatureControlMac = 1ul << 23, FeatureSpeedDuplex = 1ul << 63;

    // Configuration (5.1.4).
    public const int ConfigMac = 0, ConfigStatus = 6, ConfigMaximumPairs = 8, ConfigMtu = 10, ConfigSpeed = 12, ConfigDuplex = 16;
    public const int ConfigLength = 17;
    public const ushort StatusLinkUp = 1;
    public const byte DuplexFull = 1;

    // Header of a frame (5.1.6); with VIRTIO_F_VERSION_1 it always has num_buffers.
    public const int HeaderLength = 12;
    public const byte HeaderNeedsChecksum = 1;
    public const byte GsoNone = 0, GsoTcp4 = 1;
    private const int OffsetFlags = 0, OffsetGsoType = 1, OffsetHeaderLength = 2, OffsetGsoSize = 4;
    private const int OffsetChecksumStart = 6, OffsetChecksumOffset = 8, OffsetBuffers = 10;

    // Control commands (5.1.6.5).
    public const byte ClassRx = 0, RxPromiscuous = 0, RxAllMulticast = 1;
    public const byte ClassMac = 1, MacTableSet = 0, MacAddressSet = 1;
    public const byte ClassVlan = 2, VlanAdd = 0, VlanDelete = 1;
    public const byte ControlOk = 0, ControlError = 1;

    /// <summary>Writes the header of a frame to the guest.</summary>
    public static void WriteHeader(Span<byte> header, in PacketOffload offload, int buffers)
    {
        header[..HeaderLength].Clear();
        if (offload.NeedsChecksum)
        {
            header[OffsetFlags] = HeaderNeedsChecksum;
            BinaryPrimitives.WriteUInt16LittleEndian(header[OffsetChecksumStart..], offload.ChecksumStart);
            BinaryPrimitives.WriteUInt16LittleEndian(header[OffsetChecksumOffset..], offload.ChecksumOffset);
        }

        if (offload.Segmentation == PacketSegmentation.Tcp4)
        {
            header[OffsetGsoType] = GsoTcp4;
            BinaryPrimitives.WriteUInt16LittleEndian(header[OffsetHeaderLength..], offload.HeaderLength);
            BinaryPrimitives.WriteUInt16LittleEndian(header[OffsetGsoSize..], offload.SegmentSize);
        }

        BinaryPrimitives.WriteUInt16LittleEndian(header[OffsetBuffers..], (ushort)buffers);
    }

    /// <summary>Reads and checks the header of a frame from the guest against what was negotiated.</summary>
    /// <param name="header">The header, a copy.</param>
    /// <param name="frameLength">Bytes of the frame behind it.</param>
    /// <param name="features">Negotiated features.</param>
    /// <param name="offload">What is left undone in the frame.</param>
    /// <returns>False when the driver asks for what it may not, or names bytes outside the frame.</returns>
    public static bool TryReadHeader(ReadOnlySpan<byte> header, int frameLength, ulong features, out PacketOffload offload)
    {
        offload = default;
        bool needsChecksum = (header[OffsetFlags] & HeaderNeedsChecksum) != 0;
        ushort start = BinaryPrimitives.ReadUInt16LittleEndian(header[OffsetChecksumStart..]);
        ushort offset = BinaryPrimitives.ReadUInt16LittleEndian(header[OffsetChecksumOffset..]);
        if (needsChecksum && ((features & FeatureChecksum) == 0 || start + offset + sizeof(ushort) > frameLength))
        {
            return false;
        }

        byte type = header[OffsetGsoType];
        ushort size = BinaryPrimitives.ReadUInt16LittleEndian(header[OffsetGsoSize..]);
        if (type != GsoNone && (type != GsoTcp4 || !needsChecksum || size == 0 || (features & FeatureHostTso4) == 0))
        {
            return false;
        }

        offload = new PacketOffload
        {
            NeedsChecksum = needsChecksum,
            ChecksumStart = needsChecksum ? start : (ushort)0,
            ChecksumOffset = needsChecksum ? offset : (ushort)0,
            Segmentation = type == GsoTcp4 ? PacketSegmentation.Tcp4 : PacketSegmentation.None,
            SegmentSize = type == GsoTcp4 ? size : (ushort)0,

            // A hint that the driver may get wrong (5.1.6.2): whoever cuts the frame reads the headers themselves.
            HeaderLength = type == GsoTcp4 ? BinaryPrimitives.ReadUInt16LittleEndian(header[OffsetHeaderLength..]) : (ushort)0,
        };
        return true;
    }
}
