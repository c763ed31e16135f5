namespace Hypervisor.Engine.Devices;

/// <summary>
/// A device that answers a range of I/O ports. Calls come from any virtual processor's thread, concurrently: a device guards its state
/// with a lock of its own, holds it only briefly, and while holding it calls nothing but interrupt lines and timers. Every value is
/// the guest's and hostile; no call throws.
/// </summary>
public interface IPortDevice
{
    /// <summary>Reads 1, 2 or 4 bytes at an offset from the start of the range.</summary>
    uint ReadPort(ushort offset, int size);

    /// <summary>Writes 1, 2 or 4 bytes at an offset from the start of the range.</summary>
    void WritePort(ushort offset, int size, uint value);
}

/// <summary>A device that answers a range of guest-physical addresses. The rules of <see cref="IPortDevice"/> hold.</summary>
public interface IMmioDevice
{
    /// <summary>Reads 1 to 8 bytes at an offset from the start of the range.</summary>
    ulong ReadMmio(ulong offset, int size);

    /// <summary>Writes 1 to 8 bytes at an offset from the start of the range.</summary>
    void WriteMmio(ulong offset, int size, ulong value);
}

/// <summary>A device with state to return to power-on values.</summary>
public interface IResettable
{
    /// <summary>Power-on state. Called with all virtual processors stopped.</summary>
    void Reset();
}

/// <summary>An interrupt line into the platform's interrupt controllers. Level semantics; edges are a raise and a lower.</summary>
public interface IInterruptLine
{
    /// <summary>Sets the level. Idempotent, thread-safe, never blocks.</summary>
    void Set(bool asserted);
}

/// <summary>Sends message-signalled interrupts into the partition. Thread-safe, never blocks.</summary>
public interface IMsiSink
{
    /// <summary>Delivers a message (address 0xFEExxxxx and data) as the guest programmed it.</summary>
    void SignalMsi(ulong address, uint data);
}

/// <summary>Where a device puts the bytes it sends to the outside (serial, virtio-console). Thread-safe, does not block.</summary>
public interface IByteSink
{
    /// <summary>Takes the bytes; they are copied before the call returns.</summary>
    void Write(ReadOnlySpan<byte> bytes);
}
