namespace Hypervisor.Engine.Machines;

/// <summary>
/// Tells a machine that cannot boot from one that crashed once: it is given up when it triple-faults several times in a row, each time
/// soon after it was reset.
/// </summary>
internal sealed class CrashLoopDetector
{
    /// <summary>Crashes in a row after which the machine is given up.</summary>
    public const int Limit = 3;

    /// <summary>A machine that ran this long before it crashed, in nanoseconds, did boot.</summary>
    public const long BootedAfter = 60_000_000_000;

    private long _lastBoot;
    private int _inARow;

    /// <summary>Notes a crash; true when the machine is to be given up.</summary>
    /// <param name="now">Machine time in nanoseconds.</param>
    public bool NoteCrash(long now)
    {
        _inARow = now - _lastBoot < BootedAfter ? _inARow + 1 : 1;
        return _inARow >= Limit;
    }

    /// <summary>Notes that the machine begins to boot.</summary>
    /// <param name="now">Machine time in nanoseconds.</param>
    /// <param name="afterCrash">False when the guest or the user asked for it, which is no crash.</param>
    public void NoteBoot(long now, bool afterCrash)
    {
        _lastBoot = now;
        _inARow = afterCrash ? _inARow : 0;
    }
}
