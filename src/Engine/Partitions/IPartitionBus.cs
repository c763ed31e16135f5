namespace Hypervisor.Engine.Partitions;

/// <summary>
/// The machine as a partition's processors see it beyond their memory. Called on the virtual processor's own thread, in the middle
/// of an instruction; must not allocate, block for long, or throw. Sizes are 1, 2 or 4 (ports) and 1 to 8 (MMIO); values are
/// little-endian in the low bytes. What nothing answers reads as all ones; writes to it are dropped.
/// </summary>
public interface IPartitionBus
{
    /// <summary>IN.</summary>
    uint ReadPort(ushort port, int size);

    /// <summary>OUT.</summary>
    void WritePort(ushort port, int size, uint value);

    /// <summary>A load from a guest-physical address without memory.</summary>
    ulong ReadMmio(ulong address, int size);

    /// <summary>A store to a guest-physical address without (writable) memory.</summary>
    void WriteMmio(ulong address, int size, ulong value);
}
