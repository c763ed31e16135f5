using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>Sorted, disjoint ranges of sequence numbers that were received; adjoining ones melt together. Bounded.</summary>
internal sealed class SequenceRanges(int capacity)
{
    private (uint First, uint End)[]? _ranges;

    /// <summary>Number of ranges.</summary>
    public int Count { get; private set; }

    /// <summary>Sequence numbers in all ranges.</summary>
    public int Total { get; private set; }

    /// <summary>The range with the given index, in order; the end is exclusive.</summary>
    public (uint First, uint End) this[int index] => _ranges![index];

    /// <summary>The end of the last range.</summary>
    public uint End => _ranges![Count - 1].End;

    /// <summary>Adds a range, which may overlap others. False when there is no room for one more.</summary>
    public bool TryAdd(uint first, uint end)
    {
        _ranges ??= new (uint, uint)[capacity];
        int low = 0;
        while (low < Count && TcpSequence.Before(_ranges[low].End, first))
        {
            low++;
        }

        int high = low;
        while (high < Count && TcpSequence.BeforeOrAt(_ranges[high].First, end))
        {
            Total -= (int)(_ranges[high].End - _ranges[high].First);
            first = TcpSequence.Before(_ranges[high].First, first) ? _ranges[high].First : first;
            end = TcpSequence.Later(_ranges[high].End, end);
            high++;
        }

        if (high == low && Count == capacity)
        {
            return false;
        }

        _ranges.AsSpan(high, Count - high).CopyTo(_ranges.AsSpan(Math.Min(low + 1, capacity)));
        Count += 1 - (high - low);
        _ranges[low] = (first, end);
        Total += (int)(end - first);
        return true;
    }

    /// <summary>Takes the first range away when it begins at or before <paramref name="next"/>.</summary>
    /// <returns>The number that follows what is now complete.</returns>
    public uint TakeFrom(uint next)
    {
        while (Count > 0 && TcpSequence.BeforeOrAt(_ranges![0].First, next))
        {
            next = TcpSequence.Later(next, _ranges[0].End);
            Total -= (int)(_ranges[0].End - _ranges[0].First);
            _ranges.AsSpan(1, Count - 1).CopyTo(_ranges);
            Count--;
        }

        return next;
    }
}
