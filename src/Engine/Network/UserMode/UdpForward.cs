using System.Net;
using System.Net.Sockets;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>
/// A UDP socket of the host that leads to a port of the guest. Each peer is a port of the gateway in the guest's view, so that the
/// guest's answers find back. Used under the network's lock.
/// </summary>
internal sealed class UdpForward : IDisposable
{
    private const int MaximumPeers = 64;
    private const int FirstGatewayPort = 61440;

    private readonly NetworkCore _core;
    private readonly PortForwarder _owner;
    private readonly Socket _socket;
    private readonly SocketAddress _address = new IPEndPoint(IPAddress.Any, 0).Serialize();
    private readonly DatagramReader _reader;
    private readonly (uint Address, ushort Port, long LastActivity)[] _peers = new (uint, ushort, long)[MaximumPeers];

    public UdpForward(NetworkCore core, PortForwarder owner, Socket socket, ushort guestPort)
    {
        _core = core;
        _owner = owner;
        _socket = socket;
        GuestPort = guestPort;
        _reader = new DatagramReader(core, socket, Take);
    }

    public ushort GuestPort { get; }

    /// <summary>Begins to listen.</summary>
    public void Start() => _reader.Wait();

    /// <summary>Sends a guest's answer to the peer that a gateway port stands for.</summary>
    public bool TryReply(ushort gatewayPort, ReadOnlySpan<byte> data)
    {
        int index = gatewayPort - FirstGatewayPort;
        if (index is < 0 or >= MaximumPeers || _peers[index].Port == 0)
        {
            return false;
        }

        _peers[index].LastActivity = _core.Now;
        UdpFlow.Write(_address, _peers[index].Address, _peers[index].Port);
        try
        {
            _socket.SendTo(data, SocketFlags.None, _address);
        }
        catch (SocketException)
        {
            // UDP may lose it.
            return true;
        }

        return true;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _socket.Dispose();
        _reader.Dispose();
    }

    private void Take()
    {
        int count;
        try
        {
            count = _socket.ReceiveFrom(_core.Link.Payload[UdpHeader.Length..], SocketFlags.None, _address);
        }
        catch (SocketException)
        {
            // An ICMP error of an earlier datagram (Windows reports it here), or somebody else took it.
            return;
        }

        uint guest = _owner.Guest;
        if (_core.Neighbors.TryGet(guest, out var mac))
        {
            var (peer, port) = UdpFlow.Read(_address);
            _core.Link.SendUdp(mac, _core.Subnet.Gateway, (ushort)(FirstGatewayPort + FindPeer(peer, port)), guest, GuestPort, count);
        }
    }

    private int FindPeer(uint address, ushort port)
    {
        int oldest = 0;
        for (int i = 0; i < MaximumPeers; i++)
        {
            if (_peers[i].Address == address && _peers[i].Port == port)
            {
                oldest = i;
                break;
            }

            if (_peers[i].LastActivity < _peers[oldest].LastActivity)
            {
                oldest = i;
            }
        }

        _peers[oldest] = (address, port, _core.Now);
        return oldest;
    }
}
