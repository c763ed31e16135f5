using Hypervisor.Engine.Devices;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>Keeps what is written to it.</summary>
internal sealed class RecordingByteSink : IByteSink
{
    private readonly Lock _lock = new();
    private readonly List<byte> _bytes = [];

    public byte[] Bytes
    {
        get
        {
            lock (_lock)
            {
                return [.. _bytes];
            }
        }
    }

    public void Write(ReadOnlySpan<byte> bytes)
    {
        lock (_lock)
        {
            _bytes.AddRange(bytes);
        }
    }
}
