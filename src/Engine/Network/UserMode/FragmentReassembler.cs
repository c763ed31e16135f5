using System.Buffers;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>
/// Puts fragments of the guest's datagrams together (RFC 791, 3.2). Bounded: 16 datagrams of 64 KB; overlapping fragments discard
/// their datagram (RFC 5722 asks that of IPv6, for reasons that hold here too).
/// </summary>
internal sealed class FragmentReassembler : IDisposable
{
    private const int MaximumDatagrams = 16;
    private const int MaximumRanges = 128;
    private const long TimeoutMicroseconds = 15_000_000;

    private readonly List<Datagram> _datagrams = new(MaximumDatagrams);

    private readonly record struct DatagramKey(uint Source, uint Destination, ushort Identification, byte Protocol);

    private sealed class Datagram(DatagramKey key, long deadline)
    {
        public DatagramKey Key { get; } = key;
        public long Deadline { get; } = deadline;
        public byte[] Buffer { get; } = ArrayPool<byte>.Shared.Rent(Ipv4Packet.MaximumLength);
        public SequenceRanges Ranges { get; } = new(MaximumRanges);
        public int TotalLength { get; set; } = -1;
        public int Received { get; set; }
    }

    /// <summary>Datagrams under way.</summary>
    public int Count => _datagrams.Count;

    /// <summary>
    /// Takes a fragment. True when it completes its datagram: the payload is then in <paramref name="buffer"/>, which the caller gives
    /// back with <see cref="Return"/>.
    /// </summary>
    public bool TryComplete(in Ipv4Packet fragment, long now, out byte[] buffer, out int length)
    {
        buffer = [];
        length = 0;
        Expire(now);
        int offset = fragment.FragmentOffset;
        int end = offset + fragment.Payload.Length;
        if (end > Ipv4Packet.MaximumLength - Ipv4Packet.HeaderLength || fragment.Payload.Length == 0
            || (fragment.HasMoreFragments && fragment.Payload.Length % 8 != 0))
        {
            return false;
        }

        var key = new DatagramKey(fragment.Source, fragment.Destination, fragment.Identification, fragment.Protocol);
        int index = Find(key);
        if (index < 0)
        {
            if (_datagrams.Count >= MaximumDatagrams)
            {
                Remove(0);
            }

            _datagrams.Add(new Datagram(key, now + TimeoutMicroseconds));
            index = _datagrams.Count - 1;
        }

        var datagram = _datagrams[index];
        if (!fragment.HasMoreFragments)
        {
            if (datagram.TotalLength >= 0 && datagram.TotalLength != end)
            {
                Remove(index);
                return false;
            }

            datagram.TotalLength = end;
        }

        int before = datagram.Ranges.Total;
        if (!datagram.Ranges.TryAdd((uint)offset, (uint)end) || datagram.Ranges.Total - before != end - offset
            || (datagram.TotalLength >= 0 && datagram.Ranges.End > (uint)datagram.TotalLength))
        {
            Remove(index);
            return false;
        }

        fragment.Payload.CopyTo(datagram.Buffer.AsSpan(offset));
        if (datagram.TotalLength < 0 || datagram.Ranges.Total != datagram.TotalLength)
        {
            return false;
        }

        _datagrams.RemoveAt(index);
        buffer = datagram.Buffer;
        length = datagram.TotalLength;
        return true;
    }

    /// <summary>Gives a completed datagram's buffer back.</summary>
    public static void Return(byte[] buffer) => ArrayPool<byte>.Shared.Return(buffer);

    /// <summary>Forgets datagrams whose fragments did not all come.</summary>
    public void Expire(long now)
    {
        while (_datagrams.Count > 0 && _datagrams[0].Deadline <= now)
        {
            Remove(0);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        while (_datagrams.Count > 0)
        {
            Remove(0);
        }
    }

    private int Find(DatagramKey key)
    {
        for (int i = 0; i < _datagrams.Count; i++)
        {
            if (_datagrams[i].Key == key)
            {
                return i;
            }
        }

        return -1;
    }

    private void Remove(int index)
    {
        Return(_datagrams[index].Buffer);
        _datagrams.RemoveAt(index);
    }
}
