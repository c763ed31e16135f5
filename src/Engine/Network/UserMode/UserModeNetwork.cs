using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>
/// A network of its own for a guest that reaches outside by translation (NAT) into ordinary sockets of this process, and so needs no
/// privilege: ARP, DHCP, DNS forwarding, ICMP echo, UDP and TCP over IPv4. IPv6 and other protocols are dropped.
/// </summary>
/// <remarks>
/// By default the network is 10.0.2.0/24 with the gateway 10.0.2.2, DNS at 10.0.2.3 and guests from 10.0.2.15. It has one port: an
/// adapter, or the uplink of a switch. What the guest can reach is what this process can reach, less what
/// <see cref="UserModeNetworkOptions.AllowHostLoopback"/> and <see cref="UserModeNetworkOptions.AllowOutside"/> take away; what
/// reaches the guest are answers and port forwards. Every table and buffer is bounded.
/// </remarks>
public sealed class UserModeNetwork : IDisposable
{
    private readonly NetworkCore _core;
    private readonly ArpResponder _arp;
    private readonly DhcpServer _dhcp;
    private readonly DnsForwarder _dns;
    private readonly IcmpRelay _icmp;
    private readonly UdpNat _udp;
    private readonly TcpNat _tcp;
    private readonly PortForwarder _forwarder;
    private readonly FragmentReassembler _fragments = new();
    private readonly List<PortForward> _portForwards = [];

    private Port? _port;
    private long _frames, _bytes, _dropped;

    private sealed class Port(UserModeNetwork network) : IPacketPort
    {
        public PacketCapabilities SendCapabilities => PacketCapabilities.Checksum | PacketCapabilities.TcpSegmentation4;

        public void Send(ReadOnlySpan<byte> frame, in PacketOffload offload) => network.Receive(this, frame, offload);

        public void Flush() => network.Flush(this, ready: false);

        public void ReceiverReady() => network.Flush(this, ready: true);

        public void Dispose() => network.Disconnect(this);
    }

    /// <summary>Makes a network; nothing is connected and no port is open.</summary>
    /// <exception cref="ArgumentException">An option is out of its range.</exception>
    public UserModeNetwork(UserModeNetworkOptions? options = null)
    {
        options ??= new UserModeNetworkOptions();
        options.Validate();
        _core = new NetworkCore(options, OnTimer) { Settle = Settle };
        var resolver = new HostResolver(options.DnsServers);
        var policy = new HostPolicy(options, _core.Subnet, resolver);
        _arp = new ArpResponder(_core.Subnet, _core.Link, _core.Neighbors);
        _dhcp = new DhcpServer(_core);
        _dns = new DnsForwarder(_core, resolver, policy);
        _icmp = new IcmpRelay(_core, policy);
        _udp = new UdpNat(_core, policy);
        _tcp = new TcpNat(_core, policy, _arp);
        _core.Neighbors.Learned = _tcp.NeighborLearned;
        _forwarder = new PortForwarder(_core, _tcp);
    }

    /// <summary>Largest IPv4 packet in bytes, for the adapter's configuration.</summary>
    public int Mtu => _core.Options.Mtu;

    /// <summary>The port forwards that listen, with the host ports that were bound.</summary>
    public IReadOnlyList<PortForward> PortForwards
    {
        get
        {
            lock (_core.Gate)
            {
                return [.. _portForwards];
            }
        }
    }

    /// <summary>Counters now.</summary>
    public UserModeNetworkStatistics Statistics
    {
        get
        {
            lock (_core.Gate)
            {
                return new UserModeNetworkStatistics
                {
                    FramesFromGuest = _frames,
                    BytesFromGuest = _bytes,
                    DroppedFromGuest = _dropped,
                    FramesToGuest = _core.Link.Frames,
                    BytesToGuest = _core.Link.Bytes,
                    DroppedToGuest = _core.Link.Dropped,
                    TcpRetransmissions = _tcp.Retransmissions,
                    TcpFlows = _tcp.Count,
                    UdpFlows = _udp.Count,
                };
            }
        }
    }

    /// <summary>Plugs an adapter (or a switch's uplink) in.</summary>
    /// <exception cref="InvalidOperationException">Something is plugged in already.</exception>
    public IPacketPort Connect(IPacketReceiver receiver)
    {
        ArgumentNullException.ThrowIfNull(receiver);
        lock (_core.Gate)
        {
            ObjectDisposedException.ThrowIf(_core.IsDisposed, this);
            if (_port is not null)
            {
                throw new InvalidOperationException("A user-mode network has one port, and it is taken: put a switch between.");
            }

            _core.Link.Receiver = receiver;
            _core.Link.IsBlocked = false;
            return _port = new Port(this);
        }
    }

    /// <summary>Begins to listen on a port of the host for the guest.</summary>
    /// <returns>The forward with the host port that was bound.</returns>
    /// <exception cref="MachineException">The forward is malformed, or its port is taken or not permitted; the message names it and the remedy.</exception>
    public PortForward AddPortForward(PortForward forward)
    {
        ArgumentNullException.ThrowIfNull(forward);
        ObjectDisposedException.ThrowIf(_core.IsDisposed, this);
        var bound = _forwarder.Add(forward);
        lock (_core.Gate)
        {
            _portForwards.Add(bound);
        }

        return bound;
    }

    /// <summary>Unplugs the adapter, resets every connection and closes every port.</summary>
    public void Dispose()
    {
        lock (_core.Gate)
        {
            if (_core.IsDisposed)
            {
                return;
            }

            _forwarder.Dispose();
            _portForwards.Clear();
            _tcp.Dispose();
            _udp.Dispose();
            _fragments.Dispose();
            _core.Link.Receiver = null;
            _port = null;
            _core.Dispose();
        }
    }

    private void Disconnect(Port port)
    {
        lock (_core.Gate)
        {
            if (_port == port)
            {
                _port = null;
                _core.Link.Receiver = null;
            }
        }
    }

    private void Receive(Port port, ReadOnlySpan<byte> frame, in PacketOffload offload)
    {
        lock (_core.Gate)
        {
            if (_port != port)
            {
                return;
            }

            _frames++;
            _bytes += frame.Length;
            if (!TryReceive(frame, offload))
            {
                _dropped++;
            }
        }
    }

    private void Flush(Port port, bool ready)
    {
        lock (_core.Gate)
        {
            if (_port == port)
            {
                _core.Link.IsBlocked &= !ready;
                Settle();
            }
        }
    }

    private bool TryReceive(ReadOnlySpan<byte> frame, in PacketOffload offload)
    {
        if (frame.Length < EthernetFrame.HeaderLength || EthernetFrame.Source(frame).IsMulticast)
        {
            return false;
        }

        var destination = EthernetFrame.Destination(frame);
        bool toGateway = destination == _core.Subnet.GatewayMac;
        if (!toGateway && !destination.IsMulticast)
        {
            return false;
        }

        var payload = frame[EthernetFrame.HeaderLength..];
        return EthernetFrame.EtherType(frame) switch
        {
            EthernetFrame.Arp => _arp.Receive(payload),
            EthernetFrame.Ipv4 => ReceiveIpv4(EthernetFrame.Source(frame), payload, toGateway, offload.NeedsChecksum),
            _ => false,
        };
    }

    private bool ReceiveIpv4(MacAddress guestMac, ReadOnlySpan<byte> data, bool toGateway, bool checksumLeftOut)
    {
        if (!Ipv4Packet.TryParse(data, out var packet))
        {
            return false;
        }

        if (!packet.HasMoreFragments && packet.FragmentOffset == 0)
        {
            return ReceiveWhole(guestMac, packet, toGateway, checksumLeftOut);
        }

        if (!_core.Subnet.IsGuest(packet.Source))
        {
            return false;
        }

        if (!_fragments.TryComplete(packet, _core.Now, out byte[] buffer, out int length))
        {
            return true;
        }

        bool taken = ReceiveWhole(guestMac, packet.WithPayload(buffer.AsSpan(0, length)), toGateway, checksumLeftOut: false);
        FragmentReassembler.Return(buffer);
        return taken;
    }

    private bool ReceiveWhole(MacAddress guestMac, in Ipv4Packet packet, bool toGateway, bool checksumLeftOut)
    {
        if (packet.Protocol == Ipv4Packet.Udp)
        {
            return ReceiveUdp(guestMac, packet, toGateway, checksumLeftOut);
        }

        if (!toGateway || !_core.Subnet.IsGuest(packet.Source))
        {
            return false;
        }

        return packet.Protocol switch
        {
            Ipv4Packet.Tcp => _tcp.Receive(packet, guestMac, checksumLeftOut),
            Ipv4Packet.Icmp => _icmp.Receive(packet, guestMac),
            _ => false,
        };
    }

    private bool ReceiveUdp(MacAddress guestMac, in Ipv4Packet packet, bool toGateway, bool checksumLeftOut)
    {
        if (!UdpHeader.TryParse(packet.Payload, out ushort sourcePort, out ushort destinationPort, out ushort checksum, out var data))
        {
            return false;
        }

        if (!checksumLeftOut && checksum != 0)
        {
            int length = UdpHeader.Length + data.Length;
            uint sum = InternetChecksum.PseudoHeader(packet.Source, packet.Destination, Ipv4Packet.Udp, length);
            if (!InternetChecksum.IsValid(InternetChecksum.Add(sum, packet.Payload[..length])))
            {
                return false;
            }
        }

        var subnet = _core.Subnet;
        if (destinationPort == DhcpServer.ServerPort
            && (packet.Destination == uint.MaxValue || packet.Destination == subnet.Broadcast || packet.Destination == subnet.Gateway))
        {
            return _dhcp.Receive(data);
        }

        if (!toGateway || !subnet.IsGuest(packet.Source))
        {
            return false;
        }

        if (packet.Destination == subnet.Dns && destinationPort == DnsForwarder.Port)
        {
            return _dns.Receive(packet.Source, sourcePort, guestMac, data);
        }

        return (packet.Destination == subnet.Gateway && _forwarder.TryReply(sourcePort, destinationPort, data))
            || _udp.Send(packet, guestMac, sourcePort, destinationPort, data);
    }

    private void OnTimer() => _core.Run(this, static network => network.TakeTimer());

    private void TakeTimer()
    {
        if (_core.IsDisposed)
        {
            return;
        }

        _core.TimerElapsed();
        long now = _core.Now;
        _fragments.Expire(now);
        _core.ArmTimer(Math.Min(_tcp.OnTimer(now), _udp.OnTimer(now)));
        Settle();
    }

    private void Settle()
    {
        _tcp.RunPending();
        _core.Link.End();
    }
}
