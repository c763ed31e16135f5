using System.Buffers;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>A queue of bytes with a fixed capacity, a power of two. Its memory is borrowed while it holds bytes.</summary>
internal sealed class ByteRing(int capacity)
{
    private byte[]? _buffer;
    private int _head;

    public int Capacity { get; } = capacity;

    public int Count { get; private set; }

    public int Free => Capacity - Count;

    /// <summary>The free bytes behind the last one, as far as they lie in one piece.</summary>
    public Span<byte> Writable
    {
        get
        {
            _buffer ??= ArrayPool<byte>.Shared.Rent(Capacity);
            int tail = (_head + Count) & (Capacity - 1);
            return _buffer.AsSpan(tail, Math.Min(Free, Capacity - tail));
        }
    }

    /// <summary>The first bytes, as far as they lie in one piece.</summary>
    public Memory<byte> Readable => _buffer is null ? default : _buffer.AsMemory(_head, Math.Min(Count, Capacity - _head));

    /// <summary>Makes bytes written into <see cref="Writable"/> or by <see cref="WriteAt"/> part of the queue.</summary>
    public void Commit(int count) => Count += count;

    /// <summary>Writes behind the last byte plus an offset, without making it part of the queue. The caller stays within the free bytes.</summary>
    public void WriteAt(int offset, ReadOnlySpan<byte> data)
    {
        _buffer ??= ArrayPool<byte>.Shared.Rent(Capacity);
        int start = (_head + Count + offset) & (Capacity - 1);
        int first = Math.Min(data.Length, Capacity - start);
        data[..first].CopyTo(_buffer.AsSpan(start));
        data[first..].CopyTo(_buffer);
    }

    /// <summary>Copies bytes out from an offset behind the head.</summary>
    public void Peek(int offset, Span<byte> destination)
    {
        int start = (_head + offset) & (Capacity - 1);
        int first = Math.Min(destination.Length, Capacity - start);
        _buffer.AsSpan(start, first).CopyTo(destination);
        _buffer.AsSpan(0, destination.Length - first).CopyTo(destination[first..]);
    }

    /// <summary>Takes bytes from the head.</summary>
    public void Consume(int count)
    {
        Count -= count;
        _head = (_head + count) & (Capacity - 1);
    }

    /// <summary>Gives the memory back; what is in the queue is lost.</summary>
    public void Release()
    {
        if (_buffer is { } buffer)
        {
            _buffer = null;
            _head = 0;
            Count = 0;
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
