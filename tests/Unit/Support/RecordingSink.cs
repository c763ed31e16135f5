using System.Text;
using Hypervisor.Engine.Devices;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>Keeps what a device sends to the outside.</summary>
internal sealed class RecordingSink : IByteSink
{
    private readonly List<byte> _bytes = [];

    public int Writes { get; private set; }

    public string Text => Encoding.Latin1.GetString([.. _bytes]);

    public void Write(ReadOnlySpan<byte> bytes)
    {
        Writes++;
        _bytes.AddRange(bytes);
    }
}
