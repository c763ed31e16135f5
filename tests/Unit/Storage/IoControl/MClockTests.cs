using Hypervisor.Engine.Storage.IoControl;
using Hypervisor.Tests.Unit.Support;
using static Hypervisor.Tests.Unit.Storage.IoControl.StorageSimulation;

namespace Hypervisor.Tests.Unit.Storage.IoControl;

/// <summary>What mClock promises, on a device whose queue depth is smaller than the demand.</summary>
public sealed class MClockTests
{
    // 8 at once, 1 ms each: 8000 a second.
    private static readonly SimulatedDevice Device = new(8, Millisecond);
    private static readonly DatastoreIoSettings Depth8 = new() { QueueDepth = 8 };

    private static DiskIoSettings Shares(int shares) => new DiskIoSettings().WithShares(null, shares);

    private static void Near(double expected, double actual, double tolerance) =>
        Assert.True(Math.Abs(actual - expected) <= tolerance * expected, $"{actual:0.#} is not within {tolerance:P0} of {expected:0.#}.");

    [Theory]
    [InlineData(1000, 3000)]
    [InlineData(500, 2000)]
    [InlineData(1, 1000)]
    public void Busy_disks_are_served_in_proportion_to_their_shares(int low, int high)
    {
        var run = new StorageSimulation(Device, Depth8);
        run.AddBusyDisk(Shares(low), 32);
        run.AddBusyDisk(Shares(high), 32);
        run.RunUntil(Second);
        double[] rates = run.Measure(40 * Second);
        Near((double)high / low, rates[1] / rates[0], 0.05);
        Near(Device.Capacity, rates.Sum(), 0.02);
    }

    [Fact]
    public void A_disk_alone_gets_everything_whatever_its_shares()
    {
        var run = new StorageSimulation(Device, Depth8);
        run.AddBusyDisk(Shares(1), 32);
        run.AddVisitedDisk(Shares(2000), 10);
        Near(Device.Capacity, run.Measure(20 * Second).Sum(), 0.02);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(1000)]
    [InlineData(3333)]
    public void A_limit_of_operations_holds_and_is_reached(int limit)
    {
        var run = new StorageSimulation(Device, Depth8);
        run.AddBusyDisk(new() { LimitIops = limit }, 32);
        run.AddBusyDisk(Shares(500), 32);
        run.RunUntil(Second);
        double[] rates = run.Measure(30 * Second);
        Near(limit, rates[0], 0.02);
        Near(Device.Capacity - limit, rates[1], 0.03);
    }

    [Fact]
    public void A_limit_holds_from_the_first_moment()
    {
        var run = new StorageSimulation(new SimulatedDevice(64, Millisecond / 10), seed: 3);
        var disk = run.AddBusyDisk(new() { LimitIops = 1000 }, 32);
        run.RunUntil(Second);

        // 20 ms may be made up.
        Assert.InRange(disk.Completed, 980, 1022);
    }

    [Fact]
    public void A_synchronous_disk_reaches_its_limit_as_well()
    {
        var run = new StorageSimulation(Device, Depth8);
        run.AddBusyDisk(new() { LimitIops = 500 }, 1);
        run.RunUntil(Second);
        Near(500, run.Measure(30 * Second)[0], 0.02);
    }

    [Fact]
    public void Limits_and_reservations_are_reached_on_a_host_that_wakes_the_scheduler_late()
    {
        var run = new StorageSimulation(new SimulatedDevice(64, Millisecond / 10), new() { LimitIops = 2000 }) { MostLate = 100 * Millisecond };
        run.AddBusyDisk(new DiskIoSettings { ReservationIops = 800 }.WithShares(null, 100), 32);
        run.AddBusyDisk(Shares(10_000), 32);
        run.AddBusyDisk(new DiskIoSettings { LimitIops = 100 }.WithShares(null, 10_000), 32);
        run.RunUntil(Second);
        double[] rates = run.Measure(30 * Second);
        Near(2000, rates.Sum(), 0.02);
        Near(100, rates[2], 0.02);

        // More than it reserved while the others, 32 deep, have nothing left to make up with.
        Assert.True(rates[0] >= 800 * 0.98, $"{rates[0]}");
    }

    [Fact]
    public void A_bandwidth_limit_holds_and_is_reached()
    {
        var run = new StorageSimulation(Device, Depth8);
        run.AddBusyDisk(new() { LimitBytesPerSecond = 50 << 20 }, 16, bytes: 1 << 20);
        run.AddBusyDisk(new() { LimitBytesPerSecond = 4 << 20 }, 16, bytes: 4096);
        run.RunUntil(Second);
        double[] rates = run.Measure(30 * Second);
        Near(50 * 32, rates[0], 0.02);
        Near(1024, rates[1], 0.02);
    }

    [Fact]
    public void What_a_limited_disk_leaves_goes_to_the_others()
    {
        var run = new StorageSimulation(Device, Depth8);
        run.AddBusyDisk(new DiskIoSettings { LimitIops = 100 }.WithShares(null, 100_000), 32);
        run.AddBusyDisk(Shares(1000), 32);
        run.AddBusyDisk(Shares(3000), 32);
        run.RunUntil(Second);
        double[] rates = run.Measure(50 * Second);
        Near(3, rates[2] / rates[1], 0.05);
        Near(Device.Capacity, rates.Sum(), 0.02);
    }

    [Fact]
    public void A_reservation_is_met_whatever_the_shares_say()
    {
        var run = new StorageSimulation(Device, Depth8);
        run.AddBusyDisk(new DiskIoSettings { ReservationIops = 2000 }.WithShares(null, 1), 32);
        for (int i = 0; i < 9; i++)
        {
            run.AddBusyDisk(Shares(100_000), 32);
        }

        run.RunUntil(Second);
        double[] rates = run.Measure(20 * Second);
        Assert.True(rates[0] >= 2000 * 0.99, $"{rates[0]} of 2000");
        Near((Device.Capacity - 2000) / 9, rates[5], 0.05);
    }

    [Fact]
    public void A_reservation_is_part_of_what_shares_give()
    {
        // Entitled to half by shares, of which the reservation is a part: not half and the reservation besides.
        var run = new StorageSimulation(Device, Depth8);
        run.AddBusyDisk(new() { ReservationIops = 3000 }, 32);
        run.AddBusyDisk(DiskIoSettings.Default, 32);
        run.RunUntil(Second);
        double[] rates = run.Measure(30 * Second);
        Near(1, rates[0] / rates[1], 0.05);
    }

    [Fact]
    public void A_disk_that_lived_on_its_reservation_is_not_in_debt_when_there_is_plenty_again()
    {
        var run = new StorageSimulation(Device, Depth8);
        run.AddBusyDisk(new DiskIoSettings { ReservationIops = 4000 }.WithShares(null, 100), 32);
        var crowd = run.AddBusyDisk(Shares(100_000), 32);
        run.RunUntil(20 * Second);
        crowd.Configure(Shares(100));
        Near(0.5, run.Measure(Second)[0] / Device.Capacity, 0.05);
    }

    [Fact]
    public void An_idle_disk_gains_no_more_than_its_idle_credit()
    {
        var options = MClockOptions.Default with { IdleCredit = 10 };
        var run = new StorageSimulation(new SimulatedDevice(1, Millisecond, IsRegular: true), new() { QueueDepth = 4 }, options: options);
        var busy = run.AddBusyDisk(DiskIoSettings.Default, 32);
        var late = run.AddBusyDisk(DiskIoSettings.Default, 0);
        run.RunUntil(60 * Second);
        long before = busy.Completed;
        run.At(run.Now, () => run.SetDepth(late, 32));
        run.RunUntil(run.Now + Second);
        long gain = late.Completed - (busy.Completed - before);

        // Ten served ahead, less what was at the device when it came back (4, of the busy one).
        Assert.InRange(gain, 10 - 4 - 2, 10 + 2);
    }

    [Fact]
    public void A_disk_without_idle_credit_begins_where_the_others_are()
    {
        var options = MClockOptions.Default with { IdleCredit = 0 };
        var run = new StorageSimulation(new SimulatedDevice(1, Millisecond, IsRegular: true), new() { QueueDepth = 4 }, options: options);
        var busy = run.AddBusyDisk(DiskIoSettings.Default, 32);
        var late = run.AddBusyDisk(DiskIoSettings.Default, 0);
        run.RunUntil(60 * Second);
        long before = busy.Completed;
        run.At(run.Now, () => run.SetDepth(late, 32));
        run.RunUntil(run.Now + Second);
        Assert.InRange(late.Completed - (busy.Completed - before), -6, 2);
    }

    [Fact]
    public void Large_requests_pay_for_their_size()
    {
        // A device whose time is all in the bytes: equal shares are equal bytes.
        var device = new SimulatedDevice(4, 1000, BytesPerSecond: 100e6);
        var run = new StorageSimulation(device, new() { QueueDepth = 4 });
        var large = run.AddBusyDisk(DiskIoSettings.Default, 16, bytes: 256 * 1024);
        var small = run.AddBusyDisk(DiskIoSettings.Default, 16, bytes: 32 * 1024);
        run.RunUntil(60 * Second);
        Near(1, large.Completed * 8.0 / small.Completed, 0.05);
    }

    [Theory]
    [InlineData(IoKind.Read, 512, 1)]
    [InlineData(IoKind.Write, 32768, 1)]
    [InlineData(IoKind.Write, 32769, 2)]
    [InlineData(IoKind.Read, 1 << 20, 32)]
    [InlineData(IoKind.WriteZeroes, 1 << 20, 32)]
    [InlineData(IoKind.Flush, 0, 1)]
    [InlineData(IoKind.Discard, 1 << 30, 1)]
    public void A_requests_cost_is_its_size_in_units(IoKind kind, long bytes, int expected) => Assert.Equal(expected, IoCost.Of(kind, bytes));

    [Fact]
    public void A_datastores_limit_is_divided_by_shares()
    {
        var run = new StorageSimulation(new SimulatedDevice(64, Millisecond / 10), new() { LimitIops = 400 });
        run.AddBusyDisk(Shares(1000), 32);
        run.AddBusyDisk(Shares(3000), 32);
        run.RunUntil(Second);
        double[] rates = run.Measure(30 * Second);
        Near(100, rates[0], 0.05);
        Near(300, rates[1], 0.02);
    }

    [Fact]
    public void A_lifted_limit_acts_at_once()
    {
        var run = new StorageSimulation(Device, Depth8);
        var disk = run.AddBusyDisk(new() { LimitIops = 1 }, 8, bytes: 1 << 20);
        run.RunUntil(10 * Second);
        Assert.InRange(disk.Completed, 1, 2);
        disk.Configure(DiskIoSettings.Default);
        Assert.True(run.Measure(Second)[0] > 0.95 * 32 * Device.Capacity);
    }

    [Fact]
    public void Cancelled_requests_come_back_in_order_and_the_disk_goes_on()
    {
        var order = new MClock(MClockOptions.Default);
        var queue = new DiskQueue(new() { LimitIops = 1 });
        order.Add(queue);
        var disk = new Disk(new StorageSimulation(Device), DiskIoSettings.Default, 4096);
        var requests = Enumerable.Range(0, 3).Select(_ => new Request(disk) { Cost = 1 }).ToArray();
        Array.ForEach(requests, request => order.Enqueue(queue, request, 0));
        Assert.Same(requests[0], order.Dequeue(0));
        Assert.Equal(long.MaxValue, new MClock(MClockOptions.Default).NextTime(0));
        Assert.True(order.NextTime(0) > 900 * Millisecond);
        IoRequest? cancelled = order.Cancel(queue);
        Assert.Same(requests[1], cancelled);
        Assert.Same(requests[2], cancelled!.Next);
        Assert.Equal((0, long.MaxValue), (order.Waiting, order.NextTime(0)));
        order.Enqueue(queue, requests[0], 2 * Second);
        Assert.Same(requests[0], order.Dequeue(2 * Second));
    }

    [Fact]
    public void Decisions_allocate_nothing()
    {
        var order = new MClock(MClockOptions.Default);
        var owner = new Disk(new StorageSimulation(Device), DiskIoSettings.Default, 4096);
        var queues = new DiskQueue[500];
        for (int i = 0; i < queues.Length; i++)
        {
            queues[i] = new DiskQueue(new DiskIoSettings { LimitIops = i % 3 == 0 ? 5000 : -1, ReservationIops = i % 5 == 0 ? 10 : 0 }.WithShares(null, 1 + i));
            order.Add(queues[i]);
            for (int j = 0; j < 4; j++)
            {
                order.Enqueue(queues[i], new Request(owner) { Cost = 1, Bytes = 4096 }, 0);
            }
        }

        long start = 0;
        Assert.Equal(0, Allocations.Least(() => Step(order, 5000, start += Second)));

        static void Step(MClock order, int count, long start)
        {
            for (int i = 0; i < count; i++)
            {
                long now = start + (i * 10_000L);
                IoRequest request = order.Dequeue(now)!;
                order.Enqueue(request.Queue!, request, now);
            }
        }
    }
}
