using System.Text;
using Hypervisor.Engine.Boot;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;

namespace Hypervisor.Tests.Unit.Boot;

public sealed class BootImageTests : IDisposable
{
    private readonly TestImages _images = new();

    public void Dispose() => _images.Dispose();

    private static T Read<T>(BootRequest request, ulong address) where T : unmanaged
    {
        Assert.True(request.Memory.TryRead(address, out T value));
        return value;
    }

    private static string ReadText(BootRequest request, ulong address)
    {
        var text = new StringBuilder();
        for (byte value; (value = Read<byte>(request, address)) != 0; address++)
        {
            text.Append((char)value);
        }

        return text.ToString();
    }

    private string Refusal(byte[] content) => Assert.Throws<MachineException>(() => _images.Open(content)).Message;

    [Fact]
    public void A_bzImage_enters_in_64_bit_mode_with_the_zero_page_in_rsi()
    {
        byte[] kernel = TestImages.Linux();
        var module = _images.Module([.. Enumerable.Range(0, 5000).Select(i => (byte)(i * 7))]);
        var request = _images.Request(64, "console=ttyS0 quiet", module);
        var entry = _images.Open(kernel).Load(request);

        Assert.Equal(EntryMode.Long64, entry.Mode);
        Assert.Equal(0x100_0200ul, entry.Rip);
        byte[] loaded = new byte[4096];
        Assert.True(request.Memory.TryRead(0x100_0000, loaded));
        Assert.Equal(kernel[1024..], loaded);

        ulong page = entry.Rsi;
        Assert.Equal(0xFF, Read<byte>(request, page + 0x210));
        Assert.Equal("console=ttyS0 quiet", ReadText(request, Read<uint>(request, page + 0x228)));
        Assert.Equal(0xE0000ul, Read<ulong>(request, page + 0x70));
        ulong initrd = Read<uint>(request, page + 0x218);
        Assert.Equal(5000u, Read<uint>(request, page + 0x21C));
        Assert.Equal((64ul << 20) - 8192, initrd);
        Assert.Equal((byte)(4999 * 7 & 0xFF), Read<byte>(request, initrd + 4999));
        Assert.Equal(request.Layout.MemoryMap().Count, Read<byte>(request, page + 0x1E8));
    }

    [Fact]
    public void A_bzImage_without_a_64_bit_entry_starts_in_protected_mode()
    {
        var request = _images.Request(64);
        var entry = _images.Open(TestImages.Linux(transferFlags: 0)).Load(request);
        Assert.Equal(EntryMode.Protected32, entry.Mode);
        Assert.Equal(0x100_0000ul, entry.Rip);
    }

    [Fact]
    public void A_kernel_that_would_move_itself_to_where_no_memory_is_is_refused()
    {
        var image = _images.Open(TestImages.Linux());
        string message = Assert.Throws<MachineException>(() => image.Load(_images.Request(16))).Message;
        Assert.Contains("1000000h", message, StringComparison.Ordinal);
        Assert.Equal(0x100_0200ul, image.Load(_images.Request(18)).Rip);
    }

    [Fact]
    public void A_kernel_without_a_preferred_place_lies_at_1_MB() =>
        Assert.Equal(0x10_0200ul, _images.Open(TestImages.Linux(preferred: 0)).Load(_images.Request(16)).Rip);

    [Fact]
    public void An_EFI_program_with_a_Multiboot_header_inside_is_named_as_one()
    {
        byte[] image = TestImages.Multiboot(new byte[600], flags: 3);
        "MZ"u8.CopyTo(image);
        Assert.Contains("EFI program", Refusal([.. image, .. TestImages.Multiboot([], flags: 3)]), StringComparison.Ordinal);
    }

    [Fact]
    public void The_initial_ram_disk_stays_below_the_kernels_limit()
    {
        byte[] kernel = TestImages.Linux();
        TestImages.Put32(kernel, 0x22C, 0x1FF_FFFF);
        var request = _images.Request(64, "", _images.Module(new byte[4096]));
        var entry = _images.Open(kernel).Load(request);
        Assert.Equal(0x200_0000u - 4096, Read<uint>(request, entry.Rsi + 0x218));
    }

    [Fact]
    public void A_kernel_too_large_for_the_machine_is_refused_with_numbers()
    {
        var image = _images.Open(TestImages.Linux(initSize: 64 << 20));
        string message = Assert.Throws<MachineException>(() => image.Load(_images.Request(32))).Message;
        Assert.Contains("32 MB", message, StringComparison.Ordinal);
        Assert.Contains(image.File.Path, message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_initial_ram_disk_that_does_not_fit_is_refused_with_numbers()
    {
        var image = _images.Open(TestImages.Linux());
        var module = _images.Module(new byte[20 << 20]);
        string message = Assert.Throws<MachineException>(() => image.Load(_images.Request(32, "", module))).Message;
        Assert.Contains("20 MB does not fit", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_command_line_longer_than_the_kernel_takes_is_refused()
    {
        var image = _images.Open(TestImages.Linux());
        string message = Assert.Throws<MachineException>(() => image.Load(_images.Request(64, new string('x', 3000)))).Message;
        Assert.Contains("2047", message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_old_boot_protocol_is_refused_by_number() => Assert.Contains("2.11", Refusal(TestImages.Linux(version: 0x020B)), StringComparison.Ordinal);

    [Fact]
    public void A_truncated_bzImage_is_refused_wherever_it_ends()
    {
        byte[] kernel = TestImages.Linux();
        for (int length = 0x208; length < kernel.Length - 16; length += 61)
        {
            string message = Refusal(kernel[..length]);
            Assert.Contains("Fetch or build it again", message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_file_cut_short_anywhere_never_throws_anything_but_a_machine_exception()
    {
        var request = _images.Request(16);
        byte[][] originals = [TestImages.Linux(payloadBytes: 64), TestImages.Elf(new byte[64], pvhEntry: 0x10_0000), TestImages.Multiboot(new byte[64])];
        foreach (byte[] original in originals)
        {
            string path = _images.Write(original);
            for (int length = original.Length - 1; length >= 0; length--)
            {
                using (var file = new FileStream(path, FileMode.Open))
                {
                    file.SetLength(length);
                }

                try
                {
                    using var opened = BootImage.Open(path);
                    opened.Load(request);
                }
                catch (MachineException error)
                {
                    Assert.Contains(path, error.Message, StringComparison.Ordinal);
                }
            }
        }
    }

    [Fact]
    public void A_pvh_kernel_gets_its_start_information_in_rbx()
    {
        byte[] code = [0xF4, 0x90, 0x90];
        var module = _images.Module("ramdisk"u8.ToArray());
        var request = _images.Request(64, "hello", module);
        var entry = _images.Open(TestImages.Elf(code, pvhEntry: 0x10_0001, memoryBytes: 100)).Load(request);

        Assert.Equal(EntryMode.Protected32, entry.Mode);
        Assert.Equal(0x10_0001ul, entry.Rip);
        Assert.Equal(0x336EC578u, Read<uint>(request, entry.Rbx));
        Assert.Equal(1u, Read<uint>(request, entry.Rbx + 4));
        Assert.Equal("hello", ReadText(request, Read<ulong>(request, entry.Rbx + 24)));
        Assert.Equal(0xE0000ul, Read<ulong>(request, entry.Rbx + 32));
        ulong modules = Read<ulong>(request, entry.Rbx + 16);
        ulong ramdisk = Read<ulong>(request, modules);
        Assert.Equal(7ul, Read<ulong>(request, modules + 8));
        Assert.Equal("ramdisk", ReadText(request, ramdisk));
        ulong map = Read<ulong>(request, entry.Rbx + 40);
        uint count = Read<uint>(request, entry.Rbx + 48);
        ulong usable = 0;
        for (uint i = 0; i < count; i++)
        {
            usable += Read<uint>(request, map + i * 24 + 16) == 1 ? Read<ulong>(request, map + i * 24 + 8) : 0;
        }

        Assert.InRange(usable, 63ul << 20, 64ul << 20);
    }

    [Fact]
    public void Memory_that_a_segment_does_not_fill_is_zeroed_again_at_every_load()
    {
        var image = _images.Open(TestImages.Elf([0xF4], pvhEntry: 0x10_0000, memoryBytes: 4096));
        var request = _images.Request(16);
        request.Memory.TryWrite(0x10_0100, 0xAAul);
        image.Load(request);
        Assert.Equal(0ul, Read<ulong>(request, 0x10_0100));
    }

    [Theory]
    [InlineData(0x0ul)]
    [InlineData(0x9_F000ul)]
    [InlineData(0xF_0000ul)]
    [InlineData(0xFF_FFFFul)]
    [InlineData(0x1_0000_0000ul)]
    [InlineData(0xFFFF_FFFF_FFFF_F000ul)]
    public void A_segment_outside_usable_memory_is_refused(ulong address)
    {
        byte[] file = TestImages.Elf(new byte[0x2000], address, pvhEntry: 0x10_0000);
        Assert.Throws<MachineException>(() => _images.Open(file).Load(_images.Request(16)));
    }

    [Fact]
    public void A_segment_beyond_the_end_of_the_file_is_refused()
    {
        byte[] file = TestImages.Elf(new byte[64], pvhEntry: 0x10_0000);
        Assert.Contains("truncated", Refusal(file[..^1]), StringComparison.Ordinal);
    }

    [Fact]
    public void A_multiboot_kernel_gets_magic_and_information()
    {
        var first = _images.Module("one"u8.ToArray());
        var second = _images.Module("second"u8.ToArray());
        var request = _images.Request(64, "a=b", first, second);
        byte[] file = TestImages.Multiboot([0xF4], bssBytes: 64);
        var image = _images.Open(file);
        var entry = image.Load(request);

        Assert.Equal(0x2BADB002ul, entry.Rax);
        Assert.Equal(0x10_0020ul, entry.Rip);
        Assert.Equal(0xF4, Read<byte>(request, entry.Rip));
        Assert.Equal(0x24Du, Read<uint>(request, entry.Rbx));
        Assert.Equal(639u, Read<uint>(request, entry.Rbx + 4));
        Assert.Equal(63u * 1024, Read<uint>(request, entry.Rbx + 8));
        Assert.Equal($"{Path.GetFileName(image.File.Path)} a=b", ReadText(request, Read<uint>(request, entry.Rbx + 16)));
        Assert.Equal(2u, Read<uint>(request, entry.Rbx + 20));
        // A BIOS without services: INT 15h leads to code that returns with CF set; memory below 1 MB ends at its extended data area.
        Assert.Equal(0x600u, Read<uint>(request, 0x15 * 4));
        Assert.Equal(0xCF, Read<byte>(request, 0x608));
        Assert.Equal(0x9FC0, Read<ushort>(request, 0x40E));
        Assert.Equal(639, Read<ushort>(request, 0x413));
        ulong modules = Read<uint>(request, entry.Rbx + 24);
        Assert.Equal("one", ReadText(request, Read<uint>(request, modules)));
        ulong start = Read<uint>(request, modules + 16);
        Assert.Equal(6u, Read<uint>(request, modules + 20) - start);
        Assert.Equal("second", ReadText(request, start));
        Assert.Equal(20u, Read<uint>(request, Read<uint>(request, entry.Rbx + 48)));
    }

    [Fact]
    public void A_multiboot_elf_kernel_is_loaded_by_its_segments()
    {
        byte[] code = new byte[64];
        TestImages.Multiboot([])[..12].CopyTo(code, 0);
        TestImages.Put32(code, 4, 3);
        TestImages.Put32(code, 8, unchecked(0u - 0x1BADB002 - 3));
        var image = _images.Open(TestImages.Elf(code, 0x20_0000));
        Assert.Equal("Multiboot 1", image.Format);
        Assert.Equal(0x20_0000ul, image.Load(_images.Request(16)).Rip);
    }

    [Fact]
    public void A_multiboot_header_with_unknown_demands_is_refused() =>
        Assert.Contains("0008", Refusal(TestImages.Multiboot([0xF4], flags: 0x1000B)), StringComparison.Ordinal);

    [Fact]
    public void A_multiboot_header_with_absurd_addresses_is_refused_at_open_or_load()
    {
        uint[] absurd = [0, 1, 0x1000, 0x9_FFFF, 0xFFFF_FFFF, 0x8000_0000];
        foreach (uint value in absurd)
        {
            for (int field = 12; field <= 24; field += 4)
            {
                byte[] file = TestImages.Multiboot([0xF4]);
                TestImages.Put32(file, field, value);
                if (value == 0 && field >= 20)
                {
                    continue; // the specification's "all of the file" and "no bss"
                }

                Assert.Throws<MachineException>(() => _images.Open(file).Load(_images.Request(16)));
            }
        }
    }

    [Fact]
    public void UEFI_firmware_is_refused_by_its_name()
    {
        byte[] image = new byte[128 << 10];
        "_FVH"u8.CopyTo(image.AsSpan(40));
        image[^16] = 0xEA;
        string path = _images.Write(image);
        Assert.Contains("OVMF", Assert.Throws<MachineException>(() => FirmwareImage.Open(path)).Message, StringComparison.Ordinal);
    }

    public static TheoryData<byte[], string> ForeignFiles => new()
    {
        { [0x1F, 0x8B, 8, 0, 0, 0], "gzip" },
        { [0xFD, (byte)'7', (byte)'z', (byte)'X', (byte)'Z', 0, 0], "xz" },
        { "PK\u0003\u0004zip"u8.ToArray(), "zip" },
        { [.. "MZ"u8, .. new byte[600]], "PE" },
        { [.. new byte[0x8001], .. "CD001"u8, .. new byte[64]], "ISO 9660" },
        { "QFI\u00FB"u8.ToArray(), "qcow2" },
        { "070701000"u8.ToArray(), "-InitrdPath" },
        { [.. new byte[510], 0x55, 0xAA, 0], "boot sector" },
        { new byte[4096], "zeros" },
        { "plain text"u8.ToArray(), "no format known" },
        { TestImages.Elf([0xF4]), "PVH note" },
        { TestImages.Elf([0xF4], machine: 183), "ARM" },
    };

    [Theory]
    [MemberData(nameof(ForeignFiles))]
    public void A_foreign_file_is_refused_by_name(byte[] content, string name)
    {
        string message = Refusal(content);
        Assert.Contains(name, message, StringComparison.Ordinal);
        Assert.Contains("image0", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_file_a_folder_and_an_empty_file_are_told_apart()
    {
        Assert.Contains("does not exist", Assert.Throws<MachineException>(() => BootImage.Open("/nowhere/kernel")).Message, StringComparison.Ordinal);
        Assert.Contains("directory", Assert.Throws<MachineException>(() => BootImage.Open(Path.GetTempPath())).Message, StringComparison.Ordinal);
        Assert.Contains("empty", Refusal([]), StringComparison.Ordinal);
    }

    [Fact]
    public void Damaged_headers_never_throw_anything_but_a_machine_exception()
    {
        byte[][] originals = [TestImages.Linux(), TestImages.Elf(new byte[256], pvhEntry: 0x10_0000), TestImages.Multiboot(new byte[64])];
        var random = new Random(1);
        var request = _images.Request(16);
        for (int round = 0; round < 600; round++)
        {
            byte[] image = (byte[])originals[round % originals.Length].Clone();
            int limit = Math.Min(image.Length, 0x290);
            for (int i = random.Next(1, 12); i > 0; i--)
            {
                image[random.Next(limit)] = random.Next(3) == 0 ? (byte)0xFF : (byte)random.Next(256);
            }

            string path = _images.Write(image);
            try
            {
                using var opened = BootImage.Open(path);
                opened.Load(request);
            }
            catch (MachineException error)
            {
                Assert.Contains(path, error.Message, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void Memory_beyond_three_gigabytes_continues_at_four()
    {
        var layout = new MemoryLayout(5ul << 30);
        Assert.Equal(0xC000_0000ul, layout.LowMemoryTop);
        Assert.Equal(2ul << 30, layout.HighMemoryBytes);
        ulong usable = layout.MemoryMap().Where(range => range.Type == MemoryRangeType.Usable).Aggregate(0ul, (sum, range) => sum + range.Bytes);
        Assert.Equal((5ul << 30) - (0x100000 - 0x9FC00), usable);
        using var memory = new GuestMemory();
        layout.AddBlocks(memory);
        Assert.True(memory.Contains(0x1_0000_0000, 2ul << 30));
        Assert.False(memory.Contains(0xC000_0000, 1));
    }
}
