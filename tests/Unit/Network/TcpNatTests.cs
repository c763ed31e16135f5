using System.Net;
using System.Net.Sockets;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Network;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Tests.Unit.Network;

public sealed class TcpNatTests
{
    /// <summary>A server on the host's loopback whose behaviour a test scripts.</summary>
    private sealed class Server : IDisposable
    {
        private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

        public Server()
        {
            _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            _listener.Listen();
        }

        public ushort Port => (ushort)((IPEndPoint)_listener.LocalEndPoint!).Port;

        public Socket Accept()
        {
            var socket = _listener.Accept();
            socket.ReceiveTimeout = socket.SendTimeout = 120_000;
            return socket;
        }

        public void Dispose() => _listener.Dispose();
    }

    private static byte[] RandomBytes(int count, int seed)
    {
        byte[] bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    private static byte[] ReceiveToEnd(Socket socket)
    {
        var all = new MemoryStream();
        byte[] buffer = new byte[65536];
        for (int count; (count = socket.Receive(buffer)) > 0;)
        {
            all.Write(buffer, 0, count);
        }

        return all.ToArray();
    }

    private static void SendAll(Socket socket, byte[] data)
    {
        for (int sent = 0; sent < data.Length;)
        {
            sent += socket.Send(data.AsSpan(sent));
        }
    }

    [Theory]
    [InlineData(1, 0.0, true)]
    [InlineData(2, 0.0, false)]
    [InlineData(3, 0.02, true)]
    [InlineData(4, 0.05, true)]
    [InlineData(5, 0.05, false)]
    [InlineData(6, 0.15, true)]
    public async Task Every_byte_arrives_once_and_in_order_both_ways_whatever_the_link_loses_repeats_and_swaps(int seed, double loss, bool scaling)
    {
        using var server = new Server();
        using var guest = new MockGuest();
        var peer = new MockTcpPeer(guest, MockGuest.Gateway, server.Port, 4000) { WindowScaling = scaling };
        peer.Connect();
        Assert.True(peer.Established);
        using var socket = server.Accept();
        byte[] up = RandomBytes(400_000, seed), down = RandomBytes(500_000, seed + 100);
        var sending = Task.Run(() =>
        {
            SendAll(socket, down);
            socket.Shutdown(SocketShutdown.Send);
        });
        var receiving = Task.Run(() => ReceiveToEnd(socket));
        peer.Trouble = new Random(seed);
        peer.Loss = loss;
        peer.Write(up);
        peer.Close();
        peer.PumpUntil(() => peer.FinReceived && peer.FinAcknowledged && receiving.IsCompleted);
        await sending;
        Assert.Equal(up, await receiving);
        Assert.Equal(down, peer.Received);
        Assert.False(peer.ResetReceived);
    }

    [Fact]
    public async Task Large_segments_pass_whole_in_both_directions_where_both_sides_can()
    {
        using var server = new Server();
        using var guest = new MockGuest { ReceiveCapabilities = PacketCapabilities.Checksum | PacketCapabilities.TcpSegmentation4 };
        var peer = new MockTcpPeer(guest, MockGuest.Gateway, server.Port, 4000) { LargeSegments = true, ReceiveBuffer = 200_000 };
        peer.Connect();
        using var socket = server.Accept();
        byte[] up = RandomBytes(3_000_000, 1);
        peer.Write(up);
        peer.Close();
        var receiving = Task.Run(() => ReceiveToEnd(socket));
        peer.PumpUntil(() => peer.FinAcknowledged && receiving.IsCompleted);
        Assert.Equal(up, await receiving);
        SendAll(socket, up.AsSpan(0, 60_000).ToArray());
        var largest = default((byte[] Frame, PacketOffload Offload));
        long total = 0;
        guest.WaitFor(() =>
        {
            foreach (var got in guest.TakeAll())
            {
                total += got.Frame.Length - 54;
                largest = largest.Frame is null || got.Frame.Length > largest.Frame.Length ? got : largest;
            }

            return largest.Frame is { Length: > 1514 };
        });
        Assert.Equal(PacketSegmentation.Tcp4, largest.Offload.Segmentation);
        Assert.Equal((1460, 34, 16, 54), (largest.Offload.SegmentSize, largest.Offload.ChecksumStart, largest.Offload.ChecksumOffset, largest.Offload.HeaderLength));

        // Completing the partial checksum over the frame must make the segment valid.
        Assert.True(Ipv4Packet.TryParse(largest.Frame.AsSpan(14), out var packet));
        byte[] segment = packet.Payload.ToArray();
        ushort sum = InternetChecksum.Finish(InternetChecksum.Add(0, segment));
        segment[16] = (byte)(sum >> 8);
        segment[17] = (byte)sum;
        uint pseudo = InternetChecksum.PseudoHeader(packet.Source, packet.Destination, Ipv4Packet.Tcp, segment.Length);
        Assert.True(InternetChecksum.IsValid(InternetChecksum.Add(pseudo, segment)));
    }

    [Fact]
    public void A_guest_that_does_not_read_closes_its_window_and_gets_everything_after_it_opens()
    {
        using var server = new Server();
        using var guest = new MockGuest();
        var peer = new MockTcpPeer(guest, MockGuest.Gateway, server.Port, 4000) { ReceiveBuffer = 10_000, Read = 0 };
        peer.Connect();
        using var socket = server.Accept();
        byte[] down = RandomBytes(50_000, 9);
        SendAll(socket, down);
        socket.Shutdown(SocketShutdown.Send);
        peer.PumpUntil(() => peer.Received.Count == 10_000);

        // Probes come and are refused for as long as the window is closed.
        long before = guest.Network.Statistics.TcpRetransmissions;
        peer.PumpUntil(() =>
        {
            guest.Time.Advance(TimeSpan.FromSeconds(5));
            return guest.Network.Statistics.TcpRetransmissions >= before + 12;
        });
        Assert.Equal(10_000, peer.Received.Count);
        Assert.False(peer.ResetReceived);
        peer.Read = int.MaxValue;
        peer.Acknowledge();
        peer.PumpUntil(() => peer.FinReceived);
        Assert.Equal(down, peer.Received);
    }

    [Fact]
    public async Task A_server_that_does_not_read_stops_the_guest_before_buffers_grow()
    {
        using var server = new Server();
        using var guest = new MockGuest();
        var peer = new MockTcpPeer(guest, MockGuest.Gateway, server.Port, 4000);
        peer.Connect();
        using var socket = server.Accept();
        byte[] up = RandomBytes(20_000_000, 10);
        peer.Write(up);
        peer.Close();
        long stalled = -1, last = -1;
        int still = 0;
        peer.PumpUntil(() =>
        {
            still = peer.Acknowledged == last ? still + 1 : 0;
            last = peer.Acknowledged;
            stalled = last;
            return still > 50;
        });
        Assert.InRange(stalled, 1, up.Length - 1);
        var receiving = Task.Run(() => ReceiveToEnd(socket));
        peer.PumpUntil(() => peer.FinAcknowledged && receiving.IsCompleted);
        Assert.Equal(up, await receiving);
    }

    [Fact]
    public void A_full_receive_ring_holds_segments_back_without_losing_one()
    {
        using var server = new Server();
        using var guest = new MockGuest();
        var peer = new MockTcpPeer(guest, MockGuest.Gateway, server.Port, 4000);
        peer.Connect();
        using var socket = server.Accept();
        byte[] down = RandomBytes(200_000, 11);
        guest.Room = 3;
        SendAll(socket, down);
        socket.Shutdown(SocketShutdown.Send);
        peer.PumpUntil(() =>
        {
            if (guest.Room == 0)
            {
                guest.Room = 5;
                guest.Port.ReceiverReady();
            }

            return peer.FinReceived;
        });
        Assert.Equal(down, peer.Received);
    }

    [Fact]
    public void Each_direction_closes_by_itself()
    {
        using var server = new Server();
        using var guest = new MockGuest();
        var peer = new MockTcpPeer(guest, MockGuest.Gateway, server.Port, 4000);
        peer.Connect();
        using var socket = server.Accept();
        peer.Write("question"u8);
        peer.Close();
        peer.PumpUntil(() => peer.FinAcknowledged);
        Assert.Equal("question"u8, ReceiveToEnd(socket));
        byte[] answer = RandomBytes(100_000, 12);
        SendAll(socket, answer);
        socket.Shutdown(SocketShutdown.Send);
        peer.PumpUntil(() => peer.FinReceived);
        Assert.Equal(answer, peer.Received);
        Assert.Equal(0, guest.Network.Statistics.TcpFlows);
    }

    [Fact]
    public void The_side_that_closes_first_waits_out_its_time_and_may_be_reused()
    {
        using var server = new Server();
        using var guest = new MockGuest();
        var peer = new MockTcpPeer(guest, MockGuest.Gateway, server.Port, 4000);
        peer.Connect();
        using var socket = server.Accept();
        socket.Shutdown(SocketShutdown.Send);
        peer.PumpUntil(() => peer.FinReceived);
        peer.Close();
        peer.PumpUntil(() => peer.FinAcknowledged);
        Assert.Equal(1, guest.Network.Statistics.TcpFlows);
        Assert.Empty(ReceiveToEnd(socket));
        guest.WaitFor(() => guest.Network.Statistics.TcpFlows == 0);
    }

    [Fact]
    public void The_last_fin_is_sent_until_it_is_acknowledged()
    {
        using var server = new Server();
        using var guest = new MockGuest();
        var peer = new MockTcpPeer(guest, MockGuest.Gateway, server.Port, 4000);
        peer.Connect();
        using var socket = server.Accept();
        peer.Close();
        peer.PumpUntil(() => peer.FinAcknowledged);
        socket.Shutdown(SocketShutdown.Send);
        for (int i = 0; i < 3; i++)
        {
            guest.Take(f => MockGuest.IsIpv4(f, Ipv4Packet.Tcp, MockGuest.Gateway)
                && TcpSegment.TryParse(f.AsSpan(34), out var s) && s.Has(TcpFlags.Fin));
            Assert.Equal(1, guest.Network.Statistics.TcpFlows);
        }

        peer.PumpUntil(() => peer.FinReceived);
        guest.WaitFor(() => guest.Network.Statistics.TcpFlows == 0);
    }

    [Fact]
    public void Data_for_an_unplugged_guest_waits_for_nobody()
    {
        using var server = new Server();
        using var guest = new MockGuest();
        var peer = new MockTcpPeer(guest, MockGuest.Gateway, server.Port, 4000);
        peer.Connect();
        using var socket = server.Accept();
        guest.Port.Dispose();
        socket.Send([1, 2, 3]);
        guest.WaitFor(() => guest.Network.Statistics.DroppedToGuest > 0);
        guest.WaitFor(() =>
        {
            guest.Time.Advance(TimeSpan.FromSeconds(30));
            return guest.Network.Statistics.TcpFlows == 0;
        });
        Assert.Throws<SocketException>(() => socket.Receive(new byte[1]));
    }

    [Fact]
    public void A_refused_connection_is_reset()
    {
        ushort port;
        using (var server = new Server())
        {
            port = server.Port;
        }

        using var guest = new MockGuest();
        var peer = new MockTcpPeer(guest, MockGuest.Gateway, port, 4000);
        peer.Connect();
        Assert.True(peer.ResetReceived);
        Assert.Equal(0, guest.Network.Statistics.TcpFlows);
    }

    [Fact]
    public void A_reset_passes_from_the_guest_to_the_server()
    {
        using var server = new Server();
        using var guest = new MockGuest();
        var peer = new MockTcpPeer(guest, MockGuest.Gateway, server.Port, 4000);
        peer.Connect();
        using var socket = server.Accept();
        peer.SendReset();
        var error = Assert.Throws<SocketException>(() => socket.Receive(new byte[1]));
        Assert.Equal(SocketError.ConnectionReset, error.SocketErrorCode);
        Assert.Equal(0, guest.Network.Statistics.TcpFlows);
    }

    [Fact]
    public void A_reset_passes_from_the_server_to_the_guest()
    {
        using var server = new Server();
        using var guest = new MockGuest();
        var peer = new MockTcpPeer(guest, MockGuest.Gateway, server.Port, 4000);
        peer.Connect();
        var socket = server.Accept();
        socket.LingerState = new LingerOption(true, 0);
        socket.Dispose();
        peer.PumpUntil(() => peer.ResetReceived);
        Assert.Equal(0, guest.Network.Statistics.TcpFlows);
    }

    [Fact]
    public void A_segment_of_no_connection_is_reset()
    {
        using var guest = new MockGuest();
        var peer = new MockTcpPeer(guest, MockGuest.Gateway, 80, 4000);
        peer.Acknowledge();
        byte[] frame = guest.Take(f => MockGuest.IsIpv4(f, Ipv4Packet.Tcp, MockGuest.Gateway));
        Assert.True(TcpSegment.TryParse(frame.AsSpan(34), out var segment));
        Assert.Equal(TcpFlags.Reset, segment.Flags);
    }

    [Fact]
    public void The_connection_idle_for_longest_gives_way_when_there_are_too_many()
    {
        using var server = new Server();
        using var guest = new MockGuest(o => o with { MaximumTcpFlows = 4 });
        var sockets = new List<Socket>();
        var peers = new List<MockTcpPeer>();
        for (ushort i = 0; i < 6; i++)
        {
            peers.Add(new MockTcpPeer(guest, MockGuest.Gateway, server.Port, (ushort)(4000 + i)));
            peers[^1].Connect();
            sockets.Add(server.Accept());
            guest.Time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Equal(4, guest.Network.Statistics.TcpFlows);
        peers[0].PumpUntil(() => peers[0].ResetReceived);
        sockets[5].Send([7]);
        peers[5].PumpUntil(() => peers[5].Received.Count == 1);
        sockets.ForEach(s => s.Dispose());
    }

    [Fact]
    public async Task A_port_forward_reaches_a_server_in_the_guest()
    {
        using var guest = new MockGuest();
        var bound = guest.Network.AddPortForward(new PortForward("tcp", "127.0.0.1", 0, 22));
        Assert.NotEqual(0, bound.HostPort);
        guest.SendArp(2, MockGuest.Address, MockGuest.Gateway);
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveTimeout = 120_000 };
        client.Connect(IPAddress.Loopback, bound.HostPort);
        var peer = new MockTcpPeer(guest, MockGuest.Gateway, 0, 22);
        peer.Accept();
        byte[] up = RandomBytes(100_000, 13), down = RandomBytes(100_000, 14);
        peer.Write(up);
        peer.Close();
        var receiving = Task.Run(() => ReceiveToEnd(client));
        SendAll(client, down);
        client.Shutdown(SocketShutdown.Send);
        peer.PumpUntil(() => peer.FinReceived && peer.FinAcknowledged && receiving.IsCompleted);
        Assert.Equal(up, await receiving);
        Assert.Equal(down, peer.Received);
    }

    [Fact]
    public void A_forward_asks_for_the_guests_address_before_it_knows_it()
    {
        using var guest = new MockGuest();
        var bound = guest.Network.AddPortForward(new PortForward("tcp", "127.0.0.1", 0, 22));
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveTimeout = 120_000 };
        client.Connect(IPAddress.Loopback, bound.HostPort);
        guest.Take(f => EthernetFrame.EtherType(f) == EthernetFrame.Arp);
        guest.SendArp(2, MockGuest.Address, MockGuest.Gateway);
        var peer = new MockTcpPeer(guest, MockGuest.Gateway, 0, 22);
        peer.Refuse();
        Assert.Throws<SocketException>(() => client.Receive(new byte[1]));
    }

    [Fact]
    public void Unplugging_and_ending_the_network_close_the_hosts_sockets()
    {
        using var server = new Server();
        var guest = new MockGuest();
        var peer = new MockTcpPeer(guest, MockGuest.Gateway, server.Port, 4000);
        peer.Connect();
        using var socket = server.Accept();
        guest.Network.Dispose();
        guest.Network.Dispose();
        Assert.Throws<SocketException>(() => socket.Receive(new byte[1]));
        peer.Write([1]);
        peer.Pump();
        Assert.Throws<ObjectDisposedException>(() => guest.Network.Connect(guest));
    }
}
