namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>Device types (virtio 1.2, 5).</summary>
public enum VirtioDeviceType : ushort
{
    /// <summary>Network card.</summary>
    Network = 1,
    /// <summary>Block device.</summary>
    Block = 2,
    /// <summary>Console.</summary>
    Console = 3,
    /// <summary>Entropy source.</summary>
    Entropy = 4,
    /// <summary>Memory balloon.</summary>
    Balloon = 5,
}

/// <summary>Feature bits that do not depend on the device type (virtio 1.2, 6).</summary>
public static class VirtioFeatures
{
    /// <summary>Indirect descriptors.</summary>
    public const ulong IndirectDescriptors = 1ul << 28;
    /// <summary>used_event and avail_event.</summary>
    public const ulong EventIndex = 1ul << 29;
    /// <summary>Virtio 1.0 and later: the only kind of driver served here.</summary>
    public const ulong Version1 = 1ul << 32;
}

/// <summary>Bits of the device status field (virtio 1.2, 2.1).</summary>
internal static class VirtioStatus
{
    public const byte Acknowledge = 1;
    public const byte Driver = 2;
    public const byte DriverOk = 4;
    public const byte FeaturesOk = 8;
    public const byte NeedsReset = 64;
    public const byte Failed = 128;
}

/// <summary>How a device reaches its driver.</summary>
internal interface IVirtioTransport
{
    /// <summary>Used-buffer notification of a queue. Thread-safe, does not block.</summary>
    void SignalQueue(int queue);

    /// <summary>Configuration-change notification. Thread-safe, does not block.</summary>
    void SignalConfigurationChange();
}
