namespace Hypervisor.Engine.Devices.Platform;

/// <summary>
/// The reset ports of a PC beside the reset control register, which lies amid the PCI configuration ports: fast reset in port 92h, and the
/// pulse of the keyboard controller's reset line by command FEh at 64h. There is no keyboard controller otherwise: its status reads as
/// absent.
/// </summary>
public sealed class ResetControl
{
    /// <summary>Port of the reset control register (Intel ICH9 data sheet, 13.7.5).</summary>
    public const ushort Port = 0xCF9;

    /// <summary>Value that resets the whole machine.</summary>
    public const byte HardReset = 6;

    private const ushort SystemControlPortA = 0x92, KeyboardCommandPort = 0x64;

    /// <summary>Puts the ports on a bus.</summary>
    public ResetControl(MachineBus bus, IMachineControl machine)
    {
        ArgumentNullException.ThrowIfNull(bus);
        bus.MapPorts(SystemControlPortA, 1, new SystemControl(machine));
        bus.MapPorts(KeyboardCommandPort, 1, new KeyboardCommand(machine));
    }

    private sealed class SystemControl(IMachineControl machine) : BytePortDevice
    {
        private const byte FastReset = 1, GateA20 = 2;
        // A20 is never masked: no guest of this machine is older than the 80286's address wrap.
        private volatile byte _value = GateA20;

        protected override byte ReadByte(ushort offset) => offset == 0 ? _value : byte.MaxValue;

        protected override void WriteByte(ushort offset, byte value)
        {
            if (offset != 0)
            {
                return;
            }

            _value = (byte)((value & ~FastReset) | GateA20);
            if ((value & FastReset) != 0)
            {
                machine.RequestReset("port 92h");
            }
        }
    }

    private sealed class KeyboardCommand(IMachineControl machine) : BytePortDevice
    {
        private const byte PulseReset = 0xFE;

        protected override byte ReadByte(ushort offset) => byte.MaxValue;

        protected override void WriteByte(ushort offset, byte value)
        {
            if (offset == 0 && value == PulseReset)
            {
                machine.RequestReset("keyboard controller");
            }
        }
    }
}
