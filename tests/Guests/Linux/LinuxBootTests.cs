using Hypervisor.Engine.Machines;
using Hypervisor.Shell;
using Hypervisor.Tests.Guests.Support;

namespace Hypervisor.Tests.Guests.Linux;

/// <summary>The stock Debian cloud kernel on the backend that <c>Auto</c> takes.</summary>
public class LinuxBootTests
{
    [LinuxFact]
    public async Task A_stock_kernel_boots_to_a_shell_finds_its_devices_and_powers_off()
    {
        string disk = Path.GetTempFileName();
        try
        {
            await File.WriteAllBytesAsync(disk, [.. "on the disk"u8, .. new byte[(1 << 20) - 11]]);
            using var guest = LinuxGuest.Start(configuration => configuration with
            {
                Disks = [new() { Path = disk }],
                NetworkAdapters = [new() { MacAddress = "00:50:56:00:00:01" }],
            });
            await guest.Booted();
            await guest.Ask("uname -sm", "Linux x86_64");
            await guest.Ask("head -c 11 /dev/vda", "on the disk");
            await guest.Ask("ls /sys/bus/virtio/drivers/virtio_net | grep -c virtio", "1");
            await guest.Ask("head -c 16 /dev/hwrng | wc -c", "16");
            await guest.Type("poweroff -f");
            Assert.Equal(MachineStopReason.GuestShutdown, (await guest.Ended()).Reason);
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
        using var guest = LinuxGuest.Start();
        await guest.Booted();
        long position = guest.Machine.Console.Position;
        await guest.Type("reboot -f");
        await guest.Booted(position);
        guest.Machine.PressPowerButton();
        Assert.Equal(MachineStopReason.GuestShutdown, (await guest.Ended()).Reason);
    }
}
