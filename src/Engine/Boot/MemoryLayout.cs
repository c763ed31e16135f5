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
/// The guest-physical address space of a machine. Memory lies below <see cref="EcamBase"/> and, what does not fit there, from 4 GB on.
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

    /// <summary>Memory-mapped PCI configuration space: 256 buses of 1 MB (PCI Express Base Specification, 7.2.2).</summary>
    public const ulong EcamBase = 0xB0000000;

    /// <summary>Length of the ECAM window.</summary>
    public const ulong EcamBytes = 0x10000000;

    /// <summary>Window for 32-bit memory BARs. Holds SeaBIOS's own choice, E0000000h to FEC00000h.</summary>
    public const ulong Mmio32Base = 0xC0000000;

    /// <summary>Length of the window for 32-bit memory BARs, up to the I/O APIC.</summary>
    public const ulong Mmio32Bytes = IoApicBase - Mmio32Base;

    /// <summary>I/O APIC registers.</summary>
    public const ulong IoApicBase = 0xFEC00000;

    /// <summary>Local APIC registers.</summary>
    public const ulong LocalApicBase = 0xFEE00000;

    /// <summary>4 GB.</summary>
    public const ulong FourGigabytes = 0x1_0000_0000;

    private const ulong Gigabyte = 1ul << 30;
    private const ulong LowestMmio64Base = 32 * Gigabyte;

    /// <summary>Lays out a machine.</summary>
    /// <param name="memoryBytes">Guest memory, at least 2 MB, whole megabytes.</param>
    public MemoryLayout(ulong memoryBytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(memoryBytes, 2ul << 20);
        MemoryBytes = memoryBytes;
        LowMemoryTop = Math.Min(memoryBytes, EcamBase);
        HighMemoryBytes = memoryBytes - LowMemoryTop;
    }

    /// <summary>Guest memory as configured.</summary>
    public ulong MemoryBytes { get; }

    /// <summary>First address above the memory below 4 GB.</summary>
    public ulong LowMemoryTop { get; }

    /// <summary>Memory from 4 GB on.</summary>
    public ulong HighMemoryBytes { get; }

    /// <summary>First address above all memory from 4 GB on; 4 GB when there is none.</summary>
    public ulong HighMemoryTop => FourGigabytes + HighMemoryBytes;

    /// <summary>Window for 64-bit memory BARs: above memory, aligned so that processors of 36 physical bits reach it on small machines.</summary>
    public ulong Mmio64Base => Math.Max(LowestMmio64Base, (HighMemoryTop + Mmio64Bytes - 1) / Mmio64Bytes * Mmio64Bytes);

    /// <summary>Length of the window for 64-bit memory BARs.</summary>
    public static ulong Mmio64Bytes => 16 * Gigabyte;

    /// <summary>Adds the machine's memory.</summary>
    public void AddBlocks(GuestMemory memory)
    {
        ArgumentNullException.ThrowIfNull(memory);
        memory.AddBlock(0, VgaHoleBase);
        memory.AddBlock(RomAreaBase, HighMemoryStart - RomAreaBase);
        memory.AddBlock(HighMemoryStart, LowMemoryTop - HighMemoryStart);
        if (HighMemoryBytes != 0)
        {
            memory.AddBlock(FourGigabytes, HighMemoryBytes);
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
            new(EcamBase, EcamBytes, MemoryRangeType.Reserved),
        ];
        if (HighMemoryBytes != 0)
        {
            map.Add(new(FourGigabytes, HighMemoryBytes, MemoryRangeType.Usable));
        }

        return map;
    }
}
