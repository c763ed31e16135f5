using System.Net.Sockets;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>The UDP flows between the guest and the host's network. Bounded; used under the network's lock.</summary>
internal sealed class UdpNat(NetworkCore core, HostPolicy policy) : IDisposable
{
    // RFC 4787, 4.3: at least two minutes.
    private const long IdleMicroseconds = 120_000_000;

    private readonly Dictionary<(uint Guest, ushort Port), UdpFlow> _flows = [];
    private readonly List<UdpFlow> _idle = [];

    public int Count => _flows.Count;

    /// <summary>Sends a guest's datagram out.</summary>
    /// <returns>False when it is refused or the host has no socket for it.</returns>
    public bool Send(in Ipv4Packet packet, MacAddress guestMac, ushort sourcePort, ushort destinationPort, ReadOnlySpan<byte> data)
    {
        if (destinationPort == 0 || sourcePort == 0)
        {
            return false;
        }

        if (!policy.TryMap(packet.Destination, out uint target))
        {
            if (core.Subnet.IsOwn(packet.Destination))
            {
                Refuse(packet, guestMac, IcmpMessage.PortUnreachable);
            }
            else if (packet.Destination >> 24 < 224 && !core.Subnet.Contains(packet.Destination))
            {
                Refuse(packet, guestMac, IcmpMessage.AdministrativelyProhibited);
            }

            return false;
        }

        var key = (packet.Source, sourcePort);
        if (!_flows.TryGetValue(key, out var flow))
        {
            if (_flows.Count >= core.Options.MaximumUdpFlows)
            {
                Remove(_flows.Values.MinBy(f => f.LastActivity)!);
            }

            try
            {
                flow = new UdpFlow(this, core, packet.Source, sourcePort);
            }
            catch (SocketException)
            {
                // The host is out of descriptors or ports.
                return false;
            }

            _flows.Add(key, flow);
            flow.GuestMac = guestMac;
            bool sent = flow.Send(data, target, destinationPort);
            flow.Start();
            core.ArmTimer(flow.LastActivity + IdleMicroseconds);
            return sent;
        }

        flow.GuestMac = guestMac;
        return flow.Send(data, target, destinationPort);
    }

    /// <summary>Hands the guest a datagram that stands in the link's payload.</summary>
    public void Deliver(UdpFlow flow, uint peer, ushort peerPort, int length) =>
        core.Link.SendUdp(flow.GuestMac, policy.ToGuestView(peer), peerPort, flow.Guest, flow.GuestPort, length);

    /// <summary>Ends idle flows and returns the next deadline.</summary>
    public long OnTimer(long now)
    {
        long next = long.MaxValue;
        foreach (var flow in _flows.Values)
        {
            long deadline = flow.LastActivity + IdleMicroseconds;
            if (deadline <= now)
            {
                _idle.Add(flow);
            }
            else
            {
                next = Math.Min(next, deadline);
            }
        }

        foreach (var flow in _idle)
        {
            Remove(flow);
        }

        _idle.Clear();
        return next;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var flow in _flows.Values)
        {
            flow.Dispose();
        }

        _flows.Clear();
    }

    private void Refuse(in Ipv4Packet packet, MacAddress guestMac, byte code)
    {
        Span<byte> quote = stackalloc byte[60 + 8];
        packet.Header.CopyTo(quote);
        var ports = packet.Payload[..Math.Min(8, packet.Payload.Length)];
        ports.CopyTo(quote[packet.Header.Length..]);
        IcmpMessage.SendUnreachable(core, guestMac, packet.Source, quote[..(packet.Header.Length + ports.Length)], code);
    }

    private void Remove(UdpFlow flow)
    {
        _flows.Remove((flow.Guest, flow.GuestPort));
        flow.Dispose();
    }
}
