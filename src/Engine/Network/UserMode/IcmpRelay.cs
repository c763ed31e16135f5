using System.Buffers.Binary;
using System.ComponentModel;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>
/// Answers echo requests: those to the network's own addresses itself, others after an echo of the host was answered. Where the host
/// lets this process send none, those stay unanswered.
/// </summary>
internal sealed class IcmpRelay(NetworkCore core, HostPolicy policy)
{
    private const int MaximumUnderWay = 32;
    private const int MaximumData = 32 * 1024;
    private const int TimeoutMilliseconds = 10_000;

    private int _underWay;

    /// <summary>Takes an ICMP packet; under the network's lock.</summary>
    /// <returns>False when it is malformed, refused or of no interest.</returns>
    public bool Receive(in Ipv4Packet packet, MacAddress guestMac)
    {
        var message = packet.Payload;
        if (message.Length < IcmpMessage.HeaderLength || message[0] != IcmpMessage.EchoRequest || message[1] != 0
            || !InternetChecksum.IsValid(InternetChecksum.Add(0, message)))
        {
            return false;
        }

        uint identifierAndSequence = BinaryPrimitives.ReadUInt32BigEndian(message[4..]);
        var data = message[IcmpMessage.HeaderLength..];
        if (core.Subnet.IsOwn(packet.Destination))
        {
            IcmpMessage.SendEchoReply(core, guestMac, packet.Destination, packet.Source, identifierAndSequence, data);
            return true;
        }

        if (data.Length > MaximumData || _underWay >= MaximumUnderWay || !policy.TryMap(packet.Destination, out uint target))
        {
            return false;
        }

        _underWay++;
        core.Watch(RelayAsync(guestMac, packet.Source, packet.Destination, target, identifierAndSequence, data.ToArray()));
        return true;
    }

    private async Task RelayAsync(MacAddress guestMac, uint guest, uint destination, uint target, uint identifierAndSequence, byte[] data)
    {
        // The guest's thread holds the network's lock: leave it.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        byte[]? answer = await EchoAsync(target, data).ConfigureAwait(false);
        lock (core.Gate)
        {
            _underWay--;
            if (answer is not null && !core.IsDisposed)
            {
                IcmpMessage.SendEchoReply(core, guestMac, destination, guest, identifierAndSequence, answer);
                core.Settle();
            }
        }
    }

    /// <returns>The data that came back; null when none did.</returns>
    private static async Task<byte[]?> EchoAsync(uint target, byte[] data)
    {
        try
        {
            if (OperatingSystem.IsLinux() && TryMakeEchoSocket() is { } socket)
            {
                using (socket)
                {
                    return await EchoAsync(socket, target, data).ConfigureAwait(false);
                }
            }

            using var ping = new Ping();
            var reply = await ping.SendPingAsync(Ipv4Packet.ToAddress(target), TimeoutMilliseconds, data).ConfigureAwait(false);
            return reply.Status == IPStatus.Success ? reply.Buffer : null;
        }
        catch (Exception e) when (e is PingException or SocketException or ArgumentException or PlatformNotSupportedException or Win32Exception or OperationCanceledException)
        {
            // Not permitted here, no route, or too late: the guest gets no answer, as from a host that is silent.
            return null;
        }
    }

    /// <summary>A socket for echoes that needs no privilege (icmp(7)); null where net.ipv4.ping_group_range leaves this process out.</summary>
    private static Socket? TryMakeEchoSocket()
    {
        try
        {
            return new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Icmp);
        }
        catch (SocketException)
        {
            return null;
        }
    }

    private static async Task<byte[]?> EchoAsync(Socket socket, uint target, byte[] data)
    {
        // The system fills in identifier and checksum, and hands over only replies to this socket.
        byte[] message = new byte[IcmpMessage.HeaderLength + data.Length];
        message[0] = IcmpMessage.EchoRequest;
        data.CopyTo(message, IcmpMessage.HeaderLength);
        using var timeout = new CancellationTokenSource(TimeoutMilliseconds);
        await socket.ConnectAsync(new IPEndPoint(Ipv4Packet.ToAddress(target), 0), timeout.Token).ConfigureAwait(false);
        await socket.SendAsync(message, SocketFlags.None, timeout.Token).ConfigureAwait(false);
        int count = await socket.ReceiveAsync(message, SocketFlags.None, timeout.Token).ConfigureAwait(false);
        return count == message.Length && message[0] == IcmpMessage.EchoReply ? message[IcmpMessage.HeaderLength..] : null;
    }
}
