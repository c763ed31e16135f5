using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Devices.Timers;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Timers;

public sealed class PitTests : IDisposable
{
    private readonly ManualMachineClock _clock = new();
    private readonly RecordingLine _line = new();
    private readonly MachineBus _bus = new();
    private readonly Pit _pit;

    public PitTests()
    {
        _pit = new Pit(_clock, _line);
        _pit.Map(_bus);
    }

    public void Dispose() => _pit.Dispose();

    [Fact]
    public void Mode_2_interrupts_at_its_rate_without_drift()
    {
        Program(0, 0x34, 11932); // 100 Hz, nearly
        _clock.Advance(10_000_000_000);
        Assert.Equal(999, _line.Edges); // 10 s × 1193182 Hz ÷ 11932 = 999.98
        Assert.False(_line.Level);
    }

    [Fact]
    public void Interrupts_that_a_late_host_missed_become_one()
    {
        Program(0, 0x34, 1193);
        _clock.Jump(1_000_000_000);
        Assert.Equal(1, _line.Edges);
        _clock.Advance(10_000_000);
        Assert.InRange(_line.Edges, 10, 12);
    }

    [Fact]
    public void A_period_too_short_to_serve_is_served_at_a_bounded_rate()
    {
        Program(0, 0x34, 2);
        _clock.Advance(1_000_000_000);
        Assert.InRange(_line.Edges, 1, 10_001);
    }

    [Fact]
    public void Mode_0_interrupts_once_at_terminal_count()
    {
        Program(0, 0x30, 1194);
        _clock.Advance(1_000_000);
        Assert.Equal(0, _line.Edges);
        _clock.Advance(1_000_000_000);
        Assert.Equal(1, _line.Edges);
    }

    [Fact]
    public void Mode_3_counts_down_by_two()
    {
        Program(0, 0x36, 1000);
        _clock.Advance(100 * 1_000_000_000L / Pit.Frequency + 1);
        Assert.Equal(800u, ReadLatched(0));
    }

    [Fact]
    public void Mode_4_interrupts_once_after_its_strobe()
    {
        Program(0, 0x38, 2000);
        _clock.Advance(5_000_000);
        Assert.Equal(1, _line.Edges);
    }

    [Fact]
    public void A_latched_count_stays_until_both_bytes_are_read()
    {
        Program(0, 0x34, 0x1000);
        Out(0x43, 0x00);
        _clock.Advance(1_000_000);
        uint value = In(0x40) | (In(0x40) << 8);
        Assert.Equal(0x1000u, value);
        uint running = In(0x40) | (In(0x40) << 8);
        Assert.Equal(0x1000u - 1193u, running);
    }

    [Fact]
    public void Read_back_latches_status_before_count()
    {
        Program(2, 0xB0, 0x1234);
        Out(0x43, 0xC8);
        Assert.Equal(0x30u, In(0x42));
        Assert.Equal(0x34u, In(0x42));
        Assert.Equal(0x12u, In(0x42));
    }

    [Fact]
    public void A_counter_without_a_count_says_so_in_its_status()
    {
        Out(0x43, 0xB0);
        Out(0x43, 0xE8);
        Assert.Equal(0x70u, In(0x42));
    }

    [Fact]
    public void Counter_2_calibrates_a_clock_through_port_61h()
    {
        Out(0x61, 0x01);
        Program(2, 0xB0, 59659); // 50 ms
        Assert.Equal(0u, In(0x61) & 0x20);
        _clock.Advance(49_000_000);
        Assert.Equal(0u, In(0x61) & 0x20);
        _clock.Advance(2_000_000);
        Assert.Equal(0x20u, In(0x61) & 0x20);
    }

    [Fact]
    public void A_low_gate_holds_counter_2()
    {
        Out(0x61, 0x01);
        Program(2, 0xB0, 10_000);
        _clock.Advance(1_000_000);
        Out(0x61, 0x00);
        uint held = ReadLatched(2);
        _clock.Advance(5_000_000);
        Assert.Equal(held, ReadLatched(2));
        Out(0x61, 0x01);
        _clock.Advance(1_000_000);
        Assert.InRange(held - ReadLatched(2), 1193u, 1194u);
    }

    [Fact]
    public void Bcd_counters_show_decimal_digits()
    {
        Program(0, 0x35, 0x1000);
        Assert.Equal(0x1000u, ReadLatched(0));
        _clock.Advance(1_000_000_000 / Pit.Frequency + 1);
        Assert.Equal(0x0999u, ReadLatched(0));
    }

    [Fact]
    public void The_refresh_bit_toggles()
    {
        uint before = In(0x61) & 0x10;
        _clock.Advance(15_085);
        Assert.NotEqual(before, In(0x61) & 0x10);
    }

    [Fact]
    public void Reset_stops_interrupts()
    {
        Program(0, 0x34, 1193);
        _pit.Reset();
        _clock.Advance(100_000_000);
        Assert.Equal(0, _line.Edges);
    }

    [Fact]
    public void Garbage_in_the_registers_never_throws()
    {
        var random = new Random(8254);
        ushort[] ports = [0x40, 0x41, 0x42, 0x43, 0x61];
        for (int i = 0; i < 200_000; i++)
        {
            ushort port = ports[random.Next(ports.Length)];
            switch (random.Next(5))
            {
                case 0:
                    _bus.ReadPort(port, 1 << random.Next(3));
                    break;
                case 1:
                    _clock.Advance(random.Next(1_000_000));
                    break;
                default:
                    _bus.WritePort(port, 1 << random.Next(3), (uint)random.Next());
                    break;
            }
        }
    }

    private void Program(int counter, byte control, int count)
    {
        Out(0x43, control);
        Out((ushort)(0x40 + counter), (byte)count);
        Out((ushort)(0x40 + counter), (byte)(count >> 8));
    }

    private uint ReadLatched(int counter)
    {
        Out(0x43, (byte)(counter << 6));
        ushort port = (ushort)(0x40 + counter);
        return In(port) | (In(port) << 8);
    }

    private void Out(ushort port, byte value) => _bus.WritePort(port, 1, value);

    private uint In(ushort port) => _bus.ReadPort(port, 1);
}
