using System.Numerics;

namespace Hypervisor.Engine.Storage.IoControl;

/// <summary>
/// Learns from operation what throughput and latency a device has at each load, and so the latency at a part of its peak throughput.
/// Loads that did not occur by themselves are asked for as probes: for a moment the device is given fewer requests.
/// </summary>
internal sealed class CongestionEstimator
{
    /// <summary>Latency taken until enough is known, nanoseconds.</summary>
    public const double Unknown = 30e6;

    /// <summary>Range of what is believed, nanoseconds.</summary>
    public const double LeastThreshold = 1e6, MostThreshold = 100e6;

    /// <summary>Nanoseconds after which a load is measured again: devices change as they fill and as others use them.</summary>
    public const long ProbeInterval = 300_000_000_000;

    private const int Levels = 11;
    private const int NeededLevels = 3;
    private const double Smoothing = 0.5;

    // A mean load this far off a level says little about it.
    private const double LevelTolerance = 0.2;

    private readonly Level[] _levels = new Level[Levels];

    /// <summary>Knows nothing.</summary>
    public CongestionEstimator()
    {
        foreach (ref Level level in _levels.AsSpan())
        {
            level.TriedAt = -2 * ProbeInterval;
        }
    }

    private struct Level
    {
        public double Throughput;
        public double Latency;
        public long TriedAt;
        public bool IsKnown;
    }

    /// <summary>Takes the means of an interval.</summary>
    /// <param name="load">Requests at the device.</param>
    /// <param name="throughput">Cost a second.</param>
    /// <param name="latency">Nanoseconds.</param>
    /// <param name="now">Time, nanoseconds.</param>
    public void Observe(double load, double throughput, double latency, long now)
    {
        int index = (int)Math.Round(Math.Log2(Math.Max(load, 1)));
        if (index >= Levels || Math.Abs(load - (1 << index)) > LevelTolerance * (1 << index))
        {
            return;
        }

        ref Level level = ref _levels[index];
        double old = level.IsKnown ? Smoothing : 0;
        level.Throughput = (old * level.Throughput) + ((1 - old) * throughput);
        level.Latency = (old * level.Latency) + ((1 - old) * latency);
        level.TriedAt = now;
        level.IsKnown = true;
    }

    /// <summary>Latency, nanoseconds, of the least load that gives a part of the peak throughput.</summary>
    public double Threshold(int percentOfPeak)
    {
        double peak = 0;
        int known = 0;
        foreach (ref readonly Level level in _levels.AsSpan())
        {
            peak = level.IsKnown ? Math.Max(peak, level.Throughput) : peak;
            known += level.IsKnown ? 1 : 0;
        }

        if (known < NeededLevels)
        {
            return Unknown;
        }

        foreach (ref readonly Level level in _levels.AsSpan())
        {
            if (level.IsKnown && level.Throughput * 100 >= peak * percentOfPeak)
            {
                return Math.Clamp(level.Latency, LeastThreshold, MostThreshold);
            }
        }

        return Unknown;
    }

    /// <summary>A load was asked for. If it was not reached, the disks do not ask for so much now: it is tried again later.</summary>
    public void Tried(int load, long now) => _levels[BitOperations.Log2((uint)load)].TriedAt = now;

    /// <summary>A load, up to the greatest possible one, that should be measured; 0 when there is none.</summary>
    public int NextProbe(int most, long now)
    {
        for (int i = 0; i <= BitOperations.Log2((uint)most) && i < Levels; i++)
        {
            if (now - _levels[i].TriedAt > ProbeInterval)
            {
                return 1 << i;
            }
        }

        return 0;
    }
}
