using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>
/// One request of a driver: segments the device reads, then segments it writes. Filled by <see cref="VirtQueue.TryPop"/>; made once
/// and used again for many requests. Belongs to one thread at a time.
/// </summary>
public sealed class DescriptorChain
{
    private GuestSegment[] _segments = new GuestSegment[16];
    private int _readable;
    private int _count;
    private GuestMemory? _memory;

    /// <summary>Index of the chain's first descriptor: its name in the used ring.</summary>
    public ushort Head { get; internal set; }

    /// <summary>Segments that the device reads.</summary>
    public ReadOnlySpan<GuestSegment> Readable => _segments.AsSpan(0, _readable);

    /// <summary>Segments that the device writes.</summary>
    public ReadOnlySpan<GuestSegment> Writable => _segments.AsSpan(_readable, _count - _readable);

    /// <summary>Bytes over <see cref="Readable"/>.</summary>
    public uint ReadableBytes { get; private set; }

    /// <summary>Bytes over <see cref="Writable"/>.</summary>
    public uint WritableBytes { get; private set; }

    /// <summary>Bytes over all segments.</summary>
    internal uint Bytes => ReadableBytes + WritableBytes;

    /// <summary>Copies from the readable bytes, starting <paramref name="skip"/> bytes in. Returns how many were there.</summary>
    public int Read(uint skip, Span<byte> destination)
    {
        int done = 0;
        foreach (ref readonly var segment in Readable)
        {
            if (skip >= segment.Length)
            {
                skip -= segment.Length;
                continue;
            }

            int count = (int)Math.Min(segment.Length - skip, (uint)(destination.Length - done));
            segment.Slice(skip, count).CopyTo(destination[done..]);
            done += count;
            skip = 0;
            if (done == destination.Length)
            {
                break;
            }
        }

        return done;
    }

    /// <summary>Copies into the writable bytes, starting <paramref name="skip"/> bytes in, and tells the memory. Returns how many fitted.</summary>
    public int Write(GuestMemory memory, uint skip, ReadOnlySpan<byte> source)
    {
        int done = 0;
        foreach (ref readonly var segment in Writable)
        {
            if (skip >= segment.Length)
            {
                skip -= segment.Length;
                continue;
            }

            int count = (int)Math.Min(segment.Length - skip, (uint)(source.Length - done));
            source.Slice(done, count).CopyTo(segment.Slice(skip, count));
            memory.NotifyWritten(segment.GuestAddress + skip, (ulong)count);
            done += count;
            skip = 0;
            if (done == source.Length)
            {
                break;
            }
        }

        return done;
    }

    /// <summary>Tells the memory that the first <paramref name="bytes"/> writable bytes were written through their pointers.</summary>
    public void NotifyWritten(GuestMemory memory, uint bytes)
    {
        foreach (ref readonly var segment in Writable)
        {
            uint count = Math.Min(bytes, segment.Length);
            if (count == 0)
            {
                return;
            }

            memory.NotifyWritten(segment.GuestAddress, count);
            bytes -= count;
        }
    }

    /// <summary>Lets go of the memory that the segments name.</summary>
    internal void Clear()
    {
        foreach (ref readonly var segment in _segments.AsSpan(0, _memory is null ? 0 : _count))
        {
            _memory!.Unpin(segment.GuestAddress, segment.Length);
        }

        _readable = _count = 0;
        ReadableBytes = WritableBytes = 0;
    }

    /// <summary>Appends a segment, whose memory, if given, was pinned and is unpinned by <see cref="Clear"/>; false when the chain is out of order, has too many segments or more than 4 GB - 1 (virtio 1.2, 2.7.4.2 and 2.7.5.2).</summary>
    internal bool TryAdd(GuestMemory? memory, in GuestSegment segment, bool writable)
    {
        if ((!writable && _count != _readable) || _count == VirtQueue.MaxSegments)
        {
            return false;
        }

        uint before = writable ? WritableBytes : ReadableBytes;
        if (segment.Length > uint.MaxValue - ReadableBytes - WritableBytes)
        {
            return false;
        }

        if (_count == _segments.Length)
        {
            Array.Resize(ref _segments, _count * 2);
        }

        _memory = memory;
        _segments[_count++] = segment;
        if (writable)
        {
            WritableBytes = before + segment.Length;
        }
        else
        {
            ReadableBytes = before + segment.Length;
            _readable = _count;
        }

        return true;
    }
}
