namespace Hypervisor.Engine.Machines;

/// <summary>
/// Which resets of a machine are told as events: a guest that resets itself again and again would push everything else out of the log.
/// </summary>
internal sealed class ResetReports
{
    /// <summary>Resets within <see cref="Window"/> that are told one by one.</summary>
    public const int Limit = 10;

    /// <summary>Milliseconds.</summary>
    public const long Window = 60_000;

    private long _windowStart = -Window;
    private int _inWindow, _untold;

    /// <summary>Notes a reset.</summary>
    /// <param name="now">Milliseconds of a monotonic clock.</param>
    /// <param name="source">Who asked for it.</param>
    /// <returns>What to tell; null for nothing.</returns>
    public string? Note(long now, string source)
    {
        if (now - _windowStart >= Window)
        {
            (_windowStart, _inWindow) = (now, 0);
        }

        if (++_inWindow > Limit)
        {
            _untold++;
            return null;
        }

        string before = _untold == 0 ? "" : $" {_untold} resets before this one came too fast to be told.";
        _untold = 0;
        return $"The machine was reset by {source}.{before}";
    }
}
