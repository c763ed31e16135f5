using System.Net;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>How a <see cref="UserModeNetwork"/> looks from inside and what it lets the guest reach.</summary>
public sealed record UserModeNetworkOptions
{
    /// <summary>IPv4 network; host bits are 0.</summary>
    public IPAddress Network { get; init; } = IPAddress.Parse("10.0.2.0");

    /// <summary>Length of the network's prefix, 8 to 28 bits.</summary>
    public int PrefixLength { get; init; } = 24;

    /// <summary>Host number of the gateway, which also stands for the host.</summary>
    public int GatewayHost { get; init; } = 2;

    /// <summary>Host number of the DNS server.</summary>
    public int DnsHost { get; init; } = 3;

    /// <summary>Host number of the first address leased by DHCP.</summary>
    public int FirstGuestHost { get; init; } = 15;

    /// <summary>
    /// Whether the gateway's address reaches the host's loopback (127.0.0.1), as with QEMU's user network. A service that trusts every
    /// local process then trusts the guest: switch it off for guests that are not trusted. Off also refuses the host's own other
    /// addresses.
    /// </summary>
    public bool AllowHostLoopback { get; init; } = true;

    /// <summary>Whether anything but the gateway and the DNS server can be reached.</summary>
    public bool AllowOutside { get; init; } = true;

    /// <summary>Largest IPv4 packet to and from the guest without segmentation offload, 576 to 9000 bytes.</summary>
    public int Mtu { get; init; } = 1500;

    /// <summary>Host name given to the guest by DHCP; null gives none.</summary>
    public string? HostName { get; init; }

    /// <summary>Domain given to the guest by DHCP; null gives none.</summary>
    public string? DomainName { get; init; }

    /// <summary>Time an address is leased for.</summary>
    public TimeSpan LeaseTime { get; init; } = TimeSpan.FromDays(1);

    /// <summary>DNS servers to ask; null asks those of the host.</summary>
    public IReadOnlyList<IPEndPoint>? DnsServers { get; init; }

    /// <summary>Most TCP connections at a time, port forwards included; the one idle for longest gives way.</summary>
    public int MaximumTcpFlows { get; init; } = 512;

    /// <summary>Most UDP flows (guest address and port) at a time; the one idle for longest gives way.</summary>
    public int MaximumUdpFlows { get; init; } = 256;

    /// <summary>Source of time; tests inject their own.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>Time a connection to the outside may take to come about.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(75);

    /// <summary>Time a DNS server has to answer before the next one is asked.</summary>
    public TimeSpan DnsTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Told of an exception on a thread of the network, which is a defect; null lets the process end.</summary>
    public Action<Exception>? Failed { get; init; }

    /// <summary>Checks the values.</summary>
    /// <exception cref="ArgumentException">A value is out of its range; the message names it.</exception>
    internal void Validate()
    {
        if (PrefixLength is < 8 or > 28)
        {
            throw new ArgumentException($"A prefix of {PrefixLength} bits is not between 8 and 28.");
        }

        if (Mtu is < 576 or > 9000)
        {
            throw new ArgumentException($"An MTU of {Mtu} bytes is not between 576 and 9000.");
        }

        uint last = (1u << (32 - PrefixLength)) - 2;
        if (GatewayHost == DnsHost || GatewayHost < 1 || DnsHost < 1 || FirstGuestHost < 1
            || GatewayHost > last || DnsHost > last || FirstGuestHost > last)
        {
            throw new ArgumentException($"Gateway, DNS server and first guest must be different hosts between 1 and {last}.");
        }

        if ((Protocols.Ipv4Packet.ToNumber(Network) & (last + 1)) != 0)
        {
            throw new ArgumentException($"{Network} has host bits set for a prefix of {PrefixLength} bits.");
        }

        ArgumentOutOfRangeException.ThrowIfLessThan(MaximumTcpFlows, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaximumUdpFlows, 1);
    }
}
