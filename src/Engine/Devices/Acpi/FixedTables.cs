using Hypervisor.Engine.Devices.Platform;

namespace Hypervisor.Engine.Devices.Acpi;

/// <summary>The tables without AML.</summary>
internal static class FixedTables
{
    private const int FixedDescriptionBytes = 276;
    private const int FacsPointerOffset = 36, DsdtPointerOffset = 40, ExtendedDsdtPointerOffset = 140;

    /// <summary>
    /// Places of pointers in the FADT. X_FIRMWARE_CTRL is left 0: where FIRMWARE_CTRL is given it must be (ACPI 6.5, table 5.9).
    /// </summary>
    public static readonly (int Offset, int Size)[] FixedDescriptionPointers = [(FacsPointerOffset, 4), (DsdtPointerOffset, 4), (ExtendedDsdtPointerOffset, 8)];

    /// <summary>FACS (ACPI 6.5, 5.2.10).</summary>
    public static byte[] FirmwareControl()
    {
        byte[] table = new byte[64];
        "FACS"u8.CopyTo(table);
        table[4] = 64;
        table[32] = 2;
        return table;
    }

    /// <summary>FADT, revision 6.5 (ACPI 6.5, 5.2.9).</summary>
    public static byte[] FixedDescription(uint facs, uint dsdt)
    {
        // IAPC_BOOT_ARCH: ISA serial ports are there; an 8042 and VGA are not, so that nobody waits for them.
        const ushort LegacyDevices = 1, VgaNotPresent = 1 << 2;
        // Flags: WBINVD works; C1 on all processors; no sleep button; 32 bits of timer; reset register.
        const uint Wbinvd = 1, ProcessorC1 = 1 << 2, NoSleepButton = 1 << 5, ExtendedTimer = 1 << 8, ResetRegister = 1 << 10;
        const byte ProfileEnterpriseServer = 4;
        const ushort C2Absent = 101, C3Absent = 1001;
        const byte CenturyAbsent = 0;
        const ushort Event = AcpiPlatform.PowerManagementPort;
        const ushort Control = Event + AcpiPowerManagement.ControlOffset;
        const ushort Timer = Event + AcpiPowerManagement.TimerOffset;

        var table = new AcpiTable("FACP", 6)
            .UInt32(facs).UInt32(dsdt)
            .Byte(0).Byte(ProfileEnterpriseServer)
            .UInt16(AcpiPlatform.SystemControlInterrupt)
            .UInt32(0).Byte(0).Byte(0).Byte(0).Byte(0) // no SMI command port: the machine is always in ACPI mode
            .UInt32(Event).UInt32(0).UInt32(Control).UInt32(0).UInt32(0).UInt32(Timer).UInt32(0).UInt32(0)
            .Byte(4).Byte(2).Byte(0).Byte(4).Byte(0).Byte(0).Byte(0).Byte(0)
            .UInt16(C2Absent).UInt16(C3Absent)
            .UInt16(0).UInt16(0).Byte(0).Byte(0)
            .Byte(0).Byte(0).Byte(CenturyAbsent)
            .UInt16(LegacyDevices | VgaNotPresent).Byte(0)
            .UInt32(Wbinvd | ProcessorC1 | NoSleepButton | ExtendedTimer | ResetRegister)
            .PortAddress(ResetControl.Port, 8).Byte(ResetControl.HardReset)
            .UInt16(0).Byte(5)
            .UInt64(0).UInt64(dsdt)
            .PortAddress(Event, 32).PortAddress(0, 0)
            .PortAddress(Control, 16).PortAddress(0, 0)
            .PortAddress(0, 0)
            .PortAddress(Timer, 32)
            .PortAddress(0, 0).PortAddress(0, 0)
            .PortAddress(0, 0).PortAddress(0, 0)
            .UInt64(0);
        System.Diagnostics.Debug.Assert(table.Length == FixedDescriptionBytes, "FADT length");
        return table.Build();
    }

    /// <summary>MADT (ACPI 6.5, 5.2.12).</summary>
    public static byte[] InterruptControllers(AcpiPlatform platform)
    {
        const uint PcatCompatible = 1;
        const byte LocalApic = 0, IoApic = 1, SourceOverride = 2, LocalApicNmi = 4;
        const uint Enabled = 1;
        const byte IsaBus = 0, IoApicId = 0, TimerIrq = 0, TimerInput = 2, AllProcessors = 0xFF, NmiInput = 1;
        const ushort ActiveHigh = 1, LevelTriggered = 3 << 2, AsTheBus = 0;

        var table = new AcpiTable("APIC", 5).UInt32((uint)PlatformLayout.LocalApicBase).UInt32(PcatCompatible);
        for (int index = 0; index < platform.ProcessorCount; index++)
        {
            table.Byte(LocalApic).Byte(8).Byte((byte)index).Byte((byte)index).UInt32(Enabled);
        }

        table.Byte(IoApic).Byte(12).Byte(IoApicId).Byte(0).UInt32((uint)PlatformLayout.IoApicBase).UInt32(0);
        table.Byte(SourceOverride).Byte(10).Byte(IsaBus).Byte(TimerIrq).UInt32(TimerInput).UInt16(AsTheBus);
        table.Byte(SourceOverride).Byte(10).Byte(IsaBus).Byte(AcpiPlatform.SystemControlInterrupt)
            .UInt32(AcpiPlatform.SystemControlInterrupt).UInt16(ActiveHigh | LevelTriggered);
        table.Byte(LocalApicNmi).Byte(6).Byte(AllProcessors).UInt16(AsTheBus).Byte(NmiInput);
        return table.Build();
    }

    /// <summary>MCFG (PCI Firmware Specification 3.3, 4.1.2).</summary>
    public static byte[] ConfigurationSpace() =>
        new AcpiTable("MCFG", 1).Zeros(8).UInt64(PlatformLayout.EcamBase).UInt16(0).Byte(0).Byte(255).UInt32(0).Build();
}
