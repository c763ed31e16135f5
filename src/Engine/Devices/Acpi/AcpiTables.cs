using System.Buffers.Binary;
using Hypervisor.Engine.Boot;

namespace Hypervisor.Engine.Devices.Acpi;

/// <summary>
/// The ACPI tables of a machine (ACPI 6.5, chapter 5), as one block whose internal pointers are still relative to its start. Direct boot
/// places it itself (<see cref="Place"/>); firmware does it with the help of <see cref="Pointers"/> and <see cref="Checksums"/>.
/// </summary>
public sealed class AcpiTables
{
    /// <summary>A pointer in the block that has to be increased by the block's address.</summary>
    /// <param name="Offset">Place in the block.</param>
    /// <param name="Size">4 or 8 bytes.</param>
    public readonly record struct Pointer(int Offset, int Size);

    /// <summary>A checksum that has to be computed once all pointers are set.</summary>
    /// <param name="Offset">Place of the checksum byte in the block.</param>
    /// <param name="Start">First byte covered.</param>
    /// <param name="Length">Bytes covered.</param>
    public readonly record struct ChecksumRange(int Offset, int Start, int Length);

    /// <summary>Length of the root pointer structure.</summary>
    public const int RsdpBytes = 36;

    /// <summary>Offset of the RSDT's address in the root pointer.</summary>
    public const int RsdpRsdtOffset = 16;

    /// <summary>Offset of the XSDT's address in the root pointer.</summary>
    public const int RsdpXsdtOffset = 24;

    /// <summary>Checksum of the first 20 bytes of the root pointer.</summary>
    public const int RsdpChecksumOffset = 8;

    /// <summary>Checksum of the whole root pointer.</summary>
    public const int RsdpExtendedChecksumOffset = 32;

    /// <summary>Bytes covered by the first checksum.</summary>
    public const int RsdpFirstPartBytes = 20;

    private const int TableAlignment = 64;

    private readonly List<byte> _block = [];
    private readonly List<Pointer> _pointers = [];
    private readonly List<ChecksumRange> _checksums = [];

    /// <summary>Builds the tables.</summary>
    public AcpiTables(AcpiPlatform platform)
    {
        ArgumentNullException.ThrowIfNull(platform);
        int facs = Append(FixedTables.FirmwareControl());
        int dsdt = AppendTable(new AcpiTable("DSDT", 2).Bytes(DifferentiatedDescription.Build(platform)).Build());
        int fadt = AppendTable(FixedTables.FixedDescription((uint)facs, (uint)dsdt));
        foreach (var (offset, size) in FixedTables.FixedDescriptionPointers)
        {
            _pointers.Add(new Pointer(fadt + offset, size));
        }

        int madt = AppendTable(FixedTables.InterruptControllers(platform));
        int mcfg = AppendTable(FixedTables.ConfigurationSpace());
        int[] described = [fadt, madt, mcfg];
        RsdtOffset = AppendRoot("RSDT", described, 4);
        XsdtOffset = AppendRoot("XSDT", described, 8);
    }

    /// <summary>The tables, with pointers relative to the block.</summary>
    public ReadOnlyMemory<byte> Block => _block.ToArray();

    /// <summary>Pointers in <see cref="Block"/>.</summary>
    public IReadOnlyList<Pointer> Pointers => _pointers;

    /// <summary>Checksums in <see cref="Block"/>, correct only while the block lies at 0.</summary>
    public IReadOnlyList<ChecksumRange> Checksums => _checksums;

    /// <summary>Offset of the RSDT in the block.</summary>
    public int RsdtOffset { get; }

    /// <summary>Offset of the XSDT in the block.</summary>
    public int XsdtOffset { get; }

    /// <summary>The root pointer with the offsets of RSDT and XSDT as addresses; its checksums fit them.</summary>
    public byte[] RootPointer(ulong blockAddress)
    {
        byte[] root = new byte[RsdpBytes];
        "RSD PTR "u8.CopyTo(root);
        "HVSHL "u8.CopyTo(root.AsSpan(9));
        root[15] = 2;
        BinaryPrimitives.WriteUInt32LittleEndian(root.AsSpan(RsdpRsdtOffset), (uint)(blockAddress + (uint)RsdtOffset));
        BinaryPrimitives.WriteUInt32LittleEndian(root.AsSpan(20), RsdpBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(root.AsSpan(RsdpXsdtOffset), blockAddress + (uint)XsdtOffset);
        root[RsdpChecksumOffset] = AcpiTable.Checksum(root.AsSpan(0, RsdpFirstPartBytes));
        root[RsdpExtendedChecksumOffset] = AcpiTable.Checksum(root);
        return root;
    }

    /// <summary>The root pointer followed by the tables, for an address below 4 GB on a page; the root pointer is at its start.</summary>
    /// <exception cref="ArgumentException">They do not fit into the area reserved for them.</exception>
    public byte[] Place(ulong address)
    {
        ulong blockAddress = address + TableAlignment;
        byte[] block = [.. _block];
        foreach (var pointer in _pointers)
        {
            var place = block.AsSpan(pointer.Offset);
            if (pointer.Size == sizeof(ulong))
            {
                BinaryPrimitives.WriteUInt64LittleEndian(place, BinaryPrimitives.ReadUInt64LittleEndian(place) + blockAddress);
            }
            else
            {
                BinaryPrimitives.WriteUInt32LittleEndian(place, BinaryPrimitives.ReadUInt32LittleEndian(place) + (uint)blockAddress);
            }
        }

        foreach (var checksum in _checksums)
        {
            block[checksum.Offset] = 0;
            block[checksum.Offset] = AcpiTable.Checksum(block.AsSpan(checksum.Start, checksum.Length));
        }

        byte[] root = RootPointer(blockAddress);
        byte[] placed = [.. root, .. new byte[TableAlignment - root.Length], .. block];
        return placed.Length <= MemoryLayout.AcpiTablesBytes
            ? placed
            : throw new ArgumentException($"ACPI tables of {placed.Length} bytes do not fit below 1 MB.");
    }

    private int Append(byte[] table)
    {
        while (_block.Count % TableAlignment != 0)
        {
            _block.Add(0);
        }

        int offset = _block.Count;
        _block.AddRange(table);
        return offset;
    }

    private int AppendTable(byte[] table)
    {
        int offset = Append(table);
        _checksums.Add(new ChecksumRange(offset + AcpiTable.ChecksumOffset, offset, table.Length));
        return offset;
    }

    private int AppendRoot(string signature, int[] tables, int pointerSize)
    {
        var root = new AcpiTable(signature, 1);
        foreach (int table in tables)
        {
            _ = pointerSize == sizeof(ulong) ? root.UInt64((ulong)table) : root.UInt32((uint)table);
        }

        int offset = AppendTable(root.Build());
        for (int i = 0; i < tables.Length; i++)
        {
            _pointers.Add(new Pointer(offset + AcpiTable.HeaderBytes + i * pointerSize, pointerSize));
        }

        return offset;
    }
}
