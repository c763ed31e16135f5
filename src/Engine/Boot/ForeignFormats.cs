using System.Buffers.Binary;

namespace Hypervisor.Engine.Boot;

/// <summary>Names what a file is that was given as a kernel and is none, so that the message can tell the remedy.</summary>
internal static class ForeignFormats
{
    private const string Wanted = "A kernel is a bzImage, an ELF file with a PVH note, or a Multiboot 1 image.";

    private static readonly (byte[] Magic, int Offset, string Text)[] Known =
    [
        ([0x1F, 0x8B], 0, "compressed with gzip; unpack it with gunzip first"),
        ([0xFD, (byte)'7', (byte)'z', (byte)'X', (byte)'Z', 0], 0, "compressed with xz; unpack it with unxz first"),
        ("BZh"u8.ToArray(), 0, "compressed with bzip2; unpack it with bunzip2 first"),
        ([0x28, 0xB5, 0x2F, 0xFD], 0, "compressed with zstd; unpack it with unzstd first"),
        ([0x04, 0x22, 0x4D, 0x18], 0, "compressed with lz4; unpack it with unlz4 first"),
        ([0x5D, 0, 0, 0x80, 0], 0, "compressed with lzma; unpack it with unlzma first"),
        ("PK\u0003\u0004"u8.ToArray(), 0, "a zip archive; take the kernel out of it"),
        ("7z\u00BC\u00AF"u8.ToArray(), 0, "a 7-Zip archive; take the kernel out of it"),
        ("!<arch>\n"u8.ToArray(), 0, "a Debian package or static library; unpack it with dpkg-deb -x and take boot/vmlinuz-*"),
        ([0xED, 0xAB, 0xEE, 0xDB], 0, "an RPM package; unpack it and take its vmlinuz"),
        ("070701"u8.ToArray(), 0, "a cpio archive, as initial RAM disks are; give it as -InitrdPath"),
        ("QFI\u00FB"u8[..3].ToArray(), 0, "a qcow2 disk image; convert it to raw and give it as -DiskPath"),
        ("KDMV"u8.ToArray(), 0, "a VMDK disk image; give a disk as -DiskPath"),
        ("vhdxfile"u8.ToArray(), 0, "a VHDX disk image; give a disk as -DiskPath"),
        ("ARMd"u8.ToArray(), 0x38, "a Linux kernel for 64-bit ARM; this machine is an x86-64"),
        ([0x27, 0x05, 0x19, 0x56], 0, "a U-Boot image; unpack the kernel from it"),
        ("#!"u8.ToArray(), 0, "a script"),
        ("CD001"u8.ToArray(), 0x8001, "an ISO 9660 image; give it as -DiskPath and boot its own kernel, or take the kernel out of it"),
        ([0x53, 0xEF], 0x438, "an ext2, ext3 or ext4 file system; give it as -DiskPath"),
    ];

    public static string Describe(ImageFile file, ReadOnlySpan<byte> start) =>
        $"The kernel '{file.Path}' is {What(start)}. {Wanted}";

    private static string What(ReadOnlySpan<byte> start)
    {
        foreach (var (magic, offset, text) in Known)
        {
            if (start.Length >= offset + magic.Length && start[offset..].StartsWith(magic))
            {
                return text;
            }
        }

        if (start.StartsWith("\u007FELF"u8))
        {
            return DescribeElf(start);
        }

        if (start.StartsWith("MZ"u8))
        {
            return "a Windows or EFI program (PE) without a Linux kernel in it";
        }

        if (start.Length >= 512 && BinaryPrimitives.ReadUInt16LittleEndian(start[510..]) == 0xAA55)
        {
            return "a disk image with a boot sector; give it as -DiskPath";
        }

        return start.ContainsAnyExcept((byte)0) ? "of no format known here" : "made of zeros only, perhaps an interrupted copy";
    }

    private static string DescribeElf(ReadOnlySpan<byte> start)
    {
        const ushort Machine386 = 3, MachineX64 = 62, MachineArm64 = 183;
        if (start.Length < 20)
        {
            return "a truncated ELF file";
        }

        ushort machine = BinaryPrimitives.ReadUInt16LittleEndian(start[18..]);
        return machine switch
        {
            Machine386 or MachineX64 =>
                "an ELF file with neither a PVH note nor a Multiboot header; a Linux vmlinux has the note when it was built with CONFIG_PVH=y, or take the bzImage",
            MachineArm64 => "an ELF file for 64-bit ARM; this machine is an x86-64",
            _ => $"an ELF file for another processor (machine type {machine}); this machine is an x86-64",
        };
    }
}
