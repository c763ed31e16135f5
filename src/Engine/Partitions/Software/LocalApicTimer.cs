using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Processor;

namespace Hypervisor.Engine.Partitions.Software;

/// <summary>
/// The timer of a local APIC (Intel SDM vol. 3A, 11.5.4): one-shot and periodic counts of a 1 GHz clock, and TSC deadlines. Registers
/// are written on the processor's thread; the clock's thread fires it.
/// </summary>
internal sealed class LocalApicTimer : IDisposable
{
    /// <summary>Input clock in Hz: one count is one nanosecond before division.</summary>
    public const ulong Frequency = 1_000_000_000;

    // A period below this would keep the clock's thread busy for nothing: no processor here could take the interrupts.
    private const long ShortestPeriod = 50_000;

    private readonly Lock _lock = new();
    private readonly IMachineClock _clock;
    private readonly TimestampCounter _timestamp;
    private readonly IMachineTimer _timer;
    private readonly Action<byte> _fire;
    private LocalVector _vector = LocalVector.Reset;
    private uint _initialCount;
    private int _divideShift = 1;
    private uint _divideRegister;
    private long _started;
    private long _expires = long.MaxValue;
    private ulong _deadline;

    public LocalApicTimer(IMachineClock clock, TimestampCounter timestamp, Action<byte> fire)
    {
        _clock = clock;
        _timestamp = timestamp;
        _fire = fire;
        _timer = clock.CreateTimer(OnExpired);
    }

    /// <summary>The divide configuration register.</summary>
    public uint DivideConfiguration
    {
        get => _divideRegister;
        set
        {
            lock (_lock)
            {
                uint remaining = CurrentCountLocked();
                _divideRegister = value & 0x0B;
                // Bits 0, 1 and 3 encode 2, 4, 8 … 128, 1.
                _divideShift = (int)(((value & 3) | ((value >> 1) & 4)) + 1) & 7;
                if (!_vector.IsDeadline && _expires != long.MaxValue)
                {
                    _started = _clock.Now - ((long)(_initialCount - remaining) << _divideShift);
                    _expires = _started + Period;
                    Rearm();
                }
            }
        }
    }

    /// <summary>The initial-count register; writing starts the count, zero stops it.</summary>
    public uint InitialCount
    {
        get => _initialCount;
        set
        {
            lock (_lock)
            {
                if (_vector.IsDeadline)
                {
                    return;
                }

                _initialCount = value;
                _started = _clock.Now;
                _expires = value == 0 ? long.MaxValue : _started + Period;
                Rearm();
            }
        }
    }

    /// <summary>The current-count register.</summary>
    public uint CurrentCount
    {
        get
        {
            lock (_lock)
            {
                return CurrentCountLocked();
            }
        }
    }

    /// <summary>The local vector entry.</summary>
    public LocalVector Vector
    {
        get => _vector;
        set
        {
            lock (_lock)
            {
                bool switched = _vector.IsDeadline != value.IsDeadline;
                if (!switched && _vector.IsPeriodic && !value.IsPeriodic && _expires != long.MaxValue)
                {
                    // What was periodic goes on to the end of this period only.
                    Renew(_clock.Now);
                }

                // A one-shot count that is over does not begin again as a periodic one (Intel SDM vol. 3A, 11.5.4): it was delivered, or
                // reached behind its mask and is gone.
                if (!_vector.IsPeriodic && _expires <= _clock.Now)
                {
                    Expire();
                }

                _vector = value;
                if (switched)
                {
                    _initialCount = 0;
                    _deadline = 0;
                    _expires = long.MaxValue;
                }

                Rearm();
            }
        }
    }

    /// <summary>IA32_TSC_DEADLINE: zero where none is armed.</summary>
    public ulong TscDeadline
    {
        get
        {
            lock (_lock)
            {
                return _deadline;
            }
        }

        set
        {
            lock (_lock)
            {
                if (!_vector.IsDeadline)
                {
                    return;
                }

                _deadline = value;
                _expires = long.MaxValue;
                ulong now = _timestamp.Read();
                if (value > now)
                {
                    _expires = _clock.Now + ToNanoseconds(value - now);
                }
                else if (value != 0)
                {
                    Expire();
                }

                Rearm();
            }
        }
    }

    private long Period => (long)_initialCount << _divideShift;

    /// <summary>The state after reset or INIT.</summary>
    public void Reset()
    {
        lock (_lock)
        {
            _vector = LocalVector.Reset;
            _initialCount = 0;
            _divideRegister = 0;
            _divideShift = 1;
            _deadline = 0;
            _expires = long.MaxValue;
            Rearm();
        }
    }

    public void Dispose() => _timer.Dispose();

    private long ToNanoseconds(ulong ticks)
    {
        const long Farthest = long.MaxValue / 4;
        var nanoseconds = (UInt128)ticks * Frequency / _timestamp.Frequency;
        return nanoseconds > (UInt128)Farthest ? Farthest : (long)nanoseconds;
    }

    private void OnExpired()
    {
        lock (_lock)
        {
            long now = _clock.Now;
            if (now >= _expires)
            {
                Expire();
            }

            Rearm(); // also when it was reprogrammed meanwhile, or the clock is a little early
        }
    }

    private void Expire()
    {
        if (_vector.IsPeriodic)
        {
            Renew(_clock.Now);
        }
        else
        {
            _expires = long.MaxValue;
            _deadline = 0;
        }

        if (!_vector.IsMasked)
        {
            _fire(_vector.Vector);
        }
    }

    // The end of the period that runs now, from when the count began: nothing drifts, and missed periods are one interrupt.
    private void Renew(long now)
    {
        long period = Math.Max(Period, 1);
        _expires = _started + ((((now - _started) / period) + 1) * period);
    }

    private void Rearm()
    {
        // A masked timer counts on, which costs nothing: it is computed when read.
        if (_expires == long.MaxValue || _vector.IsMasked)
        {
            _timer.Disarm();
            return;
        }

        long now = _clock.Now;
        if (_vector.IsPeriodic)
        {
            if (_expires <= now)
            {
                Renew(now);
            }

            _timer.Arm(Period >= ShortestPeriod ? _expires : Math.Max(_expires, now + ShortestPeriod));
            return;
        }

        _timer.Arm(_expires);
    }

    private uint CurrentCountLocked()
    {
        if (_vector.IsDeadline || _expires == long.MaxValue)
        {
            return 0;
        }

        long remaining = _expires - _clock.Now;
        if (remaining <= 0)
        {
            if (!_vector.IsPeriodic)
            {
                return 0;
            }

            remaining = Period - (-remaining % Period);
        }

        // A count that has begun counts.
        return (uint)((remaining + (1L << _divideShift) - 1) >> _divideShift);
    }
}
