using Hypervisor.Engine.Devices.Serial;

namespace Hypervisor.Engine.Devices.Acpi;

/// <summary>The AML of the DSDT: what a guest cannot find by probing.</summary>
internal static class DifferentiatedDescription
{
    /// <summary>SLP_TYP of S5, the only sleeping state of this machine.</summary>
    public const byte SoftOffSleepType = 5;

    private const int PciDevices = 32, PciPins = 4;
    private const ushort RtcPort = 0x70;
    private const int RtcIrq = 8;

    public static byte[] Build(AcpiPlatform platform) => Aml.Join(
        Aml.Name("\\_S5", Aml.Package(Aml.Integer(SoftOffSleepType), Aml.Integer(SoftOffSleepType), Aml.Integer(0), Aml.Integer(0))),
        Aml.Scope("\\_SB", Aml.Join(Processors(platform)), HostBridge(), Motherboard(), Rtc(), SerialPorts(platform)));

    private static byte[][] Processors(AcpiPlatform platform) =>
        [.. Enumerable.Range(0, platform.ProcessorCount).Select(index => Aml.Device(
            $"C{index:X3}",
            Aml.Name("_HID", Aml.Text("ACPI0007")),
            Aml.Name("_UID", Aml.Integer((ulong)index))))];

    private static byte[] HostBridge() => Aml.Device(
        "PCI0",
        Aml.Name("_HID", Aml.EisaId("PNP0A08")),
        Aml.Name("_CID", Aml.EisaId("PNP0A03")),
        Aml.Name("_UID", Aml.Integer(0)),
        Aml.Name("_SEG", Aml.Integer(0)),
        Aml.Name("_BBN", Aml.Integer(0)),
        Aml.Name("_CRS", AmlResource.Template(
            AmlResource.Word(AmlResource.AddressSpace.BusNumbers, 0, 255),
            AmlResource.Ports(PlatformLayout.PciConfigPort, PlatformLayout.PciConfigPortCount),
            AmlResource.Word(AmlResource.AddressSpace.Io, 0, PlatformLayout.PciConfigPort - 1),
            AmlResource.Word(AmlResource.AddressSpace.Io, PlatformLayout.PciConfigPort + PlatformLayout.PciConfigPortCount, ushort.MaxValue),
            AmlResource.DoubleWordMemory((uint)PlatformLayout.PciMmioLowBase, Last(PlatformLayout.PciMmioLowBase, PlatformLayout.PciMmioLowSize)),
            AmlResource.DoubleWordMemory((uint)PlatformLayout.PciMmioHighBase, Last(PlatformLayout.PciMmioHighBase, PlatformLayout.PciMmioHighSize)),
            AmlResource.QuadWordMemory(PlatformLayout.PciMmio64Base, PlatformLayout.PciMmio64Base + PlatformLayout.PciMmio64Size - 1))),
        Aml.Name("_PRT", InterruptRouting()),
        // _OSC (ACPI 6.5, 6.2.11) grants what the system asks for: behind it there is nothing that firmware would keep for itself.
        Aml.Method("_OSC", 4, Aml.Return(Aml.Argument(3))));

    private static uint Last(ulong first, ulong bytes) => (uint)(first + bytes - 1);

    private static byte[] InterruptRouting()
    {
        const uint AnyFunction = 0xFFFF;
        var routes = new List<byte[]>();
        for (int device = 0; device < PciDevices; device++)
        {
            for (int pin = 0; pin < PciPins; pin++)
            {
                routes.Add(Aml.Package(
                    Aml.Integer(((uint)device << 16) | AnyFunction),
                    Aml.Integer((ulong)pin),
                    Aml.Integer(0),
                    Aml.Integer((ulong)PlatformLayout.PciInterruptGsi(device, pin))));
            }
        }

        return Aml.Package([.. routes]);
    }

    // The memory-mapped configuration space has to be claimed by a motherboard device (PCI Firmware Specification 3.3, 4.1.2).
    private static byte[] Motherboard() => Aml.Device(
        "MB00",
        Aml.Name("_HID", Aml.EisaId("PNP0C02")),
        Aml.Name("_UID", Aml.Integer(0)),
        Aml.Name("_CRS", AmlResource.Template(
            AmlResource.FixedMemory((uint)PlatformLayout.EcamBase, (uint)PlatformLayout.EcamSize),
            AmlResource.Ports(AcpiPlatform.PowerManagementPort, AcpiPowerManagement.PortCount))));

    private static byte[] Rtc() => Aml.Device(
        "RTC0",
        Aml.Name("_HID", Aml.EisaId("PNP0B00")),
        Aml.Name("_CRS", AmlResource.Template(AmlResource.Ports(RtcPort, 2), AmlResource.IsaInterrupt(RtcIrq))));

    private static byte[] SerialPorts(AcpiPlatform platform)
    {
        byte[] first = SerialPort("COM1", 1, Uart16550.Com1Port, Uart16550.Com1Irq);
        return platform.SecondSerialPort ? Aml.Join(first, SerialPort("COM2", 2, Uart16550.Com2Port, Uart16550.Com2Irq)) : first;
    }

    private static byte[] SerialPort(string name, ulong uniqueId, ushort port, int irq) => Aml.Device(
        name,
        Aml.Name("_HID", Aml.EisaId("PNP0501")),
        Aml.Name("_UID", Aml.Integer(uniqueId)),
        Aml.Name("_CRS", AmlResource.Template(AmlResource.Ports(port, Uart16550.PortCount), AmlResource.IsaInterrupt(irq))));
}
