namespace Hypervisor.Engine.Devices.Pci;

/// <summary>
/// A base address register and the range behind it. The guest chooses the address: what overlaps another device or wraps stays
/// unmapped, as a card that loses a bus conflict. Used under the bus's configuration lock, except for the accesses themselves.
/// </summary>
internal sealed class PciBar(PciDevice device, int index, ulong size, PciBarKind kind, bool prefetchable) : IMmioDevice, IPortDevice
{
    private ulong _mappedAt;

    public int Index { get; } = index;

    public ulong Size { get; } = size;

    public PciBarKind Kind { get; } = kind;

    public bool IsPort => Kind == PciBarKind.Port;

    public bool Is64Bit => Kind == PciBarKind.Memory64;

    public bool IsMapped { get; private set; }

    /// <summary>Offset of the register in configuration space.</summary>
    public int Register => PciRegisters.Bar0 + (Index * 4);

    /// <summary>The read-only low bits (PCI 3.0, 6.2.5.1).</summary>
    public uint Flags => Kind switch
    {
        PciBarKind.Port => 1u,
        PciBarKind.Memory64 => prefetchable ? 0xCu : 4u,
        _ => prefetchable ? 8u : 0u,
    };

    /// <summary>The address software programmed.</summary>
    public ulong GetAddress(PciConfigurationSpace space)
    {
        ulong low = space.Read(Register, 4) & (IsPort ? ~3u : ~0xFu);
        return Is64Bit ? low | ((ulong)space.Read(Register + 4, 4) << 32) : low;
    }

    public void SetAddress(PciConfigurationSpace space, ulong address)
    {
        space.Set(Register, 4, (uint)address | Flags);
        if (Is64Bit)
        {
            space.Set(Register + 4, 4, (uint)(address >> 32));
        }
    }

    /// <summary>Takes the range off the bus when it is not to be decoded where it is now.</summary>
    public void Withdraw(MachineBus bus, bool decoded, ulong address)
    {
        if (!IsMapped || (decoded && address == _mappedAt))
        {
            return;
        }

        if (IsPort)
        {
            bus.UnmapPorts(this);
        }
        else
        {
            bus.UnmapMmio(this);
        }

        IsMapped = false;
    }

    /// <summary>Puts the range on the bus where it is programmed, if there is room.</summary>
    public void Claim(MachineBus bus, bool decoded, ulong address)
    {
        // Address 0 is what an unassigned register holds; port ranges beyond 64 K cannot be reached by any instruction.
        if (IsMapped || !decoded || address == 0)
        {
            return;
        }

        IsMapped = IsPort
            ? address + Size <= 0x10000 && bus.TryMapPorts((ushort)address, (int)Size, this)
            : bus.TryMapMmio(address, Size, this);
        _mappedAt = address;
    }

    public ulong ReadMmio(ulong offset, int size) => device.ReadBar(Index, offset, size);

    public void WriteMmio(ulong offset, int size, ulong value) => device.WriteBar(Index, offset, size, value);

    public uint ReadPort(ushort offset, int size) => (uint)device.ReadBar(Index, offset, size);

    public void WritePort(ushort offset, int size, uint value) => device.WriteBar(Index, offset, size, value);
}

/// <summary>What a base address register decodes.</summary>
internal enum PciBarKind
{
    Port,
    Memory32,
    Memory64,
}
