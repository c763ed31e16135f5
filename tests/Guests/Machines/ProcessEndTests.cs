using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Tests.Guests.Support;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Guests.Machines;

/// <summary>What becomes of a machine when the process that runs it is ended from outside; <c>hv</c> as a process of its own.</summary>
public sealed partial class ProcessEndTests : IDisposable
{
    private const int Hangup = 1, Kill = 9, Terminate = 15;
    private const ushort PowerStatus = 0x600, PowerControl = 0x604, PowerButton = 0x100, SoftOff = 0x3400;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly string _folder = Directory.CreateTempSubdirectory("process-end").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [UnixTheory]
    [InlineData(Terminate)]
    [InlineData(Hangup)]
    public void A_signal_shuts_the_machine_down_before_the_process_ends(int signal)
    {
        using Process shell = StartGuest();
        Assert.Equal(0, Signal(shell.Id, signal));
        string said = shell.StandardError.ReadToEnd();
        Assert.True(shell.WaitForExit(Patience));
        Assert.Equal(128 + signal, shell.ExitCode);
        Assert.Contains("A machine is still running here: guest. Shutting down.", said, StringComparison.Ordinal);
        Assert.Equal("VmGuestShutdownEvent", Events()[^1].EventTypeId);
    }

    [UnixTheory]
    [InlineData(Kill)]
    public void A_machine_of_a_killed_process_is_free_and_the_next_use_records_its_loss(int signal)
    {
        using Process shell = StartGuest();
        Assert.Equal(0, Signal(shell.Id, signal));
        Assert.True(shell.WaitForExit(Patience));
        using var host = new HypervisorHost(new HostFolder(Home), HostServicesOfThisComputer.Create());
        VirtualMachine machine = Assert.Single(host.FindMachines("guest"));
        Assert.Equal(PowerState.PoweredOff, machine.PowerState);
        host.PowerOn(machine).Wait();
        VIEvent lost = Assert.Single(Events(), static entry => entry.EventTypeId == "VmHostFailureEvent");
        Assert.Contains($"process {shell.Id} (hv)", lost.FullFormattedMessage, StringComparison.Ordinal);
        host.PowerOff(machine).Wait();
    }

    private string Home => Path.Combine(_folder, "home");

    private IReadOnlyList<VIEvent> Events()
    {
        using var host = new HypervisorHost(new HostFolder(Home), HostServicesOfThisComputer.Create());
        return host.Events.Read();
    }

    /// <summary>Runs hv with a guest that waits for the power button, up to where the guest says so.</summary>
    private Process StartGuest()
    {
        string kernel = Path.Combine(_folder, "kernel");
        File.WriteAllBytes(kernel, GuestKernel.Assemble(code =>
        {
            var wait = code.CreateLabel();
            code.Print("ready\n");
            code.Label(ref wait);
            code.mov(dx, PowerStatus);
            code.@in(ax, dx);
            code.test(ax, PowerButton);
            code.je(wait);
            code.Out16(PowerControl, SoftOff);
            code.Hang();
        }));
        var start = new ProcessStartInfo("dotnet")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "hv.dll"));
        start.ArgumentList.Add("-Command");
        start.ArgumentList.Add($"New-VM guest -MemoryMB 16 -KernelPath '{kernel}' -Backend Software | Start-VM | Enter-VMConsole");
        start.Environment[HostFolder.EnvironmentVariable] = Home;
        Process shell = Process.Start(start)!;
        var output = new StringBuilder();
        while (!output.ToString().Contains("ready", StringComparison.Ordinal))
        {
            string? line = shell.StandardOutput.ReadLine();
            Assert.True(line is not null, "hv ended early: " + output + (line is null ? shell.StandardError.ReadToEnd() : ""));
            output.AppendLine(line);
        }

        return shell;
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Signal(int process, int signal);
}
