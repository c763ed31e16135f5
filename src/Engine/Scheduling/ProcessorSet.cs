using System.Numerics;

namespace Hypervisor.Engine.Scheduling;

/// <summary>A set of physical processors, as bits.</summary>
internal sealed class ProcessorSet : IEquatable<ProcessorSet>
{
    private const int BitsPerWord = 64;

    private readonly ulong[] _words;

    /// <summary>An empty set over a number of processors.</summary>
    public ProcessorSet(int processors) => _words = new ulong[(processors + BitsPerWord - 1) / BitsPerWord];

    /// <summary>A set of some of them.</summary>
    public ProcessorSet(int processors, IEnumerable<int> members)
        : this(processors)
    {
        foreach (int member in members)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)member, (uint)processors);
            Add(member);
        }
    }

    public int Count
    {
        get
        {
            int count = 0;
            foreach (ulong word in _words)
            {
                count += BitOperations.PopCount(word);
            }

            return count;
        }
    }

    public bool IsEmpty => _words.AsSpan().IndexOfAnyExcept(0UL) < 0;

    public bool Contains(int processor) => (_words[processor / BitsPerWord] >> (processor % BitsPerWord) & 1) != 0;

    public void Add(int processor) => _words[processor / BitsPerWord] |= 1UL << (processor % BitsPerWord);

    public void Remove(int processor) => _words[processor / BitsPerWord] &= ~(1UL << (processor % BitsPerWord));

    /// <summary>The first processor in both sets, or -1.</summary>
    public int FirstCommon(ProcessorSet other)
    {
        for (int i = 0; i < _words.Length; i++)
        {
            ulong both = _words[i] & other._words[i];
            if (both != 0)
            {
                return (i * BitsPerWord) + BitOperations.TrailingZeroCount(both);
            }
        }

        return -1;
    }

    /// <summary>The first processor in the set that is not before another, or -1.</summary>
    public int Next(int processor)
    {
        for (int i = processor / BitsPerWord; i < _words.Length; i++, processor = i * BitsPerWord)
        {
            ulong left = _words[i] >> (processor % BitsPerWord);
            if (left != 0)
            {
                return processor + BitOperations.TrailingZeroCount(left);
            }
        }

        return -1;
    }

    /// <summary>What is in both.</summary>
    public ProcessorSet And(ProcessorSet other)
    {
        var both = new ProcessorSet(_words.Length * BitsPerWord);
        for (int i = 0; i < _words.Length; i++)
        {
            both._words[i] = _words[i] & other._words[i];
        }

        return both;
    }

    public bool Equals(ProcessorSet? other) => other is not null && _words.AsSpan().SequenceEqual(other._words);

    public override bool Equals(object? obj) => Equals(obj as ProcessorSet);

    public override int GetHashCode()
    {
        var hash = default(HashCode);
        foreach (ulong word in _words)
        {
            hash.Add(word);
        }

        return hash.ToHashCode();
    }
}
