using System.Buffers.Binary;
using Hypervisor.Engine.Network;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>Which frames a network card takes (virtio 1.2, 5.1.6.5.1 to 5.1.6.5.3). Changed by the control queue; guarded by the card.</summary>
internal sealed class VirtioNetFilter
{
    /// <summary>Entries of each half of the address table; beyond that everything of its kind passes.</summary>
    public const int MaximumAddresses = 64;

    private const int VlanIdentifiers = 4096;

    private readonly HashSet<MacAddress> _unicast = [], _multicast = [];
    private readonly ulong[] _vlans = new ulong[VlanIdentifiers / 64];
    private bool _manyUnicast, _manyMulticast;

    /// <summary>The card's own address.</summary>
    public MacAddress Mac { get; set; }

    /// <summary>Everything passes; so it is until the driver says otherwise.</summary>
    public bool Promiscuous { get; set; } = true;

    /// <summary>Every group address passes.</summary>
    public bool AllMulticast { get; set; }

    /// <summary>Tagged frames pass only with an identifier that was added.</summary>
    public bool FiltersVlans { get; set; }

    /// <summary>Back to the state of a reset card.</summary>
    public void Reset(MacAddress mac)
    {
        Mac = mac;
        Promiscuous = true;
        AllMulticast = _manyUnicast = _manyMulticast = FiltersVlans = false;
        _unicast.Clear();
        _multicast.Clear();
        Array.Clear(_vlans);
    }

    /// <summary>Takes the data of VIRTIO_NET_CTRL_MAC_TABLE_SET: two counted lists, unicast and multicast.</summary>
    /// <returns>False when they do not have the length they say.</returns>
    public bool TrySetTable(ReadOnlySpan<byte> data)
    {
        if (!TrySplit(data, out var unicast, out var rest) || !TrySplit(rest, out var multicast, out rest) || !rest.IsEmpty)
        {
            return false;
        }

        _manyUnicast = Fill(_unicast, unicast);
        _manyMulticast = Fill(_multicast, multicast);
        return true;
    }

    /// <summary>Adds or takes away an identifier of a virtual LAN.</summary>
    /// <returns>False when there is no such identifier.</returns>
    public bool TrySetVlan(ushort identifier, bool pass)
    {
        if (identifier >= VlanIdentifiers)
        {
            return false;
        }

        ulong bit = 1ul << (identifier & 63);
        ref ulong word = ref _vlans[identifier >> 6];
        word = pass ? word | bit : word & ~bit;
        return true;
    }

    /// <summary>True when the card takes a frame of at least 14 bytes.</summary>
    public bool Passes(ReadOnlySpan<byte> frame)
    {
        if (Promiscuous)
        {
            return true;
        }

        if (FiltersVlans && EthernetFrame.EtherType(frame) == EthernetFrame.Vlan && frame.Length >= EthernetFrame.HeaderLength + 2)
        {
            int identifier = BinaryPrimitives.ReadUInt16BigEndian(frame[EthernetFrame.HeaderLength..]) & (VlanIdentifiers - 1);
            if ((_vlans[identifier >> 6] >> (identifier & 63) & 1) == 0)
            {
                return false;
            }
        }

        var destination = EthernetFrame.Destination(frame);
        return destination.IsMulticast
            ? destination == MacAddress.Broadcast || AllMulticast || _manyMulticast || _multicast.Contains(destination)
            : destination == Mac || _manyUnicast || _unicast.Contains(destination);
    }

    private static bool TrySplit(ReadOnlySpan<byte> data, out ReadOnlySpan<byte> addresses, out ReadOnlySpan<byte> rest)
    {
        addresses = rest = default;
        if (data.Length < sizeof(uint))
        {
            return false;
        }

        uint count = BinaryPrimitives.ReadUInt32LittleEndian(data);
        data = data[sizeof(uint)..];
        if (count > (uint)data.Length / MacAddress.Length)
        {
            return false;
        }

        addresses = data[..((int)count * MacAddress.Length)];
        rest = data[addresses.Length..];
        return true;
    }

    // True when there are too many to tell apart.
    private static bool Fill(HashSet<MacAddress> set, ReadOnlySpan<byte> addresses)
    {
        set.Clear();
        if (addresses.Length > MaximumAddresses * MacAddress.Length)
        {
            return true;
        }

        for (; !addresses.IsEmpty; addresses = addresses[MacAddress.Length..])
        {
            set.Add(MacAddress.Read(addresses));
        }

        return false;
    }
}
