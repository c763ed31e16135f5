namespace Hypervisor.Engine.Devices.Platform;

/// <summary>
/// A device of 8-bit registers: a wider access is one access a byte, at consecutive ports, as the ISA bus makes of it.
/// </summary>
public abstract class BytePortDevice : IPortDevice
{
    /// <inheritdoc/>
    public virtual uint ReadPort(ushort offset, int size)
    {
        uint value = ReadByte(offset);
        for (int i = 1; i < size; i++)
        {
            value |= (uint)ReadByte((ushort)(offset + i)) << (8 * i);
        }

        return value;
    }

    /// <inheritdoc/>
    public void WritePort(ushort offset, int size, uint value)
    {
        for (int i = 0; i < size; i++)
        {
            WriteByte((ushort)(offset + i), (byte)(value >> (8 * i)));
        }
    }

    /// <summary>Reads a register. Offsets may lie beyond the device's range when a wide access straddles its end.</summary>
    protected abstract byte ReadByte(ushort offset);

    /// <summary>Writes a register.</summary>
    protected abstract void WriteByte(ushort offset, byte value);
}
