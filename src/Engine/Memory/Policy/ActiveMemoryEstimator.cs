namespace Hypervisor.Engine.Memory.Policy;

/// <summary>
/// How much of its memory a machine uses, from samples: each period a number of pages chosen by chance is watched, and those that were
/// touched are counted (Waldspurger 2002, section 5.3). A slow average is steady, a fast one follows growth, and a third one counts
/// what the present period has shown so far; the greatest of the three is the estimate, so that it rises at once and falls slowly.
/// </summary>
internal sealed class ActiveMemoryEstimator
{
    /// <summary>Pages watched in each period.</summary>
    public const int SampleSize = 100;

    /// <summary>Weight of the newest period in the two averages.</summary>
    private const double SlowGain = 0.1, FastGain = 0.5;

    private double _slow, _fast, _latest;
    private bool _hasPeriod;

    /// <summary>Fraction of the machine's memory in use, 0 to 1. Before the first period is over all of it counts as in use: nobody pays for what is not known.</summary>
    public double Fraction { get; private set; } = 1;

    /// <summary>The last period and the two averages; null before a period is over.</summary>
    public ActiveMemorySamples? Samples => _hasPeriod ? new(_latest, _slow, _fast) : null;

    /// <summary>The estimate for a machine's memory, bytes.</summary>
    public long ActiveBytes(long memoryBytes) => (long)(Fraction * memoryBytes);

    /// <summary>Tells what the present period has shown so far. The count of one period only grows.</summary>
    /// <param name="touched">Pages of the sample that were touched.</param>
    /// <param name="sampled">Pages of the sample; 0 changes nothing.</param>
    public void Update(int touched, int sampled)
    {
        if (_hasPeriod && sampled > 0)
        {
            Fraction = Math.Max(Math.Max(_slow, _fast), Average(_fast, Measured(touched, sampled), FastGain));
        }
    }

    /// <summary>Ends a period.</summary>
    /// <param name="touched">Pages of the sample that were touched.</param>
    /// <param name="sampled">Pages of the sample; 0 for a period that counts for nothing.</param>
    public void EndPeriod(int touched, int sampled)
    {
        if (sampled <= 0)
        {
            return;
        }

        double measured = Measured(touched, sampled);
        _slow = _hasPeriod ? Average(_slow, measured, SlowGain) : measured;
        _fast = _hasPeriod ? Average(_fast, measured, FastGain) : measured;
        _latest = measured;
        _hasPeriod = true;
        Fraction = Math.Max(_slow, _fast);
    }

    private static double Measured(int touched, int sampled) => Math.Clamp((double)touched / sampled, 0, 1);

    private static double Average(double old, double measured, double gain) => old + (gain * (measured - old));
}
