using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Tests.Unit.Inventory;

public sealed class EventLogTests : IDisposable
{
    private readonly TemporaryHost _temporary = new();

    public void Dispose() => _temporary.Dispose();

    [Fact]
    public void The_log_stays_within_its_bound_and_keys_rise_over_rotations()
    {
        var folder = new HostFolder(_temporary.Folder);
        var log = new EventLog(folder, maxFileBytes: 2000);
        var other = new EventLog(folder, maxFileBytes: 2000);
        for (int i = 0; i < 60; i++)
        {
            (i % 2 == 0 ? log : other).Append("Test", MachineEventSeverity.Info, $"event {i}");
        }

        IReadOnlyList<VIEvent> events = log.Read();
        Assert.Equal("event 59", events[^1].FullFormattedMessage);
        Assert.Equal(60, events[^1].Key);
        Assert.Equal(events.Select(static entry => entry.Key).Order().Distinct(), events.Select(static entry => entry.Key));
        Assert.InRange(Directory.EnumerateFiles(_temporary.Folder, "events*.jsonl").Sum(static file => new FileInfo(file).Length), 1, 5000);
    }

    [Fact]
    public void A_line_that_a_crash_cut_short_costs_that_line_only()
    {
        _temporary.Host.Events.Append("Test", MachineEventSeverity.Info, "before");
        File.AppendAllText(Path.Combine(_temporary.Folder, "events.jsonl"), "{\"key\": 2, \"created");
        var later = new EventLog(new HostFolder(_temporary.Folder));
        later.Append("Test", MachineEventSeverity.Info, "after");
        Assert.Equal(["before", "after"], later.Read().Select(static entry => entry.FullFormattedMessage));
    }

    [Fact]
    public void An_event_that_cannot_be_recorded_fails_nothing_and_is_remembered()
    {
        Directory.CreateDirectory(Path.Combine(_temporary.Folder, "events.jsonl"));
        VirtualMachine machine = _temporary.Create("a");
        Assert.Equal("a", machine.Name);
        Assert.Contains("could not be recorded", _temporary.Host.Events.LastFailure, StringComparison.Ordinal);
    }
}
