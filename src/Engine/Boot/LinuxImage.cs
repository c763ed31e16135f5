using System.Buffers.Binary;
using System.Text;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Boot;

/// <summary>
/// A bzImage, booted by the 64-bit boot protocol, or by the 32-bit one where the image has no 64-bit entry (Linux,
/// Documentation/arch/x86/boot.rst and zero-page.rst). memtest86+ uses the same protocol.
/// </summary>
internal sealed class LinuxImage : BootImage
{
    private const int HeaderEnd = 0x290;
    private const ushort LowestVersion = 0x020C;
    private const byte LoadedHigh = 1;
    private const ushort Kernel64 = 1, CanBeLoadedAbove4G = 2;
    private const int SectorBytes = 512;
    private const ulong Entry64 = 0x200;
    private const ulong PageBytes = 4096;

    private readonly byte[] _header;
    private readonly int _headerBytes;
    private readonly long _payloadOffset;
    private readonly ulong _payloadBytes;

    private LinuxImage(ImageFile file, byte[] header, int headerBytes, long payloadOffset) : base(file)
    {
        _header = header;
        _headerBytes = headerBytes;
        _payloadOffset = payloadOffset;
        _payloadBytes = (ulong)(file.Length - payloadOffset);
    }

    /// <inheritdoc/>
    public override string Format => "Linux bzImage";

    /// <summary>Highest length of a command line that the kernel takes, without its zero.</summary>
    public uint CommandLineLimit => UInt32(Field.CommandLineSize);

    private ushort TransferFlags => BinaryPrimitives.ReadUInt16LittleEndian(_header.AsSpan(Field.TransferLoadFlags));

    private bool HasEntry64 => (TransferFlags & Kernel64) != 0;

    /// <summary>Recognizes the magic; null when it is another format.</summary>
    public static LinuxImage? TryOpen(ImageFile file, ReadOnlySpan<byte> start)
    {
        if (start.Length < Field.Version + 2
            || BinaryPrimitives.ReadUInt16LittleEndian(start[Field.BootFlag..]) != 0xAA55
            || !start[Field.Magic..].StartsWith("HdrS"u8))
        {
            return null;
        }

        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(start[Field.Version..]);
        if (version < LowestVersion)
        {
            throw new MachineException(
                $"The kernel '{file.Path}' speaks boot protocol {version >> 8}.{version & 0xFF:d2}; 2.12 or newer is needed (Linux 3.8 and later).");
        }

        if (start.Length < HeaderEnd)
        {
            throw Damaged(file, "ends within its setup header");
        }

        // The header's length is where its own jump at 200h leads (boot.rst, "Details of Header Fields", jump).
        int headerBytes = Math.Min(0x202 + start[Field.JumpOffset], HeaderEnd);
        if (headerBytes < Field.InitSize + 4)
        {
            throw Damaged(file, $"has a setup header of {headerBytes:x}h bytes, too short for its version");
        }

        int sectors = start[Field.SetupSectors] == 0 ? 4 : start[Field.SetupSectors];
        long payload = (long)(sectors + 1) * SectorBytes;
        if (payload >= file.Length)
        {
            throw Damaged(file, $"is {file.Length} bytes long, no longer than its setup code of {payload} bytes");
        }

        // syssize counts units of 16 bytes of protected-mode code; what is missing was cut off.
        ulong promised = (ulong)BinaryPrimitives.ReadUInt32LittleEndian(start[Field.SystemSize..]) * 16;
        if (promised > (ulong)(file.Length - payload) + 15)
        {
            throw Damaged(file, $"is truncated: {file.Length} bytes instead of {(ulong)payload + promised}");
        }

        if ((start[Field.LoadFlags] & LoadedHigh) == 0)
        {
            throw new MachineException($"The kernel '{file.Path}' is a zImage, loaded below 1 MB; take a bzImage.");
        }

        return new LinuxImage(file, start[..HeaderEnd].ToArray(), headerBytes, payload);
    }

    /// <inheritdoc/>
    public override BootEntry Load(BootRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        int commandLineBytes = Encoding.UTF8.GetByteCount(request.CommandLine);
        if ((uint)commandLineBytes > CommandLineLimit)
        {
            throw new MachineException(
                $"The kernel command line is {commandLineBytes} bytes long; '{File.Path}' takes {CommandLineLimit}. Shorten it.");
        }

        if (request.Modules.Count > 1)
        {
            throw new MachineException($"A Linux kernel takes one initial RAM disk; {request.Modules.Count} modules were given. Concatenate the archives.");
        }

        BootArea.ValidateCommandLine(request.CommandLine);
        var (address, end) = Place(request.Layout);
        File.LoadInto(request.Memory, address, _payloadOffset, _payloadBytes);

        var mode = HasEntry64 ? EntryMode.Long64 : EntryMode.Protected32;
        BootArea.WriteDescriptors(request.Memory, mode);
        if (mode == EntryMode.Long64)
        {
            BootArea.WriteIdentityMap(request.Memory);
        }

        WriteZeroPage(request, address, end);
        return new BootEntry
        {
            Mode = mode,
            Rip = mode == EntryMode.Long64 ? address + Entry64 : address,
            Rsi = BootArea.ZeroPage,
        };
    }

    /// <summary>The kernel's place and the end of the memory that it needs until it is unpacked.</summary>
    private (ulong Address, ulong End) Place(MemoryLayout layout)
    {
        // A kernel that is loaded below its preferred address moves itself there (boot.rst, pref_address): lower is no way to save memory.
        ulong preferred = BinaryPrimitives.ReadUInt64LittleEndian(_header.AsSpan(Field.PreferredAddress));
        ulong address = Math.Max(preferred, MemoryLayout.HighMemoryStart);
        ulong needed = Math.Max(UInt32(Field.InitSize), _payloadBytes);
        if (address < layout.LowMemoryTop && needed <= layout.LowMemoryTop - address)
        {
            return (address, address + needed);
        }

        throw new MachineException(
            $"The kernel '{File.Path}' needs {(needed >> 20) + 1} MB at {address:x}h; this machine has {layout.MemoryBytes >> 20} MB. Give it more memory.");
    }

    private void WriteZeroPage(BootRequest request, ulong kernel, ulong kernelEnd)
    {
        const byte UndefinedLoader = 0xFF;
        const ushort NormalVideoMode = 0xFFFF;
        byte[] page = new byte[PageBytes];
        _header.AsSpan(Field.SetupSectors, _headerBytes - Field.SetupSectors).CopyTo(page.AsSpan(Field.SetupSectors));
        page[Field.LoaderType] = UndefinedLoader;
        BinaryPrimitives.WriteUInt16LittleEndian(page.AsSpan(Field.VideoMode), NormalVideoMode);
        Put32(page, Field.Code32Start, (uint)kernel);

        ulong commandLine = BootArea.WriteStrings(request.Memory, request.CommandLine)[0];
        Put32(page, Field.CommandLine, (uint)commandLine);
        BinaryPrimitives.WriteUInt64LittleEndian(page.AsSpan(Field.RsdpAddress), request.RsdpAddress);

        if (request.Modules.Count == 1)
        {
            // initrd_addr_max is the highest address that the last byte may have. Above 4 GB the 64-bit entry alone can name it.
            ulong limit = (ulong)UInt32(Field.InitrdAddressMax) + 1;
            bool above = HasEntry64 && (TransferFlags & CanBeLoadedAbove4G) != 0;
            ulong initrd = ModulePlacement.Load(request, request.Modules[0], kernelEnd, limit, above);
            ulong bytes = (ulong)request.Modules[0].Length;
            Put32(page, Field.RamdiskImage, (uint)initrd);
            Put32(page, Field.ExtendedRamdiskImage, (uint)(initrd >> 32));
            Put32(page, Field.RamdiskSize, (uint)bytes);
            Put32(page, Field.ExtendedRamdiskSize, (uint)(bytes >> 32));
        }

        var map = request.Layout.MemoryMap();
        page[Field.E820Entries] = (byte)map.Count;
        for (int i = 0; i < map.Count; i++)
        {
            var entry = page.AsSpan(Field.E820Table + i * 20);
            BinaryPrimitives.WriteUInt64LittleEndian(entry, map[i].Address);
            BinaryPrimitives.WriteUInt64LittleEndian(entry[8..], map[i].Bytes);
            BinaryPrimitives.WriteUInt32LittleEndian(entry[16..], (uint)map[i].Type);
        }

        request.Memory.Load(BootArea.ZeroPage, page);
    }

    private uint UInt32(int offset) => BinaryPrimitives.ReadUInt32LittleEndian(_header.AsSpan(offset));

    private static void Put32(byte[] page, int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(page.AsSpan(offset), value);

    private static MachineException Damaged(ImageFile file, string what) =>
        new($"The kernel '{file.Path}' {what}. Fetch or build it again.");

    /// <summary>Offsets in the zero page, which has the setup header where the image has it.</summary>
    private static class Field
    {
        public const int RsdpAddress = 0x070;
        public const int ExtendedRamdiskImage = 0x0C0;
        public const int ExtendedRamdiskSize = 0x0C4;
        public const int E820Entries = 0x1E8;
        public const int SetupSectors = 0x1F1;
        public const int SystemSize = 0x1F4;
        public const int VideoMode = 0x1FA;
        public const int BootFlag = 0x1FE;
        public const int JumpOffset = 0x201;
        public const int Magic = 0x202;
        public const int Version = 0x206;
        public const int LoaderType = 0x210;
        public const int LoadFlags = 0x211;
        public const int Code32Start = 0x214;
        public const int RamdiskImage = 0x218;
        public const int RamdiskSize = 0x21C;
        public const int CommandLine = 0x228;
        public const int InitrdAddressMax = 0x22C;
        public const int TransferLoadFlags = 0x236;
        public const int CommandLineSize = 0x238;
        public const int PreferredAddress = 0x258;
        public const int InitSize = 0x260;
        public const int E820Table = 0x2D0;
    }
}
