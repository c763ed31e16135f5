using System.Buffers.Binary;
using System.Text;
using Hypervisor.Engine.Devices.Acpi;
using Hypervisor.Engine.Devices.Firmware;
using Hypervisor.Engine.Memory;

namespace Hypervisor.Tests.Unit.Devices.Firmware;

public sealed class FirmwareConfigurationDeviceTests : IDisposable
{
    private const ushort Selector = 0, Data = 1, AddressHigh = 4, AddressLow = 8, Directory = 0x19;
    private const uint Error = 1, Read = 2, Skip = 4, Select = 8, Write = 16;

    private readonly GuestMemory _memory = new();
    private readonly FirmwareConfigurationDevice _device;

    public FirmwareConfigurationDeviceTests()
    {
        _memory.AddBlock(0, 1 << 20);
        var items = new FirmwareConfiguration(4, 256 << 20);
        TableLoader.Add(items, new AcpiTables(new AcpiPlatform { ProcessorCount = 4 }));
        items.AddFile("etc/test", "content"u8.ToArray());
        _device = new FirmwareConfigurationDevice(items, _memory);
    }

    public void Dispose() => _memory.Dispose();

    private byte[] ReadItem(ushort key, int bytes)
    {
        _device.WritePort(Selector, 2, key);
        return [.. Enumerable.Range(0, bytes).Select(_ => (byte)_device.ReadPort(Data, 1))];
    }

    private uint Dma(uint control, uint length, ulong address)
    {
        byte[] command = new byte[16];
        BinaryPrimitives.WriteUInt32BigEndian(command, control);
        BinaryPrimitives.WriteUInt32BigEndian(command.AsSpan(4), length);
        BinaryPrimitives.WriteUInt64BigEndian(command.AsSpan(8), address);
        _memory.TryWrite(0x1000, command);
        _device.WritePort(AddressHigh, 4, 0);
        _device.WritePort(AddressLow, 4, BinaryPrimitives.ReverseEndianness(0x1000u));
        Assert.True(_memory.TryRead(0x1000, out uint result));
        return BinaryPrimitives.ReverseEndianness(result);
    }

    private Dictionary<string, (ushort Key, int Bytes)> Files()
    {
        int count = (int)BinaryPrimitives.ReadUInt32BigEndian(ReadItem(Directory, 4));
        byte[] directory = ReadItem(Directory, 4 + count * 64);
        return Enumerable.Range(0, count).Select(i => directory.AsMemory(4 + i * 64, 64)).ToDictionary(
            entry => Encoding.ASCII.GetString(entry.Span[8..]).TrimEnd('\0'),
            entry => (BinaryPrimitives.ReadUInt16BigEndian(entry.Span[4..]), (int)BinaryPrimitives.ReadUInt32BigEndian(entry.Span)));
    }

    [Fact]
    public void The_signature_is_read_byte_by_byte_and_ends_in_zeros() => Assert.Equal("QEMU\0\0"u8.ToArray(), ReadItem(0, 6));

    [Fact]
    public void The_directory_leads_to_each_file()
    {
        var files = Files();
        Assert.Equal(["etc/acpi/rsdp", "etc/acpi/tables", "etc/table-loader", "etc/test"], files.Keys.Order(StringComparer.Ordinal));
        Assert.Equal("content"u8.ToArray(), ReadItem(files["etc/test"].Key, files["etc/test"].Bytes));
        Assert.Equal(0, files["etc/table-loader"].Bytes % 128);
    }

    [Fact]
    public void Dma_reads_skips_and_fills_up_with_zeros()
    {
        uint key = (uint)Files()["etc/test"].Key << 16;
        _memory.TryWrite(0x2000, ulong.MaxValue);
        Assert.Equal(0u, Dma(key | Select | Skip, 3, 0));
        Assert.Equal(0u, Dma(Read, 8, 0x2000));
        byte[] read = new byte[8];
        Assert.True(_memory.TryRead(0x2000, read));
        Assert.Equal("tent\0\0\0\0"u8.ToArray(), read);
    }

    [Fact]
    public void Dma_outside_memory_too_long_or_for_writing_is_an_error()
    {
        Assert.Equal(Error, Dma(Select | Read, 16, 0xFFFF_FFFF_FFFF_FFF0));
        Assert.Equal(Error, Dma(Select | Read, uint.MaxValue, 0x2000));
        Assert.Equal(Error, Dma(Select | Read, 80 << 10, 0x2000));
        Assert.Equal(Error, Dma(Select | Write, 4, 0x2000));
        Assert.Equal(0u, Dma(Skip, uint.MaxValue, 0));
        Assert.Equal(0u, Dma(Skip, uint.MaxValue, 0));
        Assert.Equal(0u, _device.ReadPort(Data, 1));
    }

    [Fact]
    public void The_dma_signature_is_read_from_its_address_register()
    {
        Assert.Equal("QEMU"u8.ToArray(), BitConverter.GetBytes(_device.ReadPort(AddressHigh, 4)));
        Assert.Equal(" CFG"u8.ToArray(), BitConverter.GetBytes(_device.ReadPort(AddressLow, 4)));
    }
}
