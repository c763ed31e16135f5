namespace Hypervisor.Engine.Devices.Pci;

/// <summary>
/// MSI-X vectors of a function: the table and the pending bits, which lie in one page of a memory BAR (PCI 3.0, 6.8.2). A vector
/// that is masked remembers one message and sends it when the mask goes.
/// </summary>
public sealed class MsixTable
{
    /// <summary>Most vectors: the table then fills the lower half of the page.</summary>
    public const int MaxVectors = 128;

    /// <summary>Bytes of the BAR.</summary>
    public const ulong BarSize = 0x1000;

    /// <summary>Where the pending bit array starts in the BAR.</summary>
    public const uint PendingOffset = 0x800;

    private const int EntrySize = 16;
    private const uint VectorMasked = 1;
    private const ushort ControlEnable = 0x8000, ControlFunctionMask = 0x4000;

    private struct Entry
    {
        public ulong Address;
        public uint Data;
        public uint Control;
    }

    private readonly Lock _lock = new();
    private readonly Entry[] _entries;
    private readonly ulong[] _pending;
    private readonly long[] _sent;
    private IMsiSink? _sink;
    private volatile bool _enabled;
    private bool _functionMasked;

    /// <summary>Makes a table with all vectors masked, as after power-on.</summary>
    public MsixTable(int vectors)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(vectors, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(vectors, MaxVectors);
        _entries = new Entry[vectors];
        _pending = new ulong[(vectors + 63) / 64];
        _sent = new long[vectors];
        Reset();
    }

    /// <summary>Number of vectors.</summary>
    public int VectorCount => _entries.Length;

    /// <summary>Software switched the function from INTx# to MSI-X.</summary>
    public bool IsEnabled => _enabled;

    /// <summary>Messages that were dropped because their address is not the local APICs' window.</summary>
    public long DroppedMessages { get; private set; }

    /// <summary>Sends the vector's message, or leaves it pending while masked. Thread-safe; does nothing while MSI-X is off.</summary>
    public void Signal(int vector)
    {
        if ((uint)vector >= (uint)_entries.Length)
        {
            return;
        }

        lock (_lock)
        {
            if (!_enabled)
            {
                return;
            }

            if (_functionMasked || (_entries[vector].Control & VectorMasked) != 0)
            {
                _pending[vector >> 6] |= 1ul << (vector & 63);
            }
            else
            {
                Send(vector);
            }
        }
    }

    /// <summary>Messages that the vector has sent since the machine was powered on; a reset does not begin again.</summary>
    internal long SentBy(int vector) => Volatile.Read(ref _sent[vector]);

    internal void Connect(IMsiSink sink) => _sink = sink;

    /// <summary>Takes a new value of the capability's message control word.</summary>
    internal void SetControl(ushort control)
    {
        lock (_lock)
        {
            _enabled = (control & ControlEnable) != 0;
            _functionMasked = (control & ControlFunctionMask) != 0;
            for (int i = 0; i < _entries.Length; i++)
            {
                SendIfPending(i);
            }
        }
    }

    internal void Reset()
    {
        lock (_lock)
        {
            _enabled = _functionMasked = false;
            Array.Clear(_pending);
            Array.Fill(_entries, new Entry { Control = VectorMasked });
        }
    }

    /// <summary>A load from the BAR: aligned 4 or 8 bytes, what the specification allows; others read 0.</summary>
    internal ulong Read(ulong offset, int size)
    {
        if ((size != 4 && size != 8) || (offset & (uint)(size - 1)) != 0)
        {
            return 0;
        }

        lock (_lock)
        {
            return size == 4 ? Read32(offset) : Read32(offset) | ((ulong)Read32(offset + 4) << 32);
        }
    }

    /// <summary>A store to the BAR, with the same restriction.</summary>
    internal void Write(ulong offset, int size, ulong value)
    {
        if ((size != 4 && size != 8) || (offset & (uint)(size - 1)) != 0)
        {
            return;
        }

        lock (_lock)
        {
            Write32(offset, (uint)value);
            if (size == 8)
            {
                Write32(offset + 4, (uint)(value >> 32));
            }
        }
    }

    private uint Read32(ulong offset)
    {
        if (offset >= PendingOffset)
        {
            ulong index = (offset - PendingOffset) / 8;
            return index < (ulong)_pending.Length ? (uint)(_pending[index] >> ((int)(offset & 4) * 8)) : 0;
        }

        ulong vector = offset / EntrySize;
        if (vector >= (ulong)_entries.Length)
        {
            return 0;
        }

        ref readonly var entry = ref _entries[vector];
        return (offset & 0xC) switch
        {
            0 => (uint)entry.Address,
            4 => (uint)(entry.Address >> 32),
            8 => entry.Data,
            _ => entry.Control,
        };
    }

    private void Write32(ulong offset, uint value)
    {
        ulong vector = offset / EntrySize;
        if (offset >= PendingOffset || vector >= (ulong)_entries.Length)
        {
            return;
        }

        ref var entry = ref _entries[vector];
        switch (offset & 0xC)
        {
            case 0:
                entry.Address = (entry.Address & 0xFFFF_FFFF_0000_0000) | (value & ~3u);
                break;
            case 4:
                entry.Address = (uint)entry.Address | ((ulong)value << 32);
                break;
            case 8:
                entry.Data = value;
                break;
            default:
                entry.Control = value & VectorMasked;
                SendIfPending((int)vector);
                break;
        }
    }

    private void SendIfPending(int vector)
    {
        ulong bit = 1ul << (vector & 63);
        if (_enabled && !_functionMasked && (_entries[vector].Control & VectorMasked) == 0 && (_pending[vector >> 6] & bit) != 0)
        {
            _pending[vector >> 6] &= ~bit;
            Send(vector);
        }
    }

    private void Send(int vector)
    {
        // Under the lock; readers take whatever stands there.
        _sent[vector]++;

        // A message is a memory write on a real bus. Only the local APICs' window is honoured, so a guest cannot aim it elsewhere.
        ref readonly var entry = ref _entries[vector];
        if ((uint)entry.Address >> 20 == (uint)(PlatformLayout.LocalApicBase >> 20))
        {
            _sink?.SignalMsi(entry.Address, entry.Data);
        }
        else
        {
            DroppedMessages++;
        }
    }
}
