using System.Buffers.Binary;
using Hypervisor.Engine.Devices.Virtio;
using Hypervisor.Engine.Network;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Virtio;

public sealed class VirtioNetTests
{
    private const int Rx = 0, Tx = 1, Control = 2;
    private const ulong Checksum = 1, GuestChecksum = 2, GuestTso4 = 1 << 7, HostTso4 = 1 << 11, Mergeable = 1 << 15, ControlRx = 1 << 18, ControlVlan = 1 << 19;

    private static readonly MacAddress Mac = MacAddress.Parse("00:50:56:0a:0b:0c");

    /// <summary>The port the card is plugged into: keeps what is sent.</summary>
    private sealed class RecordingPort : IPacketPort
    {
        private readonly Lock _lock = new();
        private readonly List<(byte[] Frame, PacketOffload Offload)> _sent = [];
        private int _flushes, _ready;

        public PacketCapabilities SendCapabilities { get; init; } = PacketCapabilities.Checksum | PacketCapabilities.TcpSegmentation4;

        public IPacketReceiver? Receiver { get; set; }

        public int Flushes => Volatile.Read(ref _flushes);

        public int Ready => Volatile.Read(ref _ready);

        public bool Disposed { get; private set; }

        public List<(byte[] Frame, PacketOffload Offload)> Sent
        {
            get
            {
                lock (_lock)
                {
                    return [.. _sent];
                }
            }
        }

        public void Send(ReadOnlySpan<byte> frame, in PacketOffload offload)
        {
            lock (_lock)
            {
                _sent.Add((frame.ToArray(), offload));
            }
        }

        public void Flush() => Interlocked.Increment(ref _flushes);

        public void ReceiverReady() => Interlocked.Increment(ref _ready);

        public void Dispose() => Disposed = true;
    }

    private static (MockVirtioDriver Driver, RecordingPort Port, VirtioNet Net) Make(RecordingPort? port = null)
    {
        port ??= new RecordingPort();
        var driver = new MockVirtioDriver(memory => new VirtioNet(memory, "network adapter 1", Mac, receiver =>
        {
            port.Receiver = receiver;
            return port;
        }));
        return (driver, port, (VirtioNet)driver.Device);
    }

    private static byte[] Frame(int length, MacAddress? destination = null, int seed = 1)
    {
        byte[] frame = new byte[length];
        new Random(seed).NextBytes(frame);
        (destination ?? Mac).Write(frame);
        frame[12] = 8;
        frame[13] = 0;
        return frame;
    }

    private static byte[] Header(byte flags = 0, byte gso = 0, ushort gsoSize = 0, ushort start = 0, ushort offset = 0)
    {
        byte[] header = new byte[12];
        header[0] = flags;
        header[1] = gso;
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(4), gsoSize);
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(6), start);
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(8), offset);
        return header;
    }

    private static void Transmit(MockVirtioDriver driver, byte[] header, byte[] frame)
    {
        ulong address = driver.AllocateWith([.. header, .. frame]);
        Assert.Equal(0u, driver.Request(Tx, (address, (uint)(header.Length + frame.Length), false)));
    }

    private static byte Command(MockVirtioDriver driver, byte kind, byte command, params byte[] data)
    {
        ulong answer = driver.AllocateWith([0xEE]);
        driver.Request(Control, (driver.AllocateWith([kind, command]), 2, false), (driver.AllocateWith(data), (uint)data.Length, false), (answer, 1, true));
        return driver.ReadMemory(answer, 1)[0];
    }

    [Fact]
    public void The_configuration_tells_address_link_and_mtu()
    {
        var (driver, _, net) = Make();
        using (driver)
        {
            byte[] mac = [.. Enumerable.Range(0, 6).Select(i => (byte)driver.Bus.ReadMmio(driver.DeviceConfig + (ulong)i, 1))];
            Assert.Equal(Mac, MacAddress.Read(mac));
            Assert.Equal(1ul, driver.Bus.ReadMmio(driver.DeviceConfig + 6, 2));
            Assert.Equal(1500ul, driver.Bus.ReadMmio(driver.DeviceConfig + 10, 2));
            driver.Start();
            int before = driver.Messages.Messages.Count;
            net.LinkUp = false;
            Assert.Equal(0ul, driver.Bus.ReadMmio(driver.DeviceConfig + 6, 2));
            Assert.True(driver.Messages.Messages.Count > before);
        }
    }

    [Fact]
    public void Offloads_of_the_sending_side_are_offered_only_where_the_port_takes_them()
    {
        var (driver, _, _) = Make(new RecordingPort { SendCapabilities = PacketCapabilities.None });
        using (driver)
        {
            Assert.Equal(0ul, driver.OfferedFeatures & (Checksum | HostTso4));
        }
    }

    [Fact]
    public void Frames_are_sent_with_what_is_left_undone_in_them()
    {
        var (driver, port, net) = Make();
        using (driver)
        {
            driver.Start();
            byte[] small = Frame(60), large = Frame(40_000, seed: 2);
            Transmit(driver, Header(), small);
            Transmit(driver, Header(flags: 1, gso: 1, gsoSize: 1460, start: 34, offset: 16), large);
            Assert.Equal(small, port.Sent[0].Frame);
            Assert.Equal(default, port.Sent[0].Offload);
            Assert.Equal(large, port.Sent[1].Frame);
            Assert.Equal((true, 34, 16, PacketSegmentation.Tcp4, 1460), (port.Sent[1].Offload.NeedsChecksum, port.Sent[1].Offload.ChecksumStart,
                port.Sent[1].Offload.ChecksumOffset, port.Sent[1].Offload.Segmentation, port.Sent[1].Offload.SegmentSize));
            Assert.True(port.Flushes >= 2);
            Assert.Equal((2L, 40_060L, 0L), (net.Statistics.TransmittedPackets, net.Statistics.TransmittedBytes, net.Statistics.TransmittedDropped));
        }
    }

    [Fact]
    public void A_frame_may_be_scattered_with_its_header_split()
    {
        var (driver, port, _) = Make();
        using (driver)
        {
            driver.Start();
            byte[] frame = Frame(300), all = [.. Header(), .. frame];
            ulong address = driver.AllocateWith(all);
            driver.Request(Tx, (address, 5, false), (address + 5, 8, false), (address + 13, 100, false), (address + 113, 199, false));
            Assert.Equal(frame, port.Sent[0].Frame);
        }
    }

    [Theory]
    [InlineData(1, 0, 0, 99, 0)]
    [InlineData(1, 0, 0, 0xFFFF, 0xFFFF)]
    [InlineData(0, 1, 1460, 0, 0)]
    [InlineData(1, 1, 0, 34, 16)]
    [InlineData(1, 4, 1460, 34, 16)]
    [InlineData(1, 3, 1460, 34, 16)]
    [InlineData(1, 0x81, 1460, 34, 16)]
    public void A_header_that_asks_for_what_it_may_not_drops_its_frame(byte flags, byte gso, ushort size, ushort start, ushort offset)
    {
        var (driver, port, net) = Make();
        using (driver)
        {
            driver.Start();
            Transmit(driver, Header(flags, gso, size, start, offset), Frame(100));
            Transmit(driver, Header(), Frame(60)[..13]);
            Transmit(driver, Header()[..7], []);
            Transmit(driver, Header(), Frame(66_000));
            Assert.Empty(port.Sent);
            Assert.Equal(4, net.Statistics.TransmittedDropped);
            Assert.Equal(15, driver.Status);
        }
    }

    [Fact]
    public void Offloads_that_were_not_negotiated_drop_the_frame()
    {
        var (driver, port, _) = Make();
        using (driver)
        {
            driver.Start(~(Checksum | HostTso4));
            Transmit(driver, Header(flags: 1, start: 34, offset: 16), Frame(100));
            Assert.Empty(port.Sent);
        }
    }

    [Fact]
    public void A_large_segment_fills_as_many_mergeable_buffers_as_it_needs()
    {
        var (driver, port, net) = Make();
        using (driver)
        {
            driver.Start();
            Assert.Equal(PacketCapabilities.Checksum | PacketCapabilities.TcpSegmentation4, port.Receiver!.ReceiveCapabilities);
            var buffers = new Dictionary<ushort, ulong>();
            for (int i = 0; i < 10; i++)
            {
                ulong address = driver.Allocate(1536);
                buffers[driver.Submit(Rx, (address, 1536, true))] = address;
            }

            driver.Notify(Rx);
            byte[] first = Frame(5000), second = Frame(100, seed: 2);
            var offload = new PacketOffload
            {
                NeedsChecksum = true, ChecksumStart = 34, ChecksumOffset = 16, Segmentation = PacketSegmentation.Tcp4, SegmentSize = 1460, HeaderLength = 54,
            };
            Assert.True(port.Receiver.TryReceive(first, offload));
            Assert.True(port.Receiver.TryReceive(second, default));
            Assert.False(driver.TryCollect(Rx, out _, out _));
            port.Receiver.EndReceive();
            var content = new List<byte>();
            for (int i = 0; i < 4; i++)
            {
                var (head, written) = driver.Collect(Rx);
                content.AddRange(driver.ReadMemory(buffers[head], (int)written));
            }

            byte[] header = [.. content[..12]];
            Assert.Equal([1, 1, 54, 0, 0xB4, 5, 34, 0, 16, 0, 4, 0], header);
            Assert.Equal(first, content[12..]);
            var last = driver.Collect(Rx);
            byte[] single = driver.ReadMemory(buffers[last.Head], (int)last.Written);
            Assert.Equal([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], single[..12]);
            Assert.Equal(second, single[12..]);
            Assert.Equal((2L, 5100L), (net.Statistics.ReceivedPackets, net.Statistics.ReceivedBytes));
        }
    }

    [Theory]
    [InlineData(ulong.MaxValue)]
    [InlineData(~(1ul << 29))]
    public void Without_buffers_a_frame_is_refused_and_the_port_told_when_there_are_some(ulong features)
    {
        var (driver, port, _) = Make();
        using (driver)
        {
            driver.Start(features);
            byte[] frame = Frame(3000);
            Assert.False(port.Receiver!.TryReceive(frame, default));
            for (int round = 1; round <= 5; round++)
            {
                int ready = port.Ready;
                ulong address = driver.Allocate(2048), second = driver.Allocate(2048);
                driver.Submit(Rx, (address, 2048, true));
                Assert.True(driver.WantsNotification(Rx));
                driver.Notify(Rx);
                MockVirtioDriver.WaitFor(() => port.Ready == ready + 1);

                // One buffer is too little for this frame: it is kept, and used when the next one is there.
                Assert.False(port.Receiver.TryReceive(frame, default));
                driver.Submit(Rx, (second, 2048, true));
                driver.Notify(Rx);
                MockVirtioDriver.WaitFor(() => port.Ready == ready + 2);
                Assert.True(port.Receiver.TryReceive(frame, default));
                port.Receiver.EndReceive();
                byte[] got = [.. driver.ReadMemory(address, (int)driver.Collect(Rx).Written), .. driver.ReadMemory(second, (int)driver.Collect(Rx).Written)];
                Assert.Equal(frame, got[12..]);
                Assert.False(port.Receiver.TryReceive(frame, default));
            }
        }
    }

    [Fact]
    public void Without_mergeable_buffers_a_frame_that_does_not_fit_is_dropped_and_counted()
    {
        var (driver, port, net) = Make();
        using (driver)
        {
            driver.Start(~Mergeable);
            ulong address = driver.Allocate(1600);
            driver.Submit(Rx, (address, 1600, true));
            Assert.True(port.Receiver!.TryReceive(Frame(1700), default));
            Assert.Equal(1, net.Statistics.ReceivedDropped);
            Assert.True(port.Receiver.TryReceive(Frame(1500), default));
            port.Receiver.EndReceive();
            Assert.Equal(1512u, driver.Collect(Rx).Written);
        }
    }

    [Fact]
    public void The_filter_follows_the_drivers_commands()
    {
        var (driver, port, net) = Make();
        using (driver)
        {
            driver.Start();
            for (int i = 0; i < 30; i++)
            {
                driver.Submit(Rx, (driver.Allocate(1536), 1536, true));
            }

            var other = MacAddress.Parse("00:50:56:11:11:11");
            var group = MacAddress.Parse("01:00:5e:00:00:01");
            Assert.True(Passes(other));
            Assert.Equal(0, Command(driver, 0, 0, 0));
            Assert.False(Passes(other));
            Assert.False(Passes(group));
            Assert.True(Passes(Mac));
            Assert.True(Passes(MacAddress.Broadcast));
            Assert.Equal(0, Command(driver, 1, 0, [1, 0, 0, 0, 0, 0x50, 0x56, 0x11, 0x11, 0x11, 1, 0, 0, 0, 1, 0, 0x5E, 0, 0, 1]));
            Assert.True(Passes(other));
            Assert.True(Passes(group));
            Assert.Equal(0, Command(driver, 1, 0, [0, 0, 0, 0, 0, 0, 0, 0]));
            Assert.False(Passes(group));
            Assert.Equal(0, Command(driver, 0, 1, 1));
            Assert.True(Passes(group));
            Assert.Equal(0, Command(driver, 1, 1, [0, 0x50, 0x56, 0x11, 0x11, 0x11]));
            Assert.True(Passes(other));
            Assert.False(Passes(Mac));

            bool Passes(MacAddress destination)
            {
                long before = net.Statistics.ReceivedPackets;
                Assert.True(port.Receiver!.TryReceive(Frame(60, destination), default));
                return net.Statistics.ReceivedPackets > before;
            }
        }
    }

    [Fact]
    public void Tagged_frames_pass_only_with_an_identifier_that_was_added()
    {
        var (driver, port, net) = Make();
        using (driver)
        {
            driver.Start();
            driver.Submit(Rx, (driver.Allocate(1536), 1536, true));
            Assert.Equal(0, Command(driver, 0, 0, 0));
            byte[] tagged = Frame(64);
            new byte[] { 0x81, 0, 0x20, 7 }.CopyTo(tagged, 12);
            port.Receiver!.TryReceive(tagged, default);
            Assert.Equal(0, net.Statistics.ReceivedPackets);
            Assert.Equal(0, Command(driver, 2, 0, [7, 0]));
            port.Receiver.TryReceive(tagged, default);
            Assert.Equal(1, net.Statistics.ReceivedPackets);
        }
    }

    [Theory]
    [InlineData(0, 9, new byte[] { 1 })]
    [InlineData(0, 0, new byte[] { 1, 2 })]
    [InlineData(1, 0, new byte[] { 255, 255, 255, 255, 0, 0, 0, 0 })]
    [InlineData(1, 0, new byte[] { 0, 0, 0, 0 })]
    [InlineData(1, 1, new byte[] { 1, 2, 3 })]
    [InlineData(2, 0, new byte[] { 0, 0x10 })]
    [InlineData(4, 0, new byte[] { 1, 0 })]
    public void A_command_that_is_unknown_or_malformed_is_answered_with_an_error(byte kind, byte command, byte[] data)
    {
        var (driver, _, _) = Make();
        using (driver)
        {
            driver.Start();
            Assert.Equal(1, Command(driver, kind, command, data));
            Assert.Equal(15, driver.Status);
        }
    }

    [Fact]
    public void Without_link_or_driver_frames_are_dropped_both_ways()
    {
        var (driver, port, net) = Make();
        using (driver)
        {
            Assert.True(port.Receiver!.TryReceive(Frame(60), default));
            driver.Start();
            driver.Submit(Rx, (driver.Allocate(1536), 1536, true));
            net.LinkUp = false;
            Assert.True(port.Receiver.TryReceive(Frame(60), default));
            Transmit(driver, Header(), Frame(60));
            Assert.Empty(port.Sent);
            Assert.Equal((2L, 1L), (net.Statistics.ReceivedDropped, net.Statistics.TransmittedDropped));
            net.LinkUp = true;
            Transmit(driver, Header(), Frame(60));
            Assert.Single(port.Sent);
        }
    }

    [Fact]
    public void A_reset_forgets_buffers_and_filters_and_lets_a_waiting_network_go_on()
    {
        var (driver, port, net) = Make();
        using (driver)
        {
            driver.Start();
            driver.Submit(Rx, (driver.Allocate(512), 512, true));
            Assert.Equal(0, Command(driver, 0, 0, 0));
            Assert.False(port.Receiver!.TryReceive(Frame(3000), default));
            int ready = port.Ready;
            driver.Reset();
            MockVirtioDriver.WaitFor(() => port.Ready > ready);
            Assert.True(port.Receiver.TryReceive(Frame(3000), default));
            driver.Start();
            driver.Submit(Rx, (driver.Allocate(1536), 1536, true));
            Assert.True(port.Receiver.TryReceive(Frame(60, MacAddress.Parse("00:50:56:11:11:11")), default));
            Assert.Equal(1, net.Statistics.ReceivedPackets);
        }

        Assert.True(port.Disposed);
    }

    [Fact]
    public void A_receive_buffer_without_room_for_a_header_breaks_the_queue_and_nothing_else()
    {
        var (driver, port, net) = Make();
        using (driver)
        {
            driver.Start();
            driver.Submit(Rx, (driver.Allocate(11), 11, true));
            Assert.False(port.Receiver!.TryReceive(Frame(60), default));
            Assert.Equal(1, net.GuestErrors);
            Assert.NotEqual(0, driver.Status & 64);
            driver.Start();
            driver.Submit(Rx, (driver.Allocate(1536), 1536, true));
            Assert.True(port.Receiver.TryReceive(Frame(60), default));
            Assert.Equal(1, net.Statistics.ReceivedPackets);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Garbage_in_the_rings_never_throws_and_a_reset_makes_the_card_work_again(int seed)
    {
        var (driver, port, _) = Make();
        using (driver)
        {
            var random = new Random(seed);
            for (int round = 0; round < 60; round++)
            {
                driver.Start();
                byte[] garbage = new byte[4096];
                for (int queue = 0; queue < 3; queue++)
                {
                    random.NextBytes(garbage);
                    for (int i = 0; i < garbage.Length; i += 16)
                    {
                        // Mostly addresses and lengths that exist, so that the walk gets far.
                        BinaryPrimitives.WriteUInt64LittleEndian(garbage.AsSpan(i), (ulong)random.Next(0x100_0000));
                        BinaryPrimitives.WriteUInt32LittleEndian(garbage.AsSpan(i + 8), (uint)random.Next(random.Next(2) == 0 ? 100 : 70_000));
                        garbage[i + 12] &= 7;
                        garbage[i + 13] = 0;
                        garbage[i + 15] = 0;
                    }

                    driver.Memory.TryWrite(driver.DescriptorTable(queue), garbage);
                    for (int i = 0; i < 8; i++)
                    {
                        driver.Offer(queue, (ushort)random.Next(random.Next(10) == 0 ? 0x10000 : 64));
                    }

                    driver.Notify(queue);
                }

                port.Receiver!.TryReceive(Frame(random.Next(14, 60_000)), default);
                port.Receiver.EndReceive();
            }

            driver.Start();
            int before = port.Sent.Count;
            Transmit(driver, Header(), Frame(60));
            Assert.True(port.Sent.Count > before);
        }
    }
}
