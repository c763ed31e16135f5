namespace Hypervisor.Engine.Memory;

/// <summary>
/// Counts the pages that machines take, at each of them, so that the host notices at once when they are about to take more than it has.
/// Thread-safe.
/// </summary>
public sealed class MemoryMeter
{
    private long _used;
    private long _scarceFrom = long.MaxValue;
    private long _exhaustedFrom = long.MaxValue;
    private long _lookFrom = long.MaxValue;
    private int _looking;

    /// <summary>Called once when pages in use reach <see cref="LookFrom"/>, on the thread that took the page; must not wait.</summary>
    public Action? Look { get; set; }

    /// <summary>Private pages of all machines.</summary>
    public long Used => Interlocked.Read(ref _used);

    /// <summary>From so many pages on, a machine that has more than it is spared takes none without giving one.</summary>
    public long ScarceFrom
    {
        get => Volatile.Read(ref _scarceFrom);
        set => Volatile.Write(ref _scarceFrom, value);
    }

    /// <summary>From so many pages on nobody takes one without giving one.</summary>
    public long ExhaustedFrom
    {
        get => Volatile.Read(ref _exhaustedFrom);
        set => Volatile.Write(ref _exhaustedFrom, value);
    }

    /// <summary>From so many pages on the host wants to decide anew. Setting it arms <see cref="Look"/> again.</summary>
    public long LookFrom
    {
        get => Volatile.Read(ref _lookFrom);
        set
        {
            Volatile.Write(ref _lookFrom, value);
            Volatile.Write(ref _looking, 0);
        }
    }

    /// <summary>Whether memory is so scarce.</summary>
    internal bool IsScarce => Used >= ScarceFrom;

    /// <summary>Whether there is none left.</summary>
    internal bool IsExhausted => Used >= ExhaustedFrom;

    internal void Add(int pages)
    {
        if (Interlocked.Add(ref _used, pages) >= LookFrom && pages > 0 && Interlocked.Exchange(ref _looking, 1) == 0)
        {
            Look?.Invoke();
        }
    }
}
