using System.Globalization;
using Hypervisor.Benchmarks.Boot;
using Hypervisor.Shell;

// Boots the same stock kernel and initramfs on ours and on QEMU's TCG alternately and prints medians and ratios. See docs/performance.md.
if (args is ["--child", var childKernel, var childInitrd, var childMemory, var childBackend])
{
    return OursRun.RunChild(childKernel, childInitrd, int.Parse(childMemory, CultureInfo.InvariantCulture), childBackend);
}

int rounds = 5, memoryMB = 512;
string backend = "Software";
for (int i = 0; i + 1 < args.Length; i += 2)
{
    switch (args[i])
    {
        case "--rounds": rounds = int.Parse(args[i + 1], CultureInfo.InvariantCulture); break;
        case "--memory": memoryMB = int.Parse(args[i + 1], CultureInfo.InvariantCulture); break;
        case "--backend": backend = args[i + 1]; break;
        default:
            Console.Error.WriteLine("usage: boot [--rounds 5] [--memory MB] [--backend Software|Kvm]");
            return 2;
    }
}

if (!DebianPackages.IsSupported(out string reason))
{
    Console.Error.WriteLine(reason);
    return 1;
}

var packages = new DebianPackages(DebianPackages.DefaultFolder, Console.Error.WriteLine);
string kernelPackage = packages.Fetch(packages.ResolveCloudKernel());
string kernel = QuickstartInitramfs.FindKernel(kernelPackage);
string initrd = Path.Combine(Path.GetTempPath(), $"hv-boot-{Environment.ProcessId}.cpio");
File.WriteAllBytes(initrd, QuickstartInitramfs.Build(packages.Fetch("busybox-static"), kernelPackage));
try
{
    var ours = new List<BootResult>();
    var qemu = new List<BootResult>();
    for (int round = 1; round <= rounds; round++)
    {
        // Alternating, so that a change of the machine's speed meets both.
        ours.Add(OursRun.Run(kernel, initrd, memoryMB, backend));
        qemu.Add(QemuRun.Run(kernel, initrd, memoryMB));
        Console.Error.WriteLine($"round {round}: ours {ours[^1]}, qemu {qemu[^1]}");
    }

    Console.WriteLine($"Boot of {Path.GetFileName(kernel)}, {memoryMB} MB, 1 vCPU, medians of {rounds} rounds; {Environment.ProcessorCount} host CPUs, .NET {Environment.Version}, {DateTime.UtcNow:yyyy-MM-dd}");
    Console.WriteLine();
    Console.WriteLine($"| measure | ours ({backend}) | QEMU (TCG) | ratio |");
    Console.WriteLine("|---|---|---|---|");
    Row("start to init, s", r => r.ToInit);
    Row("start to power-off, s", r => r.ToPowerOff);
    Row("memory beyond guest memory, MB", r => r.OverheadMB);
    return 0;

    void Row(string name, Func<BootResult, double> value)
    {
        double a = Median(ours.Select(value)), b = Median(qemu.Select(value));
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {name} | {a:F2} | {b:F2} | {a / b:F2} |"));
    }
}
finally
{
    File.Delete(initrd);
}

static double Median(IEnumerable<double> values)
{
    double[] sorted = [.. values.Order()];
    return sorted.Length % 2 == 1 ? sorted[sorted.Length / 2] : (sorted[(sorted.Length / 2) - 1] + sorted[sorted.Length / 2]) / 2;
}
