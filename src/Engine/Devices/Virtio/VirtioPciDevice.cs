using System.Buffers.Binary;
using Hypervisor.Engine.Devices.Pci;

namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>
/// The modern PCI transport (virtio 1.2, 4.1): one BAR with common configuration, ISR status, device configuration and notifications,
/// a second one with MSI-X; the access capability reaches the first through configuration space.
/// </summary>
public sealed class VirtioPciDevice : PciDevice, IVirtioTransport
{
    private const ushort NoVector = 0xFFFF;
    private const int RegisterBar = 0, MsixBar = 1;
    private const ulong RegisterBarSize = 0x4000;
    private const uint IsrOffset = 0x1000, DeviceOffset = 0x2000, NotifyOffset = 0x3000, RegionSize = 0x1000;
    private const uint NotifyMultiplier = 4;
    private const byte CommonType = 1, NotifyType = 2, IsrType = 3, DeviceType = 4, AccessType = 5;
    private const int CommonLength = 0x40;
    private const int IsrQueue = 1, IsrConfiguration = 2;

    private readonly Lock _registers = new();
    private readonly Lock _isrLock = new();
    private readonly ushort[] _queueVectors;
    private readonly int _access;
    private ushort _configVector = NoVector;
    private uint _deviceFeatureSelect, _driverFeatureSelect;
    private ulong _driverFeatures;
    private ushort _queueSelect;
    private int _isr;

    /// <summary>Puts a device on PCI. The transport does not own it.</summary>
    public VirtioPciDevice(VirtioDevice device)
        : base(new PciIdentity(0x1AF4, (ushort)(0x1040 + (ushort)device.Type), ClassOf(device.Type), Revision: 1, SubsystemVendorId: 0x1AF4, SubsystemId: 0x1100))
    {
        ArgumentNullException.ThrowIfNull(device);
        Device = device;
        _queueVectors = new ushort[device.Queues.Count];
        Array.Fill(_queueVectors, NoVector);
        AddMemoryBar(RegisterBar, RegisterBarSize);
        AddMsix(MsixBar, Math.Min(device.Queues.Count + 1, MsixTable.MaxVectors));
        UseInterruptPin();
        AddVirtioCapability(CommonType, 0, CommonLength);
        AddVirtioCapability(NotifyType, NotifyOffset, (uint)device.Queues.Count * NotifyMultiplier, NotifyMultiplier);
        AddVirtioCapability(IsrType, IsrOffset, 4);
        if (device.ConfigLength > 0)
        {
            AddVirtioCapability(DeviceType, DeviceOffset, RegionSize);
        }

        _access = AddVirtioCapability(AccessType, 0, 0, 0);
        Config.Define(_access + 4, 1, 0, 0xFF);
        Config.Define(_access + 8, 4, 0, uint.MaxValue);
        Config.Define(_access + 12, 4, 0, uint.MaxValue);
        device.Connect(this);
    }

    /// <summary>The device behind the transport.</summary>
    public VirtioDevice Device { get; }

    /// <inheritdoc/>
    public void SignalQueue(int queue) => Signal(Volatile.Read(ref _queueVectors[queue]), IsrQueue);

    /// <inheritdoc/>
    public void SignalConfigurationChange() => Signal(Volatile.Read(ref _configVector), IsrConfiguration);

    /// <inheritdoc/>
    public override void Reset()
    {
        Device.Reset();
        lock (_registers)
        {
            ForgetDriver();
        }

        base.Reset();
    }

    /// <inheritdoc/>
    public override uint ReadConfig(int offset, int size) =>
        offset >= _access + 16 && offset + size <= _access + 20 && TryGetAccess(out int bar, out uint at, out int length)
            ? (uint)(ReadBar(bar, at, length) >> ((offset - _access - 16) * 8))
            : base.ReadConfig(offset, size);

    /// <inheritdoc/>
    public override void WriteConfig(int offset, int size, uint value)
    {
        base.WriteConfig(offset, size, value);
        if (offset == _access + 16 && TryGetAccess(out int bar, out uint at, out int length))
        {
            WriteBar(bar, at, length, value);
        }
    }

    /// <inheritdoc/>
    protected internal override ulong ReadBar(int bar, ulong offset, int size)
    {
        if (bar != RegisterBar)
        {
            return base.ReadBar(bar, offset, size);
        }

        uint inside = (uint)offset & (RegionSize - 1);
        switch ((uint)offset & ~(RegionSize - 1))
        {
            case 0:
                return ReadCommon(inside, size);
            case IsrOffset:
                return inside == 0 ? ReadIsr() : 0ul;
            case DeviceOffset:
                Span<byte> bytes = stackalloc byte[8];
                bytes.Clear();
                Device.ReadConfig((int)inside, bytes[..size]);
                return BinaryPrimitives.ReadUInt64LittleEndian(bytes);
            default:
                return 0;
        }
    }

    /// <inheritdoc/>
    protected internal override void WriteBar(int bar, ulong offset, int size, ulong value)
    {
        if (bar != RegisterBar)
        {
            base.WriteBar(bar, offset, size, value);
            return;
        }

        uint inside = (uint)offset & (RegionSize - 1);
        switch ((uint)offset & ~(RegionSize - 1))
        {
            case 0:
                lock (_registers)
                {
                    WriteCommon(inside, size, value);
                }

                break;
            case NotifyOffset:
                // Each queue has an address of its own, so the value, which names the queue as well, is not needed.
                if (inside / NotifyMultiplier is var queue && queue < (uint)_queueVectors.Length && Device.IsDriverRunning)
                {
                    Device.Notify((int)queue);
                }

                break;
            case DeviceOffset:
                Span<byte> bytes = stackalloc byte[8];
                BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
                Device.WriteConfig((int)inside, bytes[..size]);
                break;
            default:
                break;
        }
    }

    /// <summary>What the driver uses a message vector for, such as <c>queue 1</c>; empty when for nothing.</summary>
    internal string UseOf(int vector)
    {
        IEnumerable<string> queues = Enumerable.Range(0, _queueVectors.Length).Where(queue => Volatile.Read(ref _queueVectors[queue]) == vector).Select(static queue => $"queue {queue}");
        return string.Join(", ", Volatile.Read(ref _configVector) == vector ? queues.Prepend("configuration") : queues);
    }

    // Class codes as other hypervisors show these devices; no driver depends on them.
    private static uint ClassOf(VirtioDeviceType type) => type switch
    {
        VirtioDeviceType.Network => 0x020000,
        VirtioDeviceType.Block => 0x010000,
        VirtioDeviceType.Console => 0x078000,
        _ => 0x00FF00,
    };

    private int AddVirtioCapability(byte type, uint offset, uint length, uint? extra = null)
    {
        Span<byte> body = stackalloc byte[18];
        body.Clear();
        int count = extra is null ? 14 : 18;
        body[0] = (byte)(count + 2);
        body[1] = type;
        body[2] = RegisterBar;
        BinaryPrimitives.WriteUInt32LittleEndian(body[6..], offset);
        BinaryPrimitives.WriteUInt32LittleEndian(body[10..], length);
        BinaryPrimitives.WriteUInt32LittleEndian(body[14..], extra ?? 0);
        return AddCapability(PciRegisters.CapabilityVendor, body[..count]);
    }

    // The window into BARs for code that cannot reach them, such as firmware in real mode (4.1.4.9).
    private bool TryGetAccess(out int bar, out uint offset, out int length)
    {
        bar = (int)Config.Read(_access + 4, 1);
        offset = Config.Read(_access + 8, 4);
        uint size = Config.Read(_access + 12, 4);
        length = (int)size;
        ulong end = bar == RegisterBar ? RegisterBarSize : bar == MsixBar ? MsixTable.BarSize : 0;
        return size is 1 or 2 or 4 && (offset & (size - 1)) == 0 && (ulong)offset + size <= end;
    }

    private void Signal(ushort vector, int isr)
    {
        if (Msix!.IsEnabled)
        {
            // NO_VECTOR lies beyond the table and is ignored there: the driver wants to poll.
            Msix.Signal(vector);
            return;
        }

        lock (_isrLock)
        {
            _isr |= isr;
            SetInterrupt(true);
        }
    }

    private byte ReadIsr()
    {
        lock (_isrLock)
        {
            byte isr = (byte)_isr;
            _isr = 0;
            SetInterrupt(false);
            return isr;
        }
    }

    private void ForgetDriver()
    {
        Array.Fill(_queueVectors, NoVector);
        _configVector = NoVector;
        _deviceFeatureSelect = _driverFeatureSelect = 0;
        _driverFeatures = 0;
        _queueSelect = 0;
        ReadIsr();
    }

    // The common configuration as bytes, then the part that was asked for: drivers read fields whole, but need not.
    private ulong ReadCommon(uint offset, int size)
    {
        if (offset + (uint)size > CommonLength)
        {
            return 0;
        }

        Span<byte> bytes = stackalloc byte[CommonLength + 8];
        bytes.Clear();
        lock (_registers)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(bytes[0x00..], _deviceFeatureSelect);
            BinaryPrimitives.WriteUInt32LittleEndian(bytes[0x04..], Half(Device.OfferedFeatures, _deviceFeatureSelect));
            BinaryPrimitives.WriteUInt32LittleEndian(bytes[0x08..], _driverFeatureSelect);
            BinaryPrimitives.WriteUInt32LittleEndian(bytes[0x0C..], Half(_driverFeatures, _driverFeatureSelect));
            BinaryPrimitives.WriteUInt16LittleEndian(bytes[0x10..], _configVector);
            BinaryPrimitives.WriteUInt16LittleEndian(bytes[0x12..], (ushort)_queueVectors.Length);
            bytes[0x14] = Device.Status;
            bytes[0x15] = Device.ConfigGeneration;
            BinaryPrimitives.WriteUInt16LittleEndian(bytes[0x16..], _queueSelect);
            if (_queueSelect < _queueVectors.Length)
            {
                var queue = Device.Queues[_queueSelect];
                BinaryPrimitives.WriteUInt16LittleEndian(bytes[0x18..], queue.ConfiguredSize);
                BinaryPrimitives.WriteUInt16LittleEndian(bytes[0x1A..], _queueVectors[_queueSelect]);
                BinaryPrimitives.WriteUInt16LittleEndian(bytes[0x1C..], queue.Enabled ? (ushort)1 : (ushort)0);
                BinaryPrimitives.WriteUInt16LittleEndian(bytes[0x1E..], _queueSelect);
                BinaryPrimitives.WriteUInt64LittleEndian(bytes[0x20..], queue.DescriptorAddress);
                BinaryPrimitives.WriteUInt64LittleEndian(bytes[0x28..], queue.DriverAddress);
                BinaryPrimitives.WriteUInt64LittleEndian(bytes[0x30..], queue.DeviceAddress);
            }
        }

        ulong value = BinaryPrimitives.ReadUInt64LittleEndian(bytes[(int)offset..]);
        return size >= 8 ? value : value & ((1ul << (size * 8)) - 1);
    }

    private void WriteCommon(uint offset, int size, ulong value)
    {
        switch (offset)
        {
            case 0x00:
                _deviceFeatureSelect = (uint)value;
                break;
            case 0x08:
                _driverFeatureSelect = (uint)value;
                break;
            case 0x0C:
                WriteDriverFeatures((uint)value);
                break;
            case 0x10:
                Volatile.Write(ref _configVector, ValidVector(value));
                break;
            case 0x14:
                Device.SetStatus((byte)value);
                if ((byte)value == 0)
                {
                    ForgetDriver();
                }

                break;
            case 0x16:
                _queueSelect = (ushort)value;
                break;
            default:
                if (offset >= 0x18 && offset + (uint)size <= CommonLength && _queueSelect < _queueVectors.Length)
                {
                    WriteQueue(Device.Queues[_queueSelect], offset, size, value);
                }

                break;
        }
    }

    private void WriteDriverFeatures(uint half)
    {
        if (_driverFeatureSelect < 2)
        {
            int shift = (int)_driverFeatureSelect * 32;
            _driverFeatures = (_driverFeatures & ~(0xFFFF_FFFFul << shift)) | ((ulong)half << shift);
            Device.SetDriverFeatures(_driverFeatures);
        }
    }

    private void WriteQueue(VirtQueue queue, uint offset, int size, ulong value)
    {
        if (offset == 0x1A)
        {
            Volatile.Write(ref _queueVectors[queue.Index], ValidVector(value));
            return;
        }

        // Once enabled, or with the driver running, a queue's layout is fixed until the device is reset (4.1.4.3.2).
        if (queue.Enabled || Device.IsDriverRunning)
        {
            return;
        }

        switch (offset)
        {
            case 0x18:
                queue.ConfiguredSize = (ushort)value;
                break;
            case 0x1C:
                queue.Enabled = (ushort)value == 1;
                break;
            case 0x20 or 0x24:
                queue.DescriptorAddress = Merge(queue.DescriptorAddress, offset, size, value);
                break;
            case 0x28 or 0x2C:
                queue.DriverAddress = Merge(queue.DriverAddress, offset, size, value);
                break;
            case 0x30 or 0x34:
                queue.DeviceAddress = Merge(queue.DeviceAddress, offset, size, value);
                break;
            default:
                break;
        }
    }

    private ushort ValidVector(ulong value) => (ushort)value < Msix!.VectorCount ? (ushort)value : NoVector;

    private static uint Half(ulong features, uint select) => select switch { 0 => (uint)features, 1 => (uint)(features >> 32), _ => 0 };

    private static ulong Merge(ulong old, uint offset, int size, ulong value) =>
        size == 8 ? value
        : (offset & 4) == 0 ? (old & 0xFFFF_FFFF_0000_0000) | (uint)value
        : (uint)old | (value << 32);
}
