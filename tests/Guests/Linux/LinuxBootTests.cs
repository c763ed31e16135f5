using System.Text;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Partitions;
using Hypervisor.Shell;
using Hypervisor.Tests.Guests.Support;

namespace Hypervisor.Tests.Guests.Linux;

/// <summary>The stock Debian cloud kernel on the backend that <c>Auto</c> takes.</summary>
public class LinuxBootTests
{
    /// <summary>For slow hosts; a boot takes seconds.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(4);

    [LinuxFact]
    public async Task A_stock_kernel_boots_to_a_shell_finds_its_devices_and_powers_off()
    {
        string disk = Path.GetTempFileName();
        try
        {
            await File.WriteAllBytesAsync(disk, [.. "on the disk"u8, .. new byte[(1 << 20) - 11]]);
            using var guest = Boot(configuration => configuration with
            {
                Disks = [new() { Path = disk }],
                NetworkAdapters = [new() { MacAddress = "00:50:56:00:00:01" }],
            });
            await Expect(guest, QuickstartInitramfs.ReadyMarker);
            await Ask(guest, "uname -sm", "Linux x86_64");
            await Ask(guest, "head -c 11 /dev/vda", "on the disk");
            await Ask(guest, "ls /sys/bus/virtio/drivers/virtio_net | grep -c virtio", "1");
            await Ask(guest, "head -c 16 /dev/hwrng | wc -c", "16");
            await guest.Machine.Console.SendAsync("poweroff -f\n"u8.ToArray());
            Assert.True(await Task.WhenAny(guest.Machine.Stopped, Task.Delay(Patience)) == guest.Machine.Stopped, guest.Output);
            Assert.Equal(MachineStopReason.GuestShutdown, (await guest.Machine.Stopped).Reason);
            Assert.DoesNotContain("Call Trace", guest.Output, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(disk);
        }
    }

    [LinuxFact]
    public async Task The_power_button_shuts_a_stock_kernel_down_and_reboot_boots_it_again()
    {
        using var guest = Boot(configuration => configuration);
        await Expect(guest, QuickstartInitramfs.ReadyMarker);
        long position = guest.Machine.Console.Position;
        await guest.Machine.Console.SendAsync("reboot -f\n"u8.ToArray());
        await Expect(guest, QuickstartInitramfs.ReadyMarker, position);
        guest.Machine.PressPowerButton();
        Assert.True(await Task.WhenAny(guest.Machine.Stopped, Task.Delay(Patience)) == guest.Machine.Stopped, guest.Output);
        Assert.Equal(MachineStopReason.GuestShutdown, (await guest.Machine.Stopped).Reason);
    }

    private static TestGuest Boot(Func<VirtualMachineConfiguration, VirtualMachineConfiguration> configure)
    {
        var guest = new TestGuest(BackendKind.Auto, kernel: null, configuration => configure(configuration with
        {
            MemoryMB = 256,
            KernelPath = GuestAssets.Kernel,
            InitrdPath = GuestAssets.Initrd,
            KernelCommandLine = "console=ttyS0",
        }));
        guest.Start();
        return guest;
    }

    private static Task Expect(TestGuest guest, string text) => Expect(guest, text, 0);

    // A kernel that panicked says nothing more: there is no point in patience then.
    private static async Task Expect(TestGuest guest, string text, long position)
    {
        using var enough = new CancellationTokenSource();
        var found = guest.Machine.Console.WaitForTextAsync(text, position, Patience, enough.Token);
        var panicked = guest.Machine.Console.WaitForTextAsync("end Kernel panic", position, Patience, enough.Token);
        bool expected = await Task.WhenAny(found, panicked) == found && await found;
        await enough.CancelAsync();
        Assert.True(expected, guest.Output);
    }

    private static async Task Ask(TestGuest guest, string command, string answer)
    {
        long position = guest.Machine.Console.Position;
        await guest.Machine.Console.SendAsync(Encoding.ASCII.GetBytes($"echo \"<$({command})>\"\n"));
        await Expect(guest, $"<{answer}>", position);
    }
}
