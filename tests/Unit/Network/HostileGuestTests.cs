using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Hypervisor.Engine.Network;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Tests.Unit.Network;

public sealed class HostileGuestTests
{
    /// <summary>Makes frames of every protocol that are right up to some bytes.</summary>
    private static byte[] MakeFrame(MockGuest guest, Random random, ushort port)
    {
        byte[] frame = new byte[14 + random.Next(0, 200)];
        random.NextBytes(frame);
        int kind = random.Next(8);
        if (kind == 0)
        {
            return frame[..random.Next(frame.Length + 1)];
        }

        EthernetFrame.WriteHeader(
            frame, random.Next(4) == 0 ? MacAddress.Broadcast : guest.GatewayMac, guest.Mac, kind == 1 ? EthernetFrame.Arp : EthernetFrame.Ipv4);
        if (kind == 1)
        {
            new byte[] { 0, 1, 8, 0, 6, 4, 0, 1 }.AsSpan(0, Math.Min(8, frame.Length - 14)).CopyTo(frame.AsSpan(14));
            return frame;
        }

        int length = frame.Length - 34;
        if (length < 0)
        {
            return frame;
        }

        byte protocol = kind switch { 2 or 3 or 4 => Ipv4Packet.Tcp, 5 or 6 => Ipv4Packet.Udp, _ => Ipv4Packet.Icmp };
        uint destination = random.Next(4) switch { 0 => MockGuest.Dns, 1 => uint.MaxValue, _ => MockGuest.Gateway };
        ushort fragment = random.Next(5) == 0 ? (ushort)(random.Next(0x10000) & (random.Next(2) == 0 ? 0x3FFF : 0x200F)) : (ushort)0;
        Ipv4Packet.WriteHeader(frame.AsSpan(14), MockGuest.Address, destination, protocol, length, (ushort)random.Next(4), fragment);
        var payload = frame.AsSpan(34);
        if (protocol == Ipv4Packet.Tcp && length >= 20)
        {
            BinaryPrimitives.WriteUInt16BigEndian(payload, (ushort)random.Next(4000, 4003));
            BinaryPrimitives.WriteUInt16BigEndian(payload[2..], port);
            BinaryPrimitives.WriteUInt32BigEndian(payload[4..], (uint)random.Next(3000));
            payload[12] = (byte)(random.Next(4) == 0 ? random.Next(256) : 0x50);
            payload[13] &= 0x17;
        }
        else if (protocol == Ipv4Packet.Udp && length >= 8)
        {
            ushort target = random.Next(3) switch { 0 => 53, 1 => 67, _ => port };
            UdpHeader.Write(payload, (ushort)random.Next(5000, 5010), target, random.Next(6) == 0 ? random.Next(300) : length, 0);
            if (target == 67 && length > 250)
            {
                payload[8] = payload[9] = 1;
                payload[10] = 6;
                BinaryPrimitives.WriteUInt32BigEndian(payload[244..], 0x6382_5363);
            }
        }
        else if (length >= 8)
        {
            payload[0] = 8;
            payload[1] = payload[2] = payload[3] = 0;
            BinaryPrimitives.WriteUInt16BigEndian(payload[2..], InternetChecksum.Finish(InternetChecksum.Add(0, payload)));
        }

        return frame;
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Garbage_never_throws_and_leaves_the_network_working_within_its_bounds(int seed)
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        ushort port = (ushort)((IPEndPoint)listener.LocalEndPoint!).Port;
        using var guest = new MockGuest(o => o with { MaximumTcpFlows = 8, MaximumUdpFlows = 8, DnsServers = [] });
        var random = new Random(seed);
        for (int i = 0; i < 30_000; i++)
        {
            var offload = random.Next(3) == 0 ? new PacketOffload { NeedsChecksum = true } : default;
            byte[] frame = MakeFrame(guest, random, port);
            guest.Port.Send(frame, offload);
            if (random.Next(8) == 0)
            {
                guest.Room = random.Next(20) == 0 ? 0 : int.MaxValue;
                guest.Port.Flush();
                guest.Port.ReceiverReady();
            }

            if (i % 500 == 0)
            {
                guest.Time.Advance(TimeSpan.FromMilliseconds(random.Next(3000)));
                guest.TakeAll();
                var statistics = guest.Network.Statistics;
                Assert.InRange(statistics.TcpFlows, 0, 8);
                Assert.InRange(statistics.UdpFlows, 0, 8);
            }
        }

        guest.Room = int.MaxValue;
        guest.Port.ReceiverReady();
        guest.TakeAll();
        guest.SendArp(1, MockGuest.Address, MockGuest.Gateway);
        guest.Take(f => EthernetFrame.EtherType(f) == EthernetFrame.Arp);
        var peer = new MockTcpPeer(guest, MockGuest.Gateway, port, 4999);
        peer.Connect();
        Assert.True(peer.Established);
    }

    [Fact]
    public void Fragments_without_end_keep_a_bounded_number_of_datagrams()
    {
        using var guest = new MockGuest();
        byte[] frame = new byte[14 + 20 + 8];
        for (int i = 0; i < 1000; i++)
        {
            EthernetFrame.WriteHeader(frame, guest.GatewayMac, guest.Mac, EthernetFrame.Ipv4);
            Ipv4Packet.WriteHeader(frame.AsSpan(14), MockGuest.Address, MockGuest.Gateway, Ipv4Packet.Udp, 8, (ushort)i, Ipv4Packet.MoreFragments);
            guest.Send(frame);
        }

        using var reassembler = new Hypervisor.Engine.Network.UserMode.FragmentReassembler();
        for (int i = 0; i < 1000; i++)
        {
            Ipv4Packet.WriteHeader(frame.AsSpan(14), MockGuest.Address, MockGuest.Gateway, Ipv4Packet.Udp, 8, (ushort)i, Ipv4Packet.MoreFragments);
            Assert.True(Ipv4Packet.TryParse(frame.AsSpan(14), out var packet));
            Assert.False(reassembler.TryComplete(packet, 0, out _, out _));
        }

        Assert.Equal(16, reassembler.Count);
        reassembler.Expire(long.MaxValue);
        Assert.Equal(0, reassembler.Count);
    }

    [Fact]
    public void Overlapping_fragments_are_discarded_with_their_datagram()
    {
        using var reassembler = new Hypervisor.Engine.Network.UserMode.FragmentReassembler();
        Assert.False(Offer(reassembler, 0, 16, more: true));
        Assert.False(Offer(reassembler, 8, 16, more: false));
        Assert.Equal(0, reassembler.Count);
        Assert.False(Offer(reassembler, 16, 5, more: false));
        Assert.True(Offer(reassembler, 0, 16, more: true));
        Assert.False(Offer(reassembler, 65528, 16, more: false));
    }

    private static bool Offer(Hypervisor.Engine.Network.UserMode.FragmentReassembler reassembler, int offset, int length, bool more)
    {
        byte[] data = new byte[20 + length];
        Ipv4Packet.WriteHeader(data, MockGuest.Address, MockGuest.Gateway, Ipv4Packet.Udp, length, 7, (ushort)((more ? 0x2000 : 0) | offset / 8));
        Assert.True(Ipv4Packet.TryParse(data, out var packet));
        bool complete = reassembler.TryComplete(packet, 0, out byte[] buffer, out _);
        if (complete)
        {
            Hypervisor.Engine.Network.UserMode.FragmentReassembler.Return(buffer);
        }

        return complete;
    }

    [Fact]
    public void Forged_addresses_of_other_networks_reach_nothing()
    {
        using var guest = new MockGuest();
        guest.SendUdp(MockGuest.Gateway, 4000, 9, [1], source: 0xC0A8_0101);
        guest.SendUdp(MockGuest.Gateway, 4000, 9, [1], source: MockGuest.Gateway);
        Assert.Equal(0, guest.Network.Statistics.UdpFlows);
        Assert.Equal(2, guest.Network.Statistics.DroppedFromGuest);
    }
}
