using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using Hypervisor.Engine.Devices.Acpi;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Acpi;

public class AcpiTablesTests
{
    private const uint Address = 0xE0000;
    private readonly byte[] _placed = new AcpiTables(new AcpiPlatform { ProcessorCount = 4, SecondSerialPort = true }).Place(Address);

    [Fact]
    public void The_root_pointer_has_both_checksums_and_leads_to_both_root_tables()
    {
        Assert.Equal("RSD PTR ", Encoding.ASCII.GetString(_placed, 0, 8));
        Assert.Equal(0, Sum(_placed.AsSpan(0, 20)));
        Assert.Equal(0, Sum(_placed.AsSpan(0, 36)));
        Assert.Equal("RSDT", Signature(UInt32(16)));
        Assert.Equal("XSDT", Signature((uint)BinaryPrimitives.ReadUInt64LittleEndian(_placed.AsSpan(24))));
    }

    [Fact]
    public void Every_table_is_found_from_the_root_with_a_correct_checksum()
    {
        var tables = Tables();
        Assert.Equal(["FACP", "APIC", "MCFG", "DSDT"], tables.Keys);
        Assert.All(tables.Values, table => Assert.Equal(0, Sum(table)));
    }

    [Fact]
    public void Rsdt_and_xsdt_name_the_same_tables()
    {
        byte[] rsdt = Table(UInt32(16)), xsdt = Table((uint)BinaryPrimitives.ReadUInt64LittleEndian(_placed.AsSpan(24)));
        Assert.Equal(0, Sum(rsdt));
        Assert.Equal(0, Sum(xsdt));
        Assert.Equal(
            Enumerable.Range(0, (rsdt.Length - 36) / 4).Select(i => (ulong)BinaryPrimitives.ReadUInt32LittleEndian(rsdt.AsSpan(36 + i * 4))),
            Enumerable.Range(0, (xsdt.Length - 36) / 8).Select(i => BinaryPrimitives.ReadUInt64LittleEndian(xsdt.AsSpan(36 + i * 8))));
    }

    [Fact]
    public void The_fixed_description_has_the_length_of_its_revision_and_no_keyboard_controller()
    {
        byte[] fadt = Tables()["FACP"];
        Assert.Equal(276, fadt.Length);
        Assert.Equal(6, fadt[8]);
        Assert.Equal("FACS", Signature(BinaryPrimitives.ReadUInt32LittleEndian(fadt.AsSpan(36))));
        Assert.Equal(0b101, BinaryPrimitives.ReadUInt16LittleEndian(fadt.AsSpan(109)));
        Assert.Equal(0xCF9, BinaryPrimitives.ReadUInt16LittleEndian(fadt.AsSpan(120)));
        Assert.Equal(6, fadt[128]);
    }

    [Fact]
    public void The_largest_machine_fits_below_one_megabyte() =>
        Assert.InRange(new AcpiTables(new AcpiPlatform { ProcessorCount = 64 }).Place(Address).Length, 1000, 0x20000);

    [Fact]
    public void Package_lengths_of_each_width_count_themselves()
    {
        Assert.Equal([0x10, 0x05, .. "ABCD"u8], Aml.Scope("ABCD"));
        byte[] middle = Aml.Scope("ABCD", new byte[100]);
        Assert.Equal(2 + 4 + 100, (middle[1] & 0xF) | (middle[2] << 4));
        Assert.Equal(1, middle[1] >> 6);
        byte[] large = Aml.Scope("ABCD", new byte[5000]);
        Assert.Equal(3 + 4 + 5000, (large[1] & 0xF) | (large[2] << 4) | (large[3] << 12));
        Assert.Equal(2, large[1] >> 6);
    }

    [Fact]
    public void An_eisa_identifier_is_compressed() => Assert.Equal([0x0C, 0x41, 0xD0, 0x0A, 0x08], Aml.EisaId("PNP0A08"));

    [RequiresToolFact("iasl", "acpica-tools")]
    public void The_reference_compiler_disassembles_and_recompiles_all_tables()
    {
        string folder = Directory.CreateTempSubdirectory("acpi").FullName;
        try
        {
            foreach (var (signature, bytes) in Tables())
            {
                string table = Path.Combine(folder, signature + ".dat");
                File.WriteAllBytes(table, bytes);
                Run(folder, "-d", table);
                string source = File.ReadAllText(Path.Combine(folder, signature + ".dsl"));
                Assert.DoesNotContain("Invalid", source, StringComparison.Ordinal);
                Assert.DoesNotContain("incorrect checksum", source, StringComparison.OrdinalIgnoreCase);
                string output = Run(folder, "-tc", Path.Combine(folder, signature + ".dsl"));
                Assert.Contains(" 0 Errors, 0 Warnings", output.Replace("Compilation successful.", "", StringComparison.Ordinal), StringComparison.Ordinal);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static string Run(string folder, params string[] arguments)
    {
        var start = new ProcessStartInfo("iasl", arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = folder };
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd() + errors.Result;
        process.WaitForExit();
        return process.ExitCode == 0 ? output : throw new InvalidOperationException(output);
    }

    private Dictionary<string, byte[]> Tables()
    {
        byte[] xsdt = Table((uint)BinaryPrimitives.ReadUInt64LittleEndian(_placed.AsSpan(24)));
        var tables = new Dictionary<string, byte[]>();
        for (int offset = 36; offset < xsdt.Length; offset += 8)
        {
            uint address = (uint)BinaryPrimitives.ReadUInt64LittleEndian(xsdt.AsSpan(offset));
            tables.Add(Signature(address), Table(address));
        }

        byte[] fadt = tables["FACP"];
        uint dsdt = BinaryPrimitives.ReadUInt32LittleEndian(fadt.AsSpan(40));
        Assert.Equal(dsdt, BinaryPrimitives.ReadUInt64LittleEndian(fadt.AsSpan(140)));
        tables.Add("DSDT", Table(dsdt));
        return tables;
    }

    private uint UInt32(int offset) => BinaryPrimitives.ReadUInt32LittleEndian(_placed.AsSpan(offset));

    private string Signature(uint address) => Encoding.ASCII.GetString(_placed, (int)(address - Address), 4);

    private byte[] Table(uint address)
    {
        int start = (int)(address - Address);
        return _placed.AsSpan(start, (int)UInt32(start + 4)).ToArray();
    }

    private static byte Sum(ReadOnlySpan<byte> bytes)
    {
        byte sum = 0;
        foreach (byte value in bytes)
        {
            sum += value;
        }

        return sum;
    }
}
