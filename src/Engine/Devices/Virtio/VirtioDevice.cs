using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>
/// A virtio device without its transport: identity, feature negotiation, status, queues and configuration bytes (virtio 1.2, 2).
/// A driver's mistake sets DEVICE_NEEDS_RESET, is counted and reported; it never throws.
/// </summary>
/// <remarks>
/// Locks: the transport calls <see cref="SetStatus"/> under its own lock; the device's lock comes after it; signalling the driver
/// takes only the interrupt locks and may happen under the device's lock.
/// </remarks>
public abstract class VirtioDevice : IDisposable
{
    private const int ReportedErrors = 16;

    private readonly VirtQueue[] _queues;
    private readonly byte[] _config;
    private readonly Lock _configLock = new();
    private readonly object _statusLock = new();
    private IVirtioTransport? _transport;
    private int _status;
    private int _generation;
    private bool _resetPending;
    private long _guestErrors;

    /// <summary>Makes the device with its queues.</summary>
    /// <param name="type">What it is.</param>
    /// <param name="name">What messages call it, such as <c>disk 0</c>.</param>
    /// <param name="memory">The machine's memory; outlives the device.</param>
    /// <param name="configBytes">Length of the device-specific configuration.</param>
    /// <param name="queueSizes">Most descriptors of each queue, powers of two up to 1024.</param>
    protected VirtioDevice(VirtioDeviceType type, string name, GuestMemory memory, int configBytes, params ReadOnlySpan<ushort> queueSizes)
    {
        ArgumentNullException.ThrowIfNull(memory);
        (Type, Name, Memory, _config) = (type, name, memory, new byte[configBytes]);
        _queues = new VirtQueue[queueSizes.Length];
        for (int i = 0; i < _queues.Length; i++)
        {
            _queues[i] = new VirtQueue(memory, i, queueSizes[i]);
        }
    }

    /// <summary>Told of driver errors and host errors; from any thread.</summary>
    public event Action<MachineEvent>? EventRaised;

    /// <summary>Told of an exception on a thread of the device, which is a defect; without it the process ends. Set before the driver is there.</summary>
    public Action<Exception>? Failed { get; set; }

    /// <summary>What it is.</summary>
    public VirtioDeviceType Type { get; }

    /// <summary>What messages call it.</summary>
    public string Name { get; }

    /// <summary>The queues by index.</summary>
    public IReadOnlyList<VirtQueue> Queues => _queues;

    /// <summary>Features the device offers: its own and those of every device.</summary>
    public ulong OfferedFeatures => DeviceFeatures | VirtioFeatures.Version1 | VirtioFeatures.IndirectDescriptors | VirtioFeatures.EventIndex;

    /// <summary>Features the driver took; settled once the driver is running.</summary>
    public ulong NegotiatedFeatures { get; private set; }

    /// <summary>The driver is running: it set DRIVER_OK and has not reset the device since.</summary>
    public bool IsDriverRunning => (Volatile.Read(ref _status) & VirtioStatus.DriverOk) != 0;

    /// <summary>Errors of the driver since the device was made.</summary>
    public long GuestErrors => Interlocked.Read(ref _guestErrors);

    /// <summary>The machine's memory.</summary>
    protected GuestMemory Memory { get; }

    /// <summary>Features of this kind of device.</summary>
    protected abstract ulong DeviceFeatures { get; }

    /// <summary>The device status field. Keeps its bits while a reset waits for requests in flight (virtio 1.2, 2.1.2).</summary>
    internal byte Status => (byte)Volatile.Read(ref _status);

    /// <summary>Changes whenever the configuration does.</summary>
    internal byte ConfigGeneration => (byte)Volatile.Read(ref _generation);

    /// <summary>Bytes of the device-specific configuration.</summary>
    internal int ConfigLength => _config.Length;

    /// <summary>A notification of a queue, on a virtual processor's thread: only wakes whoever does the work.</summary>
    public abstract void Notify(int queue);

    /// <summary>Says whether the driver took a feature.</summary>
    public bool HasFeature(ulong feature) => (NegotiatedFeatures & feature) == feature;

    /// <summary>Power-on state; waits for requests in flight.</summary>
    public void Reset()
    {
        SetStatus(0);
        lock (_statusLock)
        {
            while (_resetPending)
            {
                Monitor.Wait(_statusLock);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Reset();
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    internal void Connect(IVirtioTransport transport) => _transport = transport;

    /// <summary>Sets the features the driver wants; ignored once FEATURES_OK is set.</summary>
    internal void SetDriverFeatures(ulong features)
    {
        lock (_statusLock)
        {
            if ((_status & VirtioStatus.FeaturesOk) == 0)
            {
                NegotiatedFeatures = features;
            }
        }
    }

    /// <summary>A write of the device status field.</summary>
    internal void SetStatus(byte value)
    {
        lock (_statusLock)
        {
            if (_resetPending)
            {
                return;
            }

            if (value == 0)
            {
                BeginReset();
                return;
            }

            int added = value & ~_status;
            if ((added & VirtioStatus.FeaturesOk) != 0 && !FeaturesAcceptable)
            {
                // The driver reads the status back and finds the bit missing (virtio 1.2, 3.1.1 step 6).
                added &= ~(VirtioStatus.FeaturesOk | VirtioStatus.DriverOk);
            }

            bool start = (added & VirtioStatus.DriverOk) != 0 && ((_status | added) & VirtioStatus.FeaturesOk) != 0;
            if (!start)
            {
                added &= ~VirtioStatus.DriverOk;
            }

            // NEEDS_RESET is the device's to set.
            Interlocked.Or(ref _status, added & ~VirtioStatus.NeedsReset);
            if (start)
            {
                ActivateQueues();
                Start();
            }
        }
    }

    /// <summary>Reads device-specific configuration; beyond its end there are zeroes.</summary>
    internal void ReadConfig(int offset, Span<byte> destination)
    {
        destination.Clear();
        lock (_configLock)
        {
            if (offset < _config.Length)
            {
                int count = Math.Min(destination.Length, _config.Length - offset);
                _config.AsSpan(offset, count).CopyTo(destination);
            }
        }
    }

    /// <summary>A write to the device-specific configuration by the driver.</summary>
    internal void WriteConfig(int offset, ReadOnlySpan<byte> source)
    {
        if (offset + source.Length <= _config.Length)
        {
            OnConfigWritten(offset, source);
        }
    }

    /// <summary>The driver wrote configuration bytes; the device stores what it accepts. Rare, must not throw.</summary>
    protected virtual void OnConfigWritten(int offset, ReadOnlySpan<byte> source)
    {
    }

    /// <summary>The driver is there: queues are active. Called on a virtual processor's thread; must not wait.</summary>
    protected abstract void Start();

    /// <summary>
    /// Stops touching queues and guest memory. True when that is so on return; false when requests are still in flight, and then
    /// the device calls <see cref="CompleteStop"/> when the last one is done. Waits briefly at most.
    /// </summary>
    protected abstract bool Stop();

    /// <summary>Releases what the device holds, after it was reset.</summary>
    protected virtual void Dispose(bool disposing)
    {
    }

    /// <summary>Ends a reset that <see cref="Stop"/> had to leave open. Not to be called under a lock that <see cref="Stop"/> takes.</summary>
    protected void CompleteStop()
    {
        lock (_statusLock)
        {
            if (_resetPending)
            {
                FinishReset();
                Monitor.PulseAll(_statusLock);
            }
        }
    }

    /// <summary>Stores bytes of the configuration without telling the driver.</summary>
    protected void StoreConfig(int offset, ReadOnlySpan<byte> bytes)
    {
        lock (_configLock)
        {
            bytes.CopyTo(_config.AsSpan(offset));
            Interlocked.Increment(ref _generation);
        }
    }

    /// <summary>Stores a little-endian value in the configuration without telling the driver.</summary>
    protected void StoreConfig<T>(int offset, T value) where T : unmanaged =>
        StoreConfig(offset, System.Runtime.InteropServices.MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)));

    /// <summary>Tells the driver that the configuration changed.</summary>
    protected void SignalConfigurationChange()
    {
        if (IsDriverRunning)
        {
            _transport?.SignalConfigurationChange();
        }
    }

    /// <summary>Interrupts the driver for used buffers. Thread-safe.</summary>
    protected void Signal(VirtQueue queue) => _transport?.SignalQueue(queue.Index);

    /// <summary>Publishes what was pushed and interrupts the driver if it wants that.</summary>
    protected void PublishAndSignal(VirtQueue queue)
    {
        if (queue.Publish())
        {
            Signal(queue);
        }
    }

    /// <summary>Pops a request; a broken ring is reported and looks empty.</summary>
    protected bool TryPop(VirtQueue queue, DescriptorChain chain)
    {
        var result = queue.TryPop(chain);
        if (result == PopResult.Broken)
        {
            ReportGuestError(queue);
        }

        return result == PopResult.Chain;
    }

    /// <summary>Breaks a queue for a request that cannot even be answered, and reports it.</summary>
    protected void RejectRequest(VirtQueue queue, DescriptorChain chain, string reason)
    {
        chain.Clear();
        queue.Break(reason);
        ReportGuestError(queue);
    }

    /// <summary>Raises <see cref="EventRaised"/>.</summary>
    protected void RaiseEvent(MachineEventSeverity severity, string message) => EventRaised?.Invoke(new MachineEvent(severity, message));

    private bool FeaturesAcceptable =>
        (NegotiatedFeatures & ~OfferedFeatures) == 0 && (NegotiatedFeatures & VirtioFeatures.Version1) != 0;

    private void ReportGuestError(VirtQueue queue)
    {
        if (Memory.Pages is { IsAbandoned: true })
        {
            // The machine stops or is reset, and memory that was not there was not to be had for the device: no mistake of the driver's.
            return;
        }

        // Once per activation: a broken queue is found broken again and again.
        if ((Interlocked.Or(ref _status, VirtioStatus.NeedsReset) & VirtioStatus.NeedsReset) != 0)
        {
            return;
        }

        SignalConfigurationChange();
        if (Interlocked.Increment(ref _guestErrors) <= ReportedErrors)
        {
            RaiseEvent(MachineEventSeverity.Warning, $"The guest's driver of {Name} made an error on queue {queue.Index}: {queue.BrokenReason}. The device waits for a reset.");
        }
    }

    private void ActivateQueues()
    {
        bool indirect = HasFeature(VirtioFeatures.IndirectDescriptors), eventIndex = HasFeature(VirtioFeatures.EventIndex);
        foreach (var queue in _queues)
        {
            if (queue.Enabled && !queue.TryActivate(indirect, eventIndex))
            {
                ReportGuestError(queue);
            }
        }
    }

    private void BeginReset()
    {
        _resetPending = true;
        if (Stop())
        {
            FinishReset();
        }
    }

    private void FinishReset()
    {
        foreach (var queue in _queues)
        {
            queue.Reset();
        }

        NegotiatedFeatures = 0;
        _resetPending = false;
        Interlocked.Exchange(ref _status, 0);
    }
}
