namespace Hypervisor.Engine.Devices.Acpi;

/// <summary>What the ACPI tables describe of a machine.</summary>
public sealed record AcpiPlatform
{
    /// <summary>First port of the power management block: PM1 event, PM1 control and timer (see <see cref="AcpiPowerManagement"/>).</summary>
    public const ushort PowerManagementPort = 0x600;

    /// <summary>Interrupt of the power management block (SCI): level-triggered, active high.</summary>
    public const int SystemControlInterrupt = 9;

    /// <summary>Processors; processor n has local APIC id n.</summary>
    public required int ProcessorCount { get; init; }

    /// <summary>The second serial port is there.</summary>
    public bool SecondSerialPort { get; init; }
}
