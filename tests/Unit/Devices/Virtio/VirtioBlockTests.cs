using System.Buffers.Binary;
using System.Text;
using Hypervisor.Engine.Devices.Virtio;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Storage;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Virtio;

public sealed class VirtioBlockTests
{
    private const int DiskBytes = 1 << 20;
    private const uint In = 0, Out = 1, Flush = 4, GetId = 8, Discard = 11, WriteZeroes = 13;
    private const byte Ok = 0, IoError = 1, Unsupported = 2;
    private const ulong FlushFeature = 1ul << 9, WritebackFeature = 1ul << 11;

    private static (MockVirtioDriver Driver, MemoryDiskImage Disk) Make(bool readOnly = false, int ioThreads = 4)
    {
        var disk = new MemoryDiskImage(DiskBytes, readOnly);
        new Random(7).NextBytes(disk.Content);
        return (new MockVirtioDriver(memory => new VirtioBlock(memory, disk, "disk 0", "SER-0123456789", ioThreads)), disk);
    }

    private static ulong Header(MockVirtioDriver driver, uint type, ulong sector)
    {
        Span<byte> header = stackalloc byte[16];
        BinaryPrimitives.WriteUInt32LittleEndian(header, type);
        BinaryPrimitives.WriteUInt64LittleEndian(header[8..], sector);
        return driver.AllocateWith(header);
    }

    private static byte Send(MockVirtioDriver driver, uint type, ulong sector, params (ulong Address, uint Length, bool Writable)[] data)
    {
        ulong status = driver.AllocateWith([0xFF]);
        driver.Request(0, [(Header(driver, type, sector), 16, false), .. data, (status, 1, true)]);
        return driver.ReadMemory(status, 1)[0];
    }

    private static ulong Range(MockVirtioDriver driver, ulong sector, uint sectors, uint flags)
    {
        Span<byte> range = stackalloc byte[16];
        BinaryPrimitives.WriteUInt64LittleEndian(range, sector);
        BinaryPrimitives.WriteUInt32LittleEndian(range[8..], sectors);
        BinaryPrimitives.WriteUInt32LittleEndian(range[12..], flags);
        return driver.AllocateWith(range);
    }

    [Fact]
    public void The_configuration_tells_capacity_and_limits()
    {
        var (driver, _) = Make();
        using (driver)
        {
            Assert.Equal((ulong)DiskBytes / 512, driver.Bus.ReadMmio(driver.DeviceConfig, 8));
            Assert.Equal(254ul, driver.Bus.ReadMmio(driver.DeviceConfig + 12, 4));
            Assert.Equal(512ul, driver.Bus.ReadMmio(driver.DeviceConfig + 20, 4));
        }
    }

    [Theory]
    [InlineData(ulong.MaxValue)]
    [InlineData(~(1ul << 29))]
    public void Sectors_are_read_into_scattered_buffers(ulong features)
    {
        var (driver, disk) = Make();
        using (driver)
        {
            driver.Start(features);
            ulong first = driver.Allocate(512), second = driver.Allocate(1024);
            Assert.Equal(Ok, Send(driver, In, 5, (first, 512, true), (second, 1024, true)));
            Assert.Equal(disk.Content[2560..3072], driver.ReadMemory(first, 512));
            Assert.Equal(disk.Content[3072..4096], driver.ReadMemory(second, 1024));
        }
    }

    [Fact]
    public void A_request_may_come_in_an_indirect_table_with_header_and_data_split_anywhere()
    {
        var (driver, disk) = Make();
        using (driver)
        {
            driver.Start();
            ulong header = Header(driver, In, 1), data = driver.Allocate(1024);
            driver.SubmitIndirect(0, (header, 3, false), (header + 3, 13, false), (data, 100, true), (data + 100, 412, true), (data + 512, 1, true));
            driver.Notify(0);
            Assert.Equal(513u, driver.Collect(0).Written);
            Assert.Equal(disk.Content[512..1024], driver.ReadMemory(data, 512));
            Assert.Equal(Ok, driver.ReadMemory(data + 512, 1)[0]);
        }
    }

    [Fact]
    public void Completions_interrupt_by_the_queues_own_vector()
    {
        var (driver, _) = Make();
        using (driver)
        {
            driver.Start();
            Assert.Equal(Ok, Send(driver, In, 0, (driver.Allocate(512), 512, true)));
            MockVirtioDriver.WaitFor(() => driver.Messages.Messages.Contains((0xFEE0_0000ul, 0x41u)));
        }
    }

    [Fact]
    public void Without_msix_completions_raise_intx_until_the_status_is_read()
    {
        var (driver, _) = Make();
        using (driver)
        {
            driver.Start(msix: false);
            Assert.Equal(Ok, Send(driver, In, 0, (driver.Allocate(512), 512, true)));
            var line = driver.Lines[16 + (driver.Slot & 7)];
            MockVirtioDriver.WaitFor(() => line.Level);
            Assert.Equal(1ul, driver.Bus.ReadMmio(driver.Isr, 1));
            Assert.False(line.Level);
            Assert.Equal(0ul, driver.Bus.ReadMmio(driver.Isr, 1));
        }
    }

    [Fact]
    public void Writes_reach_the_disk_and_flush_reaches_the_image()
    {
        var (driver, disk) = Make();
        using (driver)
        {
            driver.Start();
            byte[] data = new byte[2048];
            new Random(3).NextBytes(data);
            Assert.Equal(Ok, Send(driver, Out, 100, (driver.AllocateWith(data), 2048, false)));
            Assert.Equal(data, disk.Content[51200..53248]);
            Assert.Equal(0, disk.Flushes);
            Assert.Equal(Ok, Send(driver, Flush, 0));
            Assert.Equal(1, disk.Flushes);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Without_a_write_back_cache_every_write_is_flushed(bool byConfiguration)
    {
        var (driver, disk) = Make();
        using (driver)
        {
            driver.Start(byConfiguration ? ulong.MaxValue : ~(FlushFeature | WritebackFeature));
            if (byConfiguration)
            {
                driver.Bus.WriteMmio(driver.DeviceConfig + 32, 1, 0);
            }

            Assert.Equal(Ok, Send(driver, Out, 0, (driver.Allocate(512), 512, false)));
            Assert.Equal(1, disk.Flushes);
        }
    }

    [Fact]
    public void The_serial_number_is_padded_with_zeroes()
    {
        var (driver, _) = Make();
        using (driver)
        {
            driver.Start();
            ulong id = driver.Allocate(20);
            Assert.Equal(Ok, Send(driver, GetId, 0, (id, 20, true)));
            Assert.Equal("SER-0123456789\0\0\0\0\0\0", Encoding.ASCII.GetString(driver.ReadMemory(id, 20)));
        }
    }

    [Theory]
    [InlineData(Discard, 0u)]
    [InlineData(WriteZeroes, 0u)]
    [InlineData(WriteZeroes, 1u)]
    public void Ranges_are_cleared(uint type, uint flags)
    {
        var (driver, disk) = Make();
        using (driver)
        {
            driver.Start();
            byte[] before = [.. disk.Content];
            Assert.Equal(Ok, Send(driver, type, 0, (Range(driver, 8, 16, flags), 16, false)));
            Array.Clear(before, 8 * 512, 16 * 512);
            Assert.Equal(before, disk.Content);
        }
    }

    [Theory]
    [InlineData(Discard, 1u, 8u, Unsupported)]
    [InlineData(WriteZeroes, 2u, 8u, Unsupported)]
    [InlineData(Discard, 0u, uint.MaxValue, IoError)]
    [InlineData(WriteZeroes, 0u, 0x10001u, IoError)]
    [InlineData(99u, 0u, 8u, Unsupported)]
    public void Requests_beyond_the_rules_are_answered_with_an_error(uint type, uint flags, uint sectors, byte expected)
    {
        var (driver, _) = Make();
        using (driver)
        {
            driver.Start();
            Assert.Equal(expected, Send(driver, type, 0, (Range(driver, 0, sectors, flags), 16, false)));
            Assert.Equal(0, driver.Device.GuestErrors);
        }
    }

    [Theory]
    [InlineData(2047ul, 1024u)]
    [InlineData(2049ul, 512u)]
    [InlineData(ulong.MaxValue, 512u)]
    [InlineData(1ul << 55, 512u)]
    [InlineData(0ul, 511u)]
    public void Sectors_outside_the_disk_are_an_io_error(ulong sector, uint bytes)
    {
        var (driver, _) = Make();
        using (driver)
        {
            driver.Start();
            Assert.Equal(IoError, Send(driver, In, sector, (driver.Allocate(bytes), bytes, true)));
            Assert.Equal(IoError, Send(driver, Out, sector, (driver.Allocate(bytes), bytes, false)));
        }
    }

    [Fact]
    public void A_read_only_disk_says_so_and_refuses_writes()
    {
        var (driver, disk) = Make(readOnly: true);
        using (driver)
        {
            driver.Start();
            byte[] before = [.. disk.Content];
            Assert.NotEqual(0ul, driver.OfferedFeatures & (1ul << 5));
            Assert.Equal(0ul, driver.OfferedFeatures & ((1ul << 13) | (1ul << 14)));
            Assert.Equal(IoError, Send(driver, Out, 0, (driver.Allocate(512), 512, false)));
            Assert.Equal(Unsupported, Send(driver, WriteZeroes, 0, (Range(driver, 0, 8, 0), 16, false)));
            Assert.Equal(before, disk.Content);
        }
    }

    [Theory]
    [InlineData(DiskStatus.IoError, "could not read")]
    [InlineData(DiskStatus.NoSpace, "no space left")]
    public void A_failing_host_is_an_io_error_for_the_guest_and_one_event(DiskStatus fault, string text)
    {
        var (driver, disk) = Make();
        using (driver)
        {
            var events = new List<MachineEvent>();
            driver.Device.EventRaised += events.Add;
            driver.Start();
            disk.Fault = fault;
            Assert.Equal(IoError, Send(driver, In, 0, (driver.Allocate(512), 512, true)));
            Assert.Equal(IoError, Send(driver, In, 0, (driver.Allocate(512), 512, true)));
            Assert.Contains(text, Assert.Single(events).Message, StringComparison.Ordinal);
            Assert.Equal(2, ((VirtioBlock)driver.Device).HostErrors);
            disk.Fault = DiskStatus.Ok;
            Assert.Equal(Ok, Send(driver, In, 0, (driver.Allocate(512), 512, true)));
        }
    }

    [Fact]
    public void Requests_allocate_nothing()
    {
        var (driver, disk) = Make(ioThreads: 1);
        using (driver)
        {
            driver.Start();
            ulong buffer = driver.Allocate(4096);
            long last = -1;
            int alike = 0;
            for (int n = 0; n < 100; n++)
            {
                Assert.Equal(Ok, Send(driver, n % 2 == 0 ? In : Out, 0, (buffer, 4096, n % 2 == 0)));
                alike = disk.AllocatedByThread == last ? alike + 1 : 0;
                last = disk.AllocatedByThread;
                if (alike == 8)
                {
                    // The test's own record of interrupts grows now and then; what each request cost would be seen in every one.
                    return;
                }
            }

            Assert.Fail("Every request allocates memory.");
        }
    }

    [Fact]
    public void A_defect_of_the_host_side_is_told_and_does_not_end_the_process()
    {
        var (driver, disk) = Make(ioThreads: 1);
        using (driver)
        {
            var failures = new List<Exception>();
            driver.Device.Failed = failures.Add;
            driver.Start();
            disk.Defect = new InvalidOperationException("a defect");
            Send(driver, In, 0, (driver.Allocate(512), 512, true));
            Assert.Same(disk.Defect, Assert.Single(failures));
            driver.Device.Reset();
        }
    }

    [Fact]
    public void A_request_without_a_status_byte_breaks_the_queue_until_a_reset()
    {
        var (driver, _) = Make();
        using (driver)
        {
            driver.Start();
            driver.Submit(0, (Header(driver, In, 0), 16, false));
            driver.Notify(0);
            MockVirtioDriver.WaitFor(() => (driver.Status & 64) != 0);
            Assert.Equal(1, driver.Device.GuestErrors);
            driver.Start();
            Assert.Equal(Ok, Send(driver, In, 0, (driver.Allocate(512), 512, true)));
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_reset_waits_for_a_part_of_a_large_request_only(bool writes)
    {
        const uint Half = 5 << 20;
        var disk = new MemoryDiskImage(12 << 20);
        new Random(8).NextBytes(disk.Content);
        byte[] content = [.. disk.Content];
        using var driver = new MockVirtioDriver(memory => new VirtioBlock(memory, disk, "disk 0", "x"));
        driver.Start();
        ulong first = driver.Allocate(Half), second = driver.Allocate(Half);
        Assert.Equal(Ok, Send(driver, In, 1, (first, Half, true), (second, Half, true)));
        Assert.Equal(3, disk.Entered);
        Assert.True(content.AsSpan(512, (int)Half).SequenceEqual(driver.ReadMemory(first, (int)Half)));
        Assert.True(content.AsSpan(512 + (int)Half, (int)Half).SequenceEqual(driver.ReadMemory(second, (int)Half)));
        Assert.Equal(Ok, Send(driver, Out, 0, (first, Half, false), (second, Half, false)));
        Assert.Equal(6, disk.Entered);
        Assert.True(content.AsSpan(512, 2 * (int)Half).SequenceEqual(disk.Content.AsSpan(0, 2 * (int)Half)));

        disk.Gate.Reset();
        ulong status = driver.AllocateWith([0xFF]);
        driver.Submit(0, (Header(driver, writes ? Out : In, 0), 16, false), (first, Half, !writes), (second, Half, !writes), (status, 1, true));
        driver.Notify(0);
        MockVirtioDriver.WaitFor(() => disk.Entered == 7);
        driver.Status = 0;
        disk.Gate.Set();
        MockVirtioDriver.WaitFor(() => driver.Status == 0);
        Assert.Equal(7, disk.Entered);
    }

    [Fact]
    public void A_reset_waits_for_requests_in_flight()
    {
        var (driver, disk) = Make();
        using (driver)
        {
            driver.Start();
            disk.Gate.Reset();
            ulong buffer = driver.Allocate(512);
            driver.Submit(0, (Header(driver, In, 0), 16, false), (buffer, 512, true), (buffer + 512, 1, true));
            driver.Notify(0);
            MockVirtioDriver.WaitFor(() => disk.Entered == 1);
            driver.Status = 0;
            Assert.NotEqual(0, driver.Status);
            driver.Status = 1;
            disk.Gate.Set();
            MockVirtioDriver.WaitFor(() => driver.Status == 0);
            driver.Start();
            Assert.Equal(Ok, Send(driver, In, 0, (driver.Allocate(512), 512, true)));
        }
    }

    [Fact]
    public void Several_requests_are_in_flight_at_once()
    {
        var (driver, disk) = Make(ioThreads: 3);
        using (driver)
        {
            driver.Start();
            disk.Gate.Reset();
            for (int i = 0; i < 5; i++)
            {
                ulong buffer = driver.Allocate(513);
                driver.Submit(0, (Header(driver, In, (ulong)i), 16, false), (buffer, 512, true), (buffer + 512, 1, true));
                if (driver.WantsNotification(0))
                {
                    driver.Notify(0);
                }
            }

            try
            {
                MockVirtioDriver.WaitFor(() => disk.Entered == 3);
            }
            finally
            {
                disk.Gate.Set();
            }

            for (int i = 0; i < 5; i++)
            {
                driver.Collect(0);
            }
        }
    }

    [Fact]
    public void Disposal_closes_the_image()
    {
        var (driver, disk) = Make();
        driver.Start();
        driver.Dispose();
        Assert.True(disk.IsDisposed);
    }

    [Theory]
    [InlineData(11, 1, true)]
    [InlineData(12, 4, true)]
    [InlineData(13, 4, false)]
    public void Random_requests_agree_with_a_model(int seed, int ioThreads, bool eventIndex)
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(path, new byte[DiskBytes]);
            byte[] model = new byte[DiskBytes];
            using var driver = new MockVirtioDriver(memory => new VirtioBlock(memory, RawDiskImage.Open(path), "disk 0", "x", ioThreads));
            driver.Start(eventIndex ? ulong.MaxValue : ~(1ul << 29), queueSize: 64);
            RunModel(driver, model, new Random(seed));
            Assert.Equal(0, driver.Device.GuestErrors);
            driver.Dispose();
            Assert.Equal(model, File.ReadAllBytes(path));
        }
        finally
        {
            File.Delete(path);
        }
    }

    // Batches of requests on ranges that do not overlap, so that their order does not matter.
    private static void RunModel(MockVirtioDriver driver, byte[] model, Random random)
    {
        ulong header = driver.Allocate(16 * 4096), data = driver.Allocate(16 * 65536);
        for (int round = 0; round < 150; round++)
        {
            int count = random.Next(1, 13);
            var expected = new Dictionary<ushort, (int Slot, byte[]? Content)>();
            for (int slot = 0; slot < count; slot++)
            {
                ulong at = header + ((ulong)slot * 4096), buffer = data + ((ulong)slot * 65536);
                int sector = (slot * 128) + random.Next(0, 64), sectors = random.Next(1, 64), bytes = sectors * 512;
                uint type = random.Next(8) switch { < 3 => In, < 6 => Out, 6 => WriteZeroes, _ => Flush };
                byte[] bits = new byte[16];
                BinaryPrimitives.WriteUInt32LittleEndian(bits, type);
                BinaryPrimitives.WriteUInt64LittleEndian(bits.AsSpan(8), type is In or Out ? (ulong)sector : 0);
                driver.Memory.TryWrite(at, bits);
                driver.Memory.TryWrite(at + 32, (byte)0xFF);
                (ulong, uint, bool)[] body = [];
                byte[]? content = null;
                if (type == WriteZeroes)
                {
                    driver.Memory.TryWrite(at + 16, (ulong)sector);
                    driver.Memory.TryWrite(at + 24, (ulong)(uint)sectors | ((ulong)random.Next(2) << 32));
                    body = [(at + 16, 16, false)];
                    model.AsSpan(sector * 512, bytes).Clear();
                }
                else if (type != Flush)
                {
                    uint cut = (uint)random.Next(1, bytes);
                    body = [(buffer, cut, type == In), (buffer + cut, (uint)bytes - cut, type == In)];
                    byte[] fill = new byte[bytes];
                    random.NextBytes(fill);
                    driver.Memory.TryWrite(buffer, fill);
                    if (type == Out)
                    {
                        fill.CopyTo(model, sector * 512);
                    }
                    else
                    {
                        content = model.AsSpan(sector * 512, bytes).ToArray();
                    }
                }

                ushort head = driver.Submit(0, [(at, 16, false), .. body, (at + 32, 1, true)]);
                expected[head] = (slot, content);
                if (driver.WantsNotification(0))
                {
                    driver.Notify(0);
                }
            }

            while (expected.Count > 0)
            {
                var (head, _) = driver.Collect(0);
                Assert.True(expected.Remove(head, out var request));
                Assert.Equal(0, driver.ReadMemory(header + ((ulong)request.Slot * 4096) + 32, 1)[0]);
                if (request.Content != null)
                {
                    Assert.Equal(request.Content, driver.ReadMemory(data + ((ulong)request.Slot * 65536), request.Content.Length));
                }
            }
        }
    }
}
