using System.Globalization;

namespace Hypervisor.Benchmarks.Processor;

/// <summary>stress-ng in a guest with two virtual processors: not how fast, but whether all that it verifies is right.</summary>
internal static class StressRun
{
    public const string Program = "stress-ng";

    public const string StandardArguments = "--cpu 2 --vm 2 --vm-bytes 64M --syscall 2";

    private const int Processors = 2;

    // A slow guest takes a while to stop its workers.
    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(10);

    // Every complaint of the kernel's that is not one of the program's intended faults.
    private const string Complaints = "BUG|Oops|Call Trace|rcu.*stall|soft lockup|general protection|Machine check|unhandled|Out of memory";

    /// <summary>True when stress-ng ended well and the kernel did not complain.</summary>
    /// <exception cref="BenchmarkException">The guest did not boot, hung, or stress-ng failed.</exception>
    public static bool Run(Options options, Platform platform)
    {
        int seconds = (int)(options.StressMinutes!.Value * 60);
        string arguments = string.Create(CultureInfo.InvariantCulture,
            $"{options.StressArguments} --verify --timeout {seconds}s --temp-path /tmp --metrics-brief");
        using Session session = platform.Start(options.StressOn, Processors);
        Console.Error.WriteLine($"{options.StressOn}: {Program} {arguments}");
        session.Echo = true;
        session.Timeout = TimeSpan.FromSeconds(seconds) + Grace;
        Measurement measurement = session.Run("./busybox dmesg -n 5", $"./{Program} {arguments} >/dev/console 2>&1",
            $"./busybox dmesg | ./busybox grep -E '{Complaints}' | ./busybox head -n 1");
        bool clean = measurement.Result.Length == 0;
        Console.WriteLine(clean
            ? string.Create(CultureInfo.InvariantCulture, $"{Program} ended clean on {options.StressOn} after {measurement.Seconds:0} s.")
            : $"{Program} ended, but: {measurement.Result}");
        return clean;
    }
}
