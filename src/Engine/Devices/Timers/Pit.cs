namespace Hypervisor.Engine.Devices.Timers;

/// <summary>
/// The 8254 interval timer on ports 40h to 43h and the system control port 61h: counter 0 raises IRQ 0, counter 2 drives the
/// speaker, whose output guests read to calibrate their clocks.
/// </summary>
public sealed class Pit : IResettable, IDisposable
{
    /// <summary>Input clock in Hz.</summary>
    public const long Frequency = 1_193_182;

    private const ushort CounterPort = 0x40, ControlPort = 0x61;
    private const long NanosecondsPerSecond = 1_000_000_000;

    // A guest may ask for an interrupt every 0.8 µs. No processor here could serve it; it must not keep the clock's thread busy.
    private const long ShortestPeriod = 100_000;

    // The refresh request toggles with counter 1 of the original PC: every 15.085 µs.
    private const long RefreshPeriod = 15_085;

    private readonly Lock _lock = new();
    private readonly IMachineClock _clock;
    private readonly IInterruptLine _irq0;
    private readonly IMachineTimer _timer;
    private readonly PitChannel[] _channels = [new(), new(), new()];
    private long _nextRise = PitChannel.Never;
    private byte _control;

    /// <summary>Makes a timer in its power-on state.</summary>
    /// <param name="clock">The machine's clock.</param>
    /// <param name="irq0">Gets a pulse at each rising edge of counter 0.</param>
    public Pit(IMachineClock clock, IInterruptLine irq0)
    {
        ArgumentNullException.ThrowIfNull(clock);
        ArgumentNullException.ThrowIfNull(irq0);
        _clock = clock;
        _irq0 = irq0;
        _timer = clock.CreateTimer(OnRise);
        Reset();
    }

    /// <summary>Puts the registers on their ports.</summary>
    public void Map(MachineBus bus)
    {
        ArgumentNullException.ThrowIfNull(bus);
        bus.MapPorts(CounterPort, 4, new CounterPorts(this));
        bus.MapPorts(ControlPort, 1, new SystemControlPort(this));
    }

    /// <inheritdoc/>
    public void Reset()
    {
        lock (_lock)
        {
            _timer.Disarm();
            _nextRise = PitChannel.Never;
            _control = 0;
            long now = Ticks(_clock.Now);
            foreach (var channel in _channels)
            {
                channel.WriteControl(0x36, now); // both bytes, mode 3, not loaded
                channel.SetGate(true, now);
            }

            _channels[2].SetGate(false, now);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _timer.Dispose();

    private static long Ticks(long nanoseconds) =>
        (nanoseconds / NanosecondsPerSecond * Frequency) + (nanoseconds % NanosecondsPerSecond * Frequency / NanosecondsPerSecond);

    // Rounded up, so that the tick has come when the timer fires.
    private static long Nanoseconds(long ticks) =>
        (ticks / Frequency * NanosecondsPerSecond) + (((ticks % Frequency * NanosecondsPerSecond) + Frequency - 1) / Frequency);

    private void OnRise()
    {
        lock (_lock)
        {
            long now = _clock.Now;
            if (_nextRise == PitChannel.Never || Ticks(now) < _nextRise)
            {
                ArmNext(now); // reprogrammed meanwhile, or the clock is a little early
                return;
            }

            // The next edge follows from when the count began, so nothing drifts; edges missed by a late timer are one interrupt,
            // as they would be in the controller's request register.
            ArmNext(now);
        }

        _irq0.Set(true);
        _irq0.Set(false);
    }

    private void ArmNext(long now)
    {
        _nextRise = _channels[0].NextRise(Ticks(now));
        if (_nextRise == PitChannel.Never)
        {
            _timer.Disarm();
        }
        else
        {
            _timer.Arm(Math.Max(Nanoseconds(_nextRise), now + ShortestPeriod));
        }
    }

    private uint Read(int register)
    {
        return register == 3 ? 0u : _channels[register].Read(Ticks(_clock.Now));
    }

    private void Write(int register, byte value)
    {
        long now = _clock.Now;
        long ticks = Ticks(now);
        if (register != 3)
        {
            _channels[register].Write(value, ticks);
        }
        else if (value >> 6 == 3)
        {
            ReadBack(value, ticks);
            return;
        }
        else
        {
            register = value >> 6;
            _channels[register].WriteControl(value, ticks);
        }

        if (register == 0)
        {
            ArmNext(now);
        }
    }

    private void ReadBack(byte value, long ticks)
    {
        for (int i = 0; i < _channels.Length; i++)
        {
            if ((value & (2 << i)) == 0)
            {
                continue;
            }

            if ((value & 0x20) == 0)
            {
                _channels[i].LatchCount(ticks);
            }

            if ((value & 0x10) == 0)
            {
                _channels[i].LatchStatus(ticks);
            }
        }
    }

    private sealed class CounterPorts(Pit pit) : IPortDevice
    {
        public uint ReadPort(ushort offset, int size)
        {
            lock (pit._lock)
            {
                uint value = 0;
                for (int i = 0; i < size; i++)
                {
                    value |= (offset + i < 4 ? pit.Read(offset + i) : 0xFF) << (8 * i);
                }

                return value;
            }
        }

        public void WritePort(ushort offset, int size, uint value)
        {
            lock (pit._lock)
            {
                for (int i = 0; i < size && offset + i < 4; i++)
                {
                    pit.Write(offset + i, (byte)(value >> (8 * i)));
                }
            }
        }
    }

    // Bit 0 gate of counter 2, bit 1 speaker data, bit 4 refresh toggle, bit 5 OUT of counter 2 (IBM PC AT technical reference).
    private sealed class SystemControlPort(Pit pit) : IPortDevice
    {
        public uint ReadPort(ushort offset, int size)
        {
            lock (pit._lock)
            {
                long now = pit._clock.Now;
                uint refresh = (uint)(now / RefreshPeriod & 1) << 4;
                uint output = pit._channels[2].Output(Ticks(now)) ? 0x20u : 0;
                return pit._control | refresh | output;
            }
        }

        public void WritePort(ushort offset, int size, uint value)
        {
            lock (pit._lock)
            {
                pit._control = (byte)(value & 0x0F);
                pit._channels[2].SetGate((value & 1) != 0, Ticks(pit._clock.Now));
            }
        }
    }
}
