namespace Hypervisor.Engine.Network.UserMode;

/// <summary>Which Ethernet address has which IPv4 address. Bounded: the neighbour heard of longest ago gives way.</summary>
internal sealed class NeighborTable
{
    private const int Capacity = 256;

    private readonly Dictionary<uint, Neighbor> _byAddress = [];
    private long _order;

    private record struct Neighbor(MacAddress Mac, long Order);

    /// <summary>The address learnt or leased most recently: where a port forward goes; 0 when there is none.</summary>
    public uint MostRecent { get; private set; }

    /// <summary>Told when an address was new or moved.</summary>
    public Action<uint, MacAddress> Learned { get; set; } = static (_, _) => { };

    /// <summary>Notes an address.</summary>
    public void Learn(uint address, MacAddress mac)
    {
        if (mac.IsMulticast || mac.IsZero)
        {
            return;
        }

        bool known = _byAddress.TryGetValue(address, out var before);
        if (!known && _byAddress.Count >= Capacity)
        {
            _byAddress.Remove(_byAddress.MinBy(entry => entry.Value.Order).Key);
        }

        _byAddress[address] = new Neighbor(mac, ++_order);
        MostRecent = address;
        if (!known || before.Mac != mac)
        {
            Learned(address, mac);
        }
    }

    public bool TryGet(uint address, out MacAddress mac)
    {
        bool found = _byAddress.TryGetValue(address, out var neighbor);
        mac = neighbor.Mac;
        return found;
    }
}
