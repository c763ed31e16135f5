using System.Buffers.Binary;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Boot;

/// <summary>
/// A kernel of the Multiboot Specification 0.6.96: an ELF file, or any file whose header carries its addresses (the "a.out kludge").
/// Entered in 32-bit protected mode with EAX = 2BADB002h and EBX = the information structure.
/// </summary>
internal sealed class MultibootImage : BootImage
{
    private const uint HeaderMagic = 0x1BADB002, LoaderMagic = 0x2BADB002;
    private const int SearchBytes = 8192;
    private const uint HasAddresses = 1 << 16;
    // Bits 0 to 15 are demands. 0: modules on pages (always), 1: memory information (always), 2: a video mode, which this machine has
    // none of and reports by leaving the field empty, as the specification lets a loader do.
    private const uint KnownDemands = 0b111, Demands = 0xFFFF;

    private const uint InfoMemory = 1, InfoCommandLine = 1 << 2, InfoModules = 1 << 3, InfoMemoryMap = 1 << 6, InfoLoaderName = 1 << 9;
    private const int InfoBytes = 120;
    private const uint ModuleBytes = 16, MapEntryBytes = 24;
    private const int MaxModules = 64;

    private readonly record struct Header(long Offset, uint Flags, uint HeaderAddress, uint LoadAddress, uint LoadEnd, uint BssEnd, uint Entry);

    private readonly Header _header;
    private readonly ElfFile? _elf;

    private MultibootImage(ImageFile file, Header header, ElfFile? elf) : base(file)
    {
        _header = header;
        _elf = elf;
    }

    /// <inheritdoc/>
    public override string Format => "Multiboot 1";

    /// <summary>Recognizes the header; null when it is another format.</summary>
    public static MultibootImage? TryOpen(ImageFile file, ReadOnlySpan<byte> start)
    {
        // Xen's EFI program has the header of the kernel inside it, which is not to be loaded that way.
        if (start.StartsWith("MZ"u8) || FindHeader(file, start) is not { } header)
        {
            return null;
        }

        uint unknown = header.Flags & Demands & ~KnownDemands;
        if (unknown != 0)
        {
            throw new MachineException($"The Multiboot kernel '{file.Path}' demands features {unknown:x4}h of its header's flags, which no loader of version 0.6.96 has.");
        }

        if ((header.Flags & HasAddresses) != 0)
        {
            Validate(file, header);
            return new MultibootImage(file, header, null);
        }

        return ElfFile.TryOpen(file, start) is { } elf
            ? new MultibootImage(file, header, elf)
            : throw new MachineException($"The Multiboot kernel '{file.Path}' is no ELF file and its header has no load addresses. Link it as ELF, or set bit 16 of the flags.");
    }

    /// <inheritdoc/>
    public override BootEntry Load(BootRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        BootArea.ValidateCommandLine(request.CommandLine);
        if (request.Modules.Count > MaxModules)
        {
            throw new MachineException($"{request.Modules.Count} modules were given; at most {MaxModules} can be handed over.");
        }

        ulong entry, end;
        if (_elf is not null)
        {
            end = _elf.LoadSegments(request.Memory, request.Layout);
            entry = _elf.ToPhysical(_elf.Entry);
        }
        else
        {
            end = LoadFlat(request);
            entry = _header.Entry;
        }

        if (entry > uint.MaxValue)
        {
            throw new MachineException($"The Multiboot kernel '{File.Path}' has its entry at {entry:x}h, beyond 4 GB. Link it lower.");
        }

        BootArea.WriteDescriptors(request.Memory, EntryMode.Protected32);
        BootArea.WriteBiosArea(request.Memory);
        WriteInformation(request, end);
        return new BootEntry { Mode = EntryMode.Protected32, Rip = entry, Rax = LoaderMagic, Rbx = BootArea.StartInfo };
    }

    private static Header? FindHeader(ImageFile file, ReadOnlySpan<byte> start)
    {
        var area = start[..Math.Min(start.Length, SearchBytes)];
        for (int offset = 0; offset + 12 <= area.Length; offset += 4)
        {
            if (At(area, offset) != HeaderMagic)
            {
                continue;
            }

            uint flags = At(area, offset + 4);
            if (unchecked(HeaderMagic + flags + At(area, offset + 8)) != 0)
            {
                continue;
            }

            if ((flags & HasAddresses) == 0)
            {
                return new Header(offset, flags, 0, 0, 0, 0, 0);
            }

            return offset + 32 <= area.Length
                ? new Header(offset, flags, At(area, offset + 12), At(area, offset + 16), At(area, offset + 20), At(area, offset + 24), At(area, offset + 28))
                : throw new MachineException($"The kernel '{file.Path}' is truncated within its Multiboot header. Fetch or build it again.");
        }

        return null;
    }

    private static void Validate(ImageFile file, Header header)
    {
        long loadOffset = header.Offset - ((long)header.HeaderAddress - header.LoadAddress);
        bool sane = header.LoadAddress <= header.HeaderAddress && loadOffset >= 0 && loadOffset < file.Length
            && (header.LoadEnd == 0 || header.LoadEnd > header.LoadAddress)
            && (header.BssEnd == 0 || header.BssEnd >= header.LoadEnd);
        if (!sane)
        {
            throw new MachineException($"The Multiboot kernel '{file.Path}' has a header whose addresses contradict each other (load {header.LoadAddress:x}h to {header.LoadEnd:x}h, header at {header.HeaderAddress:x}h). Build it again.");
        }
    }

    private ulong LoadFlat(BootRequest request)
    {
        long offset = _header.Offset - ((long)_header.HeaderAddress - _header.LoadAddress);
        ulong first = _header.LoadAddress;
        ulong fileBytes = _header.LoadEnd == 0 ? (ulong)(File.Length - offset) : _header.LoadEnd - first;
        ulong end = Math.Max(first + fileBytes, _header.BssEnd);
        if (!KernelSpace.IsFree(request.Layout, first, end - first))
        {
            throw KernelSpace.NoRoom(File.Path, request.Layout, first, end);
        }

        File.LoadInto(request.Memory, first, offset, fileBytes);
        KernelSpace.Clear(request.Memory, first + fileBytes, end - first - fileBytes);
        return end;
    }

    private void WriteInformation(BootRequest request, ulong kernelEnd)
    {
        const ulong Info = BootArea.StartInfo;
        var memory = request.Memory;
        memory.Load(Info, new byte[InfoBytes]);

        // Kernels expect an image's name as the first word of its command line and skip it unread, as boot loaders of the
        // specification's time put it there; Xen would take its first option for it.
        string commandLine = request.CommandLine.Length == 0 ? NameOf(File) : $"{NameOf(File)} {request.CommandLine}";
        string[] strings = ["hypervisor", commandLine, .. request.Modules.Select(NameOf)];
        ulong[] texts = BootArea.WriteStrings(memory, strings);

        ulong limit = request.Layout.LowMemoryTop;
        for (int i = 0; i < request.Modules.Count; i++)
        {
            limit = ModulePlacement.Load(request, request.Modules[i], kernelEnd, limit);
            ulong entry = BootArea.Modules + (ulong)i * ModuleBytes;
            BootArea.Write(memory, entry, (uint)limit);
            BootArea.Write(memory, entry + 4, (uint)(limit + (ulong)request.Modules[i].Length));
            BootArea.Write(memory, entry + 8, (uint)texts[i + 2]);
            BootArea.Write(memory, entry + 12, 0u);
        }

        var map = request.Layout.MemoryMap();
        for (int i = 0; i < map.Count; i++)
        {
            ulong entry = BootArea.MemoryMap + (ulong)i * MapEntryBytes;
            BootArea.Write(memory, entry, MapEntryBytes - sizeof(uint));
            BootArea.Write(memory, entry + 4, map[i].Address);
            BootArea.Write(memory, entry + 12, map[i].Bytes);
            BootArea.Write(memory, entry + 20, (uint)map[i].Type);
        }

        uint flags = InfoMemory | InfoCommandLine | InfoMemoryMap | InfoLoaderName | (request.Modules.Count > 0 ? InfoModules : 0);
        BootArea.Write(memory, Info, flags);
        BootArea.Write(memory, Info + 4, (uint)(MemoryLayout.LowMemoryEnd >> 10));
        BootArea.Write(memory, Info + 8, (uint)((request.Layout.LowMemoryTop - MemoryLayout.HighMemoryStart) >> 10));
        BootArea.Write(memory, Info + 16, (uint)texts[1]);
        BootArea.Write(memory, Info + 20, (uint)request.Modules.Count);
        BootArea.Write(memory, Info + 24, (uint)BootArea.Modules);
        BootArea.Write(memory, Info + 44, (uint)map.Count * MapEntryBytes);
        BootArea.Write(memory, Info + 48, (uint)BootArea.MemoryMap);
        BootArea.Write(memory, Info + 64, (uint)texts[0]);
    }

    // One word, whatever the file is called.
    private static string NameOf(ImageFile file) => Path.GetFileName(file.Path).Replace(' ', '_');

    private static uint At(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[offset..]);
}
