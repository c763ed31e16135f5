namespace Hypervisor.Engine.Devices.Pci;

/// <summary>
/// The host bridge at 00:00.0, with the identity of an Intel 440FX, which SeaBIOS knows how to set up: its programmable attribute
/// registers keep what is written, and read from power-on as "C0000h to FFFFFh is memory", which it always is here.
/// </summary>
internal sealed class HostBridge : PciDevice
{
    private const int FirstAttributeMap = 0x59, AttributeMapCount = 7;
    private const int SystemManagementControl = 0x72;

    public HostBridge() : base(new PciIdentity(0x8086, 0x1237, ClassCode: 0x060000, Revision: 2, SubsystemVendorId: 0x1AF4, SubsystemId: 0x1100))
    {
        for (int i = 0; i < AttributeMapCount; i++)
        {
            Config.Define(FirstAttributeMap + i, 1, 0x33, 0x33);
        }

        // SMRAM control: C_BASE_SEG reads as 2; writes are kept but open no SMRAM.
        Config.Define(SystemManagementControl, 1, 0x02, 0x78);
    }
}
