using System.Collections.Concurrent;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Storage.IoControl;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Storage.IoControl;

/// <summary>The scheduler on real threads and real time. Nothing here measures time.</summary>
public sealed class DatastoreIoTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private static DiskIdentity Identity(int index = 0) => new(Guid.NewGuid(), "vm", index, "/disk.img");

    [Fact]
    public void Where_nothing_is_set_every_request_goes_on_at_once()
    {
        using var datastore = new DatastoreIo("test", DatastoreIoSettings.Default);
        using var disk = datastore.Attach(Identity(), new DiskIoSettings().WithShares(SharesLevel.Low, null));
        var requests = Enumerable.Range(0, 1000).Select(_ => new Request()).ToArray();
        Assert.All(requests, request => Assert.True(disk.Submit(request, IoKind.Read, 4096)));
        Assert.Equal((1000, 0), (disk.Statistics.Active, disk.Statistics.Queued));
        Array.ForEach(requests, request => disk.End(request, succeeded: true));
        Assert.Equal((0, 1000, 4096000), (disk.Statistics.Active, disk.Statistics.Reads, disk.Statistics.BytesRead));
        Assert.Equal((0, 0), (disk.Statistics.KernelTime, disk.Statistics.QueueTime));
    }

    [Fact]
    public void The_queue_depth_holds_and_a_completion_lets_the_next_go()
    {
        using var datastore = new DatastoreIo("test", new() { Enabled = true, QueueDepth = 4 });
        using var disk = datastore.Attach(Identity(), DiskIoSettings.Default);
        var requests = Enumerable.Range(0, 6).Select(_ => new Request()).ToArray();
        Assert.Equal([true, true, true, true, false, false], requests.Select(request => disk.Submit(request, IoKind.Write, 512)));
        Assert.Equal((4, 2), (disk.Statistics.Active, disk.Statistics.Queued));
        disk.End(requests[2], succeeded: true);
        Assert.True(requests[4].WasGranted);
        Assert.False(requests[5].WasGranted);
        datastore.Configure(DatastoreIoSettings.Default);
        Assert.True(requests[5].WasGranted);
        foreach (int i in (int[])[0, 1, 3, 4, 5])
        {
            disk.End(requests[i], succeeded: true);
        }

        Assert.Equal((6, 0), (disk.Statistics.Writes, disk.Statistics.Active));
    }

    [Fact]
    public void A_request_that_a_limit_held_back_is_granted_when_its_time_comes()
    {
        using var datastore = new DatastoreIo("test", DatastoreIoSettings.Default);
        using var disk = datastore.Attach(Identity(), new() { LimitIops = 200 });
        var requests = Enumerable.Range(0, 40).Select(_ => new Request()).ToArray();
        var atOnce = requests.Select(request => disk.Submit(request, IoKind.Read, 4096)).ToArray();
        Assert.True(atOnce[0]);
        Assert.False(atOnce[^1]);
        Assert.True(SpinWait.SpinUntil(() => requests.Zip(atOnce).All(static item => item.Second || item.First.WasGranted), Patience));
        Array.ForEach(requests, request => disk.End(request, succeeded: true));
        Assert.True(disk.Statistics.QueueTime > 0);
    }

    [Fact]
    public void Requests_allocate_nothing_also_where_they_are_scheduled()
    {
        using var datastore = new DatastoreIo("test", new() { Enabled = true, QueueDepth = 4 });
        using var disk = datastore.Attach(Identity(), DiskIoSettings.Default);
        using var other = datastore.Attach(Identity(1), DiskIoSettings.Default);
        var requests = Enumerable.Range(0, 16).Select(_ => new Request()).ToArray();
        Assert.Equal(0, Allocations.Least(() => Run(300)));

        void Run(int rounds)
        {
            for (int i = 0; i < rounds; i++)
            {
                for (int j = 0; j < requests.Length; j++)
                {
                    (j % 2 == 0 ? disk : other).Submit(requests[j], IoKind.Read, 4096);
                }

                for (int j = 0; j < requests.Length; j++)
                {
                    (j % 2 == 0 ? disk : other).End(requests[j], succeeded: true);
                }
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Threads_disks_and_changes_at_random_lose_no_request(int seed)
    {
        using var datastore = new DatastoreIo("test", new() { Enabled = true, QueueDepth = 4 });
        var disks = Enumerable.Range(0, 5).Select(i => datastore.Attach(Identity(i), DiskIoSettings.Default)).ToArray();
        const int RequestsPerThread = 3000;
        Parallel.For(0, 4, thread =>
        {
            var random = new Random((seed * 100) + thread);
            using var granted = new BlockingCollection<Request>();
            var free = new Stack<Request>(Enumerable.Range(0, 8).Select(_ => new Request(granted)));
            for (int done = 0; done < RequestsPerThread;)
            {
                while (free.TryPop(out var request))
                {
                    request.Disk = disks[random.Next(disks.Length)];
                    if (request.Disk.Submit(request, (IoKind)random.Next(5), random.Next(1 << 18)))
                    {
                        granted.Add(request);
                    }
                }

                Assert.True(granted.TryTake(out var ended, Patience));
                ended.Disk!.End(ended, succeeded: random.Next(10) != 0);
                free.Push(ended);
                done++;
                if (done % 100 == 0)
                {
                    Change(random);
                }
            }

            while (free.Count < 8)
            {
                Assert.True(granted.TryTake(out var ended, Patience));
                ended.Disk!.End(ended, succeeded: true);
                free.Push(ended);
            }
        });

        DiskIoStatistics sum = datastore.Statistics;
        Assert.Equal((0, 0), (sum.Active, sum.Queued));
        Assert.True(sum.Commands >= 4 * RequestsPerThread);
        Array.ForEach(disks, static disk => disk.Dispose());
        Assert.Equal(sum, datastore.Statistics);

        void Change(Random random)
        {
            if (random.Next(2) == 0)
            {
                datastore.Configure(new() { Enabled = random.Next(2) == 0, QueueDepth = random.Next(4, 20), LimitIops = random.Next(2) == 0 ? -1 : 50_000 });
            }
            else
            {
                disks[random.Next(disks.Length)].Configure(new DiskIoSettings { LimitIops = random.Next(2) == 0 ? -1 : random.Next(20_000, 90_000), ReservationIops = random.Next(100) });
            }
        }
    }

    [Fact]
    public void A_reservation_beyond_the_datastores_limit_is_refused_with_what_is_missing()
    {
        using var datastore = new DatastoreIo("test", new() { LimitIops = 1000 });
        using var disk = datastore.Attach(Identity(), new() { ReservationIops = 700 });
        string message = Assert.Throws<InvalidConfigurationException>(() => datastore.Attach(Identity(1), new() { ReservationIops = 400 })).Message;
        Assert.Contains("100 are missing", message, StringComparison.Ordinal);
        datastore.CheckReservation([disk], 1000);
        Assert.Throws<InvalidConfigurationException>(() => datastore.CheckReservation([disk], 1001));
    }

    [Fact]
    public void Rates_are_differences_with_esxtops_meanings()
    {
        var earlier = new DiskIoStatistics { Reads = 10, Writes = 5, BytesRead = 1 << 20, DeviceTime = 1_000_000, KernelTime = 500, QueueTime = 100 };
        var later = earlier + new DiskIoStatistics { Reads = 30, Writes = 10, BytesRead = 8 << 20, BytesWritten = 2 << 20, DeviceTime = 200_000_000, KernelTime = 80_000_000, QueueTime = 40_000_000, ReadTime = 90_000_000, WriteTime = 10_000_000, Active = 3, Queued = 2 };
        var rates = new DiskIoRates(earlier, later, TimeSpan.FromSeconds(2));
        Assert.Equal((20.0, 15.0, 5.0), (rates.CommandsPerSecond, rates.ReadsPerSecond, rates.WritesPerSecond));
        Assert.Equal((4.0, 1.0), (rates.MBReadPerSecond, rates.MBWrittenPerSecond));
        Assert.Equal((5.0, 2.0, 1.0, 7.0), (rates.DeviceLatency, rates.KernelLatency, rates.QueueLatency, rates.GuestLatency));
        Assert.Equal((3.0, 1.0), (rates.ReadLatency, rates.WriteLatency));
        Assert.Equal((3, 2), (rates.Active, rates.Queued));
        Assert.Equal(0, new DiskIoRates(later, later, TimeSpan.Zero).GuestLatency);
    }

    [Fact]
    public void A_datastore_is_the_file_system_of_the_file()
    {
        string folder = Path.GetTempPath();
        Assert.Equal(DatastoreName.Of(folder), DatastoreName.Of(Path.Combine(folder, "not", "there", "yet.img")));
        if (OperatingSystem.IsLinux())
        {
            Assert.Equal("/", DatastoreName.Of("/nowhere/disk.img"));
            Assert.Equal("/proc", DatastoreName.Of("/proc/self/disk.img"));
        }
    }

    [Fact]
    public void Disks_of_a_file_system_meet_in_one_datastore_with_the_settings_of_the_host()
    {
        string wanted = DatastoreName.Of(Path.GetTempPath());
        using var host = new StorageIoControl { SettingsOf = name => name == wanted ? new() { Enabled = true, QueueDepth = 9 } : DatastoreIoSettings.Default };
        var machine = Guid.NewGuid();
        using var first = host.Attach(new DiskIdentity(machine, "a", 0, Path.Combine(Path.GetTempPath(), "a")), DiskIoSettings.Default);
        using var second = host.Attach(new DiskIdentity(machine, "a", 1, Path.Combine(Path.GetTempPath(), "b")), DiskIoSettings.Default);
        Assert.Same(first.Datastore, second.Datastore);
        Assert.Equal((9, wanted), (first.Datastore.QueueDepth, first.Datastore.Name));
        Assert.Same(second, host.Find(machine, 1));
        Assert.Null(host.Find(machine, 2));
        host.SettingsOf = static _ => new() { QueueDepth = 7 };
        using var third = host.Attach(new DiskIdentity(machine, "a", 2, Path.Combine(Path.GetTempPath(), "c")), DiskIoSettings.Default);
        Assert.Equal(7, first.Datastore.QueueDepth);
    }

    private sealed class Request(BlockingCollection<Request>? ready = null) : IoRequest
    {
        private volatile bool _granted;

        public bool WasGranted => _granted;

        public DiskIo? Disk { get; set; }

        protected internal override void Granted()
        {
            _granted = true;
            ready?.Add(this);
        }
    }
}
