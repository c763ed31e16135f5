using System.Buffers.Binary;
using System.Text;

namespace Hypervisor.Engine.Devices.Acpi;

/// <summary>Bytes of a table under construction, with the common header (ACPI 6.5, 5.2.6) in front.</summary>
internal sealed class AcpiTable
{
    /// <summary>Offset of the checksum in the header.</summary>
    public const int ChecksumOffset = 9;

    /// <summary>Length of the header.</summary>
    public const int HeaderBytes = 36;

    private const int LengthOffset = 4;
    private const uint CreatorRevision = 1;

    private readonly List<byte> _bytes = [];

    public AcpiTable(string signature, byte revision)
    {
        Text(signature, 4);
        UInt32(0);
        Byte(revision);
        Byte(0);
        _bytes.AddRange("HVSHL "u8);
        Text("HVSHL" + signature[..3], 8);
        UInt32(1);
        Text("HVSH", 4);
        UInt32(CreatorRevision);
    }

    /// <summary>Bytes so far.</summary>
    public int Length => _bytes.Count;

    public AcpiTable Byte(byte value)
    {
        _bytes.Add(value);
        return this;
    }

    public AcpiTable UInt16(ushort value) => Byte((byte)value).Byte((byte)(value >> 8));

    public AcpiTable UInt32(uint value) => UInt16((ushort)value).UInt16((ushort)(value >> 16));

    public AcpiTable UInt64(ulong value) => UInt32((uint)value).UInt32((uint)(value >> 32));

    public AcpiTable Zeros(int count)
    {
        _bytes.AddRange(new byte[count]);
        return this;
    }

    public AcpiTable Bytes(ReadOnlySpan<byte> bytes)
    {
        _bytes.AddRange(bytes);
        return this;
    }

    /// <summary>A Generic Address Structure for I/O ports (ACPI 6.5, 5.2.3.2).</summary>
    public AcpiTable PortAddress(ushort port, int bits)
    {
        const byte SystemIo = 1;
        byte accessSize = bits switch
        {
            8 => 1,
            16 => 2,
            32 => 3,
            _ => 0,
        };
        return port == 0 ? Zeros(12) : Byte(SystemIo).Byte((byte)bits).Byte(0).Byte(accessSize).UInt64(port);
    }

    /// <summary>The finished table with length and checksum.</summary>
    public byte[] Build()
    {
        byte[] table = [.. _bytes];
        BinaryPrimitives.WriteUInt32LittleEndian(table.AsSpan(LengthOffset), (uint)table.Length);
        table[ChecksumOffset] = Checksum(table);
        return table;
    }

    /// <summary>The byte that makes the sum of all bytes 0, given that its own place holds 0.</summary>
    public static byte Checksum(ReadOnlySpan<byte> bytes)
    {
        byte sum = 0;
        foreach (byte value in bytes)
        {
            sum += value;
        }

        return (byte)-sum;
    }

    private void Text(string text, int length) => _bytes.AddRange(Encoding.ASCII.GetBytes(text.PadRight(length)[..length]));
}
