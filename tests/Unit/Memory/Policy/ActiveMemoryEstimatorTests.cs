using Hypervisor.Engine.Memory.Policy;

namespace Hypervisor.Tests.Unit.Memory.Policy;

public sealed class ActiveMemoryEstimatorTests
{
    [Fact]
    public void What_is_not_measured_yet_counts_as_in_use()
    {
        var estimator = new ActiveMemoryEstimator();
        estimator.Update(3, 100);
        Assert.Equal(1, estimator.Fraction);
        estimator.EndPeriod(0, 0);
        Assert.Equal(1, estimator.Fraction);
        estimator.EndPeriod(20, 100);
        Assert.Equal(0.2, estimator.Fraction, 9);
        Assert.Equal(2_000, estimator.ActiveBytes(10_000));
    }

    [Fact]
    public void It_rises_within_a_period_and_falls_slowly()
    {
        var estimator = new ActiveMemoryEstimator();
        estimator.EndPeriod(10, 100);
        estimator.Update(90, 100);
        Assert.Equal(0.5, estimator.Fraction, 9);
        estimator.EndPeriod(90, 100);
        Assert.Equal(0.5, estimator.Fraction, 9);
        for (int i = 0; i < 3; i++)
        {
            estimator.EndPeriod(90, 100);
        }

        Assert.InRange(estimator.Fraction, 0.8, 0.9);
        estimator.EndPeriod(0, 100);
        Assert.InRange(estimator.Fraction, 0.3, 0.5);
        double last = estimator.Fraction;
        for (int i = 0; i < 60; i++)
        {
            estimator.EndPeriod(0, 100);
            Assert.True(estimator.Fraction <= last);
            last = estimator.Fraction;
        }

        Assert.InRange(last, 0, 0.01);
    }

    [Fact]
    public void The_estimate_is_near_the_truth_or_above_it_and_counts_of_hostile_guests_stay_in_bounds()
    {
        var random = new Random(7);
        foreach (double truth in (double[])[0.05, 0.3, 0.75, 1])
        {
            var estimator = new ActiveMemoryEstimator();
            double sum = 0;
            for (int period = 0; period < 220; period++)
            {
                int touched = 0;
                for (int i = 0; i < ActiveMemoryEstimator.SampleSize; i++)
                {
                    touched += random.NextDouble() < truth ? 1 : 0;
                }

                estimator.EndPeriod(touched, ActiveMemoryEstimator.SampleSize);
                sum += period >= 20 ? estimator.Fraction : 0;
            }

            Assert.InRange(sum / 200, truth - 0.01, truth + 0.05);
        }

        var odd = new ActiveMemoryEstimator();
        odd.EndPeriod(500, 100);
        Assert.Equal(1, odd.Fraction);
        odd.EndPeriod(-3, 100);
        Assert.InRange(odd.Fraction, 0, 1);
    }
}
