using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Engine.Memory;

/// <summary>
/// The host's large pages that a machine's memory may be in. The host's kernel makes them by itself where it may, whole when memory is
/// touched that was not there, and of small ones in the background; here is said where it may, and they are broken up before a part of one is
/// given back. Thread-safe.
/// </summary>
/// <remarks>
/// <para>Nothing has to know which pages are in a large one: the kernel counts each part of it as there, and so do those who ask it.</para>
/// <para>In the background the kernel makes a large page of what is not all there, too. Memory that was given back would be taken again, so
/// with the first hole there are no new large pages, until somebody is in charge of pages that are not there (a userfaultfd; the kernel
/// leaves those alone).</para>
/// </remarks>
internal sealed class LargePages
{
    /// <summary>Bytes of a large page (those of x86-64 that there are many of).</summary>
    public const int Bytes = 2 << 20;

    private readonly (nint Host, nuint Bytes)[] _regions;
    private readonly bool _areOfUse;
    private readonly Lock _lock = new();
    private bool _areAllowed, _hasHoles, _holesStay;
    private volatile bool _wereAllowed;

    /// <summary>Takes charge of a memory's writable blocks; there are no large pages before they are allowed.</summary>
    /// <param name="memory">The memory, not touched yet.</param>
    /// <param name="areOfUse">Its backend is faster with large pages; otherwise there never are any.</param>
    public LargePages(GuestMemory memory, bool areOfUse)
    {
        _regions = [.. memory.Blocks.Where(static block => block.Writable).Select(static block => (block.HostAddress, (nuint)block.Bytes))];
        _areOfUse = areOfUse;

        // Also where the host's administrator has the kernel use them for everything (transparent_hugepage/enabled): a machine would have
        // 512 pages where it is counted for one, and not give back the one that is taken.
        Advise(allowed: false);
    }

    /// <summary>Memory that is touched now may come in large pages.</summary>
    public bool AreAllowed
    {
        get
        {
            lock (_lock)
            {
                return _areAllowed;
            }
        }
    }

    /// <summary>There may be large pages.</summary>
    public bool MayExist => _wereAllowed;

    /// <summary>Bytes of the memory that are in large pages; null where nobody says.</summary>
    public long? BytesIn(HugePageMap? map)
    {
        if (!MayExist)
        {
            return OperatingSystem.IsLinux() ? 0 : null;
        }

        return map is null ? null : _regions.Sum(region => map.BytesIn(region.Host, region.Bytes));
    }

    /// <summary>Pages that are not there stay away until somebody puts them there, whatever the kernel does in the background.</summary>
    public void LeaveHoles()
    {
        lock (_lock)
        {
            _holesStay = true;
        }
    }

    /// <summary>Allows large pages, or allows no more of them: those there are stay until a part of them is taken.</summary>
    public void Allow(bool allowed)
    {
        lock (_lock)
        {
            allowed &= _areOfUse && (_holesStay || !_hasHoles);
            if (allowed != _areAllowed)
            {
                Advise(allowed);
            }
        }
    }

    /// <summary>Called before small pages are given back, neighbours: what they share large pages with stays, in small ones.</summary>
    public void BreakAround(nint address, nuint length)
    {
        if (!_wereAllowed)
        {
            return;
        }

        // What lies wholly in the range goes as it is.
        nuint head = Math.Min(length, (nuint)(-address & (Bytes - 1))), tail = (length - head) % Bytes;
        Break(address, head);
        Break(address + (nint)(length - tail), tail);
        if ((head | tail) != 0)
        {
            NoteHole();
        }
    }

    private static void Break(nint address, nuint length)
    {
        if (length != 0)
        {
            MemoryAdvice.BreakHugePage(address, length);
        }
    }

    private void NoteHole()
    {
        lock (_lock)
        {
            _hasHoles = true;
            if (_areAllowed && !_holesStay)
            {
                Advise(allowed: false);
            }
        }
    }

    // Of everything at once: advice that differs from place to place would cost the process a mapping for each.
    private void Advise(bool allowed)
    {
        _areAllowed = allowed;
        _wereAllowed |= allowed;
        foreach (var (host, bytes) in _regions)
        {
            // A kernel without large pages refuses, and is right.
            _ = allowed ? MemoryAdvice.AllowHugePages(host, bytes) : MemoryAdvice.AvoidHugePages(host, bytes);
        }
    }
}
