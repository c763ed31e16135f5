namespace Hypervisor.Engine.Devices.Pci;

/// <summary>Offsets and bits of the type 0 configuration header (PCI 3.0, 6.1 and 6.2).</summary>
public static class PciRegisters
{
    /// <summary>Vendor ID, 16 bits.</summary>
    public const int VendorId = 0x00;
    /// <summary>Device ID, 16 bits.</summary>
    public const int DeviceId = 0x02;
    /// <summary>Command, 16 bits.</summary>
    public const int Command = 0x04;
    /// <summary>Status, 16 bits.</summary>
    public const int Status = 0x06;
    /// <summary>Revision, 8 bits.</summary>
    public const int Revision = 0x08;
    /// <summary>Class code, 24 bits.</summary>
    public const int ClassCode = 0x09;
    /// <summary>Header type, 8 bits.</summary>
    public const int HeaderType = 0x0E;
    /// <summary>First base address register.</summary>
    public const int Bar0 = 0x10;
    /// <summary>First byte after the base address registers.</summary>
    public const int BarEnd = 0x28;
    /// <summary>Subsystem vendor ID, 16 bits.</summary>
    public const int SubsystemVendorId = 0x2C;
    /// <summary>Subsystem ID, 16 bits.</summary>
    public const int SubsystemId = 0x2E;
    /// <summary>Offset of the first capability, 8 bits.</summary>
    public const int CapabilitiesPointer = 0x34;
    /// <summary>Interrupt line, 8 bits: software's own note.</summary>
    public const int InterruptLine = 0x3C;
    /// <summary>Interrupt pin, 8 bits: 0 none, 1 INTA#.</summary>
    public const int InterruptPin = 0x3D;
    /// <summary>First byte after the header.</summary>
    public const int HeaderEnd = 0x40;

    /// <summary>Command: answer I/O BARs.</summary>
    public const ushort CommandIo = 1 << 0;
    /// <summary>Command: answer memory BARs.</summary>
    public const ushort CommandMemory = 1 << 1;
    /// <summary>Command: bus master.</summary>
    public const ushort CommandBusMaster = 1 << 2;
    /// <summary>Command: keep INTx# quiet.</summary>
    public const ushort CommandInterruptDisable = 1 << 10;

    /// <summary>Status: INTx# is pending, whether or not the command register lets it out.</summary>
    public const ushort StatusInterrupt = 1 << 3;
    /// <summary>Status: there is a capabilities list.</summary>
    public const ushort StatusCapabilities = 1 << 4;

    /// <summary>Header type: the device has several functions.</summary>
    public const byte HeaderMultiFunction = 0x80;

    /// <summary>Capability: vendor-specific.</summary>
    public const byte CapabilityVendor = 0x09;
    /// <summary>Capability: MSI-X.</summary>
    public const byte CapabilityMsix = 0x11;
}

/// <summary>What a function says it is.</summary>
/// <param name="VendorId">Vendor ID.</param>
/// <param name="DeviceId">Device ID.</param>
/// <param name="ClassCode">Class, subclass and programming interface, 24 bits.</param>
/// <param name="Revision">Revision.</param>
/// <param name="SubsystemVendorId">Subsystem vendor ID.</param>
/// <param name="SubsystemId">Subsystem ID.</param>
public readonly record struct PciIdentity(
    ushort VendorId, ushort DeviceId, uint ClassCode, byte Revision, ushort SubsystemVendorId, ushort SubsystemId);
