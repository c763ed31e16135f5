using System.Buffers.Binary;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>
/// Builds frames and hands them to the guest. One frame is built at a time, in one buffer: write the payload into
/// <see cref="Payload"/>, then send. Used under the network's lock.
/// </summary>
internal sealed class GuestLink(Subnet subnet, int mtu)
{
    private const int Ipv4Offset = EthernetFrame.HeaderLength;
    private const int PayloadOffset = Ipv4Offset + Ipv4Packet.HeaderLength;

    private readonly byte[] _frame = GC.AllocateUninitializedArray<byte>(EthernetFrame.HeaderLength + Ipv4Packet.MaximumLength, pinned: true);
    private readonly byte[] _fragment = GC.AllocateUninitializedArray<byte>(EthernetFrame.HeaderLength + mtu, pinned: true);
    private ushort _identification;
    private bool _deliveredSinceEnd;

    /// <summary>The guest's side; null while nothing is connected.</summary>
    public IPacketReceiver? Receiver { get; set; }

    public int Mtu => mtu;

    /// <summary>True after a refusal until <see cref="IPacketPort.ReceiverReady"/>.</summary>
    public bool IsBlocked { get; set; }

    public long Frames { get; private set; }

    public long Bytes { get; private set; }

    public long Dropped { get; private set; }

    /// <summary>Room for the payload of an IPv4 packet.</summary>
    public Span<byte> Payload => _frame.AsSpan(PayloadOffset);

    public bool CanSegment => Receiver is { } receiver
        && (receiver.ReceiveCapabilities & (PacketCapabilities.TcpSegmentation4 | PacketCapabilities.Checksum))
            == (PacketCapabilities.TcpSegmentation4 | PacketCapabilities.Checksum);

    /// <summary>
    /// Sends a TCP segment that stands in <see cref="Payload"/>. Its checksum is put in here, or left to the guest when it can.
    /// False when the guest has no room: nothing was sent, and the caller keeps it. What nobody is plugged in for is lost.
    /// </summary>
    public bool TrySendTcp(MacAddress destinationMac, uint source, uint destination, int headerLength, int length, int segmentSize)
    {
        if (Receiver is not { } receiver)
        {
            Dropped++;
            return true;
        }

        if (IsBlocked)
        {
            return false;
        }

        var segment = _frame.AsSpan(PayloadOffset, length);
        uint pseudo = InternetChecksum.PseudoHeader(source, destination, Ipv4Packet.Tcp, length);
        var offload = default(PacketOffload);
        if ((receiver.ReceiveCapabilities & PacketCapabilities.Checksum) != 0)
        {
            BinaryPrimitives.WriteUInt16BigEndian(segment[TcpSegment.ChecksumOffset..], (ushort)pseudo);
            bool large = length - headerLength > segmentSize;
            offload = new PacketOffload
            {
                NeedsChecksum = true,
                ChecksumStart = PayloadOffset,
                ChecksumOffset = TcpSegment.ChecksumOffset,
                Segmentation = large ? PacketSegmentation.Tcp4 : PacketSegmentation.None,
                SegmentSize = large ? (ushort)segmentSize : (ushort)0,
                HeaderLength = large ? (ushort)(PayloadOffset + headerLength) : (ushort)0,
            };
        }
        else
        {
            BinaryPrimitives.WriteUInt16BigEndian(segment[TcpSegment.ChecksumOffset..], InternetChecksum.Finish(InternetChecksum.Add(pseudo, segment)));
        }

        EthernetFrame.WriteHeader(_frame, destinationMac, subnet.GatewayMac, EthernetFrame.Ipv4);
        Ipv4Packet.WriteHeader(_frame.AsSpan(Ipv4Offset), source, destination, Ipv4Packet.Tcp, length, _identification++, Ipv4Packet.DontFragment);
        return TryDeliver(receiver, _frame.AsSpan(0, PayloadOffset + length), offload);
    }

    /// <summary>Sends a UDP datagram whose data stands in <see cref="Payload"/> behind 8 free bytes; drops it when there is no room.</summary>
    public void SendUdp(MacAddress destinationMac, uint source, ushort sourcePort, uint destination, ushort destinationPort, int dataLength)
    {
        int length = UdpHeader.Length + dataLength;
        var datagram = _frame.AsSpan(PayloadOffset, length);
        UdpHeader.Write(datagram, sourcePort, destinationPort, length, 0);
        ushort checksum = InternetChecksum.Finish(
            InternetChecksum.Add(InternetChecksum.PseudoHeader(source, destination, Ipv4Packet.Udp, length), datagram));

        // RFC 768: 0 means no checksum; a sum of 0 is sent as all ones.
        UdpHeader.Write(datagram, sourcePort, destinationPort, length, checksum == 0 ? (ushort)0xFFFF : checksum);
        SendIpv4(destinationMac, source, destination, Ipv4Packet.Udp, length);
    }

    /// <summary>Sends an IPv4 packet whose payload stands in <see cref="Payload"/>, in fragments where it is large; drops it when there is no room.</summary>
    public void SendIpv4(MacAddress destinationMac, uint source, uint destination, byte protocol, int length)
    {
        if (Receiver is not { } receiver)
        {
            return;
        }

        ushort identification = _identification++;
        if (Ipv4Packet.HeaderLength + length <= mtu)
        {
            EthernetFrame.WriteHeader(_frame, destinationMac, subnet.GatewayMac, EthernetFrame.Ipv4);
            Ipv4Packet.WriteHeader(_frame.AsSpan(Ipv4Offset), source, destination, protocol, length, identification, 0);
            DeliverOrDrop(receiver, _frame.AsSpan(0, PayloadOffset + length));
            return;
        }

        int step = (mtu - Ipv4Packet.HeaderLength) & ~7;
        EthernetFrame.WriteHeader(_fragment, destinationMac, subnet.GatewayMac, EthernetFrame.Ipv4);
        for (int offset = 0; offset < length; offset += step)
        {
            int count = Math.Min(step, length - offset);
            ushort more = offset + count < length ? Ipv4Packet.MoreFragments : (ushort)0;
            Ipv4Packet.WriteHeader(_fragment.AsSpan(Ipv4Offset), source, destination, protocol, count, identification, (ushort)(more | offset / 8));
            _frame.AsSpan(PayloadOffset + offset, count).CopyTo(_fragment.AsSpan(PayloadOffset));
            DeliverOrDrop(receiver, _fragment.AsSpan(0, PayloadOffset + count));
        }
    }

    /// <summary>Sends a frame built elsewhere; drops it when there is no room.</summary>
    public void SendFrame(ReadOnlySpan<byte> frame)
    {
        if (Receiver is { } receiver)
        {
            DeliverOrDrop(receiver, frame);
        }
    }

    /// <summary>Ends a group of frames.</summary>
    public void End()
    {
        if (_deliveredSinceEnd)
        {
            _deliveredSinceEnd = false;
            Receiver?.EndReceive();
        }
    }

    private void DeliverOrDrop(IPacketReceiver receiver, ReadOnlySpan<byte> frame)
    {
        if (!TryDeliver(receiver, frame, default))
        {
            Dropped++;
        }
    }

    private bool TryDeliver(IPacketReceiver receiver, ReadOnlySpan<byte> frame, in PacketOffload offload)
    {
        if (!receiver.TryReceive(frame, offload))
        {
            IsBlocked = true;
            return false;
        }

        Frames++;
        Bytes += frame.Length;
        _deliveredSinceEnd = true;
        return true;
    }
}
