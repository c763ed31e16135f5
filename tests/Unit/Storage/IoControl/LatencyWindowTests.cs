using Hypervisor.Engine.Storage.IoControl;
using static Hypervisor.Tests.Unit.Storage.IoControl.StorageSimulation;

namespace Hypervisor.Tests.Unit.Storage.IoControl;

/// <summary>The queue depth that follows latency.</summary>
public sealed class LatencyWindowTests
{
    [Theory]
    [InlineData(5)]
    [InlineData(10)]
    [InlineData(30)]
    public void The_latency_of_a_saturated_device_settles_near_the_threshold(int threshold)
    {
        // 16 at once, 2 ms each; 256 requests asked for would take 32 ms and more.
        var run = new StorageSimulation(new SimulatedDevice(8, 2 * Millisecond), new() { Enabled = true, CongestionThresholdMillisecond = threshold, QueueDepth = 512 });
        for (int i = 0; i < 8; i++)
        {
            run.AddBusyDisk(DiskIoSettings.Default, 32);
        }

        run.RunUntil(20 * Second);
        double rate = run.Measure(10 * Second).Sum();
        Assert.InRange(run.Policy.Latency / Millisecond, threshold * 0.8, threshold * 1.25);
        Assert.True(rate > 0.95 * 4000, $"{rate}");
    }

    [Fact]
    public void Shares_act_once_the_window_is_smaller_than_the_demand()
    {
        var run = new StorageSimulation(new SimulatedDevice(8, 2 * Millisecond), new() { Enabled = true, CongestionThresholdMillisecond = 4, QueueDepth = 64 });
        run.AddBusyDisk(new DiskIoSettings().WithShares(null, 1000), 32);
        run.AddBusyDisk(new DiskIoSettings().WithShares(null, 3000), 32);
        run.RunUntil(10 * Second);
        double[] rates = run.Measure(60 * Second);
        Assert.InRange(rates[1] / rates[0], 3 * 0.95, 3 * 1.05);
    }

    [Fact]
    public void Without_congestion_the_window_stays_open()
    {
        var run = new StorageSimulation(new SimulatedDevice(64, Millisecond / 10), new() { Enabled = true });
        run.AddBusyDisk(DiskIoSettings.Default, 16);
        run.RunUntil(10 * Second);
        Assert.Equal(64, run.Policy.QueueDepth);
    }

    [Fact]
    public void A_device_that_hangs_for_a_while_is_used_again_afterwards()
    {
        var window = new LatencyWindow(64);
        for (int i = 0; i < 50; i++)
        {
            window.Update(5e9, 30e6);
        }

        Assert.Equal(LatencyWindow.Least, window.Size);
        for (int i = 0; i < 50; i++)
        {
            window.Update(1e6, 30e6);
        }

        Assert.Equal(64, window.Size);
    }

    [Theory]
    [InlineData(8, 5)]
    [InlineData(16, 10)]
    [InlineData(4, 20)]
    public void An_automatic_threshold_is_the_latency_at_the_knee(int servers, int serviceMs)
    {
        var device = new SimulatedDevice(servers, serviceMs * Millisecond, IsRegular: true);
        var run = new StorageSimulation(device, new() { Enabled = true, CongestionThresholdMode = CongestionThresholdMode.Automatic, QueueDepth = 64 });
        for (int i = 0; i < 8; i++)
        {
            run.AddBusyDisk(DiskIoSettings.Default, 32);
        }

        run.RunUntil(60 * Second);
        double rate = run.Measure(20 * Second).Sum();

        // At the knee all servers are busy and nothing waits inside the device.
        Assert.InRange(run.Policy.Threshold / Millisecond, serviceMs * 0.9, serviceMs * 1.35);
        Assert.InRange(run.Policy.QueueDepth, servers * 0.9, servers * 2);
        Assert.True(rate > 0.85 * device.Capacity, $"{rate} of {device.Capacity}");
    }

    [Fact]
    public void A_load_that_is_never_reached_is_not_asked_for_all_the_time()
    {
        var estimator = new CongestionEstimator();
        Assert.Equal(1, estimator.NextProbe(64, 0));
        for (int load = 1; load <= 64; load *= 2)
        {
            estimator.Tried(load, 0);
        }

        Assert.Equal(0, estimator.NextProbe(64, Second));
        Assert.Equal(1, estimator.NextProbe(64, CongestionEstimator.ProbeInterval + 1));
        Assert.Equal(CongestionEstimator.Unknown, estimator.Threshold(90));
    }
}
