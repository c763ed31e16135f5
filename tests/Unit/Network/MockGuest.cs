using System.Buffers.Binary;
using System.Diagnostics;
using Hypervisor.Engine.Network;
using Hypervisor.Engine.Network.Protocols;
using Hypervisor.Engine.Network.UserMode;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Network;

/// <summary>A guest's Ethernet card and as much of an IP stack as the tests need; time is the test's.</summary>
internal sealed class MockGuest : IPacketReceiver, IDisposable
{
    public const uint Address = 0x0A00_020F, Gateway = 0x0A00_0202, Dns = 0x0A00_0203;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly Lock _lock = new();
    private readonly List<(byte[] Frame, PacketOffload Offload)> _frames = [];
    private ushort _identification;

    public MockGuest(Func<UserModeNetworkOptions, UserModeNetworkOptions>? configure = null)
    {
        var options = new UserModeNetworkOptions { TimeProvider = Time };
        Network = new UserModeNetwork(configure?.Invoke(options) ?? options);
        Port = Network.Connect(this);
    }

    public ManualTimeProvider Time { get; } = new();

    public UserModeNetwork Network { get; }

    public IPacketPort Port { get; }

    public MacAddress Mac { get; } = MacAddress.Parse("00:50:56:01:02:03");

    public MacAddress GatewayMac { get; } = new(0x5255_0A00_0202);

    public PacketCapabilities ReceiveCapabilities { get; set; }

    /// <summary>Frames that still fit; a test lowers it to play a full receive ring.</summary>
    public volatile int Room = int.MaxValue;

    public bool TryReceive(ReadOnlySpan<byte> frame, in PacketOffload offload)
    {
        if (Room == 0)
        {
            return false;
        }

        lock (_lock)
        {
            Room -= Room == int.MaxValue ? 0 : 1;
            _frames.Add((frame.ToArray(), offload));
        }

        return true;
    }

    public void EndReceive()
    {
    }

    public void Send(ReadOnlySpan<byte> frame, PacketOffload offload = default)
    {
        Port.Send(frame, offload);
        Port.Flush();
    }

    public void SendArp(ushort operation, uint sender, uint target)
    {
        byte[] frame = new byte[60];
        EthernetFrame.WriteHeader(frame, MacAddress.Broadcast, Mac, EthernetFrame.Arp);
        var packet = frame.AsSpan(14);
        new byte[] { 0, 1, 8, 0, 6, 4, 0, (byte)operation }.CopyTo(packet);
        Mac.Write(packet[8..]);
        BinaryPrimitives.WriteUInt32BigEndian(packet[14..], sender);
        BinaryPrimitives.WriteUInt32BigEndian(packet[24..], target);
        Send(frame);
    }

    /// <summary>Sends an IPv4 packet to the gateway's Ethernet address, in fragments where it is large.</summary>
    public void SendIpv4(byte protocol, uint destination, ReadOnlySpan<byte> payload, uint source = Address, bool broadcast = false)
    {
        ushort identification = ++_identification;
        for (int offset = 0; offset == 0 || offset < payload.Length; offset += 1480)
        {
            var piece = payload[offset..Math.Min(payload.Length, offset + 1480)];
            byte[] frame = new byte[34 + piece.Length];
            EthernetFrame.WriteHeader(frame, broadcast ? MacAddress.Broadcast : GatewayMac, Mac, EthernetFrame.Ipv4);
            bool more = offset + piece.Length < payload.Length;
            Ipv4Packet.WriteHeader(frame.AsSpan(14), source, destination, protocol, piece.Length, identification, (ushort)((more ? 0x2000 : 0) | offset / 8));
            piece.CopyTo(frame.AsSpan(34));
            Send(frame);
        }
    }

    public void SendUdp(uint destination, ushort sourcePort, ushort destinationPort, ReadOnlySpan<byte> data, uint source = Address, bool broadcast = false) =>
        SendIpv4(Ipv4Packet.Udp, destination, MakeDatagram(destination, sourcePort, destinationPort, data, source), source, broadcast);

    /// <summary>A frame with a datagram that fits into it.</summary>
    public byte[] MakeUdpFrame(uint destination, ushort sourcePort, ushort destinationPort, ReadOnlySpan<byte> data)
    {
        byte[] datagram = MakeDatagram(destination, sourcePort, destinationPort, data, Address);
        byte[] frame = new byte[34 + datagram.Length];
        EthernetFrame.WriteHeader(frame, GatewayMac, Mac, EthernetFrame.Ipv4);
        Ipv4Packet.WriteHeader(frame.AsSpan(14), Address, destination, Ipv4Packet.Udp, datagram.Length, ++_identification, 0);
        datagram.CopyTo(frame.AsSpan(34));
        return frame;
    }

    private static byte[] MakeDatagram(uint destination, ushort sourcePort, ushort destinationPort, ReadOnlySpan<byte> data, uint source)
    {
        byte[] datagram = new byte[8 + data.Length];
        data.CopyTo(datagram.AsSpan(8));
        UdpHeader.Write(datagram, sourcePort, destinationPort, datagram.Length, 0);
        ushort checksum = InternetChecksum.Finish(
            InternetChecksum.Add(InternetChecksum.PseudoHeader(source, destination, Ipv4Packet.Udp, datagram.Length), datagram));
        UdpHeader.Write(datagram, sourcePort, destinationPort, datagram.Length, checksum == 0 ? (ushort)0xFFFF : checksum);
        return datagram;
    }

    /// <summary>Takes all frames that came.</summary>
    public List<(byte[] Frame, PacketOffload Offload)> TakeAll()
    {
        lock (_lock)
        {
            var taken = _frames.ToList();
            _frames.Clear();
            return taken;
        }
    }

    /// <summary>Takes the first frame that fits, waiting for it.</summary>
    public byte[] Take(Predicate<byte[]> fits)
    {
        byte[]? found = null;
        WaitFor(() => TryTake(fits, out found));
        return found!;
    }

    public bool TryTake(Predicate<byte[]> fits, out byte[]? frame)
    {
        lock (_lock)
        {
            int index = _frames.FindIndex(f => fits(f.Frame));
            frame = index < 0 ? null : _frames[index].Frame;
            if (index >= 0)
            {
                _frames.RemoveAt(index);
            }

            return index >= 0;
        }
    }

    /// <summary>Takes the payload of the next IPv4 packet of a protocol, from a source, with checked checksums, put together.</summary>
    public byte[] TakeIpv4(byte protocol, uint source)
    {
        byte[] first = Take(f => IsIpv4(f, protocol, source));
        var pieces = new SortedDictionary<int, byte[]>();
        Add(first);
        while (pieces.Sum(p => p.Value.Length) != TotalLength())
        {
            Add(Take(f => IsIpv4(f, protocol, source)));
        }

        return [.. pieces.SelectMany(p => p.Value)];

        void Add(byte[] frame)
        {
            Assert.True(Ipv4Packet.TryParse(frame.AsSpan(14), out var packet));
            Assert.True(frame.Length <= 1514);
            pieces.Add(packet.FragmentOffset, packet.Payload.ToArray());
            if (!packet.HasMoreFragments)
            {
                _lastEnd = packet.FragmentOffset + packet.Payload.Length;
            }
        }

        int TotalLength() => pieces.Count == 0 ? -1 : _lastEnd;
    }

    private int _lastEnd = -1;

    public (ushort SourcePort, ushort DestinationPort, byte[] Data) TakeUdp(uint source)
    {
        _lastEnd = -1;
        byte[] datagram = TakeIpv4(Ipv4Packet.Udp, source);
        Assert.True(UdpHeader.TryParse(datagram, out ushort from, out ushort to, out _, out var data));
        return (from, to, data.ToArray());
    }

    public static bool IsIpv4(byte[] frame, byte protocol, uint source) =>
        EthernetFrame.EtherType(frame) == EthernetFrame.Ipv4 && Ipv4Packet.TryParse(frame.AsSpan(14), out var packet)
        && packet.Protocol == protocol && packet.Source == source;

    /// <summary>Waits for what other threads do, while the test's time goes on; the limit only ends a test that would hang.</summary>
    public void WaitFor(Func<bool> condition)
    {
        long start = Stopwatch.GetTimestamp();
        while (!condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < Patience, "It did not come about.");
            Thread.Sleep(1);
            Time.Advance(TimeSpan.FromMilliseconds(10));
        }
    }

    public void Dispose() => Network.Dispose();
}
