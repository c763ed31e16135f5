namespace Hypervisor.Engine.Devices.Acpi;

/// <summary>What the ACPI tables describe of a machine.</summary>
public sealed record AcpiPlatform
{
    /// <summary>First port of the power management block: PM1 event, PM1 control and timer (see <see cref="AcpiPowerManagement"/>).</summary>
    public const ushort PowerManagementPort = 0x600;

    /// <summary>Interrupt of the power management block (SCI): level-triggered, active high.</summary>
    public const int SystemControlInterrupt = 9;

    /// <summary>First I/O APIC input for INTA to INTD of PCI devices; they use eight.</summary>
    public const int FirstPciInterrupt = 16;

    /// <summary>I/O APIC inputs shared by PCI devices.</summary>
    public const int PciInterruptCount = 8;

    /// <summary>Processors; processor n has local APIC id n.</summary>
    public required int ProcessorCount { get; init; }

    /// <summary>The machine's addresses.</summary>
    public required Boot.MemoryLayout Layout { get; init; }

    /// <summary>The second serial port is there.</summary>
    public bool SecondSerialPort { get; init; }

    /// <summary>The I/O APIC input of a PCI device's interrupt pin on bus 0, as _PRT tells the guest.</summary>
    /// <param name="device">Device number, 0 to 31.</param>
    /// <param name="pin">0 for INTA to 3 for INTD.</param>
    public static int PciInterrupt(int device, int pin) => FirstPciInterrupt + ((device + pin) % PciInterruptCount);
}
