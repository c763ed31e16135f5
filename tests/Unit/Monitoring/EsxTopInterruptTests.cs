using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Monitoring;
using Hypervisor.Tests.Unit.Inventory;

namespace Hypervisor.Tests.Unit.Monitoring;

public sealed class EsxTopInterruptTests
{
    private static readonly FakeMachine Machine = new(new VirtualMachineConfiguration { Id = Guid.NewGuid(), Name = "web", MemoryMB = 16, NumCpu = 1 }, null);

    private static EsxTopInterruptCounters Source(string vector, string device, long second, long count) =>
        new(Machine) { Vector = vector, Device = device, TimeInUsec = second * 1_000_000, Raised = count };

    private static EsxTopInterruptCounters Processor(int index, long second, long count) =>
        new(Machine) { Vector = $"VCPU {index}", Device = "all", TimeInUsec = second * 1_000_000, Delivered = count };

    [Fact]
    public void Devices_and_processors_are_told_apart_and_a_machine_sums_each()
    {
        var panel = new EsxTopInterruptPanel(static () => []);
        EsxTopInterruptCounters[] before = [Source("MSI-X 0", "disk 0, queue 0", 10, 100), Processor(0, 10, 1000)];
        EsxTopInterruptCounters[] after = [Source("MSI-X 0", "disk 0, configuration, queue 0", 12, 300), Source("IRQ 4", "serial port 1", 12, 8), Processor(0, 12, 1500)];
        EsxTopInterrupt machine = Assert.IsType<EsxTopInterrupt>(Assert.Single(panel.Compare(before, after, expand: false)));
        Assert.Equal(("web", "", 104.0, 250.0, "2 sources"), (machine.Name, machine.Vector, machine.CountPerSec, machine.DeliveredPerSec, machine.Device));
        EsxTopInterrupt[] rows = [.. panel.Compare(before, after, expand: true).Cast<EsxTopInterrupt>()];
        Assert.Equal([("MSI-X 0", 100.0, null), ("IRQ 4", 4.0, null), ("VCPU 0", null, 250.0)], rows.Select(static row => (row.Vector, row.CountPerSec, row.DeliveredPerSec)));
        Assert.Empty(panel.Compare([], after, expand: false));

        string heading = new PerfmonCsv("h").Lines(DateTime.UtcNow, panel.Batch(before, after)).First();
        Assert.Contains(@"\\h\Group Interrupt(web)\Interrupts/sec", heading, StringComparison.Ordinal);
        Assert.Contains(@"\\h\Interrupt(web:VCPU 0:all)\Delivered/sec", heading, StringComparison.Ordinal);
    }

    [Fact]
    public void Where_the_hardware_executes_the_guest_nothing_is_said_of_what_was_delivered()
    {
        var panel = new EsxTopInterruptPanel(static () => []);
        var machine = Assert.IsType<EsxTopInterrupt>(Assert.Single(panel.Compare([Source("IRQ 4", "serial port 1", 1, 0)], [Source("IRQ 4", "serial port 1", 2, 5)], expand: false)));
        Assert.Equal((5.0, null), (machine.CountPerSec, machine.DeliveredPerSec));
    }
}
