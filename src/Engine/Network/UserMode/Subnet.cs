using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>The addresses of a user-mode network, as numbers.</summary>
internal sealed class Subnet
{
    public Subnet(UserModeNetworkOptions options)
    {
        Mask = uint.MaxValue << (32 - options.PrefixLength);
        Network = Ipv4Packet.ToNumber(options.Network) & Mask;
        Gateway = Network + (uint)options.GatewayHost;
        Dns = Network + (uint)options.DnsHost;
        FirstGuest = Network + (uint)options.FirstGuestHost;
    }

    public uint Network { get; }

    public uint Mask { get; }

    public uint Gateway { get; }

    public uint Dns { get; }

    public uint FirstGuest { get; }

    public uint Broadcast => Network | ~Mask;

    /// <summary>The Ethernet address of gateway and DNS server: locally administered, with the gateway's IPv4 address in it.</summary>
    public MacAddress GatewayMac => new(0x5255_0000_0000ul | Gateway);

    public bool Contains(uint address) => (address & Mask) == Network;

    /// <summary>True for the addresses that the network itself answers for.</summary>
    public bool IsOwn(uint address) => address == Gateway || address == Dns;

    /// <summary>True for an address that a guest may have.</summary>
    public bool IsGuest(uint address) => Contains(address) && !IsOwn(address) && address != Network && address != Broadcast;
}
