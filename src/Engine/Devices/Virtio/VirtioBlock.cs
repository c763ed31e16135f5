using System.Text;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Native.Files;
using Hypervisor.Engine.Storage;
using Hypervisor.Engine.Storage.IoControl;
using static Hypervisor.Engine.Devices.Virtio.VirtioBlockLayout;

namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>
/// A virtual disk (virtio 1.2, 5.2). A few threads share the queue: each takes a request, does the host's I/O straight into or out of
/// guest memory, and hands it back, so that there are as many requests in flight as threads and a request changes threads once.
/// A request that the datastore's scheduler holds back occupies no thread: the thread goes on with the next, and any of them executes
/// what is granted later.
/// </summary>
public sealed partial class VirtioBlock : VirtioDevice
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
    private readonly DiskIo _io;
    private readonly Stack<BlockRequest> _free = new(QueueSize);
    private readonly Queue<BlockRequest> _popped = new(QueueSize);
    private readonly Queue<BlockRequest> _granted = new(QueueSize);
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
    /// <param name="ioThreads">Most requests executed at once, 1 to 64.</param>
    /// <param name="io">The way into the image's datastore, owned from now on; null for a disk that nothing schedules.</param>
    public VirtioBlock(GuestMemory memory, IDiskImage image, string name, string serial, int ioThreads = 4, DiskIo? io = null)
        : base(VirtioDeviceType.Block, name, memory, VirtioBlockLayout.ConfigLength, QueueSize)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentOutOfRangeException.ThrowIfLessThan(ioThreads, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(ioThreads, 64);
        (_image, _maxThreads, _io) = (image, ioThreads, io ?? DiskIo.Unscheduled());
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
            DropWaiting();
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
        _io.Dispose();
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
        var vectors = new IoVector[VirtQueue.MaxSegments];
        while (Take() is { } request)
        {
            uint written = 0;
            bool succeeded = false;
            try
            {
                (written, succeeded) = Execute(request, vectors);
            }
            catch (Exception error) when (Failed is not null)
            {
                // Completed all the same: a reset waits for requests in flight.
                Failed(error);
            }

            if (request.IsIo)
            {
                _io.End(request, succeeded);
            }

            Complete(request, written);
        }
    }

    /// <summary>The next request to execute; null when the thread is to end.</summary>
    private BlockRequest? Take()
    {
        while (true)
        {
            BlockRequest? request = Next(out bool isGranted, out bool stopped);
            if (stopped)
            {
                CompleteStop();
                continue;
            }

            if (request is null)
            {
                return null;
            }

            if (isGranted)
            {
                DiskIo.Begin(request);
                return request;
            }

            Describe(request);
            if (!request.IsIo || Submit(request))
            {
                return request;
            }

            // Held back. Whichever thread is free executes it when it is granted.
        }
    }

    // One reading of the clock for the usual request, which waits for nothing.
    private bool Submit(BlockRequest request) =>
        _io.Submit(request, request.Command, request.Size, request.PoppedAt, request.HasWaited ? IoClock.Now : request.PoppedAt);

    private BlockRequest? Next(out bool isGranted, out bool stopped)
    {
        (isGranted, stopped) = (false, false);
        lock (_gate)
        {
            while (true)
            {
                if (_disposed)
                {
                    return null;
                }

                if (_granted.TryDequeue(out BlockRequest? request))
                {
                    isGranted = true;
                    if (_granted.Count > 0)
                    {
                        WakeAnother();
                    }

                    return request;
                }

                // A request that this thread gave to the scheduler while the device was being stopped.
                if (!_accepting && DropWaiting() && _inFlight == 0)
                {
                    (stopped, _stopDeferred) = (_stopDeferred, false);
                    Monitor.PulseAll(_gate);
                    if (stopped)
                    {
                        return null;
                    }
                }

                bool hadWaiting = _popped.Count > 0;
                PopAll();
                if (_popped.TryDequeue(out request))
                {
                    request.HasWaited = hadWaiting;
                    if (_popped.Count > 0 || ((_idle > 0 || _threads.Count < _maxThreads) && Queue.EnableNotifications()))
                    {
                        WakeAnother();
                    }

                    return request;
                }

                if (!_accepting || _inFlight >= QueueSize || !Queue.EnableNotifications())
                {
                    _idle++;
                    Monitor.Wait(_gate);
                    _idle--;
                }
            }
        }
    }

    // Under the gate. Takes what the driver has offered also when all threads are busy with other requests, so that the time from now on
    // is known. A driver may offer more requests than the queue has descriptors; no more are held than that.
    private void PopAll()
    {
        long now = 0;
        while (_accepting && _inFlight < QueueSize && Pop() is { } request)
        {
            _inFlight++;
            now = now == 0 ? IoClock.Now : now;
            request.PoppedAt = now;
            _popped.Enqueue(request);
        }
    }

    private BlockRequest? Pop()
    {
        BlockRequest request = _free.TryPop(out BlockRequest? used) ? used : new BlockRequest(this);
        if (TryPop(Queue, request.Chain))
        {
            if (request.Chain.ReadableBytes >= HeaderSize && request.Chain.WritableBytes >= 1)
            {
                return request;
            }

            // Without a header or a place for the status there is no way to answer.
            RejectRequest(Queue, request.Chain, "a request has no header or no status byte");
        }

        _free.Push(request);
        return null;
    }

    // Under the gate.
    private void WakeAnother()
    {
        if (!_accepting)
        {
            // Stop waits at the gate too, and must not take the one pulse.
            Monitor.PulseAll(_gate);
        }
        else if (_idle > 0)
        {
            Monitor.Pulse(_gate);
        }
        else if (_threads.Count < _maxThreads)
        {
            AddThread();
        }
    }

    private void Grant(BlockRequest request)
    {
        lock (_gate)
        {
            _granted.Enqueue(request);
            WakeAnother();
        }
    }

    // Under the gate: forgets requests that no thread has begun and those that the scheduler holds. True when there were any.
    private bool DropWaiting()
    {
        bool any = _popped.Count > 0;
        while (_popped.TryDequeue(out BlockRequest? popped))
        {
            _inFlight--;
            Forget(popped);
        }

        for (IoRequest? request = _io.CancelWaiting(), next; request is not null; request = next)
        {
            next = request.Next;
            request.Next = null;
            _inFlight--;
            Forget((BlockRequest)request);
            any = true;
        }

        return any;
    }

    private void Forget(BlockRequest request)
    {
        request.Chain.Clear();
        _free.Push(request);
    }

    private void Complete(BlockRequest request, uint written)
    {
        bool signal = false, stopped = false;
        lock (_gate)
        {
            _inFlight--;
            _free.Push(request);
            if (_accepting)
            {
                Queue.Push(request.Chain, written);
                signal = Queue.Publish();
            }
            else
            {
                request.Chain.Clear();
                if (_inFlight == 0)
                {
                    (stopped, _stopDeferred) = (_stopDeferred, false);
                    Monitor.PulseAll(_gate);
                }
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
}
