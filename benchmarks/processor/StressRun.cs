using System.Globalization;

namespace Hypervisor.Benchmarks.Processor;

/// <summary>stress-ng in a guest with two virtual processors: not how fast, but whether all that it verifies is right.</summary>
internal static class StressRun
{
    public const string Program = "stress-ng";

    public const string StandardArguments = "--cpu 2 --vm 2 --vm-bytes 64M --syscall 2";

    // Its exit codes when stressors found no resources or are not for this machine; what is wrong is 2.
    private const string SomeSkipped = "3|4", SkippedWord = "skipped";

    private const int Processors = 2;

    // With --sequential the time is each stressor's; a class has some dozens.
    private const int MostStressors = 400;

    // A slow guest takes a while to stop its workers.
    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(10);

    // Every complaint of the kernel's that is not one of the program's intended faults.
    private const string Complaints = "BUG|Oops|Call Trace|rcu.*stall|soft lockup|general protection|Machine check|unhandled|Out of memory";

    /// <summary>Boots a guest with the host's stress-ng and runs it. Null when it ended well and the kernel did not complain, else the complaint.</summary>
    /// <exception cref="BenchmarkException">The guest did not boot, hung, or stress-ng failed; or there is no stress-ng.</exception>
    public static string? Run(Options options)
    {
        string initrd = Path.GetTempFileName();
        try
        {
            var tools = GuestTools.Prepare(workloads: false, options.KernelBits, options.UserBits);
            File.WriteAllBytes(initrd, tools.BuildInitrd(SharedLibraries.FindProgram(Program)));
            return Run(options, new Platform(tools, initrd, options));
        }
        finally
        {
            File.Delete(initrd);
        }
    }

    private static string? Run(Options options, Platform platform)
    {
        int seconds = (int)(options.StressMinutes!.Value * 60);
        string arguments = string.Create(CultureInfo.InvariantCulture,
            $"{options.StressArguments} --verify --timeout {seconds}s --temp-path /tmp --metrics-brief");
        using Session session = platform.Start(options.StressOn, Processors);
        Console.Error.WriteLine($"{options.StressOn}: {Program} {arguments}");
        session.Echo = true;
        int stressors = arguments.Contains("--sequential", StringComparison.Ordinal) ? MostStressors : 1;
        session.Timeout = (TimeSpan.FromSeconds(seconds) * stressors) + Grace;
        Measurement measurement = session.Run("./busybox dmesg -n 4; ./busybox mkdir -p /dev/shm; ./busybox mount -t tmpfs shm /dev/shm",
            $"./{Program} {arguments} >/dev/console 2>&1; code=$?; case $code in {SomeSkipped}) echo {SkippedWord};; *) exit $code;; esac",
            $"./busybox dmesg | ./busybox grep -E '{Complaints}' | ./busybox head -n 1");
        bool skipped = measurement.Result.StartsWith(SkippedWord, StringComparison.Ordinal);
        string complaint = (skipped ? measurement.Result[SkippedWord.Length..] : measurement.Result).Trim();
        Console.WriteLine(complaint.Length == 0
            ? string.Create(CultureInfo.InvariantCulture, $"{Program} ended clean on {options.StressOn} after {measurement.Seconds:0} s{(skipped ? ", with some stressors skipped" : "")}.")
            : $"{Program} ended, but: {complaint}");
        return complaint.Length == 0 ? null : complaint;
    }
}
