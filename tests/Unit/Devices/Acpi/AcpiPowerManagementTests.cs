using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Devices.Acpi;
using Hypervisor.Engine.Devices.Platform;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Acpi;

public sealed class AcpiPowerManagementTests : IDisposable, IMachineControl, IInterruptLine
{
    private const ushort Status = 0, Enable = 2, Control = 4, Timer = 8;
    private const uint PowerButton = 1 << 8;

    private readonly ManualMachineClock _clock = new();
    private readonly AcpiPowerManagement _device;
    private int _powerOffs;
    private bool _asserted;

    public AcpiPowerManagementTests() => _device = new AcpiPowerManagement(_clock, this, this);

    public void Dispose() => _device.Dispose();

    [Fact]
    public void The_power_button_interrupts_until_its_status_is_cleared()
    {
        _device.PressPowerButton();
        Assert.False(_asserted);
        _device.WritePort(Enable, 2, PowerButton);
        Assert.True(_asserted);
        Assert.Equal(PowerButton, _device.ReadPort(Status, 2));
        _device.WritePort(Status, 2, PowerButton);
        Assert.False(_asserted);
        Assert.Equal(0u, _device.ReadPort(Status, 2));
    }

    [Fact]
    public void The_alarm_of_the_clock_interrupts_where_it_is_enabled()
    {
        const ushort ClockAlarm = 1 << 10;
        _device.WritePort(Enable, 2, ClockAlarm);
        _device.RaiseClockAlarm();
        Assert.True(_asserted);
        Assert.Equal(ClockAlarm, _device.ReadPort(Status, 2));
        _device.WritePort(Status, 2, ClockAlarm);
        Assert.False(_asserted);
    }

    [Fact]
    public void Sleep_enable_with_the_type_of_S5_powers_off_and_any_other_does_not()
    {
        for (uint type = 0; type < 8; type++)
        {
            _device.WritePort(Control, 2, type << 10);
            Assert.Equal(0, _powerOffs);
            if (type != 5)
            {
                _device.WritePort(Control, 2, type << 10 | 1 << 13);
                Assert.Equal(0, _powerOffs);
            }
        }

        _device.WritePort(Control, 2, 5 << 10 | 1 << 13);
        Assert.Equal(1, _powerOffs);
    }

    [Fact]
    public void Acpi_mode_is_always_on_and_sleep_enable_reads_as_zero()
    {
        _device.WritePort(Control, 2, 0x3FFE);
        Assert.Equal(1u, _device.ReadPort(Control, 2) & 0x2001);
    }

    [Fact]
    public void The_timer_runs_at_its_frequency_for_hours()
    {
        const long Hours = 3;
        _clock.Advance(Hours * 3600 * 1_000_000_000);
        Assert.Equal(unchecked((uint)(Hours * 3600 * 3_579_545)), _device.ReadPort(Timer, 4));
    }

    [Fact]
    public void The_timer_carry_interrupts_where_enabled()
    {
        _device.WritePort(Enable, 2, 1);
        _clock.Advance(599_000_000_000);
        Assert.False(_asserted);
        _clock.Advance(2_000_000_000);
        Assert.True(_asserted);
        _device.WritePort(Status, 2, 1);
        Assert.False(_asserted);
    }

    void IMachineControl.RequestPowerOff() => _powerOffs++;

    void IMachineControl.RequestReset(string source) => throw new InvalidOperationException(source);

    void IMachineControl.ReportFailure(string device, Exception error) => throw new InvalidOperationException(device, error);

    void IMachineControl.RequestDebugExit(int code) => throw new InvalidOperationException();

    void IInterruptLine.Set(bool asserted) => _asserted = asserted;
}
