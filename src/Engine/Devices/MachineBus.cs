using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Devices;

/// <summary>
/// Dispatches port I/O and MMIO to devices. Ranges change rarely (assembly, PCI BAR programming) and are looked up often: a change
/// publishes a new sorted array, a look-up takes whatever array is current and needs no lock.
/// </summary>
public sealed class MachineBus : IPartitionBus
{
    private readonly record struct PortRange(ushort First, ushort Last, IPortDevice Device);
    private readonly record struct MmioRange(ulong First, ulong Last, IMmioDevice Device);

    private readonly Lock _changes = new();
    private volatile PortRange[] _ports = [];
    private volatile MmioRange[] _mmio = [];

    /// <summary>Puts a device on ports <paramref name="first"/> and following.</summary>
    /// <exception cref="InvalidOperationException">The range overlaps another device's.</exception>
    public void MapPorts(ushort first, int count, IPortDevice device)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(first + count, 0x10000);
        if (!TryMapPorts(first, count, device))
        {
            throw new InvalidOperationException($"Ports {first:x4}h to {first + count - 1:x4}h are taken.");
        }
    }

    /// <summary>As <see cref="MapPorts"/>, for ranges that the guest chooses: false when they overlap another device's or pass the end.</summary>
    public bool TryMapPorts(ushort first, int count, IPortDevice device)
    {
        if (count < 1 || first + count > 0x10000)
        {
            return false;
        }

        var range = new PortRange(first, (ushort)(first + count - 1), device);
        lock (_changes)
        {
            if (_ports.Any(r => r.First <= range.Last && range.First <= r.Last))
            {
                return false;
            }

            _ports = [.. _ports.Append(range).OrderBy(r => r.First)];
            return true;
        }
    }

    /// <summary>Takes away every port range of a device.</summary>
    public void UnmapPorts(IPortDevice device)
    {
        lock (_changes)
        {
            _ports = [.. _ports.Where(r => r.Device != device)];
        }
    }

    /// <summary>Puts a device on guest-physical addresses.</summary>
    /// <exception cref="InvalidOperationException">The range overlaps another device's.</exception>
    public void MapMmio(ulong first, ulong bytes, IMmioDevice device)
    {
        ArgumentNullException.ThrowIfNull(device);
        if (!TryMapMmio(first, bytes, device))
        {
            throw new InvalidOperationException($"Addresses {first:x}h to {first + bytes - 1:x}h are taken.");
        }
    }

    /// <summary>As <see cref="MapMmio"/>, for ranges that the guest chooses.</summary>
    public bool TryMapMmio(ulong first, ulong bytes, IMmioDevice device)
    {
        if (bytes == 0 || first + bytes - 1 < first)
        {
            return false;
        }

        var range = new MmioRange(first, first + bytes - 1, device);
        lock (_changes)
        {
            if (_mmio.Any(r => r.First <= range.Last && range.First <= r.Last))
            {
                return false;
            }

            _mmio = [.. _mmio.Append(range).OrderBy(r => r.First)];
            return true;
        }
    }

    /// <summary>Takes away every address range of a device.</summary>
    public void UnmapMmio(IMmioDevice device)
    {
        lock (_changes)
        {
            _mmio = [.. _mmio.Where(r => r.Device != device)];
        }
    }

    /// <inheritdoc/>
    public uint ReadPort(ushort port, int size)
    {
        var ranges = _ports;
        int low = 0, high = ranges.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            ref readonly var range = ref ranges[middle];
            if (port < range.First)
            {
                high = middle - 1;
            }
            else if (port > range.Last)
            {
                low = middle + 1;
            }
            else
            {
                return range.Device.ReadPort((ushort)(port - range.First), size);
            }
        }

        return size == 4 ? uint.MaxValue : (1u << (size * 8)) - 1;
    }

    /// <inheritdoc/>
    public void WritePort(ushort port, int size, uint value)
    {
        var ranges = _ports;
        int low = 0, high = ranges.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            ref readonly var range = ref ranges[middle];
            if (port < range.First)
            {
                high = middle - 1;
            }
            else if (port > range.Last)
            {
                low = middle + 1;
            }
            else
            {
                range.Device.WritePort((ushort)(port - range.First), size, value);
                return;
            }
        }
    }

    /// <inheritdoc/>
    public ulong ReadMmio(ulong address, int size)
    {
        return TryFind(address, out var range)
            ? range.Device.ReadMmio(address - range.First, size)
            : size == 8 ? ulong.MaxValue : (1ul << (size * 8)) - 1;
    }

    /// <inheritdoc/>
    public void WriteMmio(ulong address, int size, ulong value)
    {
        if (TryFind(address, out var range))
        {
            range.Device.WriteMmio(address - range.First, size, value);
        }
    }

    private bool TryFind(ulong address, out MmioRange found)
    {
        var ranges = _mmio;
        int low = 0, high = ranges.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            ref readonly var range = ref ranges[middle];
            if (address < range.First)
            {
                high = middle - 1;
            }
            else if (address > range.Last)
            {
                low = middle + 1;
            }
            else
            {
                found = range;
                return true;
            }
        }

        found = default;
        return false;
    }
}
