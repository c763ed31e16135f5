using System.Buffers.Binary;
using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Devices.Firmware;

/// <summary>
/// The firmware configuration device of QEMU's machines (docs/specs/fw_cfg.rst), which stock SeaBIOS reads: selector at 510h, data at
/// 511h, DMA at 514h. Items cannot be written.
/// </summary>
public sealed class FirmwareConfigurationDevice : IPortDevice, IResettable
{
    /// <summary>First port.</summary>
    public const ushort Port = 0x510;

    /// <summary>Ports of the device.</summary>
    public const int PortCount = 12;

    private const ushort SelectorOffset = 0, DataOffset = 1, AddressHighOffset = 4, AddressLowOffset = 8;
    private const ulong DmaSignature = 0x51454D5520434647; // "QEMU CFG"
    private const uint DmaError = 1, DmaRead = 2, DmaSkip = 4, DmaSelect = 8, DmaWrite = 16;
    private const int DmaCommandBytes = 16;
    // Zeros behind an item's end, more of which nobody reads: a guest that asks for them gets an error instead of the host's time.
    private const uint MaximumPadding = 64 << 10;

    private static readonly byte[] Zeros = new byte[4096];

    private readonly Lock _lock = new();
    private readonly FirmwareConfiguration _items;
    private readonly GuestMemory _memory;
    private ushort _selected;
    private uint _position;
    private uint _addressHigh;

    /// <summary>Makes the device.</summary>
    public FirmwareConfigurationDevice(FirmwareConfiguration items, GuestMemory memory)
    {
        _items = items;
        _memory = memory;
    }

    /// <inheritdoc/>
    public uint ReadPort(ushort offset, int size)
    {
        lock (_lock)
        {
            switch (offset)
            {
                case DataOffset:
                    return ReadByte();
                case AddressHighOffset when size == 4:
                    return BinaryPrimitives.ReverseEndianness((uint)(DmaSignature >> 32));
                case AddressLowOffset when size == 4:
                    return BinaryPrimitives.ReverseEndianness(unchecked((uint)DmaSignature));
                default:
                    return 0;
            }
        }
    }

    /// <inheritdoc/>
    public void WritePort(ushort offset, int size, uint value)
    {
        lock (_lock)
        {
            switch (offset)
            {
                case SelectorOffset when size == 2:
                    _selected = (ushort)value;
                    _position = 0;
                    break;
                case AddressHighOffset when size == 4:
                    _addressHigh = BinaryPrimitives.ReverseEndianness(value);
                    break;
                case AddressLowOffset when size == 4:
                    ulong command = ((ulong)_addressHigh << 32) | BinaryPrimitives.ReverseEndianness(value);
                    _addressHigh = 0;
                    RunDma(command);
                    break;
                default:
                    break;
            }
        }
    }

    /// <inheritdoc/>
    public void Reset()
    {
        lock (_lock)
        {
            _selected = 0;
            _position = 0;
            _addressHigh = 0;
        }
    }

    private byte ReadByte()
    {
        var item = _items[_selected];
        return _position < (uint)item.Length ? item[(int)_position++] : (byte)0;
    }

    private void RunDma(ulong address)
    {
        Span<byte> command = stackalloc byte[DmaCommandBytes];
        if (!_memory.TryRead(address, command))
        {
            return;
        }

        uint control = BinaryPrimitives.ReadUInt32BigEndian(command);
        uint length = BinaryPrimitives.ReadUInt32BigEndian(command[4..]);
        ulong target = BinaryPrimitives.ReadUInt64BigEndian(command[8..]);
        if ((control & DmaSelect) != 0)
        {
            _selected = (ushort)(control >> 16);
            _position = 0;
        }

        bool failed = (control & DmaWrite) != 0;
        if (!failed && (control & DmaRead) != 0)
        {
            failed = !CopyOut(target, length);
        }
        else if (!failed && (control & DmaSkip) != 0)
        {
            _position = length > uint.MaxValue - _position ? uint.MaxValue : _position + length;
        }

        // Control reads as 0 when the operation is over, or as the error bit alone.
        _memory.TryWrite(address, BinaryPrimitives.ReverseEndianness(failed ? DmaError : 0));
    }

    private bool CopyOut(ulong target, uint length)
    {
        var item = _items[_selected];
        uint available = _position < (uint)item.Length ? Math.Min(length, (uint)item.Length - _position) : 0;
        if (length - available > MaximumPadding || !_memory.TryWrite(target, item.Slice((int)Math.Min(_position, (uint)item.Length), (int)available)))
        {
            return false;
        }

        _position += available;
        // What lies beyond the item reads as zeros.
        for (uint done = available; done < length;)
        {
            int count = (int)Math.Min((uint)Zeros.Length, length - done);
            if (!_memory.TryWrite(target + done, Zeros.AsSpan(0, count)))
            {
                return false;
            }

            done += (uint)count;
        }

        return true;
    }
}
