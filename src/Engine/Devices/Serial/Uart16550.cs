using Hypervisor.Engine.Devices.Platform;

namespace Hypervisor.Engine.Devices.Serial;

/// <summary>
/// A 16550A (National Semiconductor PC16550D data sheet). Transmission takes no time: a byte written is at once on its way to the sink,
/// in batches, and the transmitter empty again. Input that does not fit into the receive FIFO waits behind it, so that nothing is ever
/// overrun; when that is full too, <see cref="Receive"/> takes no more.
/// </summary>
public sealed class Uart16550 : BytePortDevice, IResettable, IDisposable
{
    /// <summary>First port of COM1.</summary>
    public const ushort Com1Port = 0x3F8;

    /// <summary>Interrupt of COM1.</summary>
    public const int Com1Irq = 4;

    /// <summary>First port of COM2.</summary>
    public const ushort Com2Port = 0x2F8;

    /// <summary>Interrupt of COM2.</summary>
    public const int Com2Irq = 3;

    /// <summary>Ports of the device.</summary>
    public const int PortCount = 8;

    private const int FifoBytes = 16;
    private const int InputBytes = 4096;
    private const int OutputBytes = 8192;
    private const int FlushThreshold = 2048;
    private const long FlushDelayNanoseconds = 1_000_000;

    private readonly Lock _lock = new();
    private readonly Lock _sinkLock = new();
    private readonly IInterruptLine _interrupt;
    private readonly IByteSink _sink;
    private readonly IMachineTimer _flushTimer;
    private readonly IMachineClock _clock;
    private readonly byte[] _output = new byte[OutputBytes];
    private readonly byte[] _batch = new byte[OutputBytes];
    private readonly byte[] _input = new byte[InputBytes];
    private readonly byte[] _loopback = new byte[FifoBytes];
    private int _outputCount;
    private int _inputHead;
    private int _inputCount;
    private int _loopbackCount;

    private InterruptEnable _interruptEnable;
    private bool _fifoEnabled;
    private int _triggerLevel = 1;
    private byte _lineControl;
    private byte _modemControl;
    private byte _modemDelta;
    private byte _scratch;
    private ushort _divisor;
    private bool _overrun;
    private bool _transmitterEmptyPending;
    private bool _interruptAsserted;
    private bool _inputRefused;

    /// <summary>Makes a port.</summary>
    /// <param name="clock">For the delay of a batch of output, at most a millisecond.</param>
    /// <param name="interrupt">Its line.</param>
    /// <param name="sink">Where output goes.</param>
    public Uart16550(IMachineClock clock, IInterruptLine interrupt, IByteSink sink)
    {
        ArgumentNullException.ThrowIfNull(clock);
        _clock = clock;
        _interrupt = interrupt;
        _sink = sink;
        _flushTimer = clock.CreateTimer(Flush);
        ResetRegisters();
    }

    [Flags]
    private enum InterruptEnable : byte
    {
        ReceivedData = 1,
        TransmitterEmpty = 2,
        LineStatus = 4,
        ModemStatus = 8,
        All = 15,
    }

    private static class Register
    {
        public const int Data = 0, InterruptEnable = 1, InterruptIdentification = 2, LineControl = 3,
            ModemControl = 4, LineStatus = 5, ModemStatus = 6, Scratch = 7;
    }

    private static class Identification
    {
        public const byte None = 1, ModemStatus = 0, TransmitterEmpty = 2, ReceivedData = 4, LineStatus = 6, Timeout = 12, FifosEnabled = 0xC0;
    }

    private const byte DivisorLatch = 0x80;
    private const byte DataReady = 1, Overrun = 2, TransmitterEmpty = 0x60;
    private const byte DataTerminalReady = 1, RequestToSend = 2, Out1 = 4, Out2 = 8, Loopback = 0x10, ModemControlBits = 0x1F;
    private const byte ClearToSend = 0x10, DataSetReady = 0x20, RingIndicator = 0x40, CarrierDetect = 0x80;

    /// <summary>
    /// Called, on the guest's thread and outside of locks, when there is room again after <see cref="Receive"/> took fewer bytes than it
    /// was given. Must be quick.
    /// </summary>
    public Action? InputTaken { get; set; }

    /// <summary>
    /// Takes input for the guest; returns how many bytes were taken, fewer than given when the guest does not read. Any thread.
    /// </summary>
    public int Receive(ReadOnlySpan<byte> bytes)
    {
        lock (_lock)
        {
            int count = Math.Min(bytes.Length, InputBytes - _inputCount);
            for (int i = 0; i < count; i++)
            {
                _input[(_inputHead + _inputCount + i) % InputBytes] = bytes[i];
            }

            _inputCount += count;
            _inputRefused |= count < bytes.Length;
            UpdateInterrupt();
            return count;
        }
    }

    /// <summary>Hands waiting output to the sink. Any thread.</summary>
    public void Flush()
    {
        // The sink is called outside the register lock, which its own lock must not nest in, and in order.
        lock (_sinkLock)
        {
            int count;
            lock (_lock)
            {
                count = _outputCount;
                _output.AsSpan(0, count).CopyTo(_batch);
                _outputCount = 0;
            }

            if (count > 0)
            {
                _sink.Write(_batch.AsSpan(0, count));
            }
        }
    }

    /// <inheritdoc/>
    public void Reset()
    {
        Flush();
        lock (_lock)
        {
            ResetRegisters();
            UpdateInterrupt();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Flush();
        _flushTimer.Dispose();
    }

    /// <inheritdoc/>
    protected override byte ReadByte(ushort offset)
    {
        byte value;
        bool room;
        lock (_lock)
        {
            value = ReadRegister(offset);
            room = HasRoomAgain();
        }

        if (room)
        {
            InputTaken?.Invoke();
        }

        return value;
    }

    private byte ReadRegister(int offset)
    {
        switch (offset)
        {
            case Register.Data when DivisorLatched:
                return (byte)_divisor;
            case Register.Data:
                byte value = TakeInput();
                UpdateInterrupt();
                return value;
            case Register.InterruptEnable when DivisorLatched:
                return (byte)(_divisor >> 8);
            case Register.InterruptEnable:
                return (byte)_interruptEnable;
            case Register.InterruptIdentification:
                byte source = PendingSource();
                if (source == Identification.TransmitterEmpty)
                {
                    // Reading IIR acknowledges this source, and no other (data sheet, table V).
                    _transmitterEmptyPending = false;
                    UpdateInterrupt();
                }

                return (byte)(source | (_fifoEnabled ? Identification.FifosEnabled : 0));
            case Register.LineControl:
                return _lineControl;
            case Register.ModemControl:
                return _modemControl;
            case Register.LineStatus:
                byte status = (byte)(TransmitterEmpty | (ReadableCount > 0 ? DataReady : 0) | (_overrun ? Overrun : 0));
                _overrun = false;
                UpdateInterrupt();
                return status;
            case Register.ModemStatus:
                byte modem = (byte)(ModemLines | _modemDelta);
                _modemDelta = 0;
                UpdateInterrupt();
                return modem;
            case Register.Scratch:
                return _scratch;
            default:
                return byte.MaxValue;
        }
    }

    /// <inheritdoc/>
    protected override void WriteByte(ushort offset, byte value)
    {
        bool full = false, room;
        lock (_lock)
        {
            switch (offset)
            {
                case Register.Data when DivisorLatched:
                    _divisor = (ushort)((_divisor & 0xFF00) | value);
                    break;
                case Register.Data:
                    full = Transmit(value);
                    break;
                case Register.InterruptEnable when DivisorLatched:
                    _divisor = (ushort)((_divisor & 0x00FF) | value << 8);
                    break;
                case Register.InterruptEnable:
                    var before = _interruptEnable;
                    _interruptEnable = (InterruptEnable)value & InterruptEnable.All;
                    // Enabling the source while the transmitter is empty raises it; Linux's transmit path and its test for buggy
                    // UARTs both rest on that.
                    if ((_interruptEnable & ~before & InterruptEnable.TransmitterEmpty) != 0)
                    {
                        _transmitterEmptyPending = true;
                    }

                    break;
                case Register.InterruptIdentification:
                    ControlFifo(value);
                    break;
                case Register.LineControl:
                    _lineControl = value;
                    break;
                case Register.ModemControl:
                    byte lines = ModemLines;
                    _modemControl = (byte)(value & ModemControlBits);
                    NoteModemChange(lines);
                    break;
                case Register.Scratch:
                    _scratch = value;
                    break;
                default:
                    // LSR and MSR are read-only to software; the data sheet leaves writes to factory testing.
                    break;
            }

            UpdateInterrupt();
            room = HasRoomAgain();
        }

        if (full)
        {
            Flush();
        }

        if (room)
        {
            InputTaken?.Invoke();
        }
    }

    private bool DivisorLatched => (_lineControl & DivisorLatch) != 0;

    private bool InLoopback => (_modemControl & Loopback) != 0;

    // While looping back, the receiver hears the transmitter alone.
    private int ReadableCount => InLoopback ? _loopbackCount : Math.Min(_inputCount, _fifoEnabled ? FifoBytes : 1);

    private byte ModemLines
    {
        get
        {
            if (!InLoopback)
            {
                return ClearToSend | DataSetReady | CarrierDetect;
            }

            int lines = 0;
            lines |= (_modemControl & RequestToSend) != 0 ? ClearToSend : 0;
            lines |= (_modemControl & DataTerminalReady) != 0 ? DataSetReady : 0;
            lines |= (_modemControl & Out1) != 0 ? RingIndicator : 0;
            lines |= (_modemControl & Out2) != 0 ? CarrierDetect : 0;
            return (byte)lines;
        }
    }

    private bool HasRoomAgain()
    {
        if (!_inputRefused || _inputCount > InputBytes / 2)
        {
            return false;
        }

        _inputRefused = false;
        return true;
    }

    private byte TakeInput()
    {
        if (InLoopback)
        {
            if (_loopbackCount == 0)
            {
                return 0;
            }

            byte looped = _loopback[0];
            _loopbackCount--;
            Array.Copy(_loopback, 1, _loopback, 0, _loopbackCount);
            return looped;
        }

        if (_inputCount == 0)
        {
            return 0;
        }

        byte value = _input[_inputHead];
        _inputHead = (_inputHead + 1) % InputBytes;
        _inputCount--;
        return value;
    }

    /// <summary>Sends a byte; true when the batch is large enough to go now.</summary>
    private bool Transmit(byte value)
    {
        _transmitterEmptyPending = true;
        if (InLoopback)
        {
            if (_loopbackCount < (_fifoEnabled ? FifoBytes : 1))
            {
                _loopback[_loopbackCount++] = value;
            }
            else
            {
                _overrun = true;
            }

            return false;
        }

        if (_outputCount == OutputBytes)
        {
            // Other processors filled the buffer while this batch was being flushed: this byte is lost, as on any line that several
            // write to at once. The guest never waits for the host.
            return true;
        }

        _output[_outputCount++] = value;
        if (_outputCount == 1)
        {
            _flushTimer.Arm(_clock.Now + FlushDelayNanoseconds);
        }

        return _outputCount >= FlushThreshold;
    }

    private void ControlFifo(byte value)
    {
        const byte Enable = 1, ClearReceiver = 2;
        bool enable = (value & Enable) != 0;
        if (enable != _fifoEnabled || (value & ClearReceiver) != 0)
        {
            // What waits behind the FIFO has not been received yet and stays.
            int dropped = InLoopback ? 0 : ReadableCount;
            _inputHead = (_inputHead + dropped) % InputBytes;
            _inputCount -= dropped;
            _loopbackCount = 0;
        }

        _fifoEnabled = enable;
        _triggerLevel = !enable ? 1 : (value >> 6) switch
        {
            0 => 1,
            1 => 4,
            2 => 8,
            _ => 14,
        };
    }

    private void NoteModemChange(byte before)
    {
        int changed = before ^ ModemLines;
        // RI reports its trailing edge alone (data sheet, 8.8).
        if ((before & RingIndicator) == 0)
        {
            changed &= ~RingIndicator;
        }

        _modemDelta |= (byte)(changed >> 4);
    }

    private byte PendingSource()
    {
        int readable = ReadableCount;
        if (_overrun && _interruptEnable.HasFlag(InterruptEnable.LineStatus))
        {
            return Identification.LineStatus;
        }

        if (readable > 0 && _interruptEnable.HasFlag(InterruptEnable.ReceivedData))
        {
            // Below the trigger level the time-out of four characters speaks. Input comes in one piece here, so nothing is gained
            // by waiting for the rest of it.
            return readable >= _triggerLevel ? Identification.ReceivedData : Identification.Timeout;
        }

        if (_transmitterEmptyPending && _interruptEnable.HasFlag(InterruptEnable.TransmitterEmpty))
        {
            return Identification.TransmitterEmpty;
        }

        return _modemDelta != 0 && _interruptEnable.HasFlag(InterruptEnable.ModemStatus) ? Identification.ModemStatus : Identification.None;
    }

    private void UpdateInterrupt()
    {
        bool wanted = PendingSource() != Identification.None;
        if (wanted != _interruptAsserted)
        {
            _interruptAsserted = wanted;
            _interrupt.Set(wanted);
        }
    }

    private void ResetRegisters()
    {
        const ushort Divisor9600 = 12;
        _interruptEnable = 0;
        _fifoEnabled = false;
        _triggerLevel = 1;
        _lineControl = 0;
        _modemControl = 0;
        _modemDelta = 0;
        _scratch = 0;
        _divisor = Divisor9600;
        _overrun = false;
        _transmitterEmptyPending = false;
        _loopbackCount = 0;
    }
}
