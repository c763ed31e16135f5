using System.Diagnostics;
using System.Globalization;

namespace Hypervisor.Benchmarks.Processor;

/// <summary>Where workloads run.</summary>
internal enum PlatformKind
{
    Native,
    Qemu,
    Ours,
}

/// <summary>Starts sessions on the platforms.</summary>
internal sealed class Platform(GuestTools tools, string initrd, Options options)
{
    private const string CommandLine = "console=ttyS0 panic=-1";

    // A file system in memory, as the guests have.
    private static readonly string NativeRoot = Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath();

    /// <summary>Boots, or starts, the platform's agent.</summary>
    public Session Start(PlatformKind kind, int processors) => kind switch
    {
        PlatformKind.Native => StartNative(),
        PlatformKind.Qemu => Session.Start(
            new ProcessStartInfo(options.KernelBits == 32 ? "qemu-system-i386" : "qemu-system-x86_64",
            [
                "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", Text(processors), "-m", Text(options.MemoryMB), "-nographic", "-nodefaults",
                "-serial", "stdio", "-no-reboot", "-kernel", tools.Kernel, "-initrd", initrd, "-append", CommandLine,
            ]),
            startMarker: null, boots: true, options.Timeout, options.ShowConsole),
        _ => Session.Start(
            new ProcessStartInfo(Environment.ProcessPath!,
            [
                .. Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet" ? (string[])[typeof(Platform).Assembly.Location] : [],
                OursChild.Option, tools.Kernel, initrd, CommandLine, Text(options.MemoryMB), Text(processors),
                .. options.Settings.Select(setting => $"{setting.Key}={setting.Value}"),
            ]),
            OursChild.StartMarker, boots: true, options.Timeout, options.ShowConsole),
    };

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    private Session StartNative()
    {
        string folder = Directory.CreateDirectory(Path.Combine(NativeRoot, $"hv-processor-{Environment.ProcessId}")).FullName;
        foreach (string file in Directory.GetFiles(tools.Folder))
        {
            string copy = Path.Combine(folder, Path.GetFileName(file));
            if (!File.Exists(copy))
            {
                File.Copy(file, copy);
            }
        }

        AppDomain.CurrentDomain.ProcessExit += (_, _) => Delete(folder);
        return Session.Start(new ProcessStartInfo(Path.Combine(folder, "busybox"), ["sh", "agent.sh"]) { WorkingDirectory = folder },
            startMarker: null, boots: false, options.Timeout, options.ShowConsole);
    }

    private static void Delete(string folder)
    {
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
