using Hypervisor.Engine.Partitions.Software;

namespace Hypervisor.Tests.Unit.Partitions.Software;

public sealed class LocalApicTimerTests : IDisposable
{
    private const ulong Hour = 3_600_000_000_000;

    private readonly ApicFixture _fixture = new(1);

    public LocalApicTimerTests()
    {
        _fixture.EnableAll();
        Write(0x3E0, 0x0B); // divide by 1: a count is a nanosecond
    }

    private LocalApic Apic => _fixture.Apics[0];

    public void Dispose() => _fixture.Dispose();

    [Fact]
    public void A_one_shot_count_fires_once_at_zero()
    {
        Write(0x320, 0x40);
        Write(0x380, 1000);
        _fixture.Clock.Advance(400);
        Assert.Equal(600u, Read(0x390));
        Assert.False(Apic.HasInterrupt);
        _fixture.Clock.Advance(600);
        Assert.Equal(0x40, Apic.Acknowledge());
        Assert.Equal(0u, Read(0x390));
        Apic.WritePage(0xB0, 4, 0);
        _fixture.Clock.Advance(10_000);
        Assert.False(Apic.HasInterrupt);
    }

    [Theory]
    [InlineData(0x0, 2)]
    [InlineData(0x1, 4)]
    [InlineData(0x3, 16)]
    [InlineData(0x8, 32)]
    [InlineData(0xA, 128)]
    [InlineData(0xB, 1)]
    public void The_divider_slows_the_count(uint configuration, int divisor)
    {
        Write(0x3E0, configuration);
        Write(0x380, 1000);
        _fixture.Clock.Advance(100 * divisor);
        Assert.Equal(900u, Read(0x390));
    }

    [Fact]
    public void A_periodic_count_fires_without_drift()
    {
        Write(0x320, 0x2_0040);
        Write(0x380, 1_000_000);
        int fired = 0;
        for (int i = 0; i < 1000; i++)
        {
            _fixture.Clock.Advance(100_007);
            if (Apic.Acknowledge() == 0x40)
            {
                Apic.WritePage(0xB0, 4, 0);
                fired++;
            }
        }

        Assert.Equal(100, fired);
    }

    [Fact]
    public void Periods_that_a_late_host_missed_become_one_interrupt()
    {
        Write(0x320, 0x2_0040);
        Write(0x380, 1_000_000);
        _fixture.Clock.Jump(50_500_000);
        Assert.Equal(0x40, Apic.Acknowledge());
        Apic.WritePage(0xB0, 4, 0);
        Assert.False(Apic.HasInterrupt);
        Assert.Equal(500_000u, Read(0x390));
    }

    [Fact]
    public void A_period_too_short_to_serve_fires_at_a_bounded_rate()
    {
        Write(0x320, 0x2_0040);
        Write(0x380, 1);
        int before = _fixture.Targets[0].Signals;
        _fixture.Clock.Advance(100_000_000);
        Assert.InRange(_fixture.Targets[0].Signals - before, 1, 2001);
    }

    [Fact]
    public void A_masked_timer_counts_without_interrupt_and_forgets_what_it_reached()
    {
        Write(0x320, 0x1_0040);
        Write(0x380, 1000);
        _fixture.Clock.Advance(2000);
        Write(0x320, 0x40);
        _fixture.Clock.Advance(2000);
        Assert.False(Apic.HasInterrupt);
    }

    [Fact]
    public void A_count_that_is_over_stays_at_zero_when_the_timer_becomes_periodic()
    {
        Write(0x320, 0x40);
        Write(0x380, 1000);
        _fixture.Clock.Advance(1000);
        Assert.Equal(0x40, Apic.Acknowledge());
        Apic.WritePage(0xB0, 4, 0);
        Write(0x320, 0x2_0040);
        Assert.Equal(0u, Read(0x390));
        _fixture.Clock.Advance(500);
        Assert.Equal(0u, Read(0x390));
        Assert.False(Apic.HasInterrupt);
    }

    [Fact]
    public void A_count_under_way_goes_on_when_the_mode_changes()
    {
        Write(0x320, 0x40);
        Write(0x380, 1_000_000);
        _fixture.Clock.Advance(600_000);
        Write(0x320, 0x2_0040);
        Assert.Equal(400_000u, Read(0x390));
        _fixture.Clock.Advance(500_000);
        Assert.Equal(0x40, Apic.Acknowledge());
        Apic.WritePage(0xB0, 4, 0);
        Assert.Equal(900_000u, Read(0x390));
        _fixture.Clock.Advance(600_000);
        Write(0x320, 0x40);
        Assert.Equal(300_000u, Read(0x390));
        _fixture.Clock.Advance(300_000);
        Assert.Equal(0x40, Apic.Acknowledge());
        Assert.Equal(0u, Read(0x390));
    }

    [Fact]
    public void A_timer_unmasked_in_time_fires()
    {
        Write(0x320, 0x1_0040);
        Write(0x380, 1000);
        _fixture.Clock.Advance(500);
        Write(0x320, 0x40);
        _fixture.Clock.Advance(500);
        Assert.True(Apic.HasInterrupt);
    }

    [Fact]
    public void A_count_of_zero_stops_the_timer()
    {
        Write(0x320, 0x2_0040);
        Write(0x380, 1_000_000);
        Write(0x380, 0);
        _fixture.Clock.Advance(5_000_000);
        Assert.False(Apic.HasInterrupt);
        Assert.Null(_fixture.Clock.NextDeadline);
    }

    [Fact]
    public void A_deadline_fires_when_the_time_stamp_reaches_it()
    {
        Write(0x320, 0x4_0041);
        Assert.True(Apic.TryWriteMsr(0x6E0, _fixture.Timestamp.Read() + Hour));
        _fixture.Clock.Advance((long)Hour / 2);
        Assert.False(Apic.HasInterrupt);
        Assert.True(Apic.TryReadMsr(0x6E0, out ulong armed));
        Assert.NotEqual(0ul, armed);
        _fixture.Clock.Advance((long)Hour / 2);
        Assert.Equal(0x41, Apic.Acknowledge());
        Assert.True(Apic.TryReadMsr(0x6E0, out armed));
        Assert.Equal(0ul, armed);
    }

    [Fact]
    public void A_deadline_in_the_past_fires_at_once_and_zero_disarms()
    {
        Write(0x320, 0x4_0041);
        Apic.TryWriteMsr(0x6E0, 1);
        Assert.Equal(0x41, Apic.Acknowledge());
        Apic.WritePage(0xB0, 4, 0);
        Apic.TryWriteMsr(0x6E0, _fixture.Timestamp.Read() + Hour);
        Apic.TryWriteMsr(0x6E0, 0);
        _fixture.Clock.Advance(2 * (long)Hour);
        Assert.False(Apic.HasInterrupt);
    }

    [Fact]
    public void Deadlines_count_in_deadline_mode_only_and_counts_in_the_others_only()
    {
        Write(0x320, 0x40);
        Apic.TryWriteMsr(0x6E0, 1);
        Assert.False(Apic.HasInterrupt);
        Write(0x320, 0x4_0040);
        Write(0x380, 10);
        _fixture.Clock.Advance(1000);
        Assert.False(Apic.HasInterrupt);
        Assert.Equal(0u, Read(0x380));
    }

    [Fact]
    public void Changing_to_deadline_mode_stops_a_count()
    {
        Write(0x320, 0x40);
        Write(0x380, 1000);
        Write(0x320, 0x4_0040);
        _fixture.Clock.Advance(2000);
        Assert.False(Apic.HasInterrupt);
    }

    private void Write(ulong offset, uint value) => Apic.WritePage(offset, 4, value);

    private uint Read(ulong offset) => (uint)Apic.ReadPage(offset, 4);
}
