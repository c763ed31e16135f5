using System.Diagnostics;
using System.Globalization;
using Hypervisor.Shell;

namespace Hypervisor.Benchmarks.Memory.Guests;

/// <summary>
/// Stock guests that together use more memory than the budget: what each technique brings, what it costs the guests, and what KSM brings
/// to QEMU's. All guests hold the same content and do the same work; noise is only looked at in the end, and must be what it was.
/// </summary>
internal static class GuestsBenchmark
{
    private sealed record Result(string Name, double FilledMB, double HostMB, double WorkSeconds, IReadOnlyList<(string Technique, double MB)> Reclaimed);

    public static async Task<int> Run(GuestsOptions options)
    {
        if (!DebianPackages.IsSupported(out string reason))
        {
            Console.Error.WriteLine(reason);
            return 1;
        }

        var packages = new DebianPackages(DebianPackages.DefaultFolder, Console.Error.WriteLine);
        string kernelPackage = packages.Fetch(packages.ResolveCloudKernel());
        string initrd = Path.GetTempFileName();
        try
        {
            await File.WriteAllBytesAsync(initrd, QuickstartInitramfs.Build(packages.Fetch("busybox-static"), kernelPackage));
            string kernel = QuickstartInitramfs.FindKernel(kernelPackage);
            using var content = new GuestContent(options);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{options.Guests} guests of {options.MemoryMB} MB; each fills {content.CommonMB} MB with programs that all have, {content.TextMB} MB with text, {content.NoiseMB} MB with noise, {content.ZeroMB} MB with zeroes."));
            var results = new List<Result>
            {
                await Measure(options, () => new OurFleet(options, content, kernel, initrd, budgetMB: null)),
                await Measure(options, () => new OurFleet(options, content, kernel, initrd, options.BudgetMB)),
            };
            if (!options.OursOnly)
            {
                using var ksm = new Ksm(options.KsmPages);
                results.Add(await Measure(options, () => new QemuFleet(options, content, kernel, initrd)));
            }

            Print(results);
            return 0;
        }
        finally
        {
            File.Delete(initrd);
        }
    }

    private static async Task<Result> Measure(GuestsOptions options, Func<Fleet> start)
    {
        using Fleet fleet = start();
        await fleet.Expect(QuickstartInitramfs.ReadyMarker);
        await fleet.Type("sh /dev/vdb");
        await fleet.Expect("filled");
        double filled = fleet.HostMB();
        await Task.Delay(TimeSpan.FromSeconds(options.SettleSeconds));
        double host = fleet.HostMB();
        var reclaimed = fleet.Reclaimed();
        long begin = Stopwatch.GetTimestamp();
        await fleet.Type("go");
        await fleet.Expect("worked");
        double seconds = Stopwatch.GetElapsedTime(begin).TotalSeconds;
        await fleet.Type("check");
        await fleet.Expect("checked");
        if (fleet.Output.Any(static output => output.Contains("wrong", StringComparison.Ordinal)))
        {
            throw new InvalidOperationException($"{fleet.Name}: a guest found other content than it had written.");
        }

        var result = new Result(fleet.Name, filled, host, seconds, reclaimed);
        Console.Error.WriteLine(result.Name + ": done");
        return result;
    }

    private static void Print(List<Result> results)
    {
        double all = results[0].FilledMB;
        Console.WriteLine("| guests on | host memory, MB | reclaimed, MB | of what all use | work, s | beside ours with all memory |");
        Console.WriteLine("|---|---:|---:|---:|---:|---:|");
        foreach (Result result in results)
        {
            // QEMU's own guests before anything was merged are what it has to be compared with.
            double used = result.Name.StartsWith("ours", StringComparison.Ordinal) ? all : result.HostMB + result.Reclaimed.Sum(static part => part.MB);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"| {result.Name} | {result.HostMB:F0} | {used - result.HostMB:F0} | {(used - result.HostMB) / used:P0} | {result.WorkSeconds:F1} | {result.WorkSeconds / results[0].WorkSeconds:F2} |"));
        }

        Console.WriteLine();
        foreach (Result result in results)
        {
            Console.WriteLine($"{result.Name}: {string.Join(", ", result.Reclaimed.Select(static part => string.Create(CultureInfo.InvariantCulture, $"{part.Technique} {part.MB:F0} MB")))}");
        }
    }
}
