namespace Hypervisor.Engine.Memory;

/// <summary>
/// How far memory was overcommitted in the last 1, 5 and 15 minutes: averages that forget as those of a system's load do, of a value that
/// holds until it is set anew. Thread-safe.
/// </summary>
internal sealed class OvercommitAverages
{
    private static readonly int[] Minutes = [1, 5, 15];

    private readonly Lock _lock = new();
    private readonly double[] _averages = new double[Minutes.Length];
    private double _present;
    private long _since = long.MinValue;

    /// <summary>Sets the value that holds from now on.</summary>
    /// <param name="ratio">The value.</param>
    /// <param name="now">Time, ns.</param>
    public void Hold(double ratio, long now)
    {
        lock (_lock)
        {
            Follow(now);
            _present = ratio;
        }
    }

    /// <summary>The averages over 1, 5 and 15 minutes.</summary>
    /// <param name="now">Time, ns.</param>
    public IReadOnlyList<double> At(long now)
    {
        lock (_lock)
        {
            Follow(now);
            return [.. _averages];
        }
    }

    private void Follow(long now)
    {
        const int SecondsPerMinute = 60;
        double seconds = _since == long.MinValue ? 0 : Math.Max(0, now - _since) / (double)MemoryManager.Second;
        _since = Math.Max(_since, now);
        for (int i = 0; i < Minutes.Length; i++)
        {
            _averages[i] = _present + ((_averages[i] - _present) * Math.Exp(-seconds / (Minutes[i] * SecondsPerMinute)));
        }
    }
}
