namespace Hypervisor.Engine.Devices.Pci;

/// <summary>
/// Configuration mechanism #1 (PCI 3.0, 3.2.2.3.2): the address at CF8h, the data at CFCh to CFFh; and between them, at CF9h, the
/// reset control register that ACPI and Linux know.
/// </summary>
internal sealed class PciConfigurationPorts(PciBus bus) : IPortDevice
{
    private const uint AddressEnable = 0x8000_0000, AddressBits = 0x80FF_FFFC;
    private const ushort ResetControl = 1, Data = 4;
    private const byte ResetSystem = 2, ResetProcessor = 4;

    private uint _address;
    private byte _resetControl;

    public Action? ResetRequested { get; set; }

    public void Reset() => (_address, _resetControl) = (0, 0);

    public uint ReadPort(ushort offset, int size)
    {
        uint address = Volatile.Read(ref _address);
        if (offset >= Data)
        {
            return (address & AddressEnable) != 0
                ? bus.ReadConfig(Function(address), Register(address, offset), size)
                : uint.MaxValue >> (32 - (size * 8));
        }

        return offset == 0 && size == 4 ? address
            : offset == ResetControl && size == 1 ? _resetControl
            : uint.MaxValue >> (32 - (size * 8));
    }

    public void WritePort(ushort offset, int size, uint value)
    {
        uint address = Volatile.Read(ref _address);
        if (offset >= Data)
        {
            if ((address & AddressEnable) != 0)
            {
                bus.WriteConfig(Function(address), Register(address, offset), size, value);
            }
        }
        else if (offset == 0 && size == 4)
        {
            // Only a doubleword access is latched; smaller ones are ordinary I/O to whatever else lives there.
            Volatile.Write(ref _address, value & AddressBits);
        }
        else if (offset == ResetControl && size == 1)
        {
            // The reset happens when RST_CPU goes from 0 to 1; SYS_RST says whether it is a hard one, which here makes no difference.
            bool asked = (value & ~(uint)_resetControl & ResetProcessor) != 0;
            _resetControl = (byte)(value & (ResetSystem | ResetProcessor));
            if (asked)
            {
                _resetControl = 0;
                ResetRequested?.Invoke();
            }
        }
    }

    private static int Function(uint address) => (int)((address >> 8) & 0xFFFF);

    private static int Register(uint address, ushort offset) => (int)(address & 0xFC) + (offset - Data);
}
