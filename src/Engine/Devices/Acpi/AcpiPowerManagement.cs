using Hypervisor.Engine.Devices.Platform;

namespace Hypervisor.Engine.Devices.Acpi;

/// <summary>
/// The fixed hardware of ACPI (ACPI 6.5, 4.8): PM1 event and control registers, the power button, entry into S5, and the power management
/// timer of 3.579545 MHz. The machine is always in ACPI mode: SCI_EN reads 1 and there is no SMI command port.
/// </summary>
public sealed class AcpiPowerManagement : BytePortDevice, IResettable, IDisposable
{
    /// <summary>Ports from <see cref="AcpiPlatform.PowerManagementPort"/> on.</summary>
    public const int PortCount = 16;

    /// <summary>Offset of PM1a_CNT.</summary>
    public const int ControlOffset = 4;

    /// <summary>Offset of the timer.</summary>
    public const int TimerOffset = 8;

    /// <summary>Frequency of the timer in Hz.</summary>
    public const long TimerFrequency = 3_579_545;

    private const long NanosecondsASecond = 1_000_000_000;
    private const ushort TimerStatus = 1, PowerButtonStatus = 1 << 8, ClockStatus = 1 << 10;
    private const ushort KnownStatus = TimerStatus | 1 << 4 | 1 << 5 | PowerButtonStatus | 1 << 9 | ClockStatus | 1 << 15;
    private const ushort KnownEnable = TimerStatus | 1 << 5 | PowerButtonStatus | 1 << 9 | ClockStatus;
    private const ushort SciEnabled = 1, BusMasterReload = 1 << 1, SleepTypeMask = 7 << SleepTypeShift, SleepEnable = 1 << 13;
    private const int SleepTypeShift = 10;
    private const uint TimerCarry = 1u << 31;

    private readonly Lock _lock = new();
    private readonly IMachineClock _clock;
    private readonly IInterruptLine _interrupt;
    private readonly IMachineControl _machine;
    private readonly IMachineTimer _carryTimer;
    private ushort _status;
    private ushort _enable;
    private ushort _control = SciEnabled;
    private long _carriesSeen;

    /// <summary>Makes the device.</summary>
    /// <param name="clock">Time of the timer.</param>
    /// <param name="interrupt">The SCI, level-triggered.</param>
    /// <param name="machine">Told when the guest enters S5.</param>
    public AcpiPowerManagement(IMachineClock clock, IInterruptLine interrupt, IMachineControl machine)
    {
        ArgumentNullException.ThrowIfNull(clock);
        _clock = clock;
        _interrupt = interrupt;
        _machine = machine;
        _carryTimer = clock.CreateTimer(OnCarry);
        _carriesSeen = Carries;
    }

    /// <summary>Presses the power button: the guest gets an SCI and decides (ACPI 6.5, 4.8.2.2.1).</summary>
    public void PressPowerButton() => Raise(PowerButtonStatus);

    /// <summary>The real-time clock's alarm: wakes a guest that suspended itself to idle (ACPI 6.5, 4.8.2.4).</summary>
    public void RaiseClockAlarm() => Raise(ClockStatus);

    /// <inheritdoc/>
    public void Reset()
    {
        lock (_lock)
        {
            _status = 0;
            _enable = 0;
            _control = SciEnabled;
            _carriesSeen = Carries;
            _carryTimer.Disarm();
            UpdateInterrupt();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _carryTimer.Dispose();

    /// <inheritdoc/>
    // The bytes of one wide read of the timer belong to one moment.
    public override uint ReadPort(ushort offset, int size) =>
        offset == TimerOffset && size == sizeof(uint) ? (uint)Ticks : base.ReadPort(offset, size);

    /// <inheritdoc/>
    protected override byte ReadByte(ushort offset)
    {
        lock (_lock)
        {
            switch (offset)
            {
                case 0 or 1:
                    NoteCarry();
                    return Part(_status, offset);
                case 2 or 3:
                    return Part(_enable, offset - 2);
                case ControlOffset or ControlOffset + 1:
                    return Part(_control, offset - ControlOffset);
                case >= TimerOffset and < TimerOffset + 4:
                    return (byte)(Ticks >> (8 * (offset - TimerOffset)));
                default:
                    return 0;
            }
        }
    }

    /// <inheritdoc/>
    protected override void WriteByte(ushort offset, byte value)
    {
        bool powerOff = false;
        lock (_lock)
        {
            switch (offset)
            {
                case 0 or 1:
                    NoteCarry();
                    _status &= (ushort)~(value << (8 * offset) & KnownStatus);
                    break;
                case 2 or 3:
                    _enable = (ushort)(Replace(_enable, offset - 2, value) & KnownEnable);
                    ArmCarry();
                    break;
                case ControlOffset or ControlOffset + 1:
                    ushort written = Replace(_control, offset - ControlOffset, value);
                    powerOff = (written & SleepEnable) != 0
                        && (written & SleepTypeMask) >> SleepTypeShift == DifferentiatedDescription.SoftOffSleepType;
                    // SLP_EN is write-only; SCI_EN belongs to the hardware.
                    _control = (ushort)((written & (SleepTypeMask | BusMasterReload)) | SciEnabled);
                    break;
                default:
                    break;
            }

            UpdateInterrupt();
        }

        if (powerOff)
        {
            _machine.RequestPowerOff();
        }
    }

    private long Ticks => (long)((Int128)_clock.Now * TimerFrequency / NanosecondsASecond);

    /// <summary>How often bit 31 of the timer has changed.</summary>
    private long Carries => Ticks / TimerCarry;

    private void Raise(ushort status)
    {
        lock (_lock)
        {
            _status |= status;
            UpdateInterrupt();
        }
    }

    private void NoteCarry()
    {
        long carries = Carries;
        if (carries != _carriesSeen)
        {
            _carriesSeen = carries;
            _status |= TimerStatus;
        }
    }

    private void ArmCarry()
    {
        if ((_enable & TimerStatus) == 0)
        {
            _carryTimer.Disarm();
            return;
        }

        long next = (Carries + 1) * TimerCarry;
        _carryTimer.Arm((long)(((Int128)next * NanosecondsASecond + TimerFrequency - 1) / TimerFrequency));
    }

    private void OnCarry()
    {
        lock (_lock)
        {
            NoteCarry();
            ArmCarry();
            UpdateInterrupt();
        }
    }

    private void UpdateInterrupt() => _interrupt.Set((_status & _enable) != 0);

    private static byte Part(ushort value, int index) => (byte)(value >> (8 * index));

    private static ushort Replace(ushort value, int index, byte part) => (ushort)((value & ~(0xFF << (8 * index))) | (part << (8 * index)));
}
