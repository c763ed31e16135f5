using Hypervisor.Engine.Devices.Virtio;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Virtio;

public sealed class VirtioEntropyTests
{
    private readonly ManualMachineClock _clock = new();

    private MockVirtioDriver Make(int bytesPerSecond = 65536)
    {
        var driver = new MockVirtioDriver(memory => new VirtioEntropy(memory, _clock, bytesPerSecond));
        driver.Start();
        return driver;
    }

    [Fact]
    public void A_buffer_is_filled_with_random_bytes()
    {
        using var driver = Make();
        ulong buffer = driver.Allocate(128);
        Assert.Equal(128u, driver.Request(0, (buffer, 64, true), (buffer + 64, 64, true)));
        byte[] bytes = driver.ReadMemory(buffer, 128);
        Assert.True(bytes.Distinct().Count() > 40);
        Assert.NotEqual(bytes[..64], bytes[64..]);
    }

    [Fact]
    public void A_huge_request_is_answered_short()
    {
        using var driver = Make();
        Assert.Equal(65536u, driver.Request(0, (0x100000, 0x800000, true)));
    }

    [Fact]
    public void A_request_beyond_the_rate_waits_for_the_next_second()
    {
        using var driver = Make();
        ulong buffer = driver.Allocate(65536);
        Assert.Equal(65536u, driver.Request(0, (buffer, 65536, true)));
        driver.Submit(0, (buffer, 16, true));
        driver.Notify(0);
        MockVirtioDriver.WaitFor(() => _clock.NextDeadline == 1_000_000_000);
        Assert.False(driver.TryCollect(0, out _, out _));
        _clock.Advance(1_000_000_000);
        Assert.Equal(16u, driver.Collect(0).Written);
    }

    [Fact]
    public void A_request_without_room_gets_nothing()
    {
        using var driver = Make();
        Assert.Equal(0u, driver.Request(0, (driver.Allocate(16), 16, false)));
    }
}
