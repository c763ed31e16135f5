using System.Buffers.Binary;
using Hypervisor.Engine.Devices.Virtio;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Virtio;

public sealed class VirtioBalloonTests
{
    private const int Inflate = 0, Deflate = 1, StatisticsQueue = 2;

    private readonly ManualMachineClock _clock = new();

    private MockVirtioDriver Make(TimeSpan interval = default)
    {
        var driver = new MockVirtioDriver(memory => new VirtioBalloon(memory, _clock, interval));
        driver.Start();
        return driver;
    }

    private static ulong PageNumbers(MockVirtioDriver driver, params uint[] pages)
    {
        byte[] bytes = new byte[pages.Length * 4];
        for (int i = 0; i < pages.Length; i++)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(i * 4), pages[i]);
        }

        return driver.AllocateWith(bytes);
    }

    [Theory]
    [InlineData(0x800u, 0x801u, 0x802u)]
    [InlineData(0x802u, 0x801u, 0x800u)]
    [InlineData(0x800u, 0x900u, 0x850u)]
    public void Inflated_pages_are_released_and_read_as_zeroes(uint a, uint b, uint c)
    {
        using var driver = Make();
        uint[] pages = [a, b, c];
        foreach (uint page in pages)
        {
            driver.Memory.TryWrite(page * 4096ul, 0xAAul);
            driver.Memory.TryWrite((page * 4096ul) + 4088, 0xBBul);
        }

        driver.Memory.TryWrite(0x7FFFF8, 0xCCul);
        driver.Request(Inflate, (PageNumbers(driver, pages), 12, false));
        foreach (uint page in pages)
        {
            Assert.Equal(new byte[4096], driver.ReadMemory(page * 4096ul, 4096));
        }

        Assert.Equal(0xCC, driver.ReadMemory(0x7FFFF8, 1)[0]);
        Assert.Equal(3 * 4096, ((VirtioBalloon)driver.Device).ReleasedBytes);
    }

    [Fact]
    public void Page_numbers_outside_memory_release_nothing()
    {
        using var driver = Make();
        uint[] pages = [uint.MaxValue, 0x1000, 0x8000_0000, 0xFFFF_FFFE];
        driver.Request(Inflate, (PageNumbers(driver, pages), 16, false));
        Assert.Equal(0, ((VirtioBalloon)driver.Device).ReleasedBytes);
        Assert.Equal(0, driver.Device.GuestErrors);
    }

    [Fact]
    public void A_list_that_ends_amid_a_number_is_read_up_to_there()
    {
        using var driver = Make();
        driver.Memory.TryWrite(0x80_0000, 1ul);
        driver.Memory.TryWrite(0x90_0000, 1ul);
        driver.Request(Inflate, (PageNumbers(driver, 0x800, 0x900), 7, false));
        Assert.Equal(4096, ((VirtioBalloon)driver.Device).ReleasedBytes);
    }

    [Fact]
    public void Deflation_is_answered()
    {
        using var driver = Make();
        driver.Request(Deflate, (PageNumbers(driver, 0x800), 4, false));
        Assert.Equal(0, ((VirtioBalloon)driver.Device).ReleasedBytes);
    }

    // A driver that does not hint may count the queues that it uses.
    [Theory]
    [InlineData(3, false)]
    [InlineData(4, false)]
    [InlineData(4, true)]
    public void Reported_pages_are_released_but_not_parts_of_pages(int queue, bool hints)
    {
        using var driver = Make();
        driver.Start(hints ? ulong.MaxValue : ~(1ul << 3));
        driver.Memory.TryWrite(0x80_0000, 1ul);
        driver.Memory.TryWrite(0x80_1000, 2ul);
        driver.Memory.TryWrite(0x80_2000, 4ul);
        driver.Memory.TryWrite(0x80_3000, 3ul);
        driver.Request(queue, (0x80_0800, 0x3000, true));
        Assert.Equal(1, driver.ReadMemory(0x80_0000, 1)[0]);
        Assert.Equal(0, driver.ReadMemory(0x80_1000, 1)[0]);
        Assert.Equal(3, driver.ReadMemory(0x80_3000, 1)[0]);
        Assert.Equal(0x2000, ((VirtioBalloon)driver.Device).ReleasedBytes);
        Assert.Equal(2, driver.Pages.Statistics.Released);
    }

    [Fact]
    public void Target_and_actual_go_through_the_configuration()
    {
        using var driver = Make();
        var balloon = (VirtioBalloon)driver.Device;
        balloon.TargetPages = 1000;
        Assert.Equal(1000ul, driver.Bus.ReadMmio(driver.DeviceConfig, 4));
        Assert.Contains((0xFEE0_0000ul, 0x40u), driver.Messages.Messages);
        driver.Bus.WriteMmio(driver.DeviceConfig, 4, 5);
        driver.Bus.WriteMmio(driver.DeviceConfig + 4, 4, 600);
        Assert.Equal((1000u, 600u), (balloon.TargetPages, balloon.ActualPages));
        driver.Reset();
        Assert.Equal((1000u, 0u), (balloon.TargetPages, balloon.ActualPages));
    }

    [Fact]
    public void Requests_that_name_very_many_pages_do_not_keep_a_reset_waiting_for_all_of_them()
    {
        const int Requests = 4, Names = 65536;
        using var driver = Make();

        // No two are neighbours: each costs by itself.
        byte[] names = new byte[Names * 4];
        for (int i = 0; i < Names; i++)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(names.AsSpan(i * 4), 0x800 + (2u * (uint)(i % 2)));
        }

        ulong list = driver.AllocateWith(names), used = driver.UsedRing(Inflate);
        int released = 0, most = 0;
        driver.Memory.Written = (address, _) =>
        {
            if (address is 0x80_0000 or 0x80_2000)
            {
                driver.Memory.TryRead(used + 2, out ushort published);
                most = Math.Max(most, (released++ / Names) + 1 - published);
            }
        };
        for (int i = 0; i < Requests; i++)
        {
            driver.Submit(Inflate, (list, (uint)names.Length, false));
        }

        driver.Notify(Inflate);
        for (int i = 0; i < Requests; i++)
        {
            driver.Collect(Inflate);
        }

        Assert.Equal(Requests * Names, released);
        Assert.Equal(1, most);
    }

    [Fact]
    public void Statistics_are_polled()
    {
        using var driver = Make(TimeSpan.FromSeconds(5));
        var balloon = (VirtioBalloon)driver.Device;
        byte[] bytes = new byte[20];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes, 4);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(2), 123456);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(10), 5);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(12), 654321);
        ulong buffer = driver.AllocateWith(bytes);
        driver.Submit(StatisticsQueue, (buffer, 20, false));
        driver.Notify(StatisticsQueue);
        MockVirtioDriver.WaitFor(() => balloon.Statistics != null);
        Assert.Equal((123456ul, 654321ul, null), (balloon.Statistics!.FreeBytes, balloon.Statistics.TotalBytes, balloon.Statistics.MajorFaults));
        Assert.False(driver.TryCollect(StatisticsQueue, out _, out _));
        _clock.Advance(5_000_000_000);
        driver.Collect(StatisticsQueue);
        driver.Memory.TryWrite(buffer + 2, 777ul);
        driver.Submit(StatisticsQueue, (buffer, 20, false));
        driver.Notify(StatisticsQueue);
        MockVirtioDriver.WaitFor(() => balloon.Statistics.FreeBytes == 777);
    }
}
