using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Devices.Interrupts;

namespace Hypervisor.Tests.Unit.Devices.Interrupts;

public sealed class Pic8259PairTests
{
    private readonly MachineBus _bus = new();
    private readonly Pic8259Pair _pic;
    private bool _intr;

    public Pic8259PairTests()
    {
        _pic = new Pic8259Pair(level => _intr = level);
        _pic.Map(_bus);
        Initialize(icw4: 0x01);
    }

    [Fact]
    public void An_edge_raises_the_output_and_is_acknowledged_with_its_vector()
    {
        _pic.SetLine(4, true);
        _pic.SetLine(4, false);
        Assert.True(_intr);
        Assert.Equal(0x34, _pic.Acknowledge());
        Assert.False(_intr);
    }

    [Fact]
    public void A_masked_request_waits_until_it_is_unmasked()
    {
        Out(0x21, 0x10);
        _pic.SetLine(4, true);
        Assert.False(_intr);
        Out(0x21, 0);
        Assert.True(_intr);
    }

    [Fact]
    public void A_request_of_the_second_chip_passes_through_the_cascade()
    {
        _pic.SetLine(12, true);
        Assert.Equal(0x3C, _pic.Acknowledge());
        Out(0x20, 0x0B);
        Assert.Equal(0x04u, In(0x20));
        Out(0xA0, 0x0B);
        Assert.Equal(0x10u, In(0xA0));
    }

    [Fact]
    public void A_lower_priority_waits_for_the_end_of_the_higher()
    {
        _pic.SetLine(1, true);
        _pic.Acknowledge();
        _pic.SetLine(3, true);
        Assert.False(_intr);
        _pic.SetLine(0, true);
        Assert.True(_intr);
        Assert.Equal(0x30, _pic.Acknowledge());
        Out(0x20, 0x20);
        Assert.False(_intr);
        Out(0x20, 0x20);
        Assert.True(_intr);
        Assert.Equal(0x33, _pic.Acknowledge());
    }

    [Fact]
    public void A_request_that_went_away_is_answered_with_the_spurious_vector()
    {
        Out(0x4D0, 0x20);
        _pic.SetLine(5, true);
        Assert.True(_intr);
        _pic.SetLine(5, false);
        Assert.False(_intr);
        Assert.Equal(0x37, _pic.Acknowledge());
        Out(0x20, 0x0B);
        Assert.Equal(0u, In(0x20));
    }

    [Fact]
    public void A_level_triggered_line_asks_again_after_the_end_of_interrupt()
    {
        Out(0x4D1, 0x04);
        _pic.SetLine(10, true);
        Assert.Equal(0x3A, _pic.Acknowledge());
        Assert.False(_intr);
        Out(0xA0, 0x62);
        Out(0x20, 0x62);
        Assert.True(_intr);
        _pic.SetLine(10, false);
        Assert.False(_intr);
    }

    [Fact]
    public void The_edge_level_registers_refuse_the_lines_that_are_always_edges()
    {
        Out(0x4D0, 0xFF);
        Out(0x4D1, 0xFF);
        Assert.Equal(0xF8u, In(0x4D0));
        Assert.Equal(0xDEu, In(0x4D1));
        Assert.Equal(0xDEF8u, _bus.ReadPort(0x4D0, 2));
    }

    [Fact]
    public void Automatic_end_of_interrupt_leaves_nothing_in_service()
    {
        Initialize(icw4: 0x03);
        _pic.SetLine(1, true);
        _pic.Acknowledge();
        _pic.SetLine(3, true);
        Assert.True(_intr);
        Assert.Equal(0x33, _pic.Acknowledge());
    }

    [Fact]
    public void A_poll_reads_and_acknowledges_the_highest_request()
    {
        _pic.SetLine(6, true);
        Out(0x20, 0x0C);
        Assert.Equal(0x86u, In(0x20));
        Assert.False(_intr);
        Out(0x20, 0x0C);
        Assert.Equal(0u, In(0x20));
    }

    [Fact]
    public void Special_mask_mode_lets_lower_priorities_through_a_masked_one_in_service()
    {
        _pic.SetLine(1, true);
        _pic.Acknowledge();
        _pic.SetLine(3, true);
        Assert.False(_intr);
        Out(0x21, 0x02);
        Assert.False(_intr);
        Out(0x20, 0x68);
        Assert.True(_intr);
    }

    [Fact]
    public void Special_fully_nested_mode_lets_the_second_chip_interrupt_itself()
    {
        Initialize(icw4: 0x11);
        _pic.SetLine(12, true);
        _pic.Acknowledge();
        _pic.SetLine(8, true);
        Assert.True(_intr);
        Assert.Equal(0x38, _pic.Acknowledge());
    }

    [Fact]
    public void Rotation_on_end_of_interrupt_makes_the_served_line_the_lowest()
    {
        _pic.SetLine(3, true);
        _pic.Acknowledge();
        Out(0x20, 0xA0);
        _pic.SetLine(3, false);
        _pic.SetLine(3, true);
        _pic.SetLine(6, true);
        Assert.Equal(0x36, _pic.Acknowledge());
    }

    [Fact]
    public void Reset_forgets_requests_and_masks()
    {
        _pic.SetLine(4, true);
        _pic.Reset();
        Assert.False(_intr);
        Assert.Equal(0u, In(0x21));
    }

    [Fact]
    public void Garbage_in_the_registers_never_throws()
    {
        var random = new Random(8259);
        ushort[] ports = [0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1];
        for (int i = 0; i < 200_000; i++)
        {
            ushort port = ports[random.Next(ports.Length)];
            switch (random.Next(4))
            {
                case 0:
                    _bus.WritePort(port, 1 << random.Next(3), (uint)random.Next());
                    break;
                case 1:
                    _bus.ReadPort(port, 1 << random.Next(3));
                    break;
                case 2:
                    _pic.SetLine(random.Next(16), random.Next(2) == 0);
                    break;
                default:
                    _pic.Acknowledge();
                    break;
            }
        }
    }

    private void Initialize(byte icw4)
    {
        Out(0x20, 0x11);
        Out(0x21, 0x30);
        Out(0x21, 0x04);
        Out(0x21, icw4);
        Out(0xA0, 0x11);
        Out(0xA1, 0x38);
        Out(0xA1, 0x02);
        Out(0xA1, icw4);
    }

    private void Out(ushort port, byte value) => _bus.WritePort(port, 1, value);

    private uint In(ushort port) => _bus.ReadPort(port, 1);
}
