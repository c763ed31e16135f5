using System.Diagnostics;
using System.Globalization;
using System.Text;
using Hypervisor.Shell;

namespace Hypervisor.Benchmarks.Boot;

/// <summary>A boot on qemu-system-x86_64 with TCG.</summary>
internal static class QemuRun
{
    public static BootResult Run(string kernel, string initrd, int memoryMB)
    {
        var start = new ProcessStartInfo("qemu-system-x86_64",
        [
            "-accel", "tcg,thread=multi", "-cpu", "max", "-m", memoryMB.ToString(CultureInfo.InvariantCulture), "-nographic", "-nodefaults",
            "-serial", "stdio", "-no-reboot", "-kernel", kernel, "-initrd", initrd, "-append", BootResult.CommandLine,
        ])
        {
            RedirectStandardOutput = true,
            RedirectStandardInput = true,
        };
        var clock = Stopwatch.StartNew();
        using Process process = Process.Start(start)!;
        double toInit = double.NaN, overhead = double.NaN;
        var text = new StringBuilder();
        while (process.StandardOutput.ReadLine() is { } line)
        {
            text.AppendLine(line);
            if (double.IsNaN(toInit) && line.Contains(QuickstartInitramfs.InitMarker, StringComparison.Ordinal))
            {
                toInit = clock.Elapsed.TotalSeconds;
                overhead = ResidentMemory.OutsideGuestMB(process.Id, memoryMB);
            }
        }

        process.WaitForExit();
        return !double.IsNaN(toInit)
            ? new BootResult(toInit, clock.Elapsed.TotalSeconds, overhead)
            : throw new InvalidOperationException($"QEMU did not reach init:\n{text}");
    }
}
