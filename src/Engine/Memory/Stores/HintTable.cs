using System.Numerics;
using System.Runtime.InteropServices;
using Hypervisor.Engine.Native;

namespace Hypervisor.Engine.Memory.Stores;

/// <summary>
/// The newest pages by the hash of their content: "hint frames" of Waldspurger, Memory Resource Management in VMware ESX Server (2002),
/// section 4.1. A bounded table of sets of four, in which the newest pushes the oldest out. The caller locks each partition.
/// </summary>
internal sealed unsafe class HintTable : IDisposable
{
    private const int Ways = 4, PageBits = 40;

    [StructLayout(LayoutKind.Sequential)]
    private struct Entry
    {
        public ulong Hash;

        // Machine plus one above the page's number; 0 is an empty entry.
        public ulong Place;
    }

    private readonly AnonymousMemory _memory;
    private readonly int _setsAPartition;

    /// <summary>An empty table, which takes memory as it fills.</summary>
    public HintTable(int hints, int partitions)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(hints);
        _setsAPartition = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(1, hints / Ways / partitions));
        _memory = AnonymousMemory.Allocate((nuint)Math.Max(4096, (long)_setsAPartition * partitions * Ways * sizeof(Entry)));
    }

    /// <summary>Puts a page in, and answers the page that was there with the same hash, if it was another.</summary>
    public bool Remember(int partition, ulong hash, PageHint page, out PageHint earlier)
    {
        if ((uint)page.Machine >= (1u << 24) - 1 || (ulong)page.Page >> PageBits != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(page), page, "A machine or page has a number that is too large.");
        }

        ulong place = ((ulong)page.Machine + 1) << PageBits | (ulong)page.Page;
        var set = Set(partition, (int)(hash >> 32));
        for (int i = 0; i < Ways; i++)
        {
            if (set[i].Place != 0 && set[i].Hash == hash)
            {
                ulong found = set[i].Place;
                MoveToFront(set, i);
                set[0] = new Entry { Hash = hash, Place = place };
                earlier = new PageHint((int)(found >> PageBits) - 1, (long)(found & ((1ul << PageBits) - 1)));
                return found != place;
            }
        }

        MoveToFront(set, Ways - 1);
        set[0] = new Entry { Hash = hash, Place = place };
        earlier = default;
        return false;
    }

    /// <summary>Removes a machine's pages from a partition.</summary>
    public void Forget(int partition, int machine)
    {
        var entries = Set(partition, 0);
        for (int i = 0; i < _setsAPartition * Ways; i++)
        {
            if (entries[i].Place >> PageBits == (ulong)machine + 1)
            {
                entries[i] = default;
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _memory.Dispose();

    private static void MoveToFront(Entry* set, int way)
    {
        for (int i = way; i > 0; i--)
        {
            set[i] = set[i - 1];
        }
    }

    private Entry* Set(int partition, int set) =>
        (Entry*)_memory.Address + ((long)partition * _setsAPartition + (set & (_setsAPartition - 1))) * Ways;
}
