namespace Hypervisor.Engine.Partitions.Software;

// The registers, through the xAPIC page and through MSRs (Intel SDM vol. 3A, tables 11-1 and 11-6). A register is named by its
// offset in the page divided by 16, which is also its MSR less 800h.
internal sealed partial class LocalApic
{
    /// <summary>Bytes of the register page.</summary>
    public const ulong PageBytes = 4096;

    private const uint ApicBaseMsr = 0x1B, TscDeadlineMsr = 0x6E0, FirstX2Msr = 0x800, LastX2Msr = 0x8FF;
    private const ulong BaseBootstrap = 1 << 8, BaseX2 = 1 << 10, BaseEnabled = 1 << 11;
    private const ulong BaseAddressMask = 0x000F_FFFF_FFFF_F000;
    private const ulong PowerOnAddress = 0xFEE0_0000;

    private const uint SpuriousEnabled = 1 << 8, SpuriousMask = 0x3FF;
    private const int ErrorSendIllegalVector = 1 << 5, ErrorReceiveIllegalVector = 1 << 6, ErrorIllegalRegister = 1 << 7;

    // Version 14h with six entries in the local vector table.
    private const uint Version = 0x0005_0014;

    private const uint TimerVectorMask = 0x7_00FF, LineVectorMask = 0x1_A7FF, MonitorVectorMask = 0x1_07FF, ErrorVectorMask = 0x1_00FF;
    private const uint CommandMask = 0x000C_CFFF;

    private enum Register : uint
    {
        Id = 0x02, Version = 0x03, TaskPriority = 0x08, ArbitrationPriority = 0x09, ProcessorPriority = 0x0A, EndOfInterrupt = 0x0B,
        RemoteRead = 0x0C, LogicalDestination = 0x0D, DestinationFormat = 0x0E, Spurious = 0x0F, InService = 0x10, Trigger = 0x18,
        Request = 0x20, ErrorStatus = 0x28, CommandLow = 0x30, CommandHigh = 0x31, TimerVector = 0x32, ThermalVector = 0x33,
        PerformanceVector = 0x34, Line0Vector = 0x35, Line1Vector = 0x36, ErrorVector = 0x37, InitialCount = 0x38,
        CurrentCount = 0x39, DivideConfiguration = 0x3E, SelfIpi = 0x3F,
    }

    private ulong _base;
    private volatile byte _taskPriority;
    private uint _logicalDestination;
    private uint _destinationFormat;
    private uint _spurious;
    private uint _errorStatus;
    private ulong _command;
    private LocalVector _thermal, _performance, _line0, _line1, _error;

    private bool IsX2Apic => (_base & (BaseEnabled | BaseX2)) == (BaseEnabled | BaseX2);

    private uint X2LogicalId => ((uint)Id >> 4 << 16) | (1u << (Id & 15));

    /// <summary>Whether the register page lies at this address now: enabled and not in x2APIC mode.</summary>
    public bool IsPageAt(ulong address) =>
        (_base & (BaseEnabled | BaseX2)) == BaseEnabled && (address & ~(PageBytes - 1)) == (_base & BaseAddressMask);

    /// <summary>Power-on state.</summary>
    public void Reset()
    {
        ulong old = _base;
        _base = PowerOnAddress | BaseEnabled | (Id == 0 ? BaseBootstrap : 0);
        ResetByInit();
        if (old != _base)
        {
            _target.ApicPageMoved();
        }
    }

    /// <summary>Sets IA32_APIC_BASE for the host (a restored state), whatever the guest's rules for changes.</summary>
    public void ForceBase(ulong value)
    {
        _base = value & (BaseAddressMask | BaseEnabled | BaseX2 | BaseBootstrap);
        _target.ApicPageMoved();
    }

    /// <inheritdoc/>
    public bool TryReadMsr(uint index, out ulong value)
    {
        value = 0;
        switch (index)
        {
            case ApicBaseMsr:
                value = _base;
                return true;
            case TscDeadlineMsr:
                value = _timer.TscDeadline;
                return true;
            case >= FirstX2Msr and <= LastX2Msr when IsX2Apic:
                var register = (Register)(index - FirstX2Msr);
                if (register is Register.DestinationFormat or Register.CommandHigh or Register.EndOfInterrupt or Register.SelfIpi
                    or Register.ArbitrationPriority or Register.RemoteRead)
                {
                    return false;
                }

                value = ReadRegister(register, out bool exists);
                value = register == Register.CommandLow ? _command : value;
                return exists;
            default:
                return false;
        }
    }

    /// <inheritdoc/>
    public bool TryWriteMsr(uint index, ulong value)
    {
        switch (index)
        {
            case ApicBaseMsr:
                return TryChangeBase(value);
            case TscDeadlineMsr:
                _timer.TscDeadline = value;
                return true;
            case >= FirstX2Msr and <= LastX2Msr when IsX2Apic:
                return TryWriteX2((Register)(index - FirstX2Msr), value);
            default:
                return false;
        }
    }

    /// <summary>Reads the register page.</summary>
    /// <param name="offset">Offset in the page.</param>
    /// <param name="size">1 to 8 bytes.</param>
    public ulong ReadPage(ulong offset, int size)
    {
        // Registers are 32 bits wide at multiples of 16; what lies between reads as zero.
        int shift = (int)(offset & 15) * 8;
        uint value = ReadRegister((Register)(offset >> 4), out bool exists);
        if (!exists)
        {
            RecordError(ErrorIllegalRegister);
        }

        value = shift < 32 ? value >> shift : 0;
        return size >= 4 ? value : value & ((1u << (8 * size)) - 1);
    }

    /// <summary>Writes the register page. Only whole registers can be written.</summary>
    /// <param name="offset">Offset in the page.</param>
    /// <param name="size">1 to 8 bytes.</param>
    /// <param name="value">The value.</param>
    public void WritePage(ulong offset, int size, ulong value)
    {
        if ((offset & 15) != 0 || size < 4)
        {
            return;
        }

        var register = (Register)(offset >> 4);
        uint word = (uint)value;
        switch (register)
        {
            case Register.LogicalDestination:
                _logicalDestination = word & 0xFF00_0000;
                break;
            case Register.DestinationFormat:
                _destinationFormat = word | 0x0FFF_FFFF;
                break;
            case Register.CommandLow:
                _command = (_command & 0xFFFF_FFFF_0000_0000) | (word & CommandMask);
                SendCommand((uint)(_command >> 56));
                break;
            case Register.CommandHigh:
                _command = (_command & uint.MaxValue) | ((ulong)(word & 0xFF00_0000) << 32);
                break;
            default:
                WriteRegister(register, word);
                break;
        }
    }

    // INIT leaves the base and the id (Intel SDM vol. 3A, 11.4.7.3). It may come from another processor's thread; the target then
    // is, by any sane guest's protocol, not using its APIC.
    private void ResetByInit()
    {
        Array.Clear(_requests);
        Array.Clear(_inService);
        Array.Clear(_levelTriggered);
        _taskPriority = 0;
        _logicalDestination = 0;
        _destinationFormat = uint.MaxValue;
        _spurious = 0xFF;
        _errorStatus = 0;
        _pendingErrors = 0;
        _command = 0;
        _thermal = _performance = _line1 = _error = LocalVector.Reset;

        // Firmware leaves the bootstrap processor in virtual-wire mode; a kernel that is loaded directly finds the same.
        _line0 = Id == 0 ? new LocalVector((uint)DeliveryMode.External << 8) : LocalVector.Reset;
        _timer.Reset();
    }

    private bool TryChangeBase(ulong value)
    {
        const ulong Defined = BaseAddressMask | BaseEnabled | BaseX2 | BaseBootstrap;
        ulong mode = value & (BaseEnabled | BaseX2);
        ulong oldMode = _base & (BaseEnabled | BaseX2);
        // Intel SDM vol. 3A, figure 11-27: x2APIC is entered from xAPIC only, and left by disabling only.
        bool illegal = mode == BaseX2
            || (mode == (BaseEnabled | BaseX2) && oldMode == 0)
            || (mode == BaseEnabled && oldMode == (BaseEnabled | BaseX2));
        if ((value & ~Defined) != 0 || illegal)
        {
            return false;
        }

        _base = (value & ~BaseBootstrap) | (_base & BaseBootstrap);
        if (mode == 0 && oldMode != 0)
        {
            ResetByInit();
        }

        _target.ApicPageMoved();
        return true;
    }

    private uint ReadRegister(Register register, out bool exists)
    {
        exists = true;
        switch (register)
        {
            case Register.Id:
                return IsX2Apic ? (uint)Id : (uint)Id << 24;
            case Register.Version:
                return Version;
            case Register.TaskPriority:
                return _taskPriority;
            case Register.ProcessorPriority:
                return ProcessorPriority;
            case Register.EndOfInterrupt or Register.RemoteRead or Register.ArbitrationPriority:
                return 0;
            case Register.LogicalDestination:
                return IsX2Apic ? X2LogicalId : _logicalDestination;
            case Register.DestinationFormat:
                return _destinationFormat;
            case Register.Spurious:
                return _spurious;
            case >= Register.InService and < Register.Trigger:
                return Word(_inService, register - Register.InService);
            case >= Register.Trigger and < Register.Request:
                return Word(_levelTriggered, register - Register.Trigger);
            case >= Register.Request and < Register.ErrorStatus:
                return Word(_requests, register - Register.Request);
            case Register.ErrorStatus:
                return _errorStatus;
            case Register.CommandLow:
                return (uint)_command;
            case Register.CommandHigh:
                return (uint)(_command >> 32);
            case Register.TimerVector:
                return _timer.Vector.Value;
            case Register.ThermalVector:
                return _thermal.Value;
            case Register.PerformanceVector:
                return _performance.Value;
            case Register.Line0Vector:
                return _line0.Value;
            case Register.Line1Vector:
                return _line1.Value;
            case Register.ErrorVector:
                return _error.Value;
            case Register.InitialCount:
                return _timer.InitialCount;
            case Register.CurrentCount:
                return _timer.CurrentCount;
            case Register.DivideConfiguration:
                return _timer.DivideConfiguration;
            default:
                exists = false;
                return 0;
        }
    }

    private void WriteRegister(Register register, uint value)
    {
        switch (register)
        {
            case Register.TaskPriority:
                SetTaskPriority((byte)value);
                break;
            case Register.EndOfInterrupt:
                EndInterrupt();
                break;
            case Register.Spurious:
                WriteSpurious(value & SpuriousMask);
                break;
            case Register.ErrorStatus:
                // Writing moves what was gathered to where it is read (Intel SDM vol. 3A, 11.5.3).
                _errorStatus = (uint)Interlocked.Exchange(ref _pendingErrors, 0);
                break;
            case Register.TimerVector:
                _timer.Vector = Entry(value, TimerVectorMask);
                break;
            case Register.ThermalVector:
                _thermal = Entry(value, MonitorVectorMask);
                break;
            case Register.PerformanceVector:
                _performance = Entry(value, MonitorVectorMask);
                break;
            case Register.Line0Vector:
                _line0 = Entry(value, LineVectorMask);
                SignalIfPending();
                break;
            case Register.Line1Vector:
                _line1 = Entry(value, LineVectorMask);
                break;
            case Register.ErrorVector:
                _error = Entry(value, ErrorVectorMask);
                break;
            case Register.InitialCount:
                _timer.InitialCount = value;
                break;
            case Register.DivideConfiguration:
                _timer.DivideConfiguration = value;
                break;
            case Register.Id or Register.Version or Register.ArbitrationPriority or Register.ProcessorPriority or Register.RemoteRead
                or Register.CurrentCount or (>= Register.InService and < Register.ErrorStatus):
                break;
            default:
                RecordError(ErrorIllegalRegister);
                break;
        }
    }

    private bool TryWriteX2(Register register, ulong value)
    {
        // Reserved bits raise #GP in this mode (Intel SDM vol. 3A, 11.12.1.3).
        ulong allowed = register switch
        {
            Register.TaskPriority => 0xFF,
            Register.EndOfInterrupt or Register.ErrorStatus => 0,
            Register.Spurious => SpuriousMask,
            Register.CommandLow => 0xFFFF_FFFF_0000_0000 | CommandMask,
            Register.TimerVector => TimerVectorMask | 0x1000,
            Register.ThermalVector or Register.PerformanceVector => MonitorVectorMask | 0x1000,
            Register.Line0Vector or Register.Line1Vector => LineVectorMask | 0x5000,
            Register.ErrorVector => ErrorVectorMask | 0x1000,
            Register.InitialCount => uint.MaxValue,
            Register.DivideConfiguration => 0x0B,
            Register.SelfIpi => 0xFF,
            _ => 0,
        };
        bool writable = register is Register.TaskPriority or Register.EndOfInterrupt or Register.Spurious or Register.ErrorStatus
            or Register.CommandLow or (>= Register.TimerVector and <= Register.InitialCount) or Register.DivideConfiguration or Register.SelfIpi;
        if (!writable || (value & ~allowed) != 0)
        {
            return false;
        }

        switch (register)
        {
            case Register.CommandLow:
                _command = value;
                SendCommand((uint)(value >> 32));
                break;
            case Register.SelfIpi:
                SendFixedToSelf((byte)value);
                break;
            default:
                WriteRegister(register, (uint)value);
                break;
        }

        return true;
    }

    // While the APIC is disabled by software all entries stay masked (Intel SDM vol. 3A, 11.4.7.2).
    private LocalVector Entry(uint value, uint mask)
    {
        var entry = new LocalVector(value & mask);
        return (_spurious & SpuriousEnabled) != 0 ? entry : entry.Masked;
    }

    private void WriteSpurious(uint value)
    {
        bool disabled = (_spurious & SpuriousEnabled) != 0 && (value & SpuriousEnabled) == 0;
        _spurious = value;
        if (disabled)
        {
            _timer.Vector = _timer.Vector.Masked;
            _thermal = _thermal.Masked;
            _performance = _performance.Masked;
            _line0 = _line0.Masked;
            _line1 = _line1.Masked;
            _error = _error.Masked;
        }
    }

    private void SendCommand(uint destination)
    {
        const uint LogicalBit = 1 << 11, AssertBit = 1 << 14, LevelBit = 1 << 15;
        uint command = (uint)_command;
        var mode = (DeliveryMode)((command >> 8) & 7);
        byte vector = (byte)command;
        if (mode == DeliveryMode.Init && (command & (AssertBit | LevelBit)) == LevelBit)
        {
            return; // INIT level de-assert: only bus arbitration, long without effect
        }

        if (mode is DeliveryMode.Fixed or DeliveryMode.LowestPriority && vector < LowestVector)
        {
            RecordError(ErrorSendIllegalVector);
            return;
        }

        // Interprocessor interrupts are edges: the trigger bit means nothing for them on processors since the Pentium 4.
        var message = new ApicMessage(destination, (command & LogicalBit) != 0, mode, vector, LevelTriggered: false);
        switch ((command >> 18) & 3)
        {
            case 0:
                _bus.Send(message);
                break;
            case 1:
                // Only fixed interrupts can be sent to oneself (Intel SDM vol. 3A, table 11-3).
                if (mode == DeliveryMode.Fixed)
                {
                    Accept(message);
                }

                break;
            case 2:
                if (mode == DeliveryMode.Fixed)
                {
                    _bus.SendToAll(message, except: null);
                }

                break;
            default:
                _bus.SendToAll(message, except: this);
                break;
        }
    }

    private void SendFixedToSelf(byte vector)
    {
        if (vector < LowestVector)
        {
            RecordError(ErrorSendIllegalVector);
        }
        else
        {
            AcceptFixed(vector, levelTriggered: false);
        }
    }

    private static uint Word(ulong[] bits, uint word) => (uint)(Volatile.Read(ref bits[word >> 1]) >> (int)((word & 1) * 32));
}
