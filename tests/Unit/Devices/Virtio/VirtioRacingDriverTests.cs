using Hypervisor.Engine.Devices.Virtio;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Network;
using Hypervisor.Engine.Network.UserMode;
using Hypervisor.Engine.Storage.IoControl;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Virtio;

/// <summary>
/// A driver on two processors: one changes rings, descriptors and requests all the time, under the eyes of the device, the other notifies
/// and resets it. Each reset comes to an end, and the device is usable after the last.
/// </summary>
public sealed class VirtioRacingDriverTests
{
    private const int Rounds = 20, Notifications = 12;
    private const ushort QueueSize = 32;

    private static VirtioDevice MakeDevice(string kind, GuestMemory memory, ManualMachineClock clock) => kind switch
    {
        "block" => new VirtioBlock(memory, new MemoryDiskImage(1 << 20), "disk 0", "x"),
        "limited block" => new VirtioBlock(memory, new MemoryDiskImage(1 << 20), "disk 0", "x",
            io: new DatastoreIo("test", new() { Enabled = true, QueueDepth = 4 }).Attach(new DiskIdentity(default, "", 0, ""), new() { LimitIops = 300 })),
        "entropy" => new VirtioEntropy(memory, clock),
        "console" => new VirtioConsole(memory, new NoSink()),
        "network" => new VirtioNet(memory, "network adapter 1", MacAddress.Parse("00:50:56:0a:0b:0c"),
            new UserModeNetwork(new UserModeNetworkOptions { AllowOutside = false, AllowHostLoopback = false }).Connect),
        _ => new VirtioBalloon(memory, clock, TimeSpan.FromSeconds(1), offersReporting: kind == "balloon"),
    };

    [Theory]
    [InlineData("block", 1)]
    [InlineData("limited block", 2)]
    [InlineData("entropy", 3)]
    [InlineData("console", 4)]
    [InlineData("network", 5)]
    [InlineData("balloon", 6)]
    [InlineData("asking balloon", 7)]
    public void A_driver_that_changes_everything_all_the_time_can_reset_the_device(string kind, int seed)
    {
        int rounds = int.TryParse(Environment.GetEnvironmentVariable("HYPERVISOR_FUZZ_ROUNDS"), out int wanted) ? wanted : Rounds;
        var random = new Random(seed);
        var clock = new ManualMachineClock();
        using var driver = new MockVirtioDriver(memory => MakeDevice(kind, memory, clock));
        int queues = driver.Device.Queues.Count;
        driver.Start(queueSize: QueueSize);
        var rings = Enumerable.Range(0, queues).Select(queue => (Table: driver.DescriptorTable(queue), Available: driver.AvailableRing(queue), Used: driver.UsedRing(queue))).ToArray();
        bool done = false;
        var other = new Thread(() =>
        {
            var own = new Random(seed + 100);
            while (!Volatile.Read(ref done))
            {
                Scribble(driver.Memory, own, rings[own.Next(queues)]);
            }
        });
        other.Start();
        try
        {
            for (int round = 0; round < rounds; round++)
            {
                driver.Start(random.Next(3) == 0 ? ~VirtioFeatures.EventIndex : ulong.MaxValue, QueueSize);
                for (int n = 0; n < Notifications; n++)
                {
                    driver.Notify(random.Next(queues));
                    Feed(driver, random);
                }

                clock.Advance(random.Next(3) * 500_000_000L);
                driver.Reset();
            }
        }
        finally
        {
            Volatile.Write(ref done, true);
            other.Join();
        }

        driver.Start();
        Assert.Equal(15, driver.Status & 15);
    }

    // What comes from the host's side.
    private static void Feed(MockVirtioDriver driver, Random random)
    {
        Span<byte> bytes = stackalloc byte[random.Next(14, 1500)];
        random.NextBytes(bytes);
        switch (driver.Device)
        {
            case VirtioNet net:
                new byte[] { 0x00, 0x50, 0x56, 0x0a, 0x0b, 0x0c }.CopyTo(bytes);
                net.TryReceive(bytes, default);
                net.EndReceive();
                break;
            case VirtioConsole console:
                console.SendInput(bytes);
                break;
            case VirtioBalloon { CanHint: true } balloon:
                driver.Pages.BeginHinting();
                balloon.RequestHints();
                break;
            case VirtioBalloon balloon:
                balloon.RequestStatistics();
                break;
        }
    }

    // Plausible requests, of which something is changed while they are looked at, and an index that goes to and fro.
    private static void Scribble(GuestMemory memory, Random random, (ulong Table, ulong Available, ulong Used) ring)
    {
        switch (random.Next(8))
        {
            case 0 or 1:
                memory.TryRead(ring.Available + 2, out ushort index);
                memory.TryWrite(ring.Available + 2, (ushort)(index + (random.Next(64) == 0 ? random.Next(1 << 16) : random.Next(-1, 4))));
                break;
            case 2:
                memory.TryWrite(ring.Available + 4 + (2 * (ulong)random.Next(QueueSize + 1)), (ushort)random.Next(random.Next(16) == 0 ? 1 << 16 : QueueSize));
                break;
            case 3:
                memory.TryWrite(ring.Used + (2 * (ulong)random.Next(QueueSize)), (ushort)random.Next());
                break;
            case 4:
                // Where headers lie: types of block requests, numbers of pages.
                memory.TryWrite(0x80_0000ul + (8 * (ulong)random.Next(512)), (ulong)random.Next(15));
                break;
            default:
                int number = random.Next(QueueSize);
                ulong at = ring.Table + (16 * (ulong)number);
                bool writable = number % 3 != 0, goesOn = random.Next(3) != 0, indirect = random.Next(24) == 0;
                memory.TryWrite(at, random.Next(64) == 0 ? (ulong)random.NextInt64() : 0x80_0000ul + (ulong)random.Next(indirect ? 1 : 0x70_0000));
                uint length = indirect ? 16u * (uint)random.Next(1, 9) : (uint)random.Next(random.Next(16) == 0 ? 0x10_0000 : 4096);
                memory.TryWrite(at + 8, length | ((goesOn && !indirect ? 1ul : 0) | (writable ? 2ul : 0) | (indirect ? 4ul : 0)) << 32
                    | (ulong)(random.Next(32) == 0 ? random.Next(1 << 16) : (number + 1) % QueueSize) << 48);
                break;
        }
    }

    private sealed class NoSink : Hypervisor.Engine.Devices.IByteSink
    {
        public void Write(ReadOnlySpan<byte> bytes)
        {
        }
    }
}
