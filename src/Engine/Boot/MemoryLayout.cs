using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Boot;

/// <summary>Type of a range in the firmware's memory map (ACPI 6.5, 15.1, "Address Range Types").</summary>
public enum MemoryRangeType : uint
{
    /// <summary>Memory the operating system may use.</summary>
    Usable = 1,
    /// <summary>Not to be used.</summary>
    Reserved = 2,
}

/// <summary>A range of the memory map.</summary>
/// <param name="Address">Guest-physical address.</param>
/// <param name="Bytes">Length.</param>
/// <param name="Type">What it is.</param>
public readonly record struct MemoryRange(ulong Address, ulong Bytes, MemoryRangeType Type);

/// <summary>
/// Where a machine's memory lies in the address map of <see cref="PlatformLayout"/>: below 3 GB and, what does not fit there, from
/// 4 GB on.
/// </summary>
public sealed class MemoryLayout
{
    /// <summary>Start of the window of VGA and option ROMs; memory ends here and goes on at <see cref="RomAreaBase"/>.</summary>
    public const ulong VgaHoleBase = 0xA0000;

    /// <summary>Option ROM and firmware area below 1 MB, backed by memory.</summary>
    public const ulong RomAreaBase = 0xC0000;

    /// <summary>Where direct boot puts ACPI tables; reserved in the memory map up to 1 MB.</summary>
    public const ulong AcpiTablesBase = 0xE0000;

    /// <summary>Bytes from <see cref="AcpiTablesBase"/> to 1 MB.</summary>
    public const int AcpiTablesBytes = 0x20000;

    /// <summary>End of usable memory below 640 KB; the last kilobyte is the extended BIOS data area's place.</summary>
    public const ulong LowMemoryEnd = 0x9FC00;

    /// <summary>1 MB.</summary>
    public const ulong HighMemoryStart = 0x100000;

    /// <summary>Lays out a machine.</summary>
    /// <param name="memoryBytes">Guest memory, at least 2 MB, whole megabytes.</param>
    public MemoryLayout(ulong memoryBytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(memoryBytes, 2ul << 20);
        MemoryBytes = memoryBytes;
        LowMemoryTop = Math.Min(memoryBytes, PlatformLayout.LowMemoryTop);
        HighMemoryBytes = memoryBytes - LowMemoryTop;
    }

    /// <summary>Guest memory as configured.</summary>
    public ulong MemoryBytes { get; }

    /// <summary>First address above the memory below 4 GB.</summary>
    public ulong LowMemoryTop { get; }

    /// <summary>Memory from 4 GB on.</summary>
    public ulong HighMemoryBytes { get; }

    /// <summary>First address above all memory from 4 GB on; 4 GB when there is none.</summary>
    public ulong HighMemoryTop => PlatformLayout.HighMemoryBase + HighMemoryBytes;

    /// <summary>Adds the machine's memory.</summary>
    public void AddBlocks(GuestMemory memory)
    {
        ArgumentNullException.ThrowIfNull(memory);
        memory.AddBlock(0, VgaHoleBase);
        memory.AddBlock(RomAreaBase, HighMemoryStart - RomAreaBase);
        memory.AddBlock(HighMemoryStart, LowMemoryTop - HighMemoryStart);
        if (HighMemoryBytes != 0)
        {
            memory.AddBlock(PlatformLayout.HighMemoryBase, HighMemoryBytes);
        }
    }

    /// <summary>The memory map that an operating system is told.</summary>
    public IReadOnlyList<MemoryRange> MemoryMap()
    {
        List<MemoryRange> map =
        [
            new(0, LowMemoryEnd, MemoryRangeType.Usable),
            new(LowMemoryEnd, VgaHoleBase - LowMemoryEnd, MemoryRangeType.Reserved),
            new(AcpiTablesBase, AcpiTablesBytes, MemoryRangeType.Reserved),
            new(HighMemoryStart, LowMemoryTop - HighMemoryStart, MemoryRangeType.Usable),
            new(PlatformLayout.EcamBase, PlatformLayout.EcamSize, MemoryRangeType.Reserved),
        ];
        if (HighMemoryBytes != 0)
        {
            map.Add(new(PlatformLayout.HighMemoryBase, HighMemoryBytes, MemoryRangeType.Usable));
        }

        return map;
    }
}
