using System.Buffers.Binary;
using System.Text;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Native.Files;
using Hypervisor.Engine.Storage;
using static Hypervisor.Engine.Devices.Virtio.VirtioBlockLayout;

namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>
/// A virtual disk (virtio 1.2, 5.2). A few threads share the queue: each takes a request, does the host's I/O straight into or out of
/// guest memory, and hands it back, so that there are as many requests in flight as threads and a request changes threads once.
/// </summary>
public sealed class VirtioBlock : VirtioDevice
{
    /// <summary>Descriptors of the queue.</summary>
    public const int QueueSize = 256;

    private const int SectorSize = RawDiskImage.SectorSize;
    private const uint MaxDiscardSectors = 0x40_0000, MaxWriteZeroesSectors = 0x1_0000;
    private const uint MaxDiscardRanges = 16, MaxWriteZeroesRanges = 1;
    private const uint DiscardAlignment = 8;
    private const int StopPatienceMs = 50;
    private const long ErrorReportIntervalMs = 10_000;

    private readonly object _gate = new();
    private readonly IDiskImage _image;
    private readonly byte[] _serial = new byte[IdSize];
    private readonly List<Thread> _threads = [];
    private readonly int _maxThreads;
    private long _nextErrorReport;
    private long _hostErrors;
    private int _idle;
    private int _inFlight;
    private bool _accepting;
    private bool _stopDeferred;
    private bool _disposed;
    private volatile bool _writeback = true;

    /// <summary>Makes a disk on an image, which it owns from now on.</summary>
    /// <param name="memory">The machine's memory.</param>
    /// <param name="image">The content.</param>
    /// <param name="name">What messages call it, such as <c>disk 0</c>.</param>
    /// <param name="serial">Serial number the guest sees, up to 20 ASCII characters.</param>
    /// <param name="ioThreads">Most requests in flight, 1 to 64.</param>
    public VirtioBlock(GuestMemory memory, IDiskImage image, string name, string serial, int ioThreads = 4)
        : base(VirtioDeviceType.Block, name, memory, VirtioBlockLayout.ConfigLength, QueueSize)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentOutOfRangeException.ThrowIfLessThan(ioThreads, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(ioThreads, 64);
        (_image, _maxThreads) = (image, ioThreads);
        Encoding.ASCII.GetBytes(serial.AsSpan(0, Math.Min(serial.Length, IdSize)), _serial);

        StoreConfig(ConfigCapacity, (ulong)(image.Length / SectorSize));
        StoreConfig(ConfigSegmentMax, (uint)(QueueSize - 2)); // Header and status take one descriptor each.
        StoreConfig(ConfigBlockSize, (uint)SectorSize);
        StoreConfig(ConfigPhysicalBlockExponent, (byte)3); // 4096-byte blocks on the host.
        StoreConfig(ConfigMinimumIo, (ushort)8);
        StoreConfig(ConfigWriteback, (byte)1);
        StoreConfig(ConfigMaxDiscardSectors, MaxDiscardSectors);
        StoreConfig(ConfigMaxDiscardRanges, MaxDiscardRanges);
        StoreConfig(ConfigDiscardAlignment, DiscardAlignment);
        StoreConfig(ConfigMaxWriteZeroesSectors, MaxWriteZeroesSectors);
        StoreConfig(ConfigMaxWriteZeroesRanges, MaxWriteZeroesRanges);
        StoreConfig(ConfigWriteZeroesMayUnmap, (byte)1);
    }

    /// <summary>Requests answered with an error because of the host since the device was made.</summary>
    public long HostErrors => Interlocked.Read(ref _hostErrors);

    /// <inheritdoc/>
    protected override ulong DeviceFeatures =>
        FeatureSegmentMax | FeatureBlockSize | FeatureTopology | FeatureFlush | FeatureConfigWriteback
        | (_image.IsReadOnly ? FeatureReadOnly : FeatureDiscard | FeatureWriteZeroes);

    private VirtQueue Queue => Queues[0];

    /// <inheritdoc/>
    public override void Notify(int queue)
    {
        lock (_gate)
        {
            // A busy thread looks at the queue when it is done; until then a sleeper or a new thread takes the request.
            if (_idle > 0)
            {
                Monitor.Pulse(_gate);
            }
            else if (_accepting && _threads.Count < _maxThreads)
            {
                AddThread();
            }
        }
    }

    /// <inheritdoc/>
    protected override void Start()
    {
        lock (_gate)
        {
            _accepting = true;
            if (_threads.Count == 0)
            {
                AddThread();
            }

            Monitor.PulseAll(_gate);
        }
    }

    /// <inheritdoc/>
    protected override bool Stop()
    {
        lock (_gate)
        {
            _accepting = false;
            long deadline = Environment.TickCount64 + StopPatienceMs;
            while (_inFlight > 0 && deadline - Environment.TickCount64 is var left and > 0)
            {
                Monitor.Wait(_gate, (int)left);
            }

            _writeback = true;
            StoreConfig(ConfigWriteback, (byte)1);
            _stopDeferred = _inFlight > 0;
            return !_stopDeferred;
        }
    }

    /// <inheritdoc/>
    protected override void OnConfigWritten(int offset, ReadOnlySpan<byte> source)
    {
        if (offset == ConfigWriteback && source.Length == 1 && source[0] <= 1)
        {
            _writeback = source[0] == 1;
            StoreConfig(ConfigWriteback, source[0]);
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        Thread[] threads;
        lock (_gate)
        {
            _disposed = true;
            threads = [.. _threads];
            Monitor.PulseAll(_gate);
        }

        foreach (var thread in threads)
        {
            thread.Join();
        }

        _image.Dispose();
        base.Dispose(disposing);
    }

    private void AddThread()
    {
        var thread = new Thread(RunThread, 256 * 1024) { Name = $"virtio {Name}", IsBackground = true };
        _threads.Add(thread);
        thread.Start();
    }

    private void RunThread()
    {
        var chain = new DescriptorChain();
        var vectors = new IoVector[VirtQueue.MaxSegments];
        while (Take(chain))
        {
            uint written = 0;
            try
            {
                written = Execute(chain, vectors);
            }
            catch (Exception error) when (Failed is not null)
            {
                // Completed all the same: a reset waits for requests in flight.
                Failed(error);
            }

            Complete(chain.Head, written);
        }
    }

    private bool Take(DescriptorChain chain)
    {
        lock (_gate)
        {
            while (true)
            {
                if (_disposed)
                {
                    return false;
                }

                if (_accepting && TryPop(Queue, chain))
                {
                    if (chain.ReadableBytes >= HeaderSize && chain.WritableBytes >= 1)
                    {
                        break;
                    }

                    // Without a header or a place for the status there is no way to answer.
                    RejectRequest(Queue, "a request has no header or no status byte");
                }

                if (!_accepting || !Queue.EnableNotifications())
                {
                    _idle++;
                    Monitor.Wait(_gate);
                    _idle--;
                }
            }

            _inFlight++;
            if (_idle > 0)
            {
                if (Queue.EnableNotifications())
                {
                    Monitor.Pulse(_gate);
                }
            }
            else if (_threads.Count < _maxThreads && Queue.EnableNotifications())
            {
                AddThread();
            }

            return true;
        }
    }

    private void Complete(ushort head, uint written)
    {
        bool signal = false, stopped = false;
        lock (_gate)
        {
            _inFlight--;
            if (_accepting)
            {
                Queue.Push(head, written);
                signal = Queue.Publish();
            }
            else if (_inFlight == 0)
            {
                (stopped, _stopDeferred) = (_stopDeferred, false);
                Monitor.PulseAll(_gate);
            }
        }

        if (signal)
        {
            Signal(Queue);
        }

        if (stopped)
        {
            CompleteStop();
        }
    }

    // Returns the bytes written to the chain: data and the status byte.
    private uint Execute(DescriptorChain chain, IoVector[] vectors)
    {
        Span<byte> header = stackalloc byte[HeaderSize];
        chain.Read(0, header);
        uint type = BinaryPrimitives.ReadUInt32LittleEndian(header);
        ulong sector = BinaryPrimitives.ReadUInt64LittleEndian(header[8..]);
        uint written = 0;
        byte status;
        switch (type)
        {
            case TypeIn:
                status = ReadSectors(chain, vectors, sector, out written);
                break;
            case TypeOut:
                status = WriteSectors(chain, vectors, sector);
                break;
            case TypeFlush:
                status = Answer(_image.Flush(), "flush");
                break;
            case TypeGetId:
                written = Math.Min((uint)IdSize, chain.WritableBytes - 1);
                chain.Write(Memory, 0, _serial.AsSpan(0, (int)written));
                status = StatusOk;
                break;
            case TypeDiscard or TypeWriteZeroes when !_image.IsReadOnly:
                status = ClearRanges(chain, type == TypeDiscard);
                break;
            default:
                status = StatusUnsupported;
                break;
        }

        chain.Write(Memory, chain.WritableBytes - 1, [status]);
        return written + 1;
    }

    private byte ReadSectors(DescriptorChain chain, IoVector[] vectors, ulong sector, out uint written)
    {
        uint bytes = chain.WritableBytes - 1;
        written = 0;
        if (!TryGetOffset(sector, bytes, out long offset))
        {
            return StatusIoError;
        }

        int count = Gather(chain.Writable, vectors, skip: 0, bytes);
        var status = _image.Read(offset, vectors.AsSpan(0, count));
        if (status == DiskStatus.Ok)
        {
            written = bytes;
        }

        // Also after an error: some of it may have been written.
        chain.NotifyWritten(Memory, bytes);
        return Answer(status, "read");
    }

    private byte WriteSectors(DescriptorChain chain, IoVector[] vectors, ulong sector)
    {
        uint bytes = chain.ReadableBytes - HeaderSize;
        if (_image.IsReadOnly || !TryGetOffset(sector, bytes, out long offset))
        {
            return StatusIoError;
        }

        int count = Gather(chain.Readable, vectors, HeaderSize, bytes);
        var status = _image.Write(offset, vectors.AsSpan(0, count));
        if (status == DiskStatus.Ok && !(_writeback && HasFeature(FeatureFlush)))
        {
            // A driver that cannot flush, or that chose write-through, is told of a write only when it is durable (5.2.6.2).
            status = _image.Flush();
        }

        return Answer(status, "write");
    }

    private byte ClearRanges(DescriptorChain chain, bool discard)
    {
        uint bytes = chain.ReadableBytes - HeaderSize;
        uint limit = discard ? MaxDiscardRanges : MaxWriteZeroesRanges;
        if (bytes == 0 || bytes % RangeSize != 0 || bytes / RangeSize > limit)
        {
            return StatusIoError;
        }

        Span<byte> range = stackalloc byte[RangeSize];
        for (uint at = 0; at < bytes; at += RangeSize)
        {
            chain.Read(HeaderSize + at, range);
            ulong sector = BinaryPrimitives.ReadUInt64LittleEndian(range);
            uint sectors = BinaryPrimitives.ReadUInt32LittleEndian(range[8..]);
            uint flags = BinaryPrimitives.ReadUInt32LittleEndian(range[12..]);
            if ((flags & ~RangeUnmap) != 0 || (discard && flags != 0))
            {
                return StatusUnsupported;
            }

            if (sectors > (discard ? MaxDiscardSectors : MaxWriteZeroesSectors) || !TryGetOffset(sector, (ulong)sectors * SectorSize, out long offset))
            {
                return StatusIoError;
            }

            long length = (long)sectors * SectorSize;
            var status = discard ? _image.Discard(offset, length) : _image.WriteZeroes(offset, length, (flags & RangeUnmap) != 0);
            if (status == DiskStatus.Ok && !discard && !(_writeback && HasFeature(FeatureFlush)))
            {
                status = _image.Flush();
            }

            if (status != DiskStatus.Ok)
            {
                return Answer(status, discard ? "discard" : "write zeroes");
            }
        }

        return StatusOk;
    }

    private bool TryGetOffset(ulong sector, ulong bytes, out long offset)
    {
        ulong capacity = (ulong)_image.Length;
        offset = (long)(sector * SectorSize);
        return sector <= capacity / SectorSize && bytes % SectorSize == 0 && bytes <= capacity - (sector * SectorSize);
    }

    private static int Gather(ReadOnlySpan<GuestSegment> segments, IoVector[] vectors, uint skip, uint bytes)
    {
        int count = 0;
        foreach (ref readonly var segment in segments)
        {
            if (skip >= segment.Length)
            {
                skip -= segment.Length;
                continue;
            }

            uint length = Math.Min(segment.Length - skip, bytes);
            if (length == 0)
            {
                break;
            }

            vectors[count++] = new IoVector { Base = segment.Pointer + (nint)skip, Length = length };
            bytes -= length;
            skip = 0;
        }

        return count;
    }

    private byte Answer(DiskStatus status, string operation)
    {
        if (status == DiskStatus.Ok)
        {
            return StatusOk;
        }

        Interlocked.Increment(ref _hostErrors);
        long now = Environment.TickCount64, next = Interlocked.Read(ref _nextErrorReport);
        if (now >= next && Interlocked.CompareExchange(ref _nextErrorReport, now + ErrorReportIntervalMs, next) == next)
        {
            RaiseEvent(MachineEventSeverity.Error, status == DiskStatus.NoSpace
                ? $"{Name}: the host has no space left for '{_image.Name}'. Free some; the guest sees an I/O error until then."
                : $"{Name}: the host could not {operation} '{_image.Name}' ({status}). The guest sees an I/O error.");
        }

        return StatusIoError;
    }
}
