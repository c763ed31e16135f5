using System.Buffers.Binary;
using System.Text;
using Hypervisor.Engine.Devices.Acpi;

namespace Hypervisor.Engine.Devices.Firmware;

/// <summary>
/// The commands by which firmware places ACPI tables (file <c>etc/table-loader</c>; SeaBIOS, src/fw/romfile_loader.h): allocate memory for a
/// file, add a file's address to a pointer, compute a checksum.
/// </summary>
internal static class TableLoader
{
    private const string TablesFile = "etc/acpi/tables", RootFile = "etc/acpi/rsdp", LoaderFile = "etc/table-loader";
    private const int CommandBytes = 128, NameBytes = 56;
    private const uint Allocate = 1, AddPointer = 2, AddChecksum = 3;
    private const byte ZoneHigh = 1, ZoneFirmwareSegment = 2;
    private const uint TablesAlignment = 64, RootAlignment = 16;

    /// <summary>Adds the tables and the commands to the configuration.</summary>
    public static void Add(FirmwareConfiguration configuration, AcpiTables tables)
    {
        var commands = new List<byte[]>
        {
            AllocateFile(RootFile, RootAlignment, ZoneFirmwareSegment),
            AllocateFile(TablesFile, TablesAlignment, ZoneHigh),
        };
        foreach (var pointer in tables.Pointers)
        {
            commands.Add(Pointer(TablesFile, pointer.Offset, pointer.Size));
        }

        foreach (var checksum in tables.Checksums)
        {
            commands.Add(Checksum(TablesFile, checksum.Offset, checksum.Start, checksum.Length));
        }

        commands.Add(Pointer(RootFile, AcpiTables.RsdpRsdtOffset, sizeof(uint)));
        commands.Add(Pointer(RootFile, AcpiTables.RsdpXsdtOffset, sizeof(ulong)));
        commands.Add(Checksum(RootFile, AcpiTables.RsdpChecksumOffset, 0, AcpiTables.RsdpFirstPartBytes));
        commands.Add(Checksum(RootFile, AcpiTables.RsdpExtendedChecksumOffset, 0, AcpiTables.RsdpBytes));

        configuration.AddFile(TablesFile, tables.Block.ToArray());
        configuration.AddFile(RootFile, tables.RootPointer(0));
        configuration.AddFile(LoaderFile, [.. commands.SelectMany(command => command)]);
    }

    private static byte[] AllocateFile(string file, uint alignment, byte zone)
    {
        byte[] command = Command(Allocate, file);
        BinaryPrimitives.WriteUInt32LittleEndian(command.AsSpan(4 + NameBytes), alignment);
        command[4 + NameBytes + 4] = zone;
        return command;
    }

    private static byte[] Pointer(string file, int offset, int size)
    {
        byte[] command = Command(AddPointer, file);
        Encoding.ASCII.GetBytes(TablesFile, command.AsSpan(4 + NameBytes));
        BinaryPrimitives.WriteUInt32LittleEndian(command.AsSpan(4 + 2 * NameBytes), (uint)offset);
        command[4 + 2 * NameBytes + 4] = (byte)size;
        return command;
    }

    private static byte[] Checksum(string file, int offset, int start, int length)
    {
        byte[] command = Command(AddChecksum, file);
        var arguments = command.AsSpan(4 + NameBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(arguments, (uint)offset);
        BinaryPrimitives.WriteUInt32LittleEndian(arguments[4..], (uint)start);
        BinaryPrimitives.WriteUInt32LittleEndian(arguments[8..], (uint)length);
        return command;
    }

    private static byte[] Command(uint number, string file)
    {
        byte[] command = new byte[CommandBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(command, number);
        Encoding.ASCII.GetBytes(file, command.AsSpan(4));
        return command;
    }
}
