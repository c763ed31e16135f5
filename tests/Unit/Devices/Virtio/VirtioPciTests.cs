using Hypervisor.Engine.Devices.Virtio;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Virtio;

public sealed class VirtioPciTests
{
    private static MockVirtioDriver Make() => new(memory => new VirtioBlock(memory, new MemoryDiskImage(65536), "disk 0", "x"));

    [Fact]
    public void The_identity_is_a_modern_device()
    {
        using var driver = Make();
        Assert.Equal(0x1042_1AF4u, driver.ReadConfig(0, 4));
        Assert.Equal(1u, driver.ReadConfig(8, 1));
        Assert.Equal(1u, driver.ReadConfig(0x3D, 1));
        Assert.NotEqual(0u, driver.ReadConfig(6, 2) & 0x10);
    }

    [Fact]
    public void Features_without_version_1_are_refused()
    {
        using var driver = Make();
        driver.Status = 1;
        driver.Status = 3;
        driver.Status = 11;
        Assert.Equal(3, driver.Status);
        driver.Status = 15;
        Assert.Equal(3, driver.Status);
        Assert.False(driver.Device.IsDriverRunning);
    }

    [Fact]
    public void Features_that_were_not_offered_are_refused()
    {
        using var driver = Make();
        driver.Status = 3;
        driver.Bus.WriteMmio(driver.Common + 8, 4, 1);
        driver.Bus.WriteMmio(driver.Common + 12, 4, 0xFFFF_FFFF);
        driver.Status = 11;
        Assert.Equal(3, driver.Status);
    }

    [Theory]
    [InlineData(0x20, 0x1001ul)]
    [InlineData(0x20, MockVirtioDriver.MemoryBytes)]
    [InlineData(0x28, 0x1001ul)]
    [InlineData(0x30, 0x1002ul)]
    [InlineData(0x30, ulong.MaxValue - 3)]
    public void A_queue_whose_rings_cannot_be_used_asks_for_a_reset(int field, ulong value)
    {
        using var driver = Make();
        driver.Status = 3;
        driver.Bus.WriteMmio(driver.Common + 8, 4, 1);
        driver.Bus.WriteMmio(driver.Common + 12, 4, 1);
        driver.Status = 11;
        driver.Bus.WriteMmio(driver.Common + 0x20, 8, 0x1000);
        driver.Bus.WriteMmio(driver.Common + 0x28, 8, 0x3000);
        driver.Bus.WriteMmio(driver.Common + 0x30, 8, 0x4000);
        driver.Bus.WriteMmio(driver.Common + (ulong)field, 8, value);
        driver.Bus.WriteMmio(driver.Common + 0x1C, 2, 1);
        driver.Status = 15;
        Assert.Equal(15 | 64, driver.Status);
        Assert.Equal(1, driver.Device.GuestErrors);
    }

    [Fact]
    public void A_reset_forgets_what_the_driver_set()
    {
        using var driver = Make();
        driver.Start();
        driver.Reset();
        Assert.Equal(0ul, driver.Bus.ReadMmio(driver.Common + 0x1C, 2));
        Assert.Equal(0ul, driver.Bus.ReadMmio(driver.Common + 0x20, 8));
        Assert.Equal(0xFFFFul, driver.Bus.ReadMmio(driver.Common + 0x10, 2));
        Assert.Equal(0xFFFFul, driver.Bus.ReadMmio(driver.Common + 0x1A, 2));
        Assert.Equal(0ul, driver.Device.NegotiatedFeatures);
    }

    [Fact]
    public void An_enabled_queue_is_not_moved()
    {
        using var driver = Make();
        driver.Start();
        driver.Bus.WriteMmio(driver.Common + 0x16, 2, 0);
        ulong before = driver.Bus.ReadMmio(driver.Common + 0x20, 8);
        driver.Bus.WriteMmio(driver.Common + 0x20, 8, 0x5000);
        driver.Bus.WriteMmio(driver.Common + 0x18, 2, 8);
        Assert.Equal(before, driver.Bus.ReadMmio(driver.Common + 0x20, 8));
        Assert.Equal(256ul, driver.Bus.ReadMmio(driver.Common + 0x18, 2));
    }

    [Fact]
    public void A_queue_that_does_not_exist_has_size_0()
    {
        using var driver = Make();
        driver.Bus.WriteMmio(driver.Common + 0x16, 2, 1);
        Assert.Equal(0ul, driver.Bus.ReadMmio(driver.Common + 0x18, 2));
        driver.Bus.WriteMmio(driver.Common + 0x1A, 2, 0);
        driver.Bus.WriteMmio(driver.Common + 0x1C, 2, 1);
        driver.Bus.WriteMmio(driver.NotifyBase + 4, 2, 1);
    }

    [Fact]
    public void A_vector_beyond_the_table_reads_back_as_none()
    {
        using var driver = Make();
        driver.Bus.WriteMmio(driver.Common + 0x10, 2, 2);
        Assert.Equal(0xFFFFul, driver.Bus.ReadMmio(driver.Common + 0x10, 2));
        driver.Bus.WriteMmio(driver.Common + 0x10, 2, 1);
        Assert.Equal(1ul, driver.Bus.ReadMmio(driver.Common + 0x10, 2));
    }

    [Fact]
    public void The_access_capability_reaches_the_registers_through_configuration_space()
    {
        using var driver = Make();
        int access = driver.AccessCapability;
        driver.WriteConfig(access + 4, 1, 0);
        driver.WriteConfig(access + 8, 4, 0x14);
        driver.WriteConfig(access + 12, 4, 1);
        driver.WriteConfig(access + 16, 1, 3);
        Assert.Equal(3, driver.Status);
        Assert.Equal(3u, driver.ReadConfig(access + 16, 1));
        driver.WriteConfig(access + 8, 4, 0x2000);
        driver.WriteConfig(access + 12, 4, 4);
        Assert.Equal(128u, driver.ReadConfig(access + 16, 4));
    }

    [Theory]
    [InlineData(0, 0x4000u, 4u)]
    [InlineData(0, 0xFFFF_FFFCu, 4u)]
    [InlineData(0, 1u, 4u)]
    [InlineData(0, 0u, 3u)]
    [InlineData(5, 0u, 4u)]
    [InlineData(0, 0u, 0u)]
    public void The_access_capability_stays_inside_the_bars(uint bar, uint offset, uint length)
    {
        using var driver = Make();
        int access = driver.AccessCapability;
        driver.WriteConfig(access + 4, 1, bar);
        driver.WriteConfig(access + 8, 4, offset);
        driver.WriteConfig(access + 12, 4, length);
        driver.WriteConfig(access + 16, 4, 0xFFFF_FFFF);
        driver.ReadConfig(access + 16, 4);
        Assert.Equal(0, driver.Status);
    }

    [Fact]
    public void A_machine_reset_returns_the_device_and_its_bars_to_power_on()
    {
        using var driver = Make();
        driver.Start();
        uint bar = driver.ReadConfig(0x10, 4);
        driver.WriteConfig(0x10, 4, 0xF400_0000);
        driver.Pci.Reset();
        Assert.Equal(bar, driver.ReadConfig(0x10, 4));
        Assert.Equal(0, driver.Status);
        Assert.False(driver.Transport.Msix!.IsEnabled);
        driver.Start();
    }
}
