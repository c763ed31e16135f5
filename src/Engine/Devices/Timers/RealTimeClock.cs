namespace Hypervisor.Engine.Devices.Timers;

/// <summary>
/// The MC146818 real-time clock with its CMOS memory on ports 70h and 71h. Time follows the host's wall clock plus what the guest
/// has set it ahead; nothing ticks unless an interrupt is enabled. The memory's contents beyond the clock are the machine's to set.
/// </summary>
public sealed class RealTimeClock : IResettable, IDisposable
{
    /// <summary>Bytes of CMOS memory, clock included.</summary>
    public const int MemoryBytes = 128;

    private const ushort IndexPort = 0x70;
    private const int RegisterA = 10, RegisterB = 11, RegisterC = 12, RegisterD = 13;
    private const byte UpdateInProgress = 0x80;
    private const byte Set = 0x80, PeriodicEnable = 0x40, AlarmEnable = 0x20, UpdateEnable = 0x10, SquareWaveEnable = 0x08;
    private const byte AnyRequest = 0x80, PeriodicFlag = 0x40, AlarmFlag = 0x20, UpdateFlag = 0x10;
    private const byte ValidRam = 0x80;
    private const byte DividerRunning32Khz = 0x20, Rate1024Hz = 0x06;
    private const byte Binary24Hour = 0x02;

    // The update cycle announces itself 244 µs ahead and takes 1984 µs (MC146818, "Update Cycle"); here only the announcement shows.
    private const long AnnouncedTicks = 2440;

    // Periods below this are served late: the guest could not take the interrupts, and the clock's thread has other work.
    private const long ShortestPeriod = 120_000;

    private readonly Lock _lock = new();
    private readonly IMachineClock _clock;
    private readonly IInterruptLine _irq8;
    private readonly IMachineTimer _periodicTimer;
    private readonly IMachineTimer _secondTimer;
    private readonly byte[] _memory = new byte[MemoryBytes];
    private TimeSpan _ahead;
    private DateTime _checkedUntil;
    private long _periodStart;
    private byte _index;

    /// <summary>Makes a clock that shows UTC.</summary>
    /// <param name="clock">The machine's clock.</param>
    /// <param name="irq8">Asserted while an enabled request waits in register C.</param>
    public RealTimeClock(IMachineClock clock, IInterruptLine irq8)
    {
        ArgumentNullException.ThrowIfNull(clock);
        ArgumentNullException.ThrowIfNull(irq8);
        _clock = clock;
        _irq8 = irq8;
        _periodicTimer = clock.CreateTimer(OnPeriod);
        _secondTimer = clock.CreateTimer(OnSecond);
        _memory[RegisterA] = DividerRunning32Khz | Rate1024Hz;
        _memory[RegisterB] = Binary24Hour;
        _checkedUntil = GuestTime;
    }

    /// <summary>Called when an enabled alarm is reached, with the clock's lock held: must not block or call back. Set once, before the machine runs.</summary>
    public Action? AlarmReached { get; set; }

    private DateTime GuestTime => RtcTime.Clamp(_clock.UtcNow.UtcDateTime.Ticks + _ahead.Ticks);

    private bool Frozen => (_memory[RegisterB] & Set) != 0;

    /// <summary>Puts the registers on their ports.</summary>
    public void Map(MachineBus bus)
    {
        ArgumentNullException.ThrowIfNull(bus);
        bus.MapPorts(IndexPort, 2, new Ports(this));
    }

    /// <summary>Sets a byte of CMOS memory beyond the clock's registers, as firmware expects to find it.</summary>
    /// <param name="index">14 to 127, without the century at 32h.</param>
    /// <param name="value">The byte.</param>
    public void SetMemory(int index, byte value)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(index, RegisterD);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, MemoryBytes);
        lock (_lock)
        {
            _memory[index] = value;
        }
    }

    /// <inheritdoc/>
    /// <remarks>The clock and its memory live on a battery: only interrupts are disabled (MC146818, "RESET").</remarks>
    public void Reset()
    {
        lock (_lock)
        {
            _memory[RegisterB] &= unchecked((byte)~(PeriodicEnable | AlarmEnable | UpdateEnable | SquareWaveEnable));
            _memory[RegisterC] = 0;
            _index = 0;
            Rearm();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _periodicTimer.Dispose();
        _secondTimer.Dispose();
    }

    private byte ReadRegister(int index)
    {
        switch (index)
        {
            case RegisterA:
                bool announced = !Frozen && GuestTime.Ticks % TimeSpan.TicksPerSecond >= TimeSpan.TicksPerSecond - AnnouncedTicks;
                return (byte)(_memory[RegisterA] | (announced ? UpdateInProgress : 0));
            case RegisterC:
                CollectFlags();
                byte flags = _memory[RegisterC];
                _memory[RegisterC] = 0;
                UpdateLine();
                return flags;
            case RegisterD:
                return ValidRam;
            default:
                if (!Frozen && RtcTime.IsTimeRegister(index))
                {
                    RtcTime.Store(GuestTime, _memory, _memory[RegisterB]);
                }

                return _memory[index];
        }
    }

    private void WriteRegister(int index, byte value)
    {
        switch (index)
        {
            case RegisterA:
                CollectFlags();
                _memory[RegisterA] = (byte)(value & ~UpdateInProgress);
                _periodStart = _clock.Now;
                Rearm();
                break;
            case RegisterB:
                WriteRegisterB(value);
                break;
            case RegisterC or RegisterD:
                break;
            default:
                if (!RtcTime.IsTimeRegister(index))
                {
                    _memory[index] = value;
                    Rearm(); // an alarm register, perhaps
                    break;
                }

                if (Frozen)
                {
                    _memory[index] = value;
                    break;
                }

                var now = GuestTime;
                RtcTime.Store(now, _memory, _memory[RegisterB]);
                _memory[index] = value;
                Adopt(now.Ticks % TimeSpan.TicksPerSecond);
                break;
        }
    }

    private void WriteRegisterB(byte value)
    {
        CollectFlags();
        byte old = _memory[RegisterB];
        if ((value & Set) != 0)
        {
            value &= unchecked((byte)~UpdateEnable); // MC146818, "SET"
            if (!Frozen)
            {
                RtcTime.Store(GuestTime, _memory, old);
            }
        }

        _memory[RegisterB] = value;
        if ((old & Set) != 0 && (value & Set) == 0)
        {
            Adopt(0);
        }

        UpdateLine();
        Rearm();
    }

    private void Adopt(long fraction)
    {
        // The time registers become the time: how far they are ahead of the host is what is kept.
        var time = RtcTime.Load(_memory, _memory[RegisterB]);
        _ahead = new TimeSpan(time.Ticks + fraction - _clock.UtcNow.UtcDateTime.Ticks);
        _checkedUntil = GuestTime;
        Rearm();
    }

    private void CollectFlags()
    {
        long period = RtcTime.PeriodOf(_memory[RegisterA]);
        long now = _clock.Now;
        if (period > 0 && now - _periodStart >= period)
        {
            _memory[RegisterC] |= PeriodicFlag;
            _periodStart += (now - _periodStart) / period * period;
        }

        if (!Frozen)
        {
            var time = GuestTime;
            if (time.Ticks / TimeSpan.TicksPerSecond != _checkedUntil.Ticks / TimeSpan.TicksPerSecond)
            {
                _memory[RegisterC] |= UpdateFlag;
                if (RtcTime.AlarmBetween(_checkedUntil, time, _memory, _memory[RegisterB]))
                {
                    _memory[RegisterC] |= AlarmFlag;
                    if ((_memory[RegisterB] & AlarmEnable) != 0)
                    {
                        AlarmReached?.Invoke();
                    }
                }
            }

            _checkedUntil = time;
        }

        UpdateLine();
    }

    private void UpdateLine()
    {
        // The enable bits of register B stand where their flags stand in register C.
        bool requested = (_memory[RegisterB] & _memory[RegisterC] & (PeriodicFlag | AlarmFlag | UpdateFlag)) != 0;
        _memory[RegisterC] = (byte)((_memory[RegisterC] & ~AnyRequest) | (requested ? AnyRequest : 0));
        _irq8.Set(requested);
    }

    private void Rearm()
    {
        long period = RtcTime.PeriodOf(_memory[RegisterA]);
        long now = _clock.Now;
        if (period > 0 && (_memory[RegisterB] & PeriodicEnable) != 0)
        {
            _periodicTimer.Arm(Math.Max(_periodStart + period, now + Math.Min(period, ShortestPeriod)));
        }
        else
        {
            _periodicTimer.Disarm();
        }

        if (!Frozen && (_memory[RegisterB] & (AlarmEnable | UpdateEnable)) != 0)
        {
            long left = TimeSpan.TicksPerSecond - (GuestTime.Ticks % TimeSpan.TicksPerSecond);
            _secondTimer.Arm(now + (left * TimeSpan.NanosecondsPerTick));
        }
        else
        {
            _secondTimer.Disarm();
        }

        UpdateLine();
    }

    private void OnPeriod()
    {
        lock (_lock)
        {
            CollectFlags();
            Rearm();
        }
    }

    private void OnSecond()
    {
        lock (_lock)
        {
            CollectFlags();
            Rearm();
        }
    }

    private sealed class Ports(RealTimeClock clock) : IPortDevice
    {
        public uint ReadPort(ushort offset, int size)
        {
            lock (clock._lock)
            {
                uint value = 0;
                for (int i = 0; i < size; i++)
                {
                    // The index register cannot be read back.
                    value |= (uint)(offset + i == 1 ? clock.ReadRegister(clock._index) : 0xFF) << (8 * i);
                }

                return value;
            }
        }

        public void WritePort(ushort offset, int size, uint value)
        {
            lock (clock._lock)
            {
                for (int i = 0; i < size && offset + i < 2; i++)
                {
                    byte one = (byte)(value >> (8 * i));
                    if (offset + i == 0)
                    {
                        clock._index = (byte)(one & 0x7F); // bit 7 masks NMI, of which there is none here
                    }
                    else
                    {
                        clock.WriteRegister(clock._index, one);
                    }
                }
            }
        }
    }
}
