using Iced.Intel;

namespace Hypervisor.Engine.Processor;

/// <summary>The bytes an instruction decoder reads: a window of native memory.</summary>
internal sealed unsafe class FetchBuffer : CodeReader
{
    private byte* _next;
    private byte* _end;

    public void Set(byte* first, int count)
    {
        _next = first;
        _end = first + count;
    }

    /// <inheritdoc/>
    public override int ReadByte() => _next < _end ? *_next++ : -1;
}
