namespace Hypervisor.Engine.Devices.Pci;

/// <summary>PCI Express enhanced configuration access (PCIe 5.0, 7.2.2): 4 KB a function, mapped at <see cref="PlatformLayout.EcamBase"/>.</summary>
internal sealed class PciEcamWindow(PciBus bus) : IMmioDevice
{
    public ulong ReadMmio(ulong offset, int size)
    {
        int function = (int)(offset >> 12), register = (int)(offset & 0xFFF);
        ulong value = 0;
        for (int done = 0; done < size;)
        {
            int part = Part(register + done, size - done);
            ulong read = register + done < PciConfigurationSpace.Size ? bus.ReadConfig(function, register + done, part) : ulong.MaxValue >> (64 - (part * 8));
            value |= read << (done * 8);
            done += part;
        }

        return value;
    }

    public void WriteMmio(ulong offset, int size, ulong value)
    {
        int function = (int)(offset >> 12), register = (int)(offset & 0xFFF);
        for (int done = 0; done < size;)
        {
            int part = Part(register + done, size - done);
            if (register + done < PciConfigurationSpace.Size)
            {
                bus.WriteConfig(function, register + done, part, (uint)(value >> (done * 8)));
            }

            done += part;
        }
    }

    // The largest naturally aligned piece of 1, 2 or 4 bytes.
    private static int Part(int register, int left) =>
        left >= 4 && (register & 3) == 0 ? 4 : left >= 2 && (register & 1) == 0 ? 2 : 1;
}
