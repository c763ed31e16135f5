using System.Numerics;
using Hypervisor.Engine.Native;

namespace Hypervisor.Engine.Memory.Stores;

/// <summary>
/// Which slots of a swap file are in use, and which free ones still have blocks on the disk. Hands out runs of neighbours, so that what
/// is written together lies together. Not thread-safe.
/// </summary>
internal sealed unsafe class SwapSlots : IDisposable
{
    private const int None = SwapFile.None;

    // A bound for a search through a map in shreds; what was the longest run until then is taken.
    private const int MostRunsLookedAt = 2048;

    private readonly AnonymousMemory _memory;
    private readonly ulong* _used;
    private readonly ulong* _written;
    private int _cursor;

    /// <summary>No slot in use.</summary>
    /// <param name="limit">Slots that there may be.</param>
    public SwapSlots(int limit)
    {
        Limit = limit;
        nuint words = ((nuint)limit + 63) / 64;
        _memory = AnonymousMemory.Allocate((words * 2 * sizeof(ulong) + 4095) & ~(nuint)4095);
        _used = (ulong*)_memory.Address;
        _written = _used + words;
    }

    /// <summary>Slots that there may be.</summary>
    public int Limit { get; }

    /// <summary>Slots taken.</summary>
    public int InUse { get; private set; }

    /// <summary>No slot from here on was ever taken: the file's length in slots.</summary>
    public int End { get; private set; }

    /// <summary>Takes up to <paramref name="wanted"/> neighbouring slots: the first of them, or -1 when all are in use.</summary>
    public int Take(int wanted, out int count)
    {
        count = 0;
        int best = None;
        int free = End - InUse;
        if (free > 0)
        {
            int runs = 0;
            Search(_cursor, End, wanted, ref runs, ref best, ref count);
            if (count < wanted)
            {
                Search(0, Math.Min(_cursor, End), wanted, ref runs, ref best, ref count);
            }
        }

        // A longer file is better than writes in small pieces, as long as the limit allows it.
        int room = Math.Min(wanted, Limit - End);
        if (count < wanted && room > count)
        {
            best = End;
            count = room;
            End += room;
        }

        if (best == None)
        {
            return None;
        }

        Set(_used, best, count);
        Set(_written, best, count);
        InUse += count;
        _cursor = best + count;
        return best;
    }

    /// <summary>True for a slot that is taken.</summary>
    public bool IsTaken(int slot) => (uint)slot < (uint)End && (_used[slot >> 6] >> (slot & 63) & 1) != 0;

    /// <summary>Gives neighbouring slots back.</summary>
    public void Give(int slot, int count)
    {
        Clear(_used, slot, count);
        InUse -= count;
    }

    /// <summary>Finds the next run of free slots whose blocks the disk still has; false when there is none of that length.</summary>
    public bool TryFindPunchable(int from, int to, int shortest, out int slot, out int count)
    {
        count = 0;
        to = Math.Min(to, End);
        for (slot = from; slot < to; slot += count)
        {
            slot = NextPunchable(slot, to, wanted: true);
            if (slot >= to)
            {
                return false;
            }

            count = NextPunchable(slot, to, wanted: false) - slot;
            if (count >= shortest)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The disk has these slots' blocks no more.</summary>
    public void SetPunched(int slot, int count) => Clear(_written, slot, count);

    /// <inheritdoc/>
    public void Dispose() => _memory.Dispose();

    private void Search(int from, int to, int wanted, ref int runs, ref int best, ref int count)
    {
        for (int slot = from; slot < to && runs < MostRunsLookedAt; runs++)
        {
            slot = Next(slot, to, used: false);
            if (slot >= to)
            {
                return;
            }

            int end = Next(slot, Math.Min(to, slot + wanted), used: true);
            if (end - slot > count)
            {
                best = slot;
                count = end - slot;
                if (count == wanted)
                {
                    return;
                }
            }

            slot = end;
        }
    }

    private int Next(int slot, int to, bool used)
    {
        while (slot < to)
        {
            ulong word = (used ? _used[slot >> 6] : ~_used[slot >> 6]) >> (slot & 63);
            if (word != 0)
            {
                return Math.Min(to, slot + BitOperations.TrailingZeroCount(word));
            }

            slot = (slot | 63) + 1;
        }

        return to;
    }

    private int NextPunchable(int slot, int to, bool wanted)
    {
        while (slot < to)
        {
            ulong punchable = ~_used[slot >> 6] & _written[slot >> 6];
            ulong word = (wanted ? punchable : ~punchable) >> (slot & 63);
            if (word != 0)
            {
                return Math.Min(to, slot + BitOperations.TrailingZeroCount(word));
            }

            slot = (slot | 63) + 1;
        }

        return to;
    }

    private static void Set(ulong* map, int from, int count)
    {
        for (int slot = from; slot < from + count;)
        {
            int bits = Math.Min(64 - (slot & 63), from + count - slot);
            map[slot >> 6] |= Mask(slot, bits);
            slot += bits;
        }
    }

    private static void Clear(ulong* map, int from, int count)
    {
        for (int slot = from; slot < from + count;)
        {
            int bits = Math.Min(64 - (slot & 63), from + count - slot);
            map[slot >> 6] &= ~Mask(slot, bits);
            slot += bits;
        }
    }

    private static ulong Mask(int slot, int bits) => (ulong.MaxValue >> (64 - bits)) << (slot & 63);
}
