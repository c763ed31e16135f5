using System.Net;
using System.Net.Sockets;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>The TCP connections between the guest and the host's network. Bounded; used under the network's lock.</summary>
internal sealed class TcpNat(NetworkCore core, HostPolicy policy, ArpResponder arp) : IDisposable
{
    private const int LargeRing = 256 * 1024, SmallRing = 64 * 1024;
    private const int FlowsWithLargeRings = 64;
    private const int FirstForwardPort = 49152;

    private readonly Dictionary<TcpFlowKey, TcpFlow> _flows = [];
    private readonly Queue<TcpFlow> _pending = new();
    private readonly List<TcpFlow> _due = [];
    private int _nextForwardPort = FirstForwardPort;

    public int Count => _flows.Count;

    public long Retransmissions { get; set; }

    /// <summary>Takes the payload of an IPv4 packet.</summary>
    /// <returns>False when it is malformed or refused.</returns>
    public bool Receive(in Ipv4Packet packet, MacAddress guestMac, bool checksumLeftOut)
    {
        if (!TcpSegment.TryParse(packet.Payload, out var segment))
        {
            return false;
        }

        if (!checksumLeftOut)
        {
            uint sum = InternetChecksum.PseudoHeader(packet.Source, packet.Destination, Ipv4Packet.Tcp, packet.Payload.Length);
            if (!InternetChecksum.IsValid(InternetChecksum.Add(sum, packet.Payload)))
            {
                return false;
            }
        }

        var key = new TcpFlowKey(packet.Source, segment.SourcePort, packet.Destination, segment.DestinationPort);
        bool isSyn = (segment.Flags & (TcpFlags.Syn | TcpFlags.Acknowledge | TcpFlags.Reset)) == TcpFlags.Syn;
        if (_flows.TryGetValue(key, out var flow))
        {
            // RFC 9293, 3.6.1: a later SYN may reuse a connection in TIME_WAIT.
            if (flow.State != TcpFlowState.TimeWait || !isSyn || !TcpSequence.After(segment.Sequence, flow.ReceiveNext))
            {
                flow.Receive(segment, guestMac);
                return true;
            }

            flow.Abort();
        }

        if (segment.Has(TcpFlags.Reset))
        {
            return true;
        }

        if (!isSyn || key.GuestPort == 0 || key.RemotePort == 0)
        {
            ResetUnknown(key, guestMac, segment);
            return true;
        }

        if (!policy.TryMapTcp(packet.Destination, segment.DestinationPort, out var targets))
        {
            ResetUnknown(key, guestMac, segment);
            return false;
        }

        MakeRoom();
        Add(key, TcpFlow.Open(this, core, key, guestMac, segment, targets, RingCapacity));
        return true;
    }

    /// <summary>Connects an accepted socket to a port of the guest. The socket belongs to the connection.</summary>
    public void Forward(Socket accepted, uint guest, ushort guestPort)
    {
        MakeRoom();
        TcpFlowKey key;
        do
        {
            key = new TcpFlowKey(guest, guestPort, core.Subnet.Gateway, (ushort)_nextForwardPort);
            _nextForwardPort = _nextForwardPort == ushort.MaxValue ? FirstForwardPort : _nextForwardPort + 1;
        }
        while (_flows.ContainsKey(key));

        core.Neighbors.TryGet(guest, out var mac);
        var flow = TcpFlow.Forward(this, core, key, mac, accepted, RingCapacity);
        Add(key, flow);
        Enqueue(flow);
    }

    /// <summary>Asks for the Ethernet address of a guest.</summary>
    public void Ask(uint address) => arp.Ask(address);

    /// <summary>The Ethernet address of a guest became known.</summary>
    public void NeighborLearned(uint address, MacAddress mac)
    {
        foreach (var flow in _flows.Values)
        {
            if (flow.Key.Guest == address)
            {
                flow.NeighborLearned(mac);
            }
        }
    }

    /// <summary>Has a flow's output looked after when the turn ends.</summary>
    public void Enqueue(TcpFlow flow)
    {
        if (!flow.IsPending)
        {
            flow.IsPending = true;
            _pending.Enqueue(flow);
        }
    }

    /// <summary>Sends what flows have to send, until the guest has no room.</summary>
    public void RunPending()
    {
        while (!core.Link.IsBlocked && _pending.TryDequeue(out var flow))
        {
            flow.IsPending = false;
            if (!flow.Output())
            {
                Enqueue(flow);
            }
        }
    }

    /// <summary>Does what is due and returns the next deadline.</summary>
    public long OnTimer(long now)
    {
        foreach (var flow in _flows.Values)
        {
            if (flow.NextDeadline <= now)
            {
                _due.Add(flow);
            }
        }

        foreach (var flow in _due)
        {
            flow.OnTimer(now);
        }

        _due.Clear();
        long next = long.MaxValue;
        foreach (var flow in _flows.Values)
        {
            next = Math.Min(next, flow.NextDeadline);
        }

        return next;
    }

    public void Remove(TcpFlow flow) => _flows.Remove(flow.Key);

    public void SendReset(MacAddress guestMac, TcpFlowKey key, uint sequence, uint acknowledgment, TcpFlags flags)
    {
        TcpSegment.WriteHeader(core.Link.Payload, key.RemotePort, key.GuestPort, sequence, acknowledgment, flags, 0, 0);
        core.Link.TrySendTcp(guestMac, key.Remote, key.Guest, TcpSegment.HeaderLength, TcpSegment.HeaderLength, int.MaxValue);
    }

    /// <summary>Tells the guest that a destination cannot be reached.</summary>
    public void SendUnreachable(TcpFlowKey key, MacAddress guestMac)
    {
        // The quoted packet is made anew: only addresses and ports count for the guest, and the sequence number of its SYN.
        Span<byte> quote = stackalloc byte[Ipv4Packet.HeaderLength + 8];
        Ipv4Packet.WriteHeader(quote, key.Guest, key.Remote, Ipv4Packet.Tcp, TcpSegment.HeaderLength, 0, Ipv4Packet.DontFragment);
        var ports = quote[Ipv4Packet.HeaderLength..];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt16BigEndian(ports, key.GuestPort);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt16BigEndian(ports[2..], key.RemotePort);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(
            ports[4..], _flows.TryGetValue(key, out var flow) ? flow.ReceiveNext - 1 : 0);
        IcmpMessage.SendUnreachable(core, guestMac, key.Guest, quote, IcmpMessage.HostUnreachable);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var flow in _flows.Values.ToArray())
        {
            flow.Dispose();
        }
    }

    private int RingCapacity => _flows.Count < FlowsWithLargeRings ? LargeRing : SmallRing;

    private void Add(TcpFlowKey key, TcpFlow flow)
    {
        // A connection can be refused before this.
        if (flow.State != TcpFlowState.Closed)
        {
            _flows.Add(key, flow);
            core.ArmTimer(flow.NextDeadline);
        }
    }

    private void MakeRoom()
    {
        while (_flows.Count >= core.Options.MaximumTcpFlows)
        {
            // Those that are over and only wait go first.
            _flows.Values.MinBy(flow => (flow.State != TcpFlowState.TimeWait, flow.LastActivity))!.Abort();
        }
    }

    /// <summary>RFC 9293, 3.10.7.1.</summary>
    private void ResetUnknown(TcpFlowKey key, MacAddress guestMac, in TcpSegment segment)
    {
        if (segment.Has(TcpFlags.Acknowledge))
        {
            SendReset(guestMac, key, segment.Acknowledgment, 0, TcpFlags.Reset);
        }
        else
        {
            SendReset(guestMac, key, 0, segment.Sequence + segment.Length, TcpFlags.Reset | TcpFlags.Acknowledge);
        }
    }
}
