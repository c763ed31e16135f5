namespace Hypervisor.Engine.Devices.Interrupts;

/// <summary>
/// An I/O APIC with 24 inputs (Intel 82093AA; the EOI register is that of version 20h, Intel I/O Controller Hub 9, 13.5).
/// An input that fires becomes a message to the local APICs. Polarity is ignored: lines carry logical levels.
/// </summary>
public sealed class IoApic : IMmioDevice, IResettable
{
    /// <summary>Inputs.</summary>
    public const int InputCount = 24;

    private const uint Version = 0x20 | ((InputCount - 1) << 16);
    private const ulong IndexOffset = 0x00, DataOffset = 0x10, EoiOffset = 0x40;
    private const byte IdRegister = 0, VersionRegister = 1, ArbitrationRegister = 2, FirstEntry = 0x10;

    private const ulong DeliveryStatus = 1ul << 12, RemoteIrr = 1ul << 14, Level = 1ul << 15, Masked = 1ul << 16;
    private const ulong ReadOnly = DeliveryStatus | RemoteIrr;
    private const ulong Implemented = 0xFF00_0000_0001_FFFF;

    private readonly Lock _lock = new();
    private readonly ulong[] _entries = new ulong[InputCount];
    private readonly Action<ulong, uint> _signalMsi;
    private uint _lines;
    private byte _index;
    private uint _id;

    /// <summary>Makes an I/O APIC in its reset state.</summary>
    /// <param name="signalMsi">Takes messages; called with the lock held: must not block or call back.</param>
    public IoApic(Action<ulong, uint> signalMsi)
    {
        ArgumentNullException.ThrowIfNull(signalMsi);
        _signalMsi = signalMsi;
        Reset();
    }

    /// <summary>Sets the level of an input. Thread-safe.</summary>
    /// <param name="input">0 to 23.</param>
    /// <param name="asserted">The level.</param>
    public void SetLine(int input, bool asserted)
    {
        uint bit = 1u << input;
        lock (_lock)
        {
            bool rising = asserted && (_lines & bit) == 0;
            _lines = asserted ? _lines | bit : _lines & ~bit;
            if (rising && (_entries[input] & Level) == 0)
            {
                // An edge at a masked input is lost (82093AA, 3.2.4, interrupt mask).
                if ((_entries[input] & Masked) == 0)
                {
                    Send(input);
                }
            }
            else
            {
                ServiceLevel(input);
            }
        }
    }

    /// <summary>A local APIC finished a level-triggered vector: inputs that wait for it may fire again.</summary>
    public void EndOfInterrupt(byte vector)
    {
        lock (_lock)
        {
            for (int input = 0; input < InputCount; input++)
            {
                ulong entry = _entries[input];
                if ((byte)entry == vector && (entry & (Level | RemoteIrr)) == (Level | RemoteIrr))
                {
                    _entries[input] = entry & ~RemoteIrr;
                    ServiceLevel(input);
                }
            }
        }
    }

    /// <inheritdoc/>
    public ulong ReadMmio(ulong offset, int size)
    {
        lock (_lock)
        {
            return offset switch
            {
                IndexOffset => _index,
                DataOffset => Truncate(ReadRegister(_index), size),
                _ => 0,
            };
        }
    }

    /// <inheritdoc/>
    public void WriteMmio(ulong offset, int size, ulong value)
    {
        switch (offset)
        {
            case IndexOffset:
                lock (_lock)
                {
                    _index = (byte)value;
                }

                break;
            case DataOffset when size >= 4:
                lock (_lock)
                {
                    WriteRegister(_index, (uint)value);
                }

                break;
            case EoiOffset:
                EndOfInterrupt((byte)value);
                break;
        }
    }

    /// <inheritdoc/>
    public void Reset()
    {
        lock (_lock)
        {
            Array.Fill(_entries, Masked);
            _index = 0;
            _id = 0;
        }
    }

    private static ulong Truncate(uint value, int size) => size >= 4 ? value : value & ((1u << (8 * size)) - 1);

    private uint ReadRegister(byte register)
    {
        switch (register)
        {
            case IdRegister:
            case ArbitrationRegister:
                return _id;
            case VersionRegister:
                return Version;
            default:
                int input = (register - FirstEntry) >> 1;
                return register < FirstEntry || input >= InputCount ? 0
                    : (uint)((register & 1) == 0 ? _entries[input] : _entries[input] >> 32);
        }
    }

    private void WriteRegister(byte register, uint value)
    {
        if (register == IdRegister)
        {
            _id = value & 0x0F00_0000;
            return;
        }

        int input = (register - FirstEntry) >> 1;
        if (register < FirstEntry || input >= InputCount)
        {
            return;
        }

        ulong old = _entries[input];
        ulong changed = (register & 1) == 0
            ? (old & 0xFFFF_FFFF_0000_0000) | value
            : (old & uint.MaxValue) | ((ulong)value << 32);
        changed = (changed & Implemented & ~ReadOnly) | (old & ReadOnly);
        if ((changed & Level) == 0)
        {
            // Software without an EOI register clears remote IRR by making the input edge-triggered for a moment.
            changed &= ~RemoteIrr;
        }

        _entries[input] = changed;
        ServiceLevel(input);
    }

    private void ServiceLevel(int input)
    {
        if ((_lines & (1u << input)) != 0 && (_entries[input] & (Level | RemoteIrr | Masked)) == Level)
        {
            _entries[input] |= RemoteIrr;
            Send(input);
        }
    }

    private void Send(int input)
    {
        // The message of an entry (Intel SDM vol. 3A, 11.11): destination in address bits 12 to 19, its mode in bit 2.
        ulong entry = _entries[input];
        ulong address = PlatformLayout.LocalApicBase | ((entry >> 56) << 12) | ((entry >> 11 & 1) << 2);
        uint data = (uint)(entry & 0x7FF) | (uint)(entry & Level) | 0x4000;
        _signalMsi(address, data);
    }
}
