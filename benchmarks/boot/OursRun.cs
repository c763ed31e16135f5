using System.Diagnostics;
using System.Globalization;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Partitions;
using Hypervisor.Shell;

namespace Hypervisor.Benchmarks.Boot;

/// <summary>A boot on our engine, in a process of its own so that every round starts cold.</summary>
internal static class OursRun
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    public static BootResult Run(string kernel, string initrd, int memoryMB, string backend)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!,
        [
            .. Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet" ? (string[])[typeof(OursRun).Assembly.Location] : [],
            "--child", kernel, initrd, memoryMB.ToString(CultureInfo.InvariantCulture), backend,
        ])
        {
            RedirectStandardOutput = true,
        };
        using Process process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        string[] fields = output.Trim().Split(' ');
        return process.ExitCode == 0 && fields.Length == 3
            ? new BootResult(Number(fields[0]), Number(fields[1]), Number(fields[2]))
            : throw new InvalidOperationException($"Our boot ended with {process.ExitCode}:\n{output}");
    }

    public static int RunChild(string kernel, string initrd, int memoryMB, string backend)
    {
        var configuration = new VirtualMachineConfiguration
        {
            Id = Guid.NewGuid(),
            Name = "boot-benchmark",
            MemoryMB = memoryMB,
            NumCpu = 1,
            KernelPath = kernel,
            InitrdPath = initrd,
            KernelCommandLine = BootResult.CommandLine,
            Backend = Enum.Parse<BackendKind>(backend, ignoreCase: true),
        };
        var clock = Stopwatch.StartNew();
        // Its memory managed as a host's machines have it, with enough of it.
        using var memory = new MemoryManager(new MemoryConfigurationSource());
        using IMachine machine = new MachineFactory(scheduler: null, memory: memory).Create(configuration);
        machine.Start();
        if (!machine.Console.WaitForTextAsync(QuickstartInitramfs.InitMarker, 0, Patience).GetAwaiter().GetResult())
        {
            Console.WriteLine("init was not reached");
            return 1;
        }

        double toInit = clock.Elapsed.TotalSeconds;
        double overhead = ResidentMemory.OutsideGuestMB(Environment.ProcessId, memoryMB);
        if (!machine.Stopped.Wait(Patience))
        {
            Console.WriteLine("the guest did not power off");
            return 1;
        }

        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{toInit:F3} {clock.Elapsed.TotalSeconds:F3} {overhead:F1}"));
        return 0;
    }

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);
}
