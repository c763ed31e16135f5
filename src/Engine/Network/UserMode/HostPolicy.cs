using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>Decides which addresses of the guest's view lead where on the host's side, and which lead nowhere.</summary>
internal sealed class HostPolicy(UserModeNetworkOptions options, Subnet subnet, HostResolver resolver)
{
    private const int DnsPort = 53;
    private const uint Loopback = 0x7F00_0001;
    private const long HostAddressesMilliseconds = 30_000;

    private HashSet<uint> _hostAddresses = [];
    private long _hostAddressesAt = long.MinValue;

    /// <summary>Where a TCP connection goes: alternatives in order.</summary>
    public bool TryMapTcp(uint destination, ushort port, out IReadOnlyList<IPEndPoint> targets)
    {
        if (destination == subnet.Dns)
        {
            targets = port == DnsPort ? resolver.Servers : [];
            return targets.Count > 0;
        }

        bool allowed = TryMap(destination, out uint target);
        targets = allowed ? [new IPEndPoint(Ipv4Packet.ToAddress(target), port)] : [];
        return allowed;
    }

    /// <summary>Where packets to an address go (DNS aside).</summary>
    public bool TryMap(uint destination, out uint target)
    {
        target = destination;
        if (destination == subnet.Gateway)
        {
            target = Loopback;
            return options.AllowHostLoopback;
        }

        if (!options.AllowOutside || subnet.Contains(destination))
        {
            return false;
        }

        // This network, loopback, multicast, reserved, broadcast: not beyond a router (RFC 6890, 2.2.2).
        uint first = destination >> 24;
        return first is not (0 or 127) && first < 224 && (options.AllowHostLoopback || !IsHost(destination));
    }

    /// <summary>The address under which the guest knows a host's address.</summary>
    public uint ToGuestView(uint address) => address >> 24 == 127 ? subnet.Gateway : address;

    private bool IsHost(uint address)
    {
        long now = Environment.TickCount64;
        if (_hostAddressesAt == long.MinValue || now - _hostAddressesAt > HostAddressesMilliseconds)
        {
            _hostAddressesAt = now;
            try
            {
                _hostAddresses = NetworkInterface.GetAllNetworkInterfaces()
                    .SelectMany(i => i.GetIPProperties().UnicastAddresses)
                    .Where(a => a.Address.AddressFamily == AddressFamily.InterNetwork)
                    .Select(a => Ipv4Packet.ToNumber(a.Address))
                    .ToHashSet();
            }
            catch (NetworkInformationException)
            {
                // Not knowing the host's addresses, refuse everything rather than let one through.
                _hostAddressesAt = long.MinValue;
                return true;
            }
        }

        return _hostAddresses.Contains(address);
    }
}
