using System.Buffers.Binary;
using System.Net.Sockets;
using System.Net;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Network.Protocols;
using Hypervisor.Engine.Network.UserMode;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Network;

public sealed class UserModeNetworkTests
{
    private const uint Outside = 0xC000_0201;

    private static byte[] DhcpMessage(MockGuest guest, byte type, params byte[] options)
    {
        byte[] message = new byte[300];
        message[0] = message[1] = 1;
        message[2] = 6;
        BinaryPrimitives.WriteUInt32BigEndian(message.AsSpan(4), 0xCAFE_F00D);
        guest.Mac.Write(message.AsSpan(28));
        BinaryPrimitives.WriteUInt32BigEndian(message.AsSpan(236), 0x6382_5363);
        new byte[] { 53, 1, type }.CopyTo(message, 240);
        options.CopyTo(message, 243);
        message[243 + options.Length] = 255;
        return message;
    }

    private static Dictionary<byte, byte[]> Exchange(MockGuest guest, byte[] message, out uint address)
    {
        guest.SendUdp(uint.MaxValue, 68, 67, message, source: 0, broadcast: true);
        var (from, to, answer) = guest.TakeUdp(MockGuest.Gateway);
        Assert.Equal((67, 68), (from, to));
        Assert.Equal(message[4..8], answer[4..8]);
        Assert.Equal(message[28..34], answer[28..34]);
        address = BinaryPrimitives.ReadUInt32BigEndian(answer.AsSpan(16));
        var options = new Dictionary<byte, byte[]>();
        for (int at = 240; answer[at] != 255; at += 2 + answer[at + 1])
        {
            options.Add(answer[at], answer[(at + 2)..(at + 2 + answer[at + 1])]);
        }

        return options;
    }

    [Theory]
    [InlineData(MockGuest.Gateway)]
    [InlineData(MockGuest.Dns)]
    public void Arp_is_answered_for_the_networks_own_addresses(uint target)
    {
        using var guest = new MockGuest();
        guest.SendArp(1, MockGuest.Address, target);
        byte[] answer = guest.Take(f => EthernetFrame.EtherType(f) == EthernetFrame.Arp);
        Assert.Equal(guest.Mac, EthernetFrame.Destination(answer));
        Assert.Equal(target, BinaryPrimitives.ReadUInt32BigEndian(answer.AsSpan(14 + 14)));
        Assert.Equal(guest.GatewayMac, Hypervisor.Engine.Network.MacAddress.Read(answer.AsSpan(14 + 8)));
    }

    [Fact]
    public void Arp_for_others_and_protocols_that_are_not_served_get_no_answer()
    {
        using var guest = new MockGuest();
        guest.SendArp(1, MockGuest.Address, MockGuest.Address + 1);
        byte[] ipv6 = new byte[80];
        EthernetFrame.WriteHeader(ipv6, guest.GatewayMac, guest.Mac, EthernetFrame.Ipv6);
        guest.Send(ipv6);
        Assert.Empty(guest.TakeAll());
        Assert.Equal(1, guest.Network.Statistics.DroppedFromGuest);
    }

    [Fact]
    public void Dhcp_leases_an_address_with_everything_a_client_needs()
    {
        using var guest = new MockGuest(o => o with { HostName = "web1", DomainName = "lab.example", Mtu = 1400 });
        var offer = Exchange(guest, DhcpMessage(guest, 1, 61, 3, 9, 8, 7), out uint offered);
        Assert.Equal(MockGuest.Address, offered);
        Assert.Equal([2], offer[53]);
        Assert.Equal([10, 0, 2, 2], offer[54]);
        var ack = Exchange(guest, DhcpMessage(guest, 3, 50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2), out uint leased);
        Assert.Equal(MockGuest.Address, leased);
        Assert.Equal([5], ack[53]);
        Assert.Equal([255, 255, 255, 0], ack[1]);
        Assert.Equal([10, 0, 2, 2], ack[3]);
        Assert.Equal([10, 0, 2, 3], ack[6]);
        Assert.Equal("web1"u8, ack[12]);
        Assert.Equal("lab.example"u8, ack[15]);
        Assert.Equal([5, 120], ack[26]);
        Assert.Equal(86400u, BinaryPrimitives.ReadUInt32BigEndian(ack[51]));
        Assert.Equal([9, 8, 7], offer[61]);
    }

    [Fact]
    public void Dhcp_refuses_an_address_that_is_not_the_clients_and_informs_without_leasing()
    {
        using var guest = new MockGuest();
        var first = Exchange(guest, DhcpMessage(guest, 1), out uint offered);
        Assert.Equal([2], first[53]);
        var refused = Exchange(guest, DhcpMessage(guest, 3, 50, 4, 192, 168, 7, 7), out uint none);
        Assert.Equal([6], refused[53]);
        Assert.Equal(0u, none);
        var informed = Exchange(guest, DhcpMessage(guest, 8), out none);
        Assert.Equal([5], informed[53]);
        Assert.False(informed.ContainsKey(51));
        Assert.Equal(0u, none);
        Assert.Equal(MockGuest.Address, offered);
    }

    [Fact]
    public void Dhcp_gives_another_address_after_one_was_declined()
    {
        using var guest = new MockGuest();
        Exchange(guest, DhcpMessage(guest, 1), out uint first);
        guest.SendUdp(uint.MaxValue, 68, 67, DhcpMessage(guest, 4, 50, 4, 10, 0, 2, 15), source: 0, broadcast: true);
        Exchange(guest, DhcpMessage(guest, 1), out uint second);
        Assert.Equal(first + 1, second);
    }

    [Fact]
    public void An_echo_to_the_gateway_comes_back_even_in_fragments()
    {
        using var guest = new MockGuest();
        byte[] echo = new byte[5000];
        new Random(3).NextBytes(echo);
        new byte[] { 8, 0, 0, 0, 1, 2, 3, 4 }.CopyTo(echo, 0);
        BinaryPrimitives.WriteUInt16BigEndian(echo.AsSpan(2), InternetChecksum.Finish(InternetChecksum.Add(0, echo)));
        guest.SendIpv4(Ipv4Packet.Icmp, MockGuest.Gateway, echo);
        byte[] reply = guest.TakeIpv4(Ipv4Packet.Icmp, MockGuest.Gateway);
        Assert.Equal(0, reply[0]);
        Assert.True(InternetChecksum.IsValid(InternetChecksum.Add(0, reply)));
        Assert.Equal(echo[4..], reply[4..]);
    }

    [Fact]
    public void A_wrong_checksum_is_dropped()
    {
        using var guest = new MockGuest();
        byte[] echo = [8, 0, 1, 2, 0, 0, 0, 0];
        guest.SendIpv4(Ipv4Packet.Icmp, MockGuest.Gateway, echo);
        byte[] datagram = [0x10, 0, 0, 67, 0, 8, 0x12, 0x34];
        guest.SendIpv4(Ipv4Packet.Udp, MockGuest.Gateway, datagram);
        Assert.Empty(guest.TakeAll());
        Assert.Equal(2, guest.Network.Statistics.DroppedFromGuest);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(1472)]
    [InlineData(1473)]
    [InlineData(20_000)]
    public void Datagrams_reach_the_hosts_loopback_through_the_gateway_and_answers_come_back(int length)
    {
        using var server = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        server.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        server.ReceiveTimeout = 120_000;
        using var guest = new MockGuest();
        byte[] data = new byte[length], buffer = new byte[65536];
        for (int round = 0; round < 3; round++)
        {
            new Random(round).NextBytes(data);
            guest.SendUdp(MockGuest.Gateway, 4000, (ushort)((IPEndPoint)server.LocalEndPoint!).Port, data);
            EndPoint from = new IPEndPoint(IPAddress.Any, 0);
            int count = server.ReceiveFrom(buffer, ref from);
            Assert.Equal(data, buffer[..count]);
            Array.Reverse(data);
            server.SendTo(data, from);
            var (_, port, answer) = guest.TakeUdp(MockGuest.Gateway);
            Assert.Equal(4000, port);
            Assert.Equal(data, answer);
        }

        Assert.Equal(1, guest.Network.Statistics.UdpFlows);
        guest.Time.Advance(TimeSpan.FromMinutes(3));
        Assert.Equal(0, guest.Network.Statistics.UdpFlows);
    }

    [Fact]
    public void A_stranger_cannot_reach_the_guest_through_its_flow()
    {
        using var server = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        server.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        server.ReceiveTimeout = 120_000;
        using var stranger = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        stranger.Bind(new IPEndPoint(IPAddress.Parse("127.0.0.9"), 0));
        using var guest = new MockGuest();
        guest.SendUdp(MockGuest.Gateway, 4000, (ushort)((IPEndPoint)server.LocalEndPoint!).Port, [1]);
        EndPoint from = new IPEndPoint(IPAddress.Any, 0);
        server.ReceiveFrom(new byte[10], ref from);
        if (OperatingSystem.IsLinux())
        {
            stranger.SendTo("stranger"u8, from);
        }

        server.SendTo("friend"u8, from);
        Assert.Equal("friend"u8, guest.TakeUdp(MockGuest.Gateway).Data);
    }

    [Fact]
    public void Without_permission_neither_loopback_nor_the_outside_is_reached()
    {
        using var guest = new MockGuest(o => o with { AllowHostLoopback = false, AllowOutside = false });
        guest.SendUdp(MockGuest.Gateway, 4000, 9, [1]);
        Assert.Equal((3, 3), Unreachable(guest));
        guest.SendUdp(Outside, 4000, 9, [1]);
        Assert.Equal((3, 13), Unreachable(guest));
        foreach (uint target in new[] { MockGuest.Gateway, Outside, 0x7F00_0001u, 0xE000_0001u })
        {
            var peer = new MockTcpPeer(guest, target, 80, 4001);
            peer.Connect();
            Assert.True(peer.ResetReceived);
        }

        Assert.Equal(0, guest.Network.Statistics.TcpFlows);
        Assert.Equal(0, guest.Network.Statistics.UdpFlows);
    }

    private static (int Type, int Code) Unreachable(MockGuest guest)
    {
        byte[] message = guest.TakeIpv4(Ipv4Packet.Icmp, MockGuest.Gateway);
        return (message[0], message[1]);
    }

    [Fact]
    public void Datagrams_to_the_host_allocate_nothing()
    {
        using var guest = new MockGuest();
        using var server = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { ReceiveTimeout = 120_000 };
        server.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        byte[] frame = guest.MakeUdpFrame(MockGuest.Gateway, 4000, (ushort)((IPEndPoint)server.LocalEndPoint!).Port, new byte[1000]);
        Assert.Equal(0, Allocations.Least(() =>
        {
            for (int n = 0; n < 50; n++)
            {
                guest.Port.Send(frame, default);
                guest.Port.Flush();
            }
        }));
        Assert.Equal(1000, server.Receive(new byte[2000]));
    }

    [Fact]
    public void A_udp_forward_carries_datagrams_both_ways()
    {
        using var guest = new MockGuest();
        var bound = guest.Network.AddPortForward(new PortForward("UDP", "localhost", 0, 5353));
        Assert.Equal([bound], guest.Network.PortForwards);
        guest.SendArp(2, MockGuest.Address, MockGuest.Gateway);
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { ReceiveTimeout = 120_000 };
        byte[] buffer = new byte[100];
        for (byte round = 0; round < 3; round++)
        {
            client.SendTo([round, 2, 3], new IPEndPoint(IPAddress.Loopback, bound.HostPort));
            var (from, to, data) = guest.TakeUdp(MockGuest.Gateway);
            Assert.Equal(5353, to);
            Assert.Equal([round, 2, 3], data);
            guest.SendUdp(MockGuest.Gateway, 5353, from, [9, round]);
            Assert.Equal(2, client.Receive(buffer));
            Assert.Equal([9, round], buffer[..2]);
        }
    }

    [Fact]
    public void A_port_that_is_taken_is_named_with_the_remedy()
    {
        using var taken = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        taken.Listen();
        int port = ((IPEndPoint)taken.LocalEndPoint!).Port;
        using var guest = new MockGuest();
        var error = Assert.Throws<MachineException>(() => guest.Network.AddPortForward(new PortForward("tcp", "127.0.0.1", port, 80)));
        Assert.Contains($"{port}", error.Message, StringComparison.Ordinal);
        Assert.Contains("Choose another host port", error.Message, StringComparison.Ordinal);
        Assert.Empty(guest.Network.PortForwards);
    }

    [Theory]
    [InlineData("sctp", "127.0.0.1", 0, 80)]
    [InlineData("tcp", "not an address", 0, 80)]
    [InlineData("tcp", "127.0.0.1", 70000, 80)]
    [InlineData("tcp", "127.0.0.1", 0, 0)]
    [InlineData("udp", "192.0.2.1", 0, 80)]
    public void A_forward_that_makes_no_sense_is_refused(string protocol, string address, int hostPort, int guestPort)
    {
        using var guest = new MockGuest();
        Assert.Throws<MachineException>(() => guest.Network.AddPortForward(new PortForward(protocol, address, hostPort, guestPort)));
    }

    [Fact]
    public void Options_out_of_range_are_refused()
    {
        Assert.Throws<ArgumentException>(() => new UserModeNetwork(new UserModeNetworkOptions { PrefixLength = 30 }));
        Assert.Throws<ArgumentException>(() => new UserModeNetwork(new UserModeNetworkOptions { GatewayHost = 3 }));
        Assert.Throws<ArgumentException>(() => new UserModeNetwork(new UserModeNetworkOptions { Network = IPAddress.Parse("10.0.2.1") }));
        Assert.Throws<ArgumentException>(() => new UserModeNetwork(new UserModeNetworkOptions { Mtu = 100 }));
    }

    [Fact]
    public void A_second_adapter_is_refused_until_the_first_is_unplugged()
    {
        using var guest = new MockGuest();
        Assert.Throws<InvalidOperationException>(() => guest.Network.Connect(guest));
        guest.Port.Dispose();
        guest.SendArp(1, MockGuest.Address, MockGuest.Gateway);
        Assert.Empty(guest.TakeAll());
        using var again = guest.Network.Connect(guest);
    }
}
