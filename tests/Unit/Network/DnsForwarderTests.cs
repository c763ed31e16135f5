using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Hypervisor.Tests.Unit.Network;

public sealed class DnsForwarderTests
{
    private static byte[] Query(string name, ushort type, ushort identifier = 0x1234)
    {
        var query = new List<byte> { (byte)(identifier >> 8), (byte)identifier, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
        foreach (string label in name.Split('.'))
        {
            query.Add((byte)label.Length);
            query.AddRange(Encoding.ASCII.GetBytes(label));
        }

        query.AddRange([0, (byte)(type >> 8), (byte)type, 0, 1]);
        return [.. query];
    }

    private static byte[] Ask(MockGuest guest, byte[] query)
    {
        guest.SendUdp(MockGuest.Dns, 5555, 53, query);
        var (from, to, answer) = guest.TakeUdp(MockGuest.Dns);
        Assert.Equal((53, 5555), (from, to));
        Assert.Equal(query[..2], answer[..2]);
        return answer;
    }

    [Fact]
    public async Task A_query_goes_to_the_hosts_server_and_its_answer_back_but_no_forged_one()
    {
        using var server = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { ReceiveTimeout = 120_000 };
        server.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        using var guest = new MockGuest(o => o with { DnsServers = [(IPEndPoint)server.LocalEndPoint!], DnsTimeout = TimeSpan.FromSeconds(25) });
        byte[] query = Query("www.example.org", 16);
        var serving = Task.Run(() =>
        {
            byte[] buffer = new byte[512];
            EndPoint from = new IPEndPoint(IPAddress.Any, 0);
            int count = server.ReceiveFrom(buffer, ref from);
            Assert.Equal(query, buffer[..count]);
            byte[] answer = [.. query, 1, 2, 3, 4];
            answer[2] = 0x81;
            byte[] forged = [.. answer];
            forged[0] ^= 1;
            server.SendTo(forged, from);
            byte[] other = [.. answer];
            other[13] = (byte)'x';
            server.SendTo(other, from);
            server.SendTo(answer, from);
        });
        byte[] got = Ask(guest, query);
        Assert.Equal(query.Length + 4, got.Length);
        Assert.Equal((byte)'w', got[13]);
        await serving;
    }

    [Fact]
    public void Without_a_server_names_of_the_host_are_still_found_and_its_loopback_is_the_gateway()
    {
        using var guest = new MockGuest(o => o with { DnsServers = [] });
        byte[] answer = Ask(guest, Query("localhost", 1));
        Assert.Equal(0, answer[3] & 0xF);
        Assert.Equal(1, BinaryPrimitives.ReadUInt16BigEndian(answer.AsSpan(6)));
        Assert.Equal([10, 0, 2, 2], answer[^4..]);
    }

    [Fact]
    public void Without_a_server_other_questions_get_a_failure()
    {
        using var guest = new MockGuest(o => o with { DnsServers = [] });
        byte[] answer = Ask(guest, Query("example.org", 15));
        Assert.Equal(2, answer[3] & 0xF);
        Assert.Equal(Query("example.org", 15)[12..], answer[12..]);
    }

    [Fact]
    public void What_is_no_query_is_dropped()
    {
        using var guest = new MockGuest(o => o with { DnsServers = [] });
        byte[] response = Query("example.org", 1);
        response[2] |= 0x80;
        guest.SendUdp(MockGuest.Dns, 5555, 53, response);
        guest.SendUdp(MockGuest.Dns, 5555, 53, [1, 2, 3]);
        Assert.Equal(2, guest.Network.Statistics.DroppedFromGuest);
    }

    [Fact]
    public void Queries_over_tcp_reach_a_server_that_listens_though_the_first_does_not()
    {
        using var server = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        server.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        server.Listen();
        using var closed = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        closed.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        using var guest = new MockGuest(o => o with { DnsServers = [(IPEndPoint)closed.LocalEndPoint!, (IPEndPoint)server.LocalEndPoint!] });
        var peer = new MockTcpPeer(guest, MockGuest.Dns, 53, 4000);
        peer.Connect();
        Assert.True(peer.Established);
        using var accepted = server.Accept();
        accepted.Send([1, 2, 3]);
        peer.PumpUntil(() => peer.Received.Count == 3);
    }
}
