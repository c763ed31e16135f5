using System.Text;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Partitions;
using Hypervisor.Shell;

namespace Hypervisor.Tests.Guests.Support;

/// <summary>The stock Debian kernel with quickstart's initial RAM disk, and a shell on its console that takes commands.</summary>
internal sealed class LinuxGuest : IDisposable
{
    /// <summary>For slow hosts; a boot takes seconds.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(4);

    private readonly TestGuest _guest;

    private LinuxGuest(TestGuest guest) => _guest = guest;

    public IMachine Machine => _guest.Machine;

    /// <summary>All output that the console still has.</summary>
    public string Output => _guest.Output;

    /// <summary>Starts a machine of 256 MB and one processor, unless configured otherwise, on the backend that <c>Auto</c> takes.</summary>
    public static LinuxGuest Start(Func<VirtualMachineConfiguration, VirtualMachineConfiguration>? configure = null, MachineFactory? factory = null)
    {
        var guest = new TestGuest(BackendKind.Auto, kernel: null, configuration =>
        {
            configuration = configuration with
            {
                MemoryMB = 256,
                KernelPath = GuestAssets.Kernel,
                InitrdPath = GuestAssets.Initrd,
                KernelCommandLine = "console=ttyS0",
            };
            return configure?.Invoke(configuration) ?? configuration;
        }, factory);
        guest.Start();
        return new LinuxGuest(guest);
    }

    /// <summary>Waits until init has given its shell.</summary>
    public Task Booted(long position = 0) => Expect(QuickstartInitramfs.ReadyMarker, position);

    /// <summary>Types a line.</summary>
    public Task Type(string line) => Machine.Console.SendAsync(Encoding.ASCII.GetBytes(line + "\n"));

    /// <summary>Runs a command and expects its whole output.</summary>
    public async Task Ask(string command, string answer)
    {
        long position = Machine.Console.Position;
        await Type($"echo \"<$({command})>\"");
        await Expect($"<{answer}>", position);
    }

    /// <summary>Expects a text in the output from a position on. A kernel that panicked says nothing more: there is no point in patience then.</summary>
    public async Task Expect(string text, long position = 0)
    {
        using var enough = new CancellationTokenSource();
        var found = Machine.Console.WaitForTextAsync(text, position, Patience, enough.Token);
        var panicked = Machine.Console.WaitForTextAsync("end Kernel panic", position, Patience, enough.Token);
        bool expected = await Task.WhenAny(found, panicked) == found && await found;
        await enough.CancelAsync();
        Assert.True(expected, Output);
    }

    /// <summary>Waits for its end.</summary>
    public async Task<MachineStop> Ended()
    {
        Assert.True(await Task.WhenAny(Machine.Stopped, Task.Delay(Patience)) == Machine.Stopped, Output);
        return await Machine.Stopped;
    }

    public void Dispose() => _guest.Dispose();
}
