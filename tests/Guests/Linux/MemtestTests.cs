using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Guests.Support;

namespace Hypervisor.Tests.Guests.Linux;

public class MemtestTests
{
    [MemtestFact]
    public Task Memtest86_starts_testing_and_finds_no_error() => Test(GuestAssets.Memtest);

    [MemtestFact]
    public Task Memtest86_of_32_bits_starts_testing_and_finds_no_error() => Test(GuestAssets.Memtest32);

    private static async Task Test(string image)
    {
        using var guest = new TestGuest(BackendKind.Software, kernel: null, configuration => configuration with
        {
            MemoryMB = 32,
            KernelPath = image,
            KernelCommandLine = "console=ttyS0,115200",
        });
        guest.Start();
        var patience = TimeSpan.FromMinutes(3);
        Assert.True(await guest.Machine.Console.WaitForTextAsync("Status: Testing", 0, patience), guest.Output);
        // Another kind of test has begun: the first ones went through all memory.
        Assert.True(await guest.Machine.Console.WaitForTextAsync("[Moving inversions", 0, patience), guest.Output);
        Assert.Contains("Errors: 0", guest.Output, StringComparison.Ordinal);
    }
}
