using System.Globalization;

namespace Hypervisor.Benchmarks.Processor;

/// <summary>Something to time, the same on every platform.</summary>
/// <param name="Name">Name on the command line.</param>
/// <param name="Title">Name in the table.</param>
/// <param name="Count">Units of work at scale 1, chosen to take QEMU some seconds.</param>
/// <param name="Prepare">Shell command run before, untimed; <c>{0}</c> is the count.</param>
/// <param name="Command">Shell command that is timed; its last line of output has to be the same on all platforms.</param>
/// <param name="Check">Shell command run afterwards, untimed, whose output has to be the same too.</param>
/// <param name="Must">Time of ours through QEMU's that must not be passed; null for none.</param>
/// <param name="Aim">The same, hoped for.</param>
/// <param name="Processors">Virtual processors it needs; null for any number.</param>
internal sealed record Workload(string Name, string Title, long Count, string Prepare, string Command, string Check, double? Must, double? Aim, int? Processors = null)
{
    /// <summary>Time from the start of the machine to the first line of init: no command.</summary>
    public const string Boot = "boot";

    private const int KB = 1 << 10, MB = 1 << 20;

    // A MiB of numbers, many times.
    private const string Numbers = "./busybox seq 1 200000 | ./busybox head -c 1048576 > one; for i in $(./busybox seq 1 $(({0} / 1048576))); do ./busybox cat one; done > data";

    public static IReadOnlyList<Workload> All { get; } =
    [
        new(Boot, "boot to init", 1, "", "", "", 1.0, 0.6),
        new("shell", "shell loop", 80_000, ":", "./busybox sh loop.sh {0}", ":", 0.8, 0.4),
        new("gzip", "gzip of 32 MiB", 32 * MB, "./bench data {0} > data", "./busybox gzip -c < data > packed", "./busybox md5sum < packed", 0.8, 0.4),
        new("sha256", "sha256sum of 64 MiB", 64 * MB, "./bench data {0} > data", "./busybox sha256sum < data", ":", 0.5, 0.2),
        Tool("syscall", "system calls", 6_000_000, 1.0, 0.6),
        Tool("pipe", "context switches", 60_000, 1.0, 0.6),
        Tool("fault", "page faults", 240 * KB, 1.0, 0.6),
        Tool("fork", "fork and exec", 2_400, 1.0, 0.7),
        Tool("nbody", "n-body", 2_500_000, 0.3, 0.1),
        Tool("matrix", "matrix multiply, SSE2", 200, 0.3, 0.1),
        Tool("aes", "AES-GCM", 6_000, 0.2, 0.05),
        Tool("copy", "memory copy, AVX2", 40_000, 0.2, 0.05),
        Tool("smp", "four busy processors", 800, 1.0, 0.5, processors: 4),
        Tool("locked", "locked operations of four", 4_000_000, null, null, processors: 4),
    ];

    /// <summary>Those that need none of our programs, for guests that a C compiler is rarely there for.</summary>
    public static IReadOnlyList<Workload> OfBusybox { get; } =
    [
        All[0], All[1], All[2] with { Prepare = Numbers, Check = "./busybox md5sum < packed" }, All[3] with { Prepare = Numbers },
    ];

    public long CountAt(double scale) => Math.Max(1, (long)(Count * scale));

    public string PrepareAt(double scale) => string.Format(CultureInfo.InvariantCulture, Prepare, CountAt(scale));

    public string CommandAt(double scale) => string.Format(CultureInfo.InvariantCulture, Command, CountAt(scale));

    private static Workload Tool(string name, string title, long count, double? must, double? aim, int? processors = null) =>
        new(name, title, count, ":", $"./bench {name} {{0}}", ":", must, aim, processors);
}
