using System.Buffers.Binary;
using Hypervisor.Engine.Devices.Virtio;
using Hypervisor.Engine.Storage.IoControl;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Virtio;

/// <summary>A disk whose requests the scheduler holds back.</summary>
public sealed class VirtioBlockSchedulingTests : IDisposable
{
    private const uint In = 0, Out = 1, Flush = 4, GetId = 8;
    private static readonly DiskIoSettings OneASecond = new() { LimitIops = 1 };

    private readonly MemoryDiskImage _image = new(1 << 20);
    private readonly DatastoreIo _datastore = new("test", DatastoreIoSettings.Default);
    private readonly DiskIo _io;
    private readonly MockVirtioDriver _driver;
    private ulong _buffer;

    public VirtioBlockSchedulingTests()
    {
        _io = _datastore.Attach(new DiskIdentity(Guid.NewGuid(), "vm", 0, "/test/disk.img"), OneASecond);
        _driver = new MockVirtioDriver(memory => new VirtioBlock(memory, _image, "disk 0", "x", ioThreads: 2, io: _io));
        _driver.Start();
    }

    public void Dispose()
    {
        _driver.Dispose();
        _datastore.Dispose();
    }

    /// <summary>Uses the limit up for hours to come.</summary>
    private void HoldBack()
    {
        _io.Configure(OneASecond);
        var request = new Large();
        Assert.True(_io.Submit(request, IoKind.WriteZeroes, 1 << 30));
        _io.End(request, succeeded: true);
    }

    private ushort Submit(uint type, ulong sector, uint bytes = 512)
    {
        if (_buffer == 0)
        {
            _buffer = _driver.Allocate(4097);
        }

        Span<byte> header = stackalloc byte[16];
        BinaryPrimitives.WriteUInt32LittleEndian(header, type);
        BinaryPrimitives.WriteUInt64LittleEndian(header[8..], sector);
        ulong at = _driver.AllocateWith(header);
        ushort head = type == Flush
            ? _driver.Submit(0, (at, 16, false), (_buffer + 4096, 1, true))
            : _driver.Submit(0, (at, 16, false), (_buffer, bytes, type != Out), (_buffer + 4096, 1, true));
        _driver.Notify(0);
        return head;
    }

    [Fact]
    public void What_is_held_back_occupies_no_thread_and_goes_on_in_order_when_it_may()
    {
        HoldBack();
        var heads = Enumerable.Range(0, 20).Select(i => Submit(i % 2 == 0 ? In : Out, (ulong)i)).ToArray();
        MockVirtioDriver.WaitFor(() => _io.Statistics.Queued == 20);
        Assert.Equal((0, 0), (_image.Entered, _io.Statistics.Active));

        // What asks nothing of the datastore is answered meanwhile, by threads that do not wait.
        ushort identity = Submit(GetId, 0, 20);
        Assert.Equal(identity, _driver.Collect(0).Head);

        _io.Configure(DiskIoSettings.Default);
        Assert.Equal(heads.Order(), heads.Select(_ => _driver.Collect(0).Head).Order());
        Assert.Equal((20, 0), (_image.Entered, _io.Statistics.Queued));
    }

    [Fact]
    public void Counters_tell_requests_bytes_and_where_time_went()
    {
        HoldBack();
        Submit(Out, 0, 4096);
        Submit(In, 8, 1024);
        Submit(Flush, 0);
        MockVirtioDriver.WaitFor(() => _io.Statistics.Queued == 3);
        _io.Configure(DiskIoSettings.Default);
        _driver.Collect(0);
        _driver.Collect(0);
        _driver.Collect(0);
        DiskIoStatistics done = _io.Statistics;

        // The flush, and what used the limit up.
        Assert.Equal((1, 1, 2, 4), (done.Reads, done.Writes, done.Others, done.Commands));
        Assert.Equal((1024, 4096, 0), (done.BytesRead, done.BytesWritten, done.Errors));
        Assert.Equal((0, 0), (done.Active, done.Queued));
        Assert.True(done.DeviceTime > 0);
        Assert.True(done.QueueTime > 0);
        Assert.True(done.KernelTime >= done.QueueTime);
        Assert.Equal(done, _datastore.Statistics);

        _image.Fault = Engine.Storage.DiskStatus.IoError;
        Submit(In, 0);
        _driver.Collect(0);
        Assert.Equal(1, _io.Statistics.Errors);
    }

    [Fact]
    public void What_waits_for_a_thread_of_the_disk_is_time_in_the_kernel_and_not_in_the_queue()
    {
        _io.Configure(DiskIoSettings.Default);
        _image.Gate.Reset();
        for (int i = 0; i < 5; i++)
        {
            Submit(In, (ulong)i);
        }

        try
        {
            MockVirtioDriver.WaitFor(() => _image.Entered == 2);
        }
        finally
        {
            _image.Gate.Set();
        }

        for (int i = 0; i < 5; i++)
        {
            _driver.Collect(0);
        }

        DiskIoStatistics done = _io.Statistics;
        Assert.Equal((5, 0, true), (done.Reads, done.QueueTime, done.KernelTime > 0));
        Assert.Equal(done.ReadTime, done.KernelTime + done.DeviceTime);
    }

    [Fact]
    public void What_is_refused_asks_nothing_of_the_datastore()
    {
        Submit(In, 1 << 20);
        _driver.Collect(0);
        Submit(Out, 0, 511);
        _driver.Collect(0);
        Assert.Equal(default, _io.Statistics);
    }

    [Fact]
    public void A_reset_forgets_what_is_held_back()
    {
        HoldBack();
        for (int i = 0; i < 20; i++)
        {
            Submit(Out, (ulong)i);
        }

        MockVirtioDriver.WaitFor(() => _io.Statistics.Queued == 20);
        _driver.Status = 0;
        MockVirtioDriver.WaitFor(() => _driver.Status == 0);
        Assert.Equal((0, 0), (_image.Entered, _io.Statistics.Queued));
        _io.Configure(DiskIoSettings.Default);
        _driver.Start();
        Submit(In, 0);
        _driver.Collect(0);
        Assert.Equal(1, _image.Entered);
    }

    [Fact]
    public void A_machine_is_taken_apart_whatever_is_held_back()
    {
        HoldBack();
        for (int i = 0; i < 20; i++)
        {
            Submit(Out, (ulong)i);
        }

        _driver.Dispose();
        Assert.True(_image.IsDisposed);
        Assert.Equal(0, _image.Entered);
        Assert.Empty(_datastore.Disks);
        Assert.Equal(0, _datastore.Statistics.Writes);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Resets_in_the_middle_of_anything_lose_no_place_of_the_datastore(int seed)
    {
        var random = new Random(seed);
        for (int round = 0; round < 30; round++)
        {
            _io.Configure(random.Next(3) switch { 0 => OneASecond, 1 => new() { LimitIops = 2000 }, _ => DiskIoSettings.Default });
            int count = random.Next(1, 30);
            for (int i = 0; i < count; i++)
            {
                Submit(random.Next(2) == 0 ? In : Out, (ulong)random.Next(1000));
            }

            if (random.Next(2) == 0)
            {
                Thread.Yield();
            }

            _driver.Reset();
            MockVirtioDriver.WaitFor(() => _driver.Status == 0);
            Assert.Equal((0, 0), (_io.Statistics.Active, _io.Statistics.Queued));
            _driver.Start();
        }

        _io.Configure(DiskIoSettings.Default);
        Submit(In, 0);
        _driver.Collect(0);
    }

    private sealed class Large : IoRequest
    {
        protected internal override void Granted() => throw new InvalidOperationException("It was not held back.");
    }
}
