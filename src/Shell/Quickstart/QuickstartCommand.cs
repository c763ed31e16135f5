using System.Diagnostics;
using System.Globalization;
using System.Text;
using Hypervisor.Cmdlets.Console;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Partitions;
using Hypervisor.Shell.Execution;

namespace Hypervisor.Shell;

/// <summary>
/// <c>hv quickstart</c>: boots a real Linux with nothing prepared. In a terminal it hands over the console; elsewhere it runs
/// <c>uname -a</c> in the guest, prints the answer, the backend and the boot time, and powers the guest off.
/// </summary>
internal sealed class QuickstartCommand(IScreen screen, TextWriter output)
{
    private const string MachineName = "quickstart";
    private const string Prompt = "quickstart:";
    private const string AnswerStart = "<<", AnswerEnd = ">>";
    private static readonly TimeSpan BootPatience = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan AnswerPatience = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan ShutdownPatience = TimeSpan.FromSeconds(30);

    /// <summary>Runs it; the exit code is 0 when the guest answered.</summary>
    public int Run(IReadOnlyList<string> words)
    {
        string folder = Directory.CreateTempSubdirectory("hypervisor-quickstart-").FullName;
        try
        {
            QuickstartOptions options = QuickstartOptions.Parse(words);
            return Run(options, folder);
        }
        catch (Exception exception) when (exception is QuickstartException or MachineException or PartitionException or InvalidConfigurationException or IOException)
        {
            screen.Error(MachineName, exception.Message);
            return 1;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private int Run(QuickstartOptions options, string folder)
    {
        (string kernel, string initrd) = options.KernelPath is { } given ? (given, options.InitrdPath ?? "") : FetchGuest(folder);
        bool interactive = !Console.IsInputRedirected && !Console.IsOutputRedirected;
        using HypervisorHost host = HypervisorHost.Open(Path.Combine(folder, "host"));
        VirtualMachineConfiguration configuration = host.NewConfiguration(MachineName, options.MemoryMB, options.NumCpu) with
        {
            KernelPath = kernel,
            InitrdPath = initrd.Length > 0 ? initrd : null,
            KernelCommandLine = interactive ? "console=ttyS0" : "console=ttyS0 quiet",
            NetworkAdapters = host.NewNetworkAdapters(["NAT"], []),
            Backend = options.Backend,
        };
        host.Create(configuration).Wait();
        VirtualMachine machine = host.FindMachine(configuration.Id)!;
        Step($"New-VM -Name {MachineName} -MemoryMB {options.MemoryMB} -NumCpu {options.NumCpu} -KernelPath {Path.GetFileName(kernel)} -InitrdPath {Path.GetFileName(initrd)} | Start-VM");

        var clock = Stopwatch.StartNew();
        host.PowerOn(machine).Wait();
        try
        {
            ConsoleSession session = host.FindConsole(machine.Id)!;
            BackendKind backend = host.FindRunning(machine.Id)?.Backend ?? options.Backend;
            return interactive
                ? HandOver(host, machine, session, backend)
                : Ask(host, machine, session, backend, clock);
        }
        finally
        {
            host.ShutDownAll(TimeSpan.Zero, static _ => { });
        }
    }

    private (string Kernel, string Initrd) FetchGuest(string folder)
    {
        if (!DebianPackages.IsSupported(out string reason))
        {
            throw new QuickstartException(
                $"{reason} Elsewhere bring a kernel and an initrd: hv quickstart -KernelPath <bzImage> -InitrdPath <cpio archive>.");
        }

        var packages = new DebianPackages(DebianPackages.DefaultFolder, Step);
        string kernelPackage = packages.Fetch(packages.ResolveCloudKernel());
        string busyboxPackage = packages.Fetch("busybox-static");
        Step("Building an initramfs of busybox and the kernel's virtio modules");
        string initrd = Path.Combine(folder, "initramfs.cpio");
        File.WriteAllBytes(initrd, QuickstartInitramfs.Build(busyboxPackage, kernelPackage));
        return (QuickstartInitramfs.FindKernel(kernelPackage), initrd);
    }

    private int HandOver(HypervisorHost host, VirtualMachine machine, ConsoleSession session, BackendKind backend)
    {
        Step($"Running on the {backend} backend; the kernel's messages follow, then a shell");
        InteractiveEnd end = new InteractiveConsole(session, MachineName).Run(timeout: null, CancellationToken.None);
        if (end != InteractiveEnd.MachineOff)
        {
            ShutDown(host, machine);
        }

        return session.Stop is { Reason: MachineStopReason.GuestCrash or MachineStopReason.HostFailure } ? 1 : 0;
    }

    private int Ask(HypervisorHost host, VirtualMachine machine, ConsoleSession session, BackendKind backend, Stopwatch clock)
    {
        Step($"Booting on the {backend} backend");
        Expect(session, QuickstartInitramfs.ReadyMarker, BootPatience, "did not finish booting");
        double bootSeconds = clock.Elapsed.TotalSeconds;
        Expect(session, Prompt, AnswerPatience, "showed no shell prompt");

        Step("Running uname -a in the guest");
        long before = session.Console.Position;
        // The brackets come from the guest's own echo: the line as typed, which the terminal echoes too, has them apart.
        session.Console.SendAsync(Encoding.ASCII.GetBytes("echo \"<\"\"<$(uname -a)>\"\">\"\n")).GetAwaiter().GetResult();
        if (!session.Console.WaitForTextAsync(AnswerEnd, before, AnswerPatience).GetAwaiter().GetResult())
        {
            throw new QuickstartException($"The guest did not answer uname -a. Its last words:\n{LastWords(session)}");
        }

        string answer = Between(Text(session, before), AnswerStart, AnswerEnd);
        ShutDown(host, machine);
        output.WriteLine(answer);
        output.WriteLine($"Backend: {backend} ({host.Backends.FirstOrDefault(found => found.Backend == backend)?.Reason ?? "chosen by the machine's configuration"})");
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Boot time: {bootSeconds:F2} s from Start-VM to the guest's shell"));
        return 0;
    }

    private void ShutDown(HypervisorHost host, VirtualMachine machine)
    {
        Step("Powering the guest off by its ACPI power button");
        try
        {
            host.Shutdown(machine, ShutdownPatience).Wait();
        }
        catch (TimeoutException)
        {
            Step("The guest did not react; pulling the plug");
            host.PowerOff(machine).Wait();
        }
    }

    private static void Expect(ConsoleSession session, string text, TimeSpan patience, string complaint)
    {
        if (!session.Console.WaitForTextAsync(text, 0, patience).GetAwaiter().GetResult())
        {
            string end = session.Stop is { } stop ? $" ({stop.Message})" : "";
            throw new QuickstartException($"The guest {complaint}{end}. Its last words:\n{LastWords(session)}");
        }
    }

    private static string LastWords(ConsoleSession session)
    {
        const int Bytes = 2000;
        return Text(session, Math.Max(0, session.Console.Position - Bytes));
    }

    private static string Text(ConsoleSession session, long position)
    {
        var bytes = new byte[MachineConsole.HistoryBytes];
        int count = session.Console.Read(ref position, bytes);
        return Encoding.UTF8.GetString(bytes, 0, count);
    }

    private static string Between(string text, string start, string end)
    {
        int from = text.LastIndexOf(start, StringComparison.Ordinal) + start.Length;
        int to = text.IndexOf(end, from, StringComparison.Ordinal);
        return to < 0 ? text[from..] : text[from..to];
    }

    private void Step(string text)
    {
        // The steps are for the person, the answer is the output: `./hv quickstart > answer` keeps them apart.
        Console.Error.WriteLine("» " + text);
    }
}
