using System.Buffers.Binary;
using System.Numerics;

namespace Hypervisor.Engine.Devices.Pci;

/// <summary>
/// A PCI function: configuration space, base address registers, capabilities, INTx# and MSI-X. A device derives from it and answers
/// <see cref="ReadBar"/> and <see cref="WriteBar"/>. Configuration accesses are serialised by the bus; BAR accesses are not.
/// </summary>
public abstract class PciDevice : IResettable
{
    private const int BarCount = 6;

    private readonly Lock _interruptLock = new();
    private readonly PciBar?[] _bars = new PciBar?[BarCount];
    private int _lastCapability = PciRegisters.CapabilitiesPointer;
    private int _nextCapability = PciRegisters.HeaderEnd;
    private int _msixCapability;
    private int _msixBar;
    private PciBus? _bus;
    private IInterruptLine? _line;
    private bool _interruptPending;
    private bool _interruptDisabled;

    /// <summary>Fills the header. BARs and capabilities are added by the derived class's constructor.</summary>
    protected PciDevice(PciIdentity identity)
    {
        Config.Define(PciRegisters.VendorId, 2, identity.VendorId);
        Config.Define(PciRegisters.DeviceId, 2, identity.DeviceId);
        Config.Define(PciRegisters.Command, 2, 0, PciRegisters.CommandBusMaster | PciRegisters.CommandInterruptDisable);
        Config.Define(PciRegisters.Revision, 1, identity.Revision);
        Config.Define(PciRegisters.ClassCode, 2, identity.ClassCode & 0xFFFF);
        Config.Define(PciRegisters.ClassCode + 2, 1, identity.ClassCode >> 16);
        Config.Define(0x0C, 1, 0, 0xFF); // Cache line size: kept for software, used by nothing.
        Config.Define(PciRegisters.SubsystemVendorId, 2, identity.SubsystemVendorId);
        Config.Define(PciRegisters.SubsystemId, 2, identity.SubsystemId);
        Config.Define(PciRegisters.InterruptLine, 1, 0, 0xFF);
    }

    /// <summary>Device number on bus 0; -1 before it is attached.</summary>
    public int Slot { get; private set; } = -1;

    /// <summary>Function number.</summary>
    public int Function { get; private set; }

    /// <summary>Configuration space, for the derived class's constructor and its own registers.</summary>
    protected PciConfigurationSpace Config { get; } = new();

    /// <summary>MSI-X vectors, if the device has any.</summary>
    public MsixTable? Msix { get; private set; }

    internal IEnumerable<PciBar> Bars => _bars.OfType<PciBar>();

    internal bool UsesInterruptPin => Config.Read(PciRegisters.InterruptPin, 1) != 0;

    /// <summary>A read of 1, 2 or 4 bytes that does not pass a doubleword's end.</summary>
    public virtual uint ReadConfig(int offset, int size)
    {
        uint value = Config.Read(offset, size);
        int status = PciRegisters.Status - offset;
        if (status >= 0 && status < size && Volatile.Read(ref _interruptPending))
        {
            value |= (uint)PciRegisters.StatusInterrupt << (status * 8);
        }

        return value;
    }

    /// <summary>A write of 1, 2 or 4 bytes that does not pass a doubleword's end.</summary>
    public virtual void WriteConfig(int offset, int size, uint value)
    {
        Config.Write(offset, size, value);
        int end = offset + size;
        if (offset < PciRegisters.Status && end > PciRegisters.Command)
        {
            UpdateInterruptLine(disabled: (Command & PciRegisters.CommandInterruptDisable) != 0);
            _bus?.UpdateMappings();
        }
        else if (offset < PciRegisters.BarEnd && end > PciRegisters.Bar0)
        {
            _bus?.UpdateMappings();
        }
        else if (Msix != null && offset < _msixCapability + 4 && end > _msixCapability + 2)
        {
            Msix.SetControl((ushort)Config.Read(_msixCapability + 2, 2));
            UpdateInterruptLine(disabled: (Command & PciRegisters.CommandInterruptDisable) != 0);
        }
    }

    /// <inheritdoc/>
    public virtual void Reset()
    {
        Config.Reset();
        Msix?.Reset();
        SetInterrupt(false);
        UpdateInterruptLine(disabled: false);
    }

    /// <summary>A load from a BAR; the offset lies inside it.</summary>
    protected internal virtual ulong ReadBar(int bar, ulong offset, int size) => bar == _msixBar && Msix != null ? Msix.Read(offset, size) : 0;

    /// <summary>A store to a BAR; the offset lies inside it.</summary>
    protected internal virtual void WriteBar(int bar, ulong offset, int size, ulong value)
    {
        if (bar == _msixBar)
        {
            Msix?.Write(offset, size, value);
        }
    }

    /// <summary>Raises or lowers INTA#. Reaches the line unless software disabled it or switched to MSI-X. Thread-safe.</summary>
    protected void SetInterrupt(bool pending)
    {
        lock (_interruptLock)
        {
            Volatile.Write(ref _interruptPending, pending);
            DriveLine();
        }
    }

    /// <summary>Adds a memory BAR; a 64-bit one takes two registers.</summary>
    /// <param name="index">Register, 0 to 5.</param>
    /// <param name="size">Bytes, a power of two, at least 4096 so that no two devices share a page.</param>
    /// <param name="is64Bit">May be programmed above 4 GB.</param>
    /// <param name="prefetchable">Reads have no side effects.</param>
    protected void AddMemoryBar(int index, ulong size, bool is64Bit = false, bool prefetchable = false)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 4096ul);
        AddBar(new PciBar(this, index, size, is64Bit ? PciBarKind.Memory64 : PciBarKind.Memory32, prefetchable));
    }

    /// <summary>Adds an I/O BAR of 4 to 256 ports, a power of two.</summary>
    protected void AddPortBar(int index, int ports)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(ports, 4);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(ports, 256);
        AddBar(new PciBar(this, index, (ulong)ports, PciBarKind.Port, prefetchable: false));
    }

    /// <summary>Says that the device uses INTA#.</summary>
    protected void UseInterruptPin() => Config.Define(PciRegisters.InterruptPin, 1, 1);

    /// <summary>Appends a capability to the list.</summary>
    /// <param name="id">Capability ID.</param>
    /// <param name="body">What follows ID and next pointer.</param>
    /// <returns>Offset of the capability in configuration space.</returns>
    protected int AddCapability(byte id, ReadOnlySpan<byte> body)
    {
        int offset = _nextCapability;
        if (offset + 2 + body.Length > 0x100)
        {
            throw new InvalidOperationException("The capabilities do not fit into the configuration space.");
        }

        Config.Define(offset, 1, id);
        for (int i = 0; i < body.Length; i++)
        {
            Config.Define(offset + 2 + i, 1, body[i]);
        }

        Config.Define(_lastCapability == PciRegisters.CapabilitiesPointer ? _lastCapability : _lastCapability + 1, 1, (uint)offset);
        Config.Define(PciRegisters.Status, 2, PciRegisters.StatusCapabilities);
        _lastCapability = offset;
        _nextCapability = (offset + 2 + body.Length + 3) & ~3;
        return offset;
    }

    /// <summary>Adds MSI-X with its table and pending bits in a BAR of their own.</summary>
    protected void AddMsix(int bar, int vectors)
    {
        Msix = new MsixTable(vectors);
        AddMemoryBar(bar, MsixTable.BarSize);
        _msixBar = bar;
        Span<byte> body = stackalloc byte[10];
        BinaryPrimitives.WriteUInt16LittleEndian(body, (ushort)(vectors - 1));
        BinaryPrimitives.WriteUInt32LittleEndian(body[2..], (uint)bar);
        BinaryPrimitives.WriteUInt32LittleEndian(body[6..], MsixTable.PendingOffset | (uint)bar);
        _msixCapability = AddCapability(PciRegisters.CapabilityMsix, body);
        Config.Define(_msixCapability + 2, 2, (uint)(vectors - 1), 0xC000);
    }

    internal ushort Command => (ushort)Config.Read(PciRegisters.Command, 2);

    internal void Connect(PciBus bus, int slot, int function, IMsiSink messages, IInterruptLine line)
    {
        (_bus, Slot, Function, _line) = (bus, slot, function, line);
        Msix?.Connect(messages);
    }

    internal void MarkMultiFunction() => Config.Define(PciRegisters.HeaderType, 1, PciRegisters.HeaderMultiFunction);

    internal ulong GetBarAddress(PciBar bar) => bar.GetAddress(Config);

    internal void AssignBar(PciBar bar, ulong address) => bar.SetAddress(Config, address);

    internal void AssignDefaults(byte interruptLine)
    {
        uint decode = (uint)(Bars.Any(b => b.IsPort) ? PciRegisters.CommandIo : 0) | (Bars.Any(b => !b.IsPort) ? PciRegisters.CommandMemory : 0u);
        Config.Set(PciRegisters.Command, 2, Command | decode);
        if (UsesInterruptPin)
        {
            Config.Set(PciRegisters.InterruptLine, 1, interruptLine);
        }
    }

    internal void WithdrawBars(MachineBus bus)
    {
        foreach (var bar in _bars)
        {
            bar?.Withdraw(bus, IsDecoded(bar), bar.GetAddress(Config));
        }
    }

    internal void ClaimBars(MachineBus bus)
    {
        foreach (var bar in _bars)
        {
            bar?.Claim(bus, IsDecoded(bar), bar.GetAddress(Config));
        }
    }

    private uint WritableCommand
    {
        get
        {
            uint mask = PciRegisters.CommandBusMaster | PciRegisters.CommandInterruptDisable;
            foreach (var bar in _bars)
            {
                mask |= bar == null ? 0u : bar.IsPort ? PciRegisters.CommandIo : PciRegisters.CommandMemory;
            }

            return mask;
        }
    }

    private bool IsDecoded(PciBar bar) => (Command & (bar.IsPort ? PciRegisters.CommandIo : PciRegisters.CommandMemory)) != 0;

    private void AddBar(PciBar bar)
    {
        if (!BitOperations.IsPow2(bar.Size))
        {
            throw new ArgumentException($"A base address register decodes a power of two, not {bar.Size} bytes.");
        }

        _bars[bar.Index] = bar;
        ulong mask = ~(bar.Size - 1);
        Config.Define(bar.Register, 4, bar.Flags, (uint)mask);
        if (bar.Is64Bit)
        {
            Config.Define(bar.Register + 4, 4, 0, (uint)(mask >> 32));
        }

        Config.Define(PciRegisters.Command, 2, 0, WritableCommand);
    }

    private void UpdateInterruptLine(bool disabled)
    {
        lock (_interruptLock)
        {
            _interruptDisabled = disabled;
            DriveLine();
        }
    }

    private void DriveLine() => _line?.Set(_interruptPending && !_interruptDisabled && Msix is not { IsEnabled: true });
}
