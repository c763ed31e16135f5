using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Network;
using Hypervisor.Engine.Network.Protocols;
using static Hypervisor.Engine.Devices.Virtio.VirtioNetLayout;

namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>
/// A virtual network card (virtio 1.2, 5.1) plugged into a port. A thread of its own carries the guest's frames to the port; frames
/// for the guest are written into its memory on the thread that brings them.
/// </summary>
/// <remarks>
/// Locks, in this order: the transmit lock, whatever the network behind the port takes, the receive lock. So the receive path calls
/// nothing but the queue and its interrupt.
/// </remarks>
public sealed partial class VirtioNet : VirtioDevice, IPacketReceiver
{
    /// <summary>Descriptors of the receive and of the transmit queue.</summary>
    public const int QueueSize = 256;

    private const int ControlQueueSize = 64;
    private const int MaximumFrame = EthernetFrame.HeaderLength + 4 + Ipv4Packet.MaximumLength;
    private const int MaximumBuffersPerFrame = 64;
    private const int FramesPerPass = 256, FramesPerPublish = 64;
    private const uint SpeedMbps = 10_000;

    private readonly MacAddress _mac;
    private readonly IPacketPort _port;
    private readonly DeviceWorker _worker;

    // Under the transmit lock.
    private readonly Lock _transmitLock = new();
    private readonly DescriptorChain _transmitChain = new();
    private readonly DescriptorChain _controlChain = new();
    private readonly byte[] _frame = GC.AllocateUninitializedArray<byte>(MaximumFrame, pinned: true);
    private bool _transmitting;
    private long _transmittedPackets, _transmittedBytes, _transmittedDropped;

    // Under the receive lock. Chains that were popped and not used wait for the next frame.
    private readonly Lock _receiveLock = new();
    private readonly VirtioNetFilter _filter = new();
    private readonly DescriptorChain[] _chains = new DescriptorChain[MaximumBuffersPerFrame];
    private int _chainCount;
    private bool _receiving, _starved, _mergeable;
    private long _receivedPackets, _receivedBytes, _receivedDropped;

    private volatile PacketCapabilities _receiveCapabilities;
    private volatile bool _linkUp = true;

    /// <summary>Makes a card and plugs it in.</summary>
    /// <param name="memory">The machine's memory.</param>
    /// <param name="name">What messages call it, such as <c>network adapter 1</c>.</param>
    /// <param name="mac">Its address.</param>
    /// <param name="connect">Plugs a receiver into a network and gives the port, such as <see cref="Network.UserMode.UserModeNetwork.Connect"/>.</param>
    /// <param name="mtu">Largest IP packet of the network, in bytes, told to the driver.</param>
    public VirtioNet(GuestMemory memory, string name, MacAddress mac, Func<IPacketReceiver, IPacketPort> connect, int mtu = 1500)
        : base(VirtioDeviceType.Network, name, memory, VirtioNetLayout.ConfigLength, QueueSize, QueueSize, ControlQueueSize)
    {
        ArgumentNullException.ThrowIfNull(connect);
        ArgumentOutOfRangeException.ThrowIfLessThan(mtu, 68);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(mtu, ushort.MaxValue);
        for (int i = 0; i < _chains.Length; i++)
        {
            _chains[i] = new DescriptorChain();
        }

        _mac = mac;
        _filter.Reset(mac);
        StoreMac(mac);
        StoreConfig(ConfigStatus, StatusLinkUp);
        StoreConfig(ConfigMaximumPairs, (ushort)1);
        StoreConfig(ConfigMtu, (ushort)mtu);
        StoreConfig(ConfigSpeed, SpeedMbps);
        StoreConfig(ConfigDuplex, DuplexFull);
        _worker = new DeviceWorker("virtio " + name, Work, () => Failed, dedicatedThread: true);
        _port = connect(this);
    }

    /// <summary>Counters now.</summary>
    public NetworkAdapterStatistics Statistics => new(
        Interlocked.Read(ref _transmittedPackets), Interlocked.Read(ref _transmittedBytes), Interlocked.Read(ref _transmittedDropped),
        Interlocked.Read(ref _receivedPackets), Interlocked.Read(ref _receivedBytes), Interlocked.Read(ref _receivedDropped));

    /// <summary>Whether the cable is plugged in. Changing it tells the driver; without it frames are dropped both ways.</summary>
    public bool LinkUp
    {
        get => _linkUp;
        set
        {
            if (_linkUp != value)
            {
                _linkUp = value;
                StoreConfig(ConfigStatus, value ? StatusLinkUp : (ushort)0);
                SignalConfigurationChange();
            }
        }
    }

    /// <inheritdoc/>
    public PacketCapabilities ReceiveCapabilities => _receiveCapabilities;

    /// <inheritdoc/>
    protected override ulong DeviceFeatures
    {
        get
        {
            ulong features = FeatureMac | FeatureStatus | FeatureMtu | FeatureSpeedDuplex | FeatureMergeableBuffers
                | FeatureControlQueue | FeatureControlRx | FeatureControlVlan | FeatureControlMac
                | FeatureGuestChecksum | FeatureGuestTso4;
            features |= (_port.SendCapabilities & PacketCapabilities.Checksum) != 0 ? FeatureChecksum : 0;
            features |= (_port.SendCapabilities & PacketCapabilities.TcpSegmentation4) != 0 ? FeatureHostTso4 : 0;
            return features;
        }
    }

    /// <inheritdoc/>
    public override void Notify(int queue) => _worker.Wake();

    /// <inheritdoc/>
    protected override void Start()
    {
        lock (_transmitLock)
        {
            _transmitting = true;
        }

        lock (_receiveLock)
        {
            _receiving = true;
            _mergeable = HasFeature(FeatureMergeableBuffers);
            _filter.FiltersVlans = HasFeature(FeatureControlQueue | FeatureControlVlan);
            _receiveCapabilities =
                (HasFeature(FeatureGuestChecksum) ? PacketCapabilities.Checksum : 0)
                | (HasFeature(FeatureGuestChecksum | FeatureGuestTso4) ? PacketCapabilities.TcpSegmentation4 : 0);
            Queues[ReceiveQueue].DisableNotifications();
        }

        _worker.Wake();
    }

    /// <inheritdoc/>
    protected override bool Stop()
    {
        lock (_transmitLock)
        {
            _transmitting = false;
        }

        lock (_receiveLock)
        {
            _receiving = false;
            while (_chainCount > 0)
            {
                _chains[--_chainCount].Clear();
            }

            _receiveCapabilities = PacketCapabilities.None;
            _filter.Reset(_mac);
            StoreMac(_mac);
        }

        // A network that waits for room goes on, and finds that its frames are dropped now.
        _worker.Wake();
        return true;
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _worker.Dispose();
        _port.Dispose();
        base.Dispose(disposing);
    }

    private void Work()
    {
        if (TakeRoomAgain())
        {
            _port.ReceiverReady();
        }

        lock (_transmitLock)
        {
            if (_transmitting)
            {
                Transmit();
                ProcessControl();
            }
        }
    }

    /// <returns>True when the port was refused a frame and there is room now.</returns>
    private bool TakeRoomAgain()
    {
        lock (_receiveLock)
        {
            if (!_starved || (_receiving && Queues[ReceiveQueue].Available == 0))
            {
                return false;
            }

            _starved = false;
            if (_receiving)
            {
                // Else the queue is being reset, without this lock, or was.
                Queues[ReceiveQueue].DisableNotifications();
            }

            return true;
        }
    }

    private void Transmit()
    {
        var queue = Queues[TransmitQueue];
        queue.DisableNotifications();
        int frames = 0;
        while (frames < FramesPerPass && TryPop(queue, _transmitChain))
        {
            TransmitFrame(_transmitChain);
            queue.Push(_transmitChain, 0);
            if (++frames % FramesPerPublish == 0)
            {
                _port.Flush();
                PublishAndSignal(queue);
            }
        }

        if (frames > 0)
        {
            _port.Flush();
            PublishAndSignal(queue);
        }

        if (frames == FramesPerPass || queue.EnableNotifications())
        {
            _worker.Wake();
        }
    }

    private void TransmitFrame(DescriptorChain chain)
    {
        Span<byte> header = stackalloc byte[HeaderLength];
        long length = (long)chain.ReadableBytes - HeaderLength;
        if (!_linkUp || length < EthernetFrame.HeaderLength || length > MaximumFrame
            || chain.Read(0, header) != HeaderLength
            || !TryReadHeader(header, (int)length, NegotiatedFeatures, out var offload))
        {
            Interlocked.Increment(ref _transmittedDropped);
            return;
        }

        // Copied once: from here on the guest cannot change what is checked.
        var frame = _frame.AsSpan(0, chain.Read(HeaderLength, _frame.AsSpan(0, (int)length)));
        Interlocked.Increment(ref _transmittedPackets);
        Interlocked.Add(ref _transmittedBytes, frame.Length);
        _port.Send(frame, offload);
    }

    private void StoreMac(MacAddress mac)
    {
        Span<byte> bytes = stackalloc byte[MacAddress.Length];
        mac.Write(bytes);
        StoreConfig(ConfigMac, bytes);
    }
}
