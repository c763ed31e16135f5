using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Devices.Timers;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Timers;

public sealed class RealTimeClockTests : IDisposable
{
    private readonly ManualMachineClock _clock = new() { Start = new DateTimeOffset(2026, 11, 22, 13, 59, 58, TimeSpan.Zero) };
    private readonly RecordingLine _line = new();
    private readonly MachineBus _bus = new();
    private readonly RealTimeClock _rtc;

    public RealTimeClockTests()
    {
        _rtc = new RealTimeClock(_clock, _line);
        _rtc.Map(_bus);
    }

    public void Dispose() => _rtc.Dispose();

    [Fact]
    public void Time_reads_as_bcd_and_24_hours_after_power_on()
    {
        Assert.Equal([0x58, 0x59, 0x13, 0x01, 0x22, 0x11, 0x26, 0x20], Read(0, 2, 4, 6, 7, 8, 9, 0x32));
        _clock.Advance(2_000_000_000);
        Assert.Equal([0x00, 0x00, 0x14], Read(0, 2, 4));
    }

    [Fact]
    public void Time_reads_as_binary_and_12_hours_when_asked()
    {
        Write(11, 0x04);
        Assert.Equal([58, 59, 0x81, 26], Read(0, 2, 4, 9));
    }

    [Fact]
    public void An_update_announces_itself()
    {
        Assert.Equal(0, Read(10) & 0x80);
        _clock.Advance(999_800_000);
        Assert.Equal(0x80, Read(10) & 0x80);
        _clock.Advance(200_000);
        Assert.Equal(0, Read(10) & 0x80);
    }

    [Fact]
    public void Time_set_by_the_guest_goes_on_from_there()
    {
        Write(11, 0x82);
        Write(9, 0x30);
        Write(4, 0x01);
        Write(0, 0x10);
        _clock.Advance(5_000_000_000);
        Assert.Equal([0x10, 0x01, 0x30], Read(0, 4, 9));
        Write(11, 0x02);
        _clock.Advance(3_000_000_000);
        Assert.Equal([0x13, 0x01, 0x30], Read(0, 4, 9));
    }

    [Fact]
    public void A_field_written_while_running_moves_the_clock()
    {
        Write(2, 0x10);
        _clock.Advance(3_000_000_000);
        Assert.Equal([0x01, 0x11], Read(0, 2));
    }

    [Fact]
    public void The_periodic_interrupt_comes_at_its_rate_when_register_c_is_read()
    {
        Write(11, 0x42);
        Assert.False(_line.Level);
        for (int i = 0; i < 1024; i++)
        {
            _clock.AdvanceTo((i + 1) * 1_000_000_000L / 1024 + 1);
            Assert.True(_line.Level);
            Assert.Equal(0xC0, Read(12) & 0xC0);
            Assert.False(_line.Level);
        }
    }

    [Fact]
    public void The_update_interrupt_comes_each_second()
    {
        Write(11, 0x12);
        Read(12);
        _clock.Advance(1_000_000_000);
        Assert.True(_line.Level);
        Assert.Equal(0x90, Read(12) & 0x90);
        _clock.Advance(999_999_999);
        Assert.False(_line.Level);
        _clock.Advance(1);
        Assert.True(_line.Level);
    }

    [Fact]
    public void The_alarm_matches_with_fields_left_open()
    {
        Write(1, 0x05);
        Write(3, 0xC0);
        Write(5, 0xFF);
        Write(11, 0x22);
        Read(12);
        _clock.Advance(6_000_000_000);
        Assert.False(_line.Level);
        _clock.Advance(1_000_000_000);
        Assert.True(_line.Level);
        Assert.Equal(0xA0, Read(12) & 0xA0);
    }

    [Fact]
    public void An_alarm_is_told_once_and_only_while_it_is_enabled()
    {
        int told = 0;
        _rtc.AlarmReached = () => told++;
        Write(1, 0x05);
        Write(3, 0xC0);
        Write(5, 0xFF);
        Write(11, 0x22);
        Read(12);
        _clock.Advance(7_000_000_000);
        Read(12);
        Assert.Equal(1, told);
        Write(11, 0x02);
        _clock.Advance(60_000_000_000);
        Read(12);
        Assert.Equal(1, told);
    }

    [Fact]
    public void Flags_of_disabled_interrupts_can_be_polled()
    {
        Read(12);
        _clock.Advance(1_100_000_000);
        Assert.Equal(0x50, Read(12));
        Assert.Equal(0, _line.Edges);
    }

    [Fact]
    public void Memory_holds_what_the_machine_and_the_guest_put_there()
    {
        _rtc.SetMemory(0x34, 0xAB);
        Assert.Equal(0xAB, Read(0x34));
        Write(0x38, 0x12);
        _rtc.Reset();
        Assert.Equal(0x12, Read(0x38));
        Assert.Equal(0x80, Read(13));
    }

    [Fact]
    public void Reset_disables_interrupts_and_keeps_the_time()
    {
        Write(11, 0x72);
        _clock.Advance(1_000_000_000);
        _rtc.Reset();
        Assert.False(_line.Level);
        _clock.Advance(1_000_000_000);
        Assert.False(_line.Level);
        Assert.Equal(0x14, Read(4));
    }

    [Fact]
    public void Garbage_in_the_registers_never_throws()
    {
        var random = new Random(146818);
        for (int i = 0; i < 200_000; i++)
        {
            switch (random.Next(4))
            {
                case 0:
                    Read(random.Next(random.Next(2) == 0 ? 16 : 128));
                    break;
                case 1:
                    _clock.Advance(random.Next(20_000_000));
                    break;
                default:
                    Write(random.Next(random.Next(2) == 0 ? 16 : 128), (byte)random.Next());
                    break;
            }
        }
    }

    private void Write(int index, byte value)
    {
        _bus.WritePort(0x70, 1, (uint)index);
        _bus.WritePort(0x71, 1, value);
    }

    private byte Read(int index)
    {
        _bus.WritePort(0x70, 1, (uint)index);
        return (byte)_bus.ReadPort(0x71, 1);
    }

    private byte[] Read(params int[] indexes) => [.. indexes.Select(Read)];
}
