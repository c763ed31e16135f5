using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Guests.Support;

namespace Hypervisor.Tests.Guests.Firmware;

public class SeaBiosTests
{
    /// <summary>A backend that emulates ring 0 takes a while for it.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    [SeaBiosTheory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void SeaBIOS_runs_to_its_boot_attempt(BackendKind backend)
    {
        using var guest = new TestGuest(backend, kernel: null, configuration => configuration with { FirmwarePath = GuestAssets.SeaBios });
        var log = ((Machine)guest.Machine).FirmwareLog!;
        guest.Start();
        bool attempted = log.WaitForTextAsync("No bootable device", 0, Patience).GetAwaiter().GetResult();
        string text = TestGuest.ReadAll(log);
        string stop = guest.Machine.Stopped.IsCompleted ? guest.Machine.Stopped.Result.Message : "It still runs.";
        Assert.True(attempted, $"{text} {stop} {string.Join(" ", guest.Events.Select(happened => happened.Message))}");
        Assert.Contains("SeaBIOS (version", text, StringComparison.Ordinal);
    }
}
