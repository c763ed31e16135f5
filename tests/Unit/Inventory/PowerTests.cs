using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Tests.Unit.Inventory;

public sealed class PowerTests : IDisposable
{
    private static readonly TimeSpan Soon = TimeSpan.FromMinutes(2);

    private readonly TemporaryHost _temporary = new();

    private HypervisorHost Host => _temporary.Host;

    public void Dispose() => _temporary.Dispose();

    [Fact]
    public void A_running_machine_is_on_for_every_process_and_off_when_it_stopped()
    {
        VirtualMachine machine = _temporary.Create("a");
        HypervisorHost other = _temporary.OpenAnother();
        Assert.Equal(PowerState.PoweredOff, other.FindMachine(machine.Id)!.PowerState);

        Host.PowerOn(machine).Wait();
        VirtualMachine seen = other.FindMachine(machine.Id)!;
        Assert.Equal(PowerState.PoweredOn, seen.PowerState);
        Assert.Equal(Environment.ProcessId, seen.Holder!.ProcessId);

        Host.Shutdown(machine, Soon).Wait();
        Assert.Equal(PowerState.PoweredOff, Host.FindMachine(machine.Id)!.PowerState);
        Assert.Equal(PowerState.PoweredOff, other.FindMachine(machine.Id)!.PowerState);
        Assert.True(_temporary.Factory.Machines["a"].IsDisposed);
    }

    [Fact]
    public void A_second_process_is_told_who_runs_the_machine()
    {
        VirtualMachine machine = _temporary.Create("a");
        Host.PowerOn(machine).Wait();
        HypervisorHost other = _temporary.OpenAnother();
        foreach (VITask task in (VITask[])[other.PowerOn(machine), other.Remove(machine, true), other.Reconfigure(machine, static old => old with { NumCpu = 2 })])
        {
            Assert.Contains($"process {Environment.ProcessId}", Assert.Throws<MachineException>(() => task.Wait()).Message, StringComparison.Ordinal);
        }

        Assert.Contains($"process {Environment.ProcessId}", Assert.Throws<PowerStateException>(() => other.PowerOff(machine).Wait()).Message, StringComparison.Ordinal);
        other.Reconfigure(machine, static old => old with { Notes = "changed from afar" }).Wait();
        Assert.Equal("changed from afar", Host.FindMachine(machine.Id)!.Notes);
    }

    [Fact]
    public void A_lock_note_of_a_dead_process_holds_nothing()
    {
        VirtualMachine machine = _temporary.Create("a");
        string folder = machine.ExtensionData.Folder;
        File.WriteAllText(Path.Combine(folder, "machine.lock"), "");
        File.WriteAllText(Path.Combine(folder, "holder.json"), """{"processId": 1, "processName": "pwsh", "hostName": "x", "since": "2026-01-01T00:00:00+00:00"}""");

        Assert.Equal(PowerState.PoweredOff, Host.FindMachine(machine.Id)!.PowerState);
        Host.PowerOn(machine).Wait();
        Assert.Equal(PowerState.PoweredOn, Host.FindMachine(machine.Id)!.PowerState);
        VIEvent lost = Assert.Single(Host.Events.Read(), static entry => entry.EventTypeId == "VmHostFailureEvent");
        Assert.Contains("process 1 (pwsh) on x", lost.FullFormattedMessage, StringComparison.Ordinal);
        Host.PowerOff(machine).Wait();
        Host.PowerOn(machine).Wait();
        Assert.Single(Host.Events.Read(), static entry => entry.EventTypeId == "VmHostFailureEvent");
    }

    [Fact]
    public void A_machine_that_is_on_is_not_powered_on_again_changed_or_removed()
    {
        VirtualMachine machine = _temporary.Create("a");
        Host.PowerOn(machine).Wait();
        Assert.Throws<PowerStateException>(() => Host.PowerOn(machine).Wait());
        Assert.Throws<MachineException>(() => Host.Remove(machine, false).Wait());
        Assert.Throws<MachineException>(() => Host.Reconfigure(machine, static old => old with { MemoryMB = 64 }).Wait());
        Host.PowerOff(machine).Wait();
        Assert.Throws<PowerStateException>(() => Host.PowerOff(machine).Wait());
        Host.Remove(machine, true).Wait();
    }

    [Fact]
    public void A_failed_power_on_leaves_the_machine_off_and_free()
    {
        VirtualMachine machine = _temporary.Create("a");
        _temporary.Factory.Failure = "the kernel is no kernel";
        VITask task = Host.PowerOn(machine);
        Assert.Throws<MachineException>(() => task.Wait());
        Assert.Equal((TaskState.Error, "the kernel is no kernel"), (task.State, task.ErrorMessage));
        Assert.Equal("VmFailedToPowerOnEvent", Host.Events.Read()[^1].EventTypeId);

        _temporary.Factory.Failure = null;
        _temporary.OpenAnother(_temporary.Factory).PowerOn(machine).Wait();
        _temporary.Factory.Machines["a"].PowerOff();
    }

    [Fact]
    public void A_file_that_vanished_since_stops_the_power_on()
    {
        string kernel = _temporary.File("kernel");
        VirtualMachine machine = _temporary.Create("a", configuration => configuration with { KernelPath = kernel });
        File.Delete(kernel);
        Assert.Contains("does not exist", Assert.Throws<InvalidConfigurationException>(() => Host.PowerOn(machine).Wait()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_disk_that_a_running_machine_uses_is_refused()
    {
        string disk = _temporary.File("shared.raw");
        string link = Path.Combine(_temporary.Folder, "link.raw");
        File.CreateSymbolicLink(link, disk);
        VirtualMachine first = _temporary.Create("first", configuration => configuration with { Disks = [new HardDiskConfiguration { Path = disk }] });
        VirtualMachine second = _temporary.Create("second", configuration => configuration with { Disks = [new HardDiskConfiguration { Path = link }] });
        Host.PowerOn(first).Wait();
        Assert.Contains("in use by 'first'", Assert.Throws<MachineException>(() => _temporary.OpenAnother().PowerOn(second).Wait()).Message, StringComparison.Ordinal);
        Host.PowerOff(first).Wait();
        Host.PowerOn(second).Wait();
    }

    [Fact]
    public void A_guest_that_ignores_the_button_fails_the_shutdown_and_goes_on()
    {
        VirtualMachine machine = _temporary.Create("a");
        _temporary.Factory.OnStart = static fake => fake.IsDeaf = true;
        Host.PowerOn(machine).Wait();
        Assert.Throws<TimeoutException>(() => Host.Shutdown(machine, TimeSpan.FromMilliseconds(50)).Wait());
        Assert.Equal(PowerState.PoweredOn, Host.FindMachine(machine.Id)!.PowerState);
        Host.Reset(machine).Wait();
        Assert.Equal(1, _temporary.Factory.Machines["a"].Resets);
    }

    [Fact]
    public void Ending_the_process_shuts_machines_down_and_forces_those_that_do_not()
    {
        VirtualMachine good = _temporary.Create("good"), deaf = _temporary.Create("deaf");
        Host.PowerOn(good).Wait();
        _temporary.Factory.OnStart = static fake => fake.IsDeaf = true;
        Host.PowerOn(deaf).Wait();
        var said = new List<string>();
        Host.ShutDownAll(TimeSpan.FromMilliseconds(50), said.Add);
        Assert.Empty(Host.GetMachinesRunningHere());
        Assert.Contains(said, static text => text.StartsWith("2 machines are still running", StringComparison.Ordinal));
        Assert.Contains(said, static text => text.StartsWith("deaf did not shut down", StringComparison.Ordinal));
    }

    [Fact]
    public void What_happened_to_a_machine_is_told_in_order_and_from_another_process()
    {
        VirtualMachine machine = _temporary.Create("a");
        Host.PowerOn(machine).Wait();
        _temporary.Factory.Machines["a"].Raise(new MachineEvent(MachineEventSeverity.Warning, "a disk is slow"));
        _temporary.Factory.Machines["a"].Crash();
        Assert.True(SpinWait.SpinUntil(() => Host.GetMachinesRunningHere().Count == 0 && Host.Events.Read()[^1].EventTypeId == "VmGuestCrashEvent", Soon));

        IReadOnlyList<VIEvent> events = _temporary.OpenAnother().Events.Read();
        Assert.Equal(["VmCreatedEvent", "VmPoweredOnEvent", "VmMessageEvent", "VmGuestCrashEvent"], events.Select(static entry => entry.EventTypeId));
        Assert.Equal([1L, 2, 3, 4], events.Select(static entry => entry.Key));
        Assert.All(events, entry => Assert.Equal(machine.Id, entry.VmId));
        Assert.Equal(MachineEventSeverity.Error, events[3].Severity);
        Assert.Contains("triple fault", events[3].FullFormattedMessage, StringComparison.Ordinal);
    }
}
