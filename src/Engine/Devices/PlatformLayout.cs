namespace Hypervisor.Engine.Devices;

/// <summary>
/// The guest-physical address map and the fixed interrupt wiring of a machine. Devices, ACPI tables and loaders all read it here, so
/// that what the tables describe is what is there. Addresses and sizes are in bytes.
/// </summary>
public static class PlatformLayout
{
    /// <summary>First address that is never memory below 4 GB: memory beyond 3 GB continues at <see cref="HighMemoryBase"/>.</summary>
    public const ulong LowMemoryTop = 0xC000_0000;

    /// <summary>Where memory continues that does not fit below <see cref="LowMemoryTop"/>.</summary>
    public const ulong HighMemoryBase = 0x1_0000_0000;

    /// <summary>Lower 32-bit window for PCI memory BARs, up to the ECAM range.</summary>
    public const ulong PciMmioLowBase = 0xC000_0000;

    /// <summary>Size of the lower 32-bit window.</summary>
    public const ulong PciMmioLowSize = EcamBase - PciMmioLowBase;

    /// <summary>PCI Express enhanced configuration access: 1 MB a bus, 256 buses.</summary>
    public const ulong EcamBase = 0xE000_0000;

    /// <summary>Size of the ECAM range.</summary>
    public const ulong EcamSize = 0x1000_0000;

    /// <summary>Upper 32-bit window for PCI memory BARs; the machine's own BARs are assigned here.</summary>
    public const ulong PciMmioHighBase = 0xF000_0000;

    /// <summary>Size of the upper 32-bit window: up to FEBF_FFFFh.</summary>
    public const ulong PciMmioHighSize = IoApicBase - PciMmioHighBase;

    /// <summary>The I/O APIC's registers, one page.</summary>
    public const ulong IoApicBase = 0xFEC0_0000;

    /// <summary>The local APIC's registers, one page; also the destination of message-signalled interrupts.</summary>
    public const ulong LocalApicBase = 0xFEE0_0000;

    /// <summary>Window for 64-bit PCI memory BARs, above all memory and within the 39 address bits that every x86-64 host has.</summary>
    public const ulong PciMmio64Base = 0x70_0000_0000;

    /// <summary>Size of the 64-bit window: 64 GB.</summary>
    public const ulong PciMmio64Size = 0x10_0000_0000;

    /// <summary>First port of the window for PCI I/O BARs.</summary>
    public const ushort PciPortBase = 0xC000;

    /// <summary>Ports in the window: up to FFFFh.</summary>
    public const int PciPortCount = 0x4000;

    /// <summary>Ports of configuration mechanism #1: CF8h address, CFCh to CFFh data (PCI 3.0, 3.2.2.3.2).</summary>
    public const ushort PciConfigPort = 0xCF8;

    /// <summary>Ports from <see cref="PciConfigPort"/>.</summary>
    public const int PciConfigPortCount = 8;

    /// <summary>First I/O APIC input of the PCI interrupt pins.</summary>
    public const int PciInterruptBase = 16;

    /// <summary>I/O APIC inputs shared by the PCI interrupt pins: 16 to 23.</summary>
    public const int PciInterruptCount = 8;

    /// <summary>The I/O APIC input (GSI) of a PCI interrupt pin on bus 0; ACPI's _PRT says the same. Level-triggered, active high or low as _PRT declares.</summary>
    /// <param name="slot">Device number, 0 to 31.</param>
    /// <param name="pin">0 for INTA# to 3 for INTD#, as in _PRT.</param>
    public static int PciInterruptGsi(int slot, int pin) => PciInterruptBase + ((slot + pin) & (PciInterruptCount - 1));
}
