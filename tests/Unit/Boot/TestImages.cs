using System.Buffers.Binary;
using Hypervisor.Engine.Boot;
using Hypervisor.Engine.Memory;

namespace Hypervisor.Tests.Unit.Boot;

/// <summary>Kernel images made byte by byte, and a machine's memory to load them into.</summary>
internal sealed class TestImages : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("images").FullName;
    private readonly List<IDisposable> _owned = [];
    private int _count;

    public string Write(byte[] content)
    {
        string path = Path.Combine(_folder, $"image{_count++}");
        File.WriteAllBytes(path, content);
        return path;
    }

    public BootImage Open(byte[] content)
    {
        var image = BootImage.Open(Write(content));
        _owned.Add(image);
        return image;
    }

    public ImageFile Module(byte[] content)
    {
        var module = ImageFile.Open(Write(content), "initial RAM disk");
        _owned.Add(module);
        return module;
    }

    public BootRequest Request(ulong megabytes, string commandLine = "", params ImageFile[] modules)
    {
        var layout = new MemoryLayout(megabytes << 20);
        var memory = new GuestMemory();
        _owned.Add(memory);
        layout.AddBlocks(memory);
        return new BootRequest { Memory = memory, Layout = layout, CommandLine = commandLine, Modules = modules, RsdpAddress = 0xE0000 };
    }

    /// <summary>A bzImage with one sector of setup code.</summary>
    public static byte[] Linux(int payloadBytes = 4096, ushort version = 0x020F, ushort transferFlags = 3, ulong preferred = 0x100_0000, uint initSize = 0x20_0000)
    {
        byte[] image = new byte[1024 + payloadBytes];
        image[0x1F1] = 1;
        Put32(image, 0x1F4, (uint)(payloadBytes / 16));
        image[0x1FE] = 0x55;
        image[0x1FF] = 0xAA;
        image[0x200] = 0xEB;
        image[0x201] = 0x66;
        "HdrS"u8.CopyTo(image.AsSpan(0x202));
        BinaryPrimitives.WriteUInt16LittleEndian(image.AsSpan(0x206), version);
        image[0x211] = 1;
        Put32(image, 0x22C, 0x7FFF_FFFF);
        Put32(image, 0x230, 0x20_0000);
        image[0x234] = 1;
        BinaryPrimitives.WriteUInt16LittleEndian(image.AsSpan(0x236), transferFlags);
        Put32(image, 0x238, 2047);
        BinaryPrimitives.WriteUInt64LittleEndian(image.AsSpan(0x258), preferred);
        Put32(image, 0x260, initSize);
        for (int i = 1024; i < image.Length; i++)
        {
            image[i] = (byte)i;
        }

        return image;
    }

    /// <summary>A 64-bit ELF file with one segment of code and, where asked for, a PVH note.</summary>
    public static byte[] Elf(byte[] code, ulong address = 0x10_0000, uint? pvhEntry = null, ulong memoryBytes = 0, ushort machine = 62)
    {
        const int Headers = 64 + 2 * 56, Note = 20;
        byte[] image = new byte[Headers + Note + code.Length];
        "\u007FELF"u8.CopyTo(image);
        image[4] = 2;
        image[5] = image[6] = 1;
        image[16] = 2;
        BinaryPrimitives.WriteUInt16LittleEndian(image.AsSpan(18), machine);
        Put64(image, 24, address);
        Put64(image, 32, 64);
        image[52] = 64;
        image[54] = 56;
        image[56] = 2;
        Put32(image, 64, 1);
        Put64(image, 72, Headers + Note);
        Put64(image, 80, address);
        Put64(image, 88, address);
        Put64(image, 96, (ulong)code.Length);
        Put64(image, 104, Math.Max(memoryBytes, (ulong)code.Length));
        Put32(image, 120, pvhEntry is null ? 0u : 4);
        Put64(image, 128, Headers);
        Put64(image, 152, Note);
        Put64(image, 160, Note);
        Put32(image, Headers, 4);
        Put32(image, Headers + 4, 4);
        Put32(image, Headers + 8, 18);
        "Xen"u8.CopyTo(image.AsSpan(Headers + 12));
        Put32(image, Headers + 16, pvhEntry ?? 0);
        code.CopyTo(image, Headers + Note);
        return image;
    }

    /// <summary>A flat Multiboot image with its addresses in the header.</summary>
    public static byte[] Multiboot(byte[] code, uint address = 0x10_0000, uint bssBytes = 0, uint flags = 0x10003)
    {
        const int Header = 32;
        byte[] image = new byte[Header + code.Length];
        Put32(image, 0, 0x1BADB002);
        Put32(image, 4, flags);
        Put32(image, 8, unchecked(0u - 0x1BADB002 - flags));
        Put32(image, 12, address);
        Put32(image, 16, address);
        Put32(image, 20, address + (uint)image.Length);
        Put32(image, 24, address + (uint)image.Length + bssBytes);
        Put32(image, 28, address + Header);
        code.CopyTo(image, Header);
        return image;
    }

    public static void Put32(byte[] image, int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(offset), value);

    public static void Put64(byte[] image, int offset, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(image.AsSpan(offset), value);

    public void Dispose()
    {
        _owned.ForEach(item => item.Dispose());
        Directory.Delete(_folder, recursive: true);
    }
}
