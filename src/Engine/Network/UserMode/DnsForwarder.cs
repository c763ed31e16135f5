using System.Buffers;
using System.Net;
using System.Net.Sockets;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>
/// Answers DNS queries over UDP: names in the host's hosts file first, then by the host's DNS servers in order, and when none of
/// them answers, by the host's own name look-up. A loopback address of the host is the gateway's in the guest's view.
/// </summary>
internal sealed class DnsForwarder(NetworkCore core, HostResolver resolver, HostPolicy policy)
{
    public const ushort Port = 53;
    private const int MaximumUnderWay = 128;
    private const int MaximumQuery = 4096, MaximumAnswer = 16 * 1024;
    private static readonly TimeSpan LookUpTimeout = TimeSpan.FromSeconds(5);

    private int _underWay;

    /// <summary>Takes the data of a datagram to the DNS server; under the network's lock.</summary>
    /// <returns>False when it is no query, or too many are under way.</returns>
    public bool Receive(uint guest, ushort guestPort, MacAddress guestMac, ReadOnlySpan<byte> query)
    {
        if (!DnsMessage.IsQuery(query) || query.Length > MaximumQuery || _underWay >= MaximumUnderWay)
        {
            return false;
        }

        _underWay++;
        core.Watch(AnswerAsync(guest, guestPort, guestMac, query.ToArray()));
        return true;
    }

    private async Task AnswerAsync(uint guest, ushort guestPort, MacAddress guestMac, byte[] query)
    {
        // The guest's thread holds the network's lock: leave it.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        byte[] answer = await FindAnswerAsync(query).ConfigureAwait(false);
        lock (core.Gate)
        {
            _underWay--;
            if (!core.IsDisposed)
            {
                answer.CopyTo(core.Link.Payload[UdpHeader.Length..]);
                core.Link.SendUdp(guestMac, core.Subnet.Dns, Port, guest, guestPort, answer.Length);
                core.Settle();
            }
        }
    }

    private async Task<byte[]> FindAnswerAsync(byte[] query)
    {
        bool isAddress = DnsMessage.TryReadQuestion(query, out var question)
            && question.Class == DnsMessage.ClassInternet && question.Type is DnsMessage.TypeA or DnsMessage.TypeAaaa
            && DnsMessage.IsHostName(question.Name);
        if (isAddress && resolver.FindInHosts(question.Name) is { Count: > 0 } known)
        {
            return DnsMessage.MakeAnswer(query, question, DnsMessage.NoError, ToGuestView(known));
        }

        foreach (var server in resolver.Servers)
        {
            if (await AskAsync(server, query).ConfigureAwait(false) is { } answer)
            {
                return answer;
            }
        }

        return isAddress ? await LookUpAsync(query, question).ConfigureAwait(false) : DnsMessage.MakeFailure(query);
    }

    /// <returns>The server's answer; null when it gave none.</returns>
    private async Task<byte[]?> AskAsync(IPEndPoint server, byte[] query)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(MaximumAnswer);
        try
        {
            // A socket of its own, and so a port of its own, for every query: an answer is hard to forge.
            using var socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
            using var timeout = new CancellationTokenSource(core.Options.DnsTimeout);
            await socket.ConnectAsync(server, timeout.Token).ConfigureAwait(false);
            await socket.SendAsync(query, SocketFlags.None, timeout.Token).ConfigureAwait(false);
            while (true)
            {
                int count = await socket.ReceiveAsync(buffer.AsMemory(0, MaximumAnswer), SocketFlags.None, timeout.Token).ConfigureAwait(false);
                if (DnsMessage.IsAnswerTo(buffer.AsSpan(0, count), query))
                {
                    return buffer[..count];
                }
            }
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            return null;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private async Task<byte[]> LookUpAsync(byte[] query, DnsMessage.Question question)
    {
        var family = question.Type == DnsMessage.TypeAaaa ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork;
        try
        {
            using var timeout = new CancellationTokenSource(LookUpTimeout);
            var addresses = await Dns.GetHostAddressesAsync(question.Name, family, timeout.Token).ConfigureAwait(false);
            return DnsMessage.MakeAnswer(query, question, DnsMessage.NoError, ToGuestView(addresses));
        }
        catch (SocketException e)
        {
            int code = e.SocketErrorCode switch
            {
                SocketError.HostNotFound => DnsMessage.NameError,
                SocketError.NoData => DnsMessage.NoError,
                _ => DnsMessage.ServerFailure,
            };
            return DnsMessage.MakeAnswer(query, question, code, []);
        }
        catch (Exception e) when (e is OperationCanceledException or ArgumentException)
        {
            return DnsMessage.MakeFailure(query);
        }
    }

    private IPAddress[] ToGuestView(IEnumerable<IPAddress> addresses) =>
    [
        .. addresses
            .Where(address => address.AddressFamily == AddressFamily.InterNetwork || !IPAddress.IsLoopback(address))
            .Select(address => address.AddressFamily == AddressFamily.InterNetwork
                ? Ipv4Packet.ToAddress(policy.ToGuestView(Ipv4Packet.ToNumber(address)))
                : address)
            .Distinct(),
    ];
}
