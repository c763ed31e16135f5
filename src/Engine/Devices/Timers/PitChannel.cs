namespace Hypervisor.Engine.Devices.Timers;

/// <summary>
/// One counter of an 8254 (Intel 231164). Nothing ticks: its state is the moment counting began, and everything else follows from
/// the time. Times are ticks of the input clock. Not thread-safe: <see cref="Pit"/> has the lock.
/// </summary>
internal sealed class PitChannel
{
    /// <summary>No edge will come.</summary>
    public const long Never = -1;

    private const int LowByte = 1, HighByte = 2, BothBytes = 3;

    private int _mode;
    private bool _bcd;
    private int _access = BothBytes;
    private int _count = 0x10000;
    private bool _loaded;
    private bool _gate = true;
    private long _started;
    private long _elapsedBefore;
    private bool _running;
    private bool _writeHighNext;
    private byte _writtenLow;
    private bool _readHighNext;
    private int _latch = -1;
    private int _statusLatch = -1;

    /// <summary>The GATE input. A rising edge starts modes 1 and 5 and restarts 2 and 3; in the other modes low holds the count.</summary>
    public void SetGate(bool level, long now)
    {
        if (level == _gate)
        {
            return;
        }

        long elapsed = Elapsed(now);
        _gate = level;
        switch (_mode)
        {
            case 1 or 5 when level && _loaded:
                Restart(now);
                break;
            case 2 or 3:
                if (level && _loaded)
                {
                    Restart(now);
                }
                else
                {
                    _running = false;
                    _elapsedBefore = 0;
                }

                break;
            case 0 or 4:
                _elapsedBefore = elapsed;
                _started = now;
                _running = level && _loaded;
                break;
        }
    }

    /// <summary>The OUT output.</summary>
    public bool Output(long now)
    {
        if (!_loaded)
        {
            return _mode != 0;
        }

        long elapsed = Elapsed(now);
        return _mode switch
        {
            0 => elapsed >= _count,
            1 => elapsed >= _count || (!_running && _elapsedBefore == 0),
            2 => !_running || elapsed % _count != _count - 1,
            3 => !_running || elapsed % _count < (_count + 1) / 2,
            _ => elapsed != _count,
        };
    }

    /// <summary>The next moment after <paramref name="now"/> at which OUT rises, or <see cref="Never"/>.</summary>
    public long NextRise(long now)
    {
        if (!_running || !_loaded)
        {
            return Never;
        }

        long elapsed = Elapsed(now);
        long origin = now - elapsed;
        return _mode switch
        {
            0 or 1 => elapsed < _count ? origin + _count : Never,
            2 or 3 => origin + (((elapsed / _count) + 1) * _count),
            _ => elapsed <= _count ? origin + _count + 1 : Never,
        };
    }

    /// <summary>A control word that selects this counter (231164, "Control Word Format").</summary>
    public void WriteControl(byte value, long now)
    {
        int access = (value >> 4) & 3;
        if (access == 0)
        {
            LatchCount(now);
            return;
        }

        _access = access;
        int mode = (value >> 1) & 7;
        _mode = mode > 5 ? mode - 4 : mode;
        _bcd = (value & 1) != 0;
        _loaded = false;
        _running = false;
        _elapsedBefore = 0;
        _writeHighNext = _readHighNext = false;
        _latch = _statusLatch = -1;
    }

    /// <summary>A byte of the count.</summary>
    public void Write(byte value, long now)
    {
        switch (_access)
        {
            case LowByte:
                Load(value, now);
                break;
            case HighByte:
                Load(value << 8, now);
                break;
            default:
                if (_writeHighNext)
                {
                    _writeHighNext = false;
                    Load(_writtenLow | (value << 8), now);
                }
                else
                {
                    _writeHighNext = true;
                    _writtenLow = value;
                    if (_mode == 0)
                    {
                        // The first byte stops the count and OUT goes low (231164, "Mode 0").
                        _loaded = _running = false;
                        _elapsedBefore = 0;
                    }
                }

                break;
        }
    }

    /// <summary>A byte of the status, the latched count or the count, in this order.</summary>
    public byte Read(long now)
    {
        if (_statusLatch >= 0)
        {
            byte status = (byte)_statusLatch;
            _statusLatch = -1;
            return status;
        }

        int value = _latch >= 0 ? _latch : Count(now);
        bool high = _access == HighByte || (_access == BothBytes && _readHighNext);
        if (_access == BothBytes)
        {
            _readHighNext = !_readHighNext;
        }

        if (_access != BothBytes || high)
        {
            _latch = -1;
        }

        return (byte)(high ? value >> 8 : value);
    }

    /// <summary>Holds the count for reading, unless one is held already.</summary>
    public void LatchCount(long now)
    {
        if (_latch < 0)
        {
            _latch = Count(now);
        }
    }

    /// <summary>Holds the status for reading, unless one is held already.</summary>
    public void LatchStatus(long now)
    {
        if (_statusLatch < 0)
        {
            _statusLatch = (Output(now) ? 0x80 : 0) | (_loaded ? 0 : 0x40) | (_access << 4) | (_mode << 1) | (_bcd ? 1 : 0);
        }
    }

    private void Load(int value, long now)
    {
        int count = _bcd
            ? Math.Min((value >> 12) & 15, 9) * 1000 + Math.Min((value >> 8) & 15, 9) * 100 + Math.Min((value >> 4) & 15, 9) * 10 + Math.Min(value & 15, 9)
            : value;
        _count = count != 0 ? count : _bcd ? 10_000 : 0x10000;
        _loaded = true;
        if (_mode is 1 or 5)
        {
            return; // waits for the gate to rise
        }

        _elapsedBefore = 0;
        _started = now;
        _running = _gate;
    }

    private void Restart(long now)
    {
        _elapsedBefore = 0;
        _started = now;
        _running = true;
    }

    private long Elapsed(long now) => _elapsedBefore + (_running ? Math.Max(0, now - _started) : 0);

    private int Count(long now)
    {
        long elapsed = Elapsed(now);
        int modulus = _bcd ? 10_000 : 0x10000;
        int value = !_loaded ? _count % modulus : _mode switch
        {
            2 => (int)(_count - (elapsed % _count)),
            3 => (int)(_count - (2 * elapsed % _count)) & ~1,
            _ => (int)((((_count - elapsed) % modulus) + modulus) % modulus),
        };
        value %= modulus;
        return _bcd ? (value / 1000 << 12) | (value / 100 % 10 << 8) | (value / 10 % 10 << 4) | (value % 10) : value;
    }
}
