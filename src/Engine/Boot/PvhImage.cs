using System.Buffers.Binary;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Boot;

/// <summary>
/// An ELF kernel with the PVH entry point (Xen, docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h): entered in 32-bit protected
/// mode with paging off and the address of hvm_start_info in EBX.
/// </summary>
internal sealed class PvhImage : BootImage
{
    private const uint PhysicalEntryNote = 18;
    private const uint StartInfoMagic = 0x336EC578;
    private const uint StartInfoVersion = 1;
    private const uint ModuleBytes = 32, MapEntryBytes = 24;
    private const int MaxModules = 64;

    private readonly ElfFile _elf;
    private readonly ulong _entry;

    private PvhImage(ImageFile file, ElfFile elf, ulong entry) : base(file)
    {
        _elf = elf;
        _entry = entry;
    }

    /// <inheritdoc/>
    public override string Format => "PVH ELF";

    /// <summary>Recognizes the note; null when it is another format.</summary>
    public static PvhImage? TryOpen(ImageFile file, ReadOnlySpan<byte> start)
    {
        if (ElfFile.TryOpen(file, start) is not { } elf || elf.FindNote("Xen"u8, PhysicalEntryNote) is not { } note)
        {
            return null;
        }

        ulong entry = note.Length switch
        {
            4 => BinaryPrimitives.ReadUInt32LittleEndian(note),
            8 => BinaryPrimitives.ReadUInt64LittleEndian(note),
            _ => ulong.MaxValue,
        };
        return entry <= uint.MaxValue
            ? new PvhImage(file, elf, entry)
            : throw new MachineException($"The kernel '{file.Path}' has a PVH note without a 32-bit entry address. Fetch or build it again.");
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

        var memory = request.Memory;
        ulong kernelEnd = _elf.LoadSegments(memory, request.Layout);
        BootArea.WriteDescriptors(memory, EntryMode.Protected32);
        ulong commandLine = BootArea.WriteStrings(memory, request.CommandLine)[0];

        ulong limit = request.Layout.LowMemoryTop;
        for (int i = 0; i < request.Modules.Count; i++)
        {
            limit = ModulePlacement.Load(request, request.Modules[i], kernelEnd, limit);
            ulong entry = BootArea.Modules + (ulong)i * ModuleBytes;
            BootArea.Write(memory, entry, limit);
            BootArea.Write(memory, entry + 8, (ulong)request.Modules[i].Length);
            BootArea.Write(memory, entry + 16, 0ul);
            BootArea.Write(memory, entry + 24, 0ul);
        }

        var map = request.Layout.MemoryMap();
        for (int i = 0; i < map.Count; i++)
        {
            ulong entry = BootArea.MemoryMap + (ulong)i * MapEntryBytes;
            BootArea.Write(memory, entry, map[i].Address);
            BootArea.Write(memory, entry + 8, map[i].Bytes);
            BootArea.Write(memory, entry + 16, (uint)map[i].Type);
            BootArea.Write(memory, entry + 20, 0u);
        }

        const ulong Info = BootArea.StartInfo;
        BootArea.Write(memory, Info, StartInfoMagic);
        BootArea.Write(memory, Info + 4, StartInfoVersion);
        BootArea.Write(memory, Info + 8, 0u);
        BootArea.Write(memory, Info + 12, (uint)request.Modules.Count);
        BootArea.Write(memory, Info + 16, request.Modules.Count == 0 ? 0 : BootArea.Modules);
        BootArea.Write(memory, Info + 24, commandLine);
        BootArea.Write(memory, Info + 32, request.RsdpAddress);
        BootArea.Write(memory, Info + 40, BootArea.MemoryMap);
        BootArea.Write(memory, Info + 48, (uint)map.Count);
        BootArea.Write(memory, Info + 52, 0u);
        return new BootEntry { Mode = EntryMode.Protected32, Rip = _entry, Rbx = Info };
    }
}
