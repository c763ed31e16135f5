namespace Hypervisor.Engine.Devices.Platform;

/// <summary>The debug-exit port: a test guest writes a value and the machine stops with it as exit code.</summary>
public sealed class DebugExitPort(IMachineControl machine) : IPortDevice
{
    /// <summary>Ports of the device, so that a 32-bit OUT stays within it.</summary>
    public const int PortCount = 4;

    /// <inheritdoc/>
    public uint ReadPort(ushort offset, int size) => 0;

    /// <inheritdoc/>
    public void WritePort(ushort offset, int size, uint value) => machine.RequestDebugExit((int)value);
}

/// <summary>Port 80h, where firmware leaves the number of the step it is at; read back by whoever wonders where a guest stands.</summary>
public sealed class PostCodePort : IPortDevice
{
    /// <summary>Its port. Linux also writes to it for the delay of an I/O cycle.</summary>
    public const ushort Port = 0x80;

    private volatile byte _code;

    /// <summary>The last value written.</summary>
    public byte Code => _code;

    /// <inheritdoc/>
    public uint ReadPort(ushort offset, int size) => _code;

    /// <inheritdoc/>
    public void WritePort(ushort offset, int size, uint value) => _code = (byte)value;
}

/// <summary>
/// Port 402h, on which SeaBIOS reports what it does. It reads E9h there to find out that somebody listens. Lines go to a sink in batches.
/// </summary>
public sealed class FirmwareDebugPort(IByteSink sink) : BytePortDevice, IResettable
{
    /// <summary>Its port.</summary>
    public const ushort Port = 0x402;

    private const byte Present = 0xE9;
    private const int LineBytes = 512;

    private readonly Lock _lock = new();
    private readonly byte[] _line = new byte[LineBytes];
    private int _count;

    /// <inheritdoc/>
    public void Reset() => Flush();

    /// <inheritdoc/>
    protected override byte ReadByte(ushort offset) => Present;

    /// <inheritdoc/>
    protected override void WriteByte(ushort offset, byte value)
    {
        if (offset != 0)
        {
            return;
        }

        bool complete;
        lock (_lock)
        {
            if (_count < LineBytes)
            {
                _line[_count++] = value;
            }

            complete = value == (byte)'\n' || _count == LineBytes;
        }

        if (complete)
        {
            Flush();
        }
    }

    /// <summary>Hands an unfinished line to the sink.</summary>
    public void Flush()
    {
        Span<byte> line = stackalloc byte[LineBytes];
        int count;
        lock (_lock)
        {
            count = _count;
            _line.AsSpan(0, count).CopyTo(line);
            _count = 0;
        }

        if (count > 0)
        {
            sink.Write(line[..count]);
        }
    }
}
