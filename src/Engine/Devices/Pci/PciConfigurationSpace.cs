namespace Hypervisor.Engine.Devices.Pci;

/// <summary>
/// The 4096 bytes of a function's configuration space with, for every bit, whether software may write it or clears it by writing 1.
/// Not synchronised: the bus serialises configuration accesses.
/// </summary>
public sealed class PciConfigurationSpace
{
    /// <summary>Bytes, including the extended space that only ECAM reaches.</summary>
    public const int Size = 4096;

    private readonly byte[] _bytes = new byte[Size];
    private readonly byte[] _writable = new byte[Size];
    private readonly byte[] _clearable = new byte[Size];
    private readonly byte[] _powerOn = new byte[Size];

    /// <summary>Reads 1, 2 or 4 bytes; the caller keeps the access inside the space.</summary>
    public uint Read(int offset, int size)
    {
        uint value = 0;
        for (int i = 0; i < size; i++)
        {
            value |= (uint)_bytes[offset + i] << (i * 8);
        }

        return value;
    }

    /// <summary>A write by software: only writable bits change, and ones clear clearable bits.</summary>
    public void Write(int offset, int size, uint value)
    {
        for (int i = offset; i < offset + size; i++, value >>= 8)
        {
            byte written = (byte)value;
            int kept = _bytes[i] & ~_writable[i] & ~(written & _clearable[i]);
            _bytes[i] = (byte)(kept | (written & _writable[i]));
        }
    }

    /// <summary>Defines a register: its power-on value and what software may do to it.</summary>
    /// <param name="offset">Byte offset.</param>
    /// <param name="size">1, 2 or 4 bytes.</param>
    /// <param name="value">Power-on value.</param>
    /// <param name="writable">Bits that software may write.</param>
    /// <param name="clearable">Bits that software clears by writing 1.</param>
    public void Define(int offset, int size, uint value, uint writable = 0, uint clearable = 0)
    {
        for (int i = 0; i < size; i++)
        {
            _powerOn[offset + i] = _bytes[offset + i] = (byte)(value >> (i * 8));
            _writable[offset + i] = (byte)(writable >> (i * 8));
            _clearable[offset + i] = (byte)(clearable >> (i * 8));
        }
    }

    /// <summary>Sets a register as the device itself does, regardless of what software may write.</summary>
    public void Set(int offset, int size, uint value)
    {
        for (int i = 0; i < size; i++)
        {
            _bytes[offset + i] = (byte)(value >> (i * 8));
        }
    }

    /// <summary>Returns every register to its power-on value.</summary>
    public void Reset() => _powerOn.CopyTo(_bytes, 0);
}
