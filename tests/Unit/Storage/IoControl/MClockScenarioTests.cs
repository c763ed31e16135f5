using Hypervisor.Engine.Storage.IoControl;
using static Hypervisor.Tests.Unit.Storage.IoControl.StorageSimulation;

namespace Hypervisor.Tests.Unit.Storage.IoControl;

/// <summary>Random scenarios with hundreds of disks; the properties hold in every one.</summary>
public sealed class MClockScenarioTests
{
    private const double Seconds = 20;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public void Reservations_limits_and_shares_hold_and_nobody_starves(int seed)
    {
        var random = new Random(seed);
        int disks = random.Next(100, 400);
        var device = new SimulatedDevice(random.Next(16, 65), random.Next(400_000, 1_500_000));
        double capacity = device.Capacity;
        var run = new StorageSimulation(device, new() { QueueDepth = device.Servers }, seed);
        for (int i = 0; i < disks; i++)
        {
            // Reservations of all together stay within 60 % of the device.
            long reservation = random.Next(4) == 0 ? random.Next((int)(0.6 * capacity / disks), (int)(0.9 * capacity / disks)) : 0;
            long limit = random.Next(4) == 0 ? reservation + random.Next(10, (int)(2 * capacity / disks)) : DiskIoSettings.Unlimited;
            var settings = new DiskIoSettings { ReservationIops = reservation, LimitIops = limit }.WithShares(null, random.Next(200, 4001));
            run.AddBusyDisk(settings, random.Next(2, 33));
        }

        run.RunUntil(2 * Second);
        double[] rates = run.Measure((long)(Seconds * Second));
        double[] entitled = Entitlements(run.Disks, capacity);
        Assert.True(rates.Sum() > 0.97 * capacity, $"{rates.Sum()} of {capacity}");
        for (int i = 0; i < disks; i++)
        {
            DiskIoSettings settings = run.Disks[i].Queue.Settings;
            string who = $"disk {i} of {disks} ({settings}): {rates[i]:0.0} a second, entitled {entitled[i]:0.0}";

            // One request more or less in the interval is not an error of rate.
            double grain = 2 / Seconds;
            Assert.True(settings.LimitIops < 0 || rates[i] <= (settings.LimitIops * 1.02) + grain, who);
            Assert.True(rates[i] >= (settings.ReservationIops * 0.98) - grain, who);
            Assert.True(rates[i] >= (entitled[i] * 0.93) - grain, who);
            Assert.True(rates[i] > 0, who);
        }
    }

    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    [InlineData(13)]
    public void Rare_requests_are_not_kept_waiting_by_busy_disks(int seed)
    {
        var device = new SimulatedDevice(16, 200_000);
        var run = new StorageSimulation(device, new() { QueueDepth = 16 }, seed);
        for (int i = 0; i < 100; i++)
        {
            run.AddBusyDisk(DiskIoSettings.Default, 32);
        }

        var rare = run.AddVisitedDisk(DiskIoSettings.Default, 20);
        run.RunUntil(20 * Second);
        var busy = run.Disks[0];

        // A hundredth of the device is 800 a second; it asks for 20 and is served nearly at once, where the others wait for their turn 32 deep.
        Assert.True(rare.MeanLatency * 20 < busy.MeanLatency, $"{rare.MeanLatency} against {busy.MeanLatency}");
        Assert.True(rare.LongestWait < 5 * Millisecond, $"{rare.LongestWait}");
    }

    [Theory]
    [InlineData(21)]
    [InlineData(22)]
    [InlineData(23)]
    public void Changes_and_pauses_at_random_lose_no_request_and_starve_nobody(int seed)
    {
        var random = new Random(seed);
        var run = new StorageSimulation(new SimulatedDevice(8, 100_000), new() { QueueDepth = 12, Enabled = true }, seed);
        for (int i = 0; i < 50; i++)
        {
            run.AddBusyDisk(DiskIoSettings.Default, random.Next(1, 17), bytes: 512 << random.Next(0, 12));
        }

        for (int i = 0; i < 400; i++)
        {
            long time = random.NextInt64(20 * Second);
            int index = random.Next(50);
            run.At(time, () =>
            {
                var disk = run.Disks[index];
                switch (random.Next(3))
                {
                    case 0:
                        run.SetDepth(disk, random.Next(0, 17));
                        break;
                    case 1:
                        disk.Configure(new DiskIoSettings { LimitIops = random.Next(50, 5000), ReservationIops = random.Next(0, 50) }.WithShares(null, random.Next(1, 5000)));
                        break;
                    default:
                        disk.Configure(DiskIoSettings.Default);
                        break;
                }
            });
        }

        run.RunUntil(21 * Second);
        foreach (var disk in run.Disks)
        {
            disk.Configure(DiskIoSettings.Default);
            disk.Depth = 0;
        }

        run.RunUntil(40 * Second);
        Assert.All(run.Disks, static disk => Assert.Equal(0, disk.UnderWay));
        Assert.Equal((0, 0), (run.Policy.Waiting, run.Policy.Outstanding));
        Assert.All(run.Disks, static disk => Assert.True(disk.Completed > 100));
    }

    /// <summary>What each busy disk is due: its reservation at least, its limit at most, the rest by shares (water filling).</summary>
    private static double[] Entitlements(IReadOnlyList<Disk> disks, double capacity)
    {
        double low = 0, high = capacity;
        for (int i = 0; i < 100; i++)
        {
            double middle = (low + high) / 2;
            (low, high) = disks.Sum(disk => At(disk, middle)) < capacity ? (middle, high) : (low, middle);
        }

        return [.. disks.Select(disk => At(disk, low))];

        static double At(Disk disk, double perShare)
        {
            DiskIoSettings settings = disk.Queue.Settings;
            double most = settings.LimitIops < 0 ? double.MaxValue : settings.LimitIops;
            return Math.Clamp(perShare * settings.Shares, settings.ReservationIops, most);
        }
    }
}
