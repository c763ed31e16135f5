using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>
/// What one UDP port of the guest sends and receives: one socket of the host for all of its peers (RFC 4787: endpoint-independent
/// mapping). Only peers that the guest spoke to lately may answer (address-dependent filtering). Used under the network's lock.
/// </summary>
internal sealed class UdpFlow : IDisposable
{
    private const int MaximumPeers = 32;
    private const int ReceiveBufferBytes = 1024 * 1024;

    private readonly UdpNat _nat;
    private readonly NetworkCore _core;
    private readonly Socket _socket;
    private readonly SocketAddress _peerAddress;
    private readonly DatagramReader _reader;
    private readonly uint[] _peers = new uint[MaximumPeers];
    private int _peerCount, _nextPeer;

    /// <exception cref="SocketException">The host gave no socket.</exception>
    public UdpFlow(UdpNat nat, NetworkCore core, uint guest, ushort guestPort)
    {
        _nat = nat;
        _core = core;
        Guest = guest;
        GuestPort = guestPort;
        _socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { Blocking = false, ReceiveBufferSize = ReceiveBufferBytes };
        try
        {
            _socket.Bind(new IPEndPoint(IPAddress.Any, 0));
        }
        catch (SocketException)
        {
            _socket.Dispose();
            throw;
        }

        _peerAddress = new IPEndPoint(IPAddress.Any, 0).Serialize();
        _reader = new DatagramReader(core, _socket, Take);
    }

    public uint Guest { get; }

    public ushort GuestPort { get; }

    public MacAddress GuestMac { get; set; }

    public long LastActivity { get; private set; }

    /// <summary>Begins to listen for answers.</summary>
    public void Start() => _reader.Wait();

    /// <summary>Sends a datagram to a peer on the host's side.</summary>
    /// <returns>False when the host refused it.</returns>
    public bool Send(ReadOnlySpan<byte> data, uint peer, ushort port)
    {
        LastActivity = _core.Now;
        if (!_peers.AsSpan(0, _peerCount).Contains(peer))
        {
            _peers[_nextPeer] = peer;
            _nextPeer = (_nextPeer + 1) % MaximumPeers;
            _peerCount = Math.Min(_peerCount + 1, MaximumPeers);
        }

        Write(_peerAddress, peer, port);
        try
        {
            _socket.SendTo(data, SocketFlags.None, _peerAddress);
            return true;
        }
        catch (SocketException)
        {
            // Unreachable, too long, or no room in the host's queue: UDP may lose it.
            return false;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _socket.Dispose();
        _reader.Dispose();
    }

    internal static void Write(SocketAddress target, uint address, ushort port)
    {
        // sockaddr_in has port and address at the same offsets on every system.
        var bytes = target.Buffer.Span;
        BinaryPrimitives.WriteUInt16BigEndian(bytes[2..], port);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[4..], address);
    }

    internal static (uint Address, ushort Port) Read(SocketAddress source)
    {
        var bytes = source.Buffer.Span;
        return (BinaryPrimitives.ReadUInt32BigEndian(bytes[4..]), BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]));
    }

    private void Take()
    {
        int count;
        try
        {
            count = _socket.ReceiveFrom(_core.Link.Payload[UdpHeader.Length..], SocketFlags.None, _peerAddress);
        }
        catch (SocketException)
        {
            // An ICMP error of an earlier datagram (Windows reports it here), or somebody else took it.
            return;
        }

        var (peer, port) = Read(_peerAddress);
        if (_peers.AsSpan(0, _peerCount).Contains(peer))
        {
            LastActivity = _core.Now;
            _nat.Deliver(this, peer, port, count);
        }
    }
}
