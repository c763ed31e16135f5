using Hypervisor.Engine.Devices.Virtio;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Storage.IoControl;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Virtio;

/// <summary>
/// A driver gone mad: random rings, descriptors, registers, notifications and resets. The device must not throw, must stay usable
/// after a reset, and must not touch memory outside the block the guest has: the block ends where the mapping ends, so that would
/// be a fault or, seen by the driver's memory hook, a failed assertion.
/// </summary>
public sealed class VirtioFuzzTests
{
    private static VirtioDevice MakeDevice(string kind, GuestMemory memory, ManualMachineClock clock) => kind switch
    {
        "block" => new VirtioBlock(memory, new MemoryDiskImage(1 << 20), "disk 0", "x"),
        "limited block" => new VirtioBlock(memory, new MemoryDiskImage(1 << 20), "disk 0", "x",
            io: new DatastoreIo("test", new() { Enabled = true, QueueDepth = 4 }).Attach(new DiskIdentity(default, "", 0, ""), new() { LimitIops = 300 })),
        "entropy" => new VirtioEntropy(memory, clock),
        "console" => new VirtioConsole(memory, new RecordingByteSink()),
        _ => new VirtioBalloon(memory, clock, TimeSpan.FromSeconds(1), offersReporting: kind == "balloon"),
    };

    [Theory]
    [InlineData("block", 1)]
    [InlineData("block", 2)]
    [InlineData("limited block", 1)]
    [InlineData("limited block", 6)]
    [InlineData("entropy", 3)]
    [InlineData("console", 4)]
    [InlineData("balloon", 5)]
    [InlineData("asking balloon", 7)]
    public void Garbage_never_gets_out_of_the_device(string kind, int seed)
    {
        var random = new Random(seed);
        var clock = new ManualMachineClock();
        using var driver = new MockVirtioDriver(memory => MakeDevice(kind, memory, clock));
        int queues = driver.Device.Queues.Count;
        for (int round = 0; round < 150; round++)
        {
            driver.Start(random.Next(3) == 0 ? ~VirtioFeatures.EventIndex : ulong.MaxValue, (ushort)(1 << random.Next(9)));
            for (int step = random.Next(40); step >= 0; step--)
            {
                Act(driver, random, random.Next(queues));
                Ask(driver);
            }

            clock.Advance(random.Next(3) * 500_000_000L);
        }

        driver.Start();
        Assert.Equal(15, driver.Status & 15);
    }

    [Fact]
    public void Random_registers_never_get_out_of_the_transport()
    {
        var random = new Random(99);
        using var driver = new MockVirtioDriver(memory => new VirtioBlock(memory, new MemoryDiskImage(1 << 20), "disk 0", "x"));
        ulong bar = driver.Common;
        for (int i = 0; i < 30_000; i++)
        {
            ulong offset = (ulong)(random.Next(3) == 0 ? random.Next(0x4000) : random.Next(0x40));
            int size = random.Next(2) == 0 ? 1 << random.Next(4) : 1 + random.Next(8);
            ulong value = random.Next(3) switch { 0 => (ulong)random.Next(16), 1 => (ulong)random.Next(1 << 24), _ => (ulong)random.NextInt64() };
            driver.Bus.WriteMmio(bar + offset, size, value);
            driver.Bus.ReadMmio(bar + offset, size);
        }

        driver.Start();
        Assert.Equal(15, driver.Status);
    }

    // For hints, wherever that can be done.
    private static void Ask(MockVirtioDriver driver)
    {
        if (driver.Device is VirtioBalloon { CanHint: true } balloon)
        {
            driver.Pages.BeginHinting();
            balloon.RequestHints();
        }
    }

    private static void Act(MockVirtioDriver driver, Random random, int queue)
    {
        ulong table = driver.DescriptorTable(queue);
        switch (random.Next(9))
        {
            case 0:
                byte[] garbage = new byte[random.Next(1, 256)];
                random.NextBytes(garbage);
                driver.Memory.TryWrite(table + (ulong)random.Next(0, 4096), garbage);
                break;
            case 1:
                driver.Memory.TryWrite(driver.AvailableRing(queue) + (ulong)random.Next(0, 64), (ushort)random.Next());
                break;
            case 2:
                driver.Memory.TryWrite(driver.UsedRing(queue) + (ulong)random.Next(0, 64), (ushort)random.Next());
                break;
            case 3:
                driver.Bus.WriteMmio(driver.Common + (ulong)random.Next(0x40), 1 << random.Next(4), (ulong)random.NextInt64());
                break;
            case 4:
                driver.Status = (byte)(random.Next(4) == 0 ? 0 : random.Next(256));
                break;
            case 5:
                driver.Bus.WriteMmio(driver.DeviceConfig == 0 ? driver.Isr : driver.DeviceConfig + (ulong)random.Next(64), 1 << random.Next(3), (ulong)random.Next());
                break;
            default:
                OfferSomething(driver, random, queue, table);
                break;
        }
    }

    // Mostly plausible descriptors, so that requests get far before they go wrong.
    private static void OfferSomething(MockVirtioDriver driver, Random random, int queue, ulong table)
    {
        int count = random.Next(1, 6);
        ushort index = (ushort)random.Next(16);
        ushort head = index;
        bool writable = random.Next(3) == 0;
        for (int i = 0; i < count; i++)
        {
            writable |= random.Next(2) == 0;
            ulong address = random.Next(10) == 0 ? (ulong)random.NextInt64() : (ulong)random.Next((int)MockVirtioDriver.MemoryBytes);
            uint length = random.Next(10) == 0 ? (uint)random.NextInt64() : (uint)random.Next(0, 5000);
            int flags = (i < count - 1 ? 1 : 0) | (writable ? 2 : 0) | (random.Next(12) == 0 ? random.Next(8) : 0);
            ushort next = (ushort)(random.Next(16) == 0 ? random.Next(65536) : (index + 1) % 16);
            driver.WriteDescriptor(table + (index * 16ul), address, length, (ushort)flags, next);
            index = next < 16 ? next : (ushort)0;
        }

        // A request type the block device knows, where its header may lie.
        driver.Memory.TryWrite((ulong)random.Next((int)MockVirtioDriver.MemoryBytes - 16), (ulong)random.Next(15));
        driver.Offer(queue, head);
        driver.Notify(queue);
    }
}
