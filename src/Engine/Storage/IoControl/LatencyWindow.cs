namespace Hypervisor.Engine.Storage.IoControl;

/// <summary>
/// How many requests a datastore is given at once, governed by the latency that results (Gulati, Ahmad, Waldspurger: PARDA, FAST 2009,
/// section 3.1): w' = (1 - γ) w + γ (threshold / latency · w + β).
/// </summary>
internal sealed class LatencyWindow
{
    /// <summary>Least requests, so that a device that answers late is still used.</summary>
    public const int Least = DatastoreIoSettings.MinQueueDepth;

    private const double Gamma = 0.25, Beta = 1, LatencySmoothing = 0.5;

    // One interval of idle hardware says nothing about how far the window can be opened.
    private const double MaxGrowth = 2;

    private double _window;

    public LatencyWindow(int most) => Reset(most);

    /// <summary>Requests that may be at the device.</summary>
    public int Size => (int)_window;

    /// <summary>Most that <see cref="Size"/> can be.</summary>
    public int Most { get; private set; }

    /// <summary>Smoothed latency, nanoseconds; 0 before the first measurement.</summary>
    public double Latency { get; private set; }

    /// <summary>Opens the window fully.</summary>
    public void Reset(int most)
    {
        Most = most;
        _window = most;
        Latency = 0;
    }

    /// <summary>Takes the mean latency of an interval.</summary>
    /// <param name="latency">Of the requests that ended in it, nanoseconds.</param>
    /// <param name="threshold">Latency to hold, nanoseconds.</param>
    public void Update(double latency, double threshold)
    {
        latency = Math.Max(latency, 1);
        Latency = Latency == 0 ? latency : (LatencySmoothing * Latency) + ((1 - LatencySmoothing) * latency);
        double ratio = Math.Min(threshold / Latency, MaxGrowth);
        _window = Math.Clamp(((1 - Gamma) * _window) + (Gamma * ((ratio * _window) + Beta)), Least, Most);
    }
}
