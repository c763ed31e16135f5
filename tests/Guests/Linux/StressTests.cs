using System.Globalization;
using Hypervisor.Benchmarks.Processor;
using Hypervisor.Tests.Guests.Support;

namespace Hypervisor.Tests.Guests.Linux;

/// <summary>
/// The benchmark's stress run, short: stress-ng checks its own work on two processors in software. HYPERVISOR_STRESS_MINUTES sets how
/// long.
/// </summary>
public class StressTests
{
    private const string StandardMinutes = "2";

    [StressFact]
    public void What_stress_ng_verifies_in_a_guest_is_right()
    {
        string minutes = Environment.GetEnvironmentVariable("HYPERVISOR_STRESS_MINUTES") ?? StandardMinutes;
        Assert.True(double.TryParse(minutes, CultureInfo.InvariantCulture, out _), "HYPERVISOR_STRESS_MINUTES is a number.");
        Assert.Null(StressRun.Run(Options.Parse(["--stress", minutes])));
    }
}
