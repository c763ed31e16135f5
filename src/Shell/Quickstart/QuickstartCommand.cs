using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
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
internal sealed class QuickstartCommand(IScreen screen, TextWriter output) : IDisposable
{
    private const int Success = 0, Failure = 1, Interrupted = 130;
    private const string MachineName = "quickstart";
    private const string Prompt = "quickstart:";
    private const string AnswerStart = "<<", AnswerEnd = ">>";
    private static readonly TimeSpan BootPatience = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan AnswerPatience = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan ShutdownPatience = TimeSpan.FromSeconds(30);

    private readonly QuickstartProgress _progress = QuickstartProgress.OnStandardError();
    private readonly CancellationTokenSource _interruption = new();

    /// <summary>Runs it; the exit code is 0 when the guest answered, 130 when a signal ended it before.</summary>
    public int Run(IReadOnlyList<string> words)
    {
        if (words is [{ } only] && only.TrimStart('-').ToUpperInvariant() is "?" or "HELP" or "H")
        {
            Help.HelpCommand.DescribeQuickstart(output);
            return Success;
        }

        // Whatever ends it, the guest is powered off and the temporary files go.
        Action<PosixSignalContext> interrupt = Interrupt;
        using var ctrlC = PosixSignalRegistration.Create(PosixSignal.SIGINT, interrupt);
        using var termination = PosixSignalRegistration.Create(PosixSignal.SIGTERM, interrupt);
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, interrupt);
        string? folder = null;
        try
        {
            QuickstartOptions options = QuickstartOptions.Parse(words);
            folder = Directory.CreateTempSubdirectory("hypervisor-quickstart-").FullName;
            return Run(options, folder);
        }
        catch (Exception exception) when (_interruption.IsCancellationRequested && exception is OperationCanceledException or QuickstartException)
        {
            _progress.End();
            screen.Error(MachineName, "Interrupted.");
            return Interrupted;
        }
        catch (Exception exception) when (exception is QuickstartException or MachineException or PartitionException or InvalidConfigurationException
            or IOException or UnauthorizedAccessException)
        {
            _progress.End();
            screen.Error(MachineName, exception.Message);
            return Failure;
        }
        finally
        {
            if (folder is not null)
            {
                Directory.Delete(folder, recursive: true);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _progress.Dispose();
        _interruption.Dispose();
    }

    private void Interrupt(PosixSignalContext context)
    {
        context.Cancel = true;
        _interruption.Cancel();
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
            KernelCommandLine = interactive ? "console=ttyS0" + TerminalSize() : "console=ttyS0 quiet",
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
        // What an earlier run fetched needs neither apt nor a network any more.
        var packages = new DebianPackages(DebianPackages.DefaultFolder, Step, _interruption.Token);
        string? fetched = packages.FindFetchedCloudKernel();
        if (fetched is null && !DebianPackages.IsSupported(out string reason))
        {
            throw new QuickstartException(
                $"{reason} Elsewhere bring a kernel and an initrd: hv quickstart -KernelPath <bzImage> -InitrdPath <cpio archive>.");
        }

        string kernelPackage = packages.Fetch(fetched ?? packages.ResolveCloudKernel());
        string busyboxPackage = packages.Fetch("busybox-static");
        Step("Building an initramfs of busybox and the kernel's virtio modules");
        string initrd = Path.Combine(folder, "initramfs.cpio");
        File.WriteAllBytes(initrd, QuickstartInitramfs.Build(busyboxPackage, kernelPackage));
        return (QuickstartInitramfs.FindKernel(kernelPackage), initrd);
    }

    private int HandOver(HypervisorHost host, VirtualMachine machine, ConsoleSession session, BackendKind backend)
    {
        Step($"Running on the {backend} backend; the kernel's messages follow, then a shell");
        _progress.End();
        InteractiveEnd end = new InteractiveConsole(session, MachineName, "the machine is powered off then").Run(timeout: null, _interruption.Token);
        _interruption.Token.ThrowIfCancellationRequested();
        if (end != InteractiveEnd.MachineOff)
        {
            ShutDown(host, machine);
        }

        return session.Stop is { Reason: MachineStopReason.GuestCrash or MachineStopReason.HostFailure } ? Failure : Success;
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
        session.Console.SendAsync(Encoding.ASCII.GetBytes("echo \"<\"\"<$(uname -a)>\"\">\"\n"), _interruption.Token).GetAwaiter().GetResult();
        if (!session.Console.WaitForTextAsync(AnswerEnd, before, AnswerPatience, _interruption.Token).GetAwaiter().GetResult())
        {
            throw new QuickstartException($"The guest did not answer uname -a. Its last words:\n{LastWords(session)}");
        }

        string answer = Between(Text(session, before), AnswerStart, AnswerEnd);
        ShutDown(host, machine);
        _progress.End();
        output.WriteLine(answer);
        output.WriteLine($"Backend: {backend} ({host.Backends.FirstOrDefault(found => found.Backend == backend)?.Reason ?? "chosen by the machine's configuration"})");
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Boot time: {bootSeconds:F2} s from Start-VM to the guest's shell"));
        return Success;
    }

    private void ShutDown(HypervisorHost host, VirtualMachine machine)
    {
        Step("Powering the guest off by its ACPI power button");
        try
        {
            host.Shutdown(machine, ShutdownPatience).Wait(_interruption.Token);
        }
        catch (TimeoutException)
        {
            Step("The guest did not react; pulling the plug");
            host.PowerOff(machine).Wait();
        }
    }

    private void Expect(ConsoleSession session, string text, TimeSpan patience, string complaint)
    {
        if (!session.Console.WaitForTextAsync(text, 0, patience, _interruption.Token).GetAwaiter().GetResult())
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

    // A serial line carries no size: the kernel hands words of its command line that it does not know on to init, as its environment.
    private static string TerminalSize() => string.Create(CultureInfo.InvariantCulture, $" LINES={Console.WindowHeight} COLUMNS={Console.WindowWidth}");

    private void Step(string text) => _progress.Step(text);
}
