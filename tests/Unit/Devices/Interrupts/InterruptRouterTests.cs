using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Devices.Interrupts;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Interrupts;

public sealed class InterruptRouterTests
{
    [Fact]
    public void Sources_of_one_line_are_wired_together()
    {
        using var partition = new RecordingPartition(inKernelIrqChip: true);
        var router = new InterruptRouter(partition);
        var one = router.Line(17);
        var other = router.Line(17);
        one.Set(true);
        other.Set(true);
        one.Set(true);
        one.Set(false);
        Assert.Equal([(17, true)], partition.Lines);
        other.Set(false);
        Assert.Equal([(17, true), (17, false)], partition.Lines);
        one.Set(true);
        Assert.Equal((2, 0), (router.AssertionsOf(17), router.AssertionsOf(16)));
    }

    [Fact]
    public void A_backend_with_controllers_gets_none_from_the_platform()
    {
        using var partition = new RecordingPartition(inKernelIrqChip: true);
        var router = new InterruptRouter(partition);
        var bus = new MachineBus();
        router.Map(bus);
        Assert.Null(router.Pic);
        Assert.Null(router.IoApic);
        Assert.Equal(0xFFu, bus.ReadPort(0x20, 1));
    }

    [Fact]
    public void The_timer_line_reaches_input_2_of_the_io_apic_and_request_0_of_the_pic()
    {
        using var partition = new RecordingPartition(inKernelIrqChip: false);
        var router = new InterruptRouter(partition);
        var bus = new MachineBus();
        router.Map(bus);
        bus.WriteMmio(PlatformLayout.IoApicBase, 4, 0x14);
        bus.WriteMmio(PlatformLayout.IoApicBase + 0x10, 4, 0x30);
        router.Line(0).Set(true);
        Assert.Equal([(0xFEE0_0000ul, 0x4030u)], partition.Messages);
        Assert.True(partition.ExternalInterrupt);
        Assert.Equal(0, partition.Source!.Acknowledge());
        Assert.False(partition.ExternalInterrupt);
    }

    [Fact]
    public void Pci_lines_reach_only_the_io_apic_and_come_back_after_the_end_of_interrupt()
    {
        using var partition = new RecordingPartition(inKernelIrqChip: false);
        var router = new InterruptRouter(partition);
        var bus = new MachineBus();
        router.Map(bus);
        bus.WriteMmio(PlatformLayout.IoApicBase, 4, 0x10 + (2 * 19));
        bus.WriteMmio(PlatformLayout.IoApicBase + 0x10, 4, 0x8061);
        router.Line(19).Set(true);
        Assert.False(partition.ExternalInterrupt);
        partition.EndOfInterrupt!(0x61);
        Assert.Equal(2, partition.Messages.Count);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(2)]
    [InlineData(24)]
    public void Lines_that_do_not_exist_are_refused(int gsi)
    {
        using var partition = new RecordingPartition(inKernelIrqChip: true);
        var router = new InterruptRouter(partition);
        Assert.Throws<ArgumentOutOfRangeException>(() => router.Line(gsi));
    }
}
