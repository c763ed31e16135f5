using System.Diagnostics;
using System.Globalization;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Benchmarks.IoControl;

/// <summary>What the scheduler costs a request that need not wait.</summary>
internal static class PassThrough
{
    private const int Rounds = 7, Requests = 1_000_000;

    public static void Run(string folder)
    {
        Console.WriteLine("Cost of Submit and End for a request that need not wait, one thread, the best of several rounds");
        Console.WriteLine();
        Console.WriteLine("| datastore | ns a request | allocated, bytes |");
        Console.WriteLine("|---|---|---|");
        Row("nothing set: counters only", DatastoreIoSettings.Default, DiskIoSettings.Default, folder);
        Row("control enabled", new() { Enabled = true }, DiskIoSettings.Default, folder);
        Row("control enabled, limit and reservation on the disk", new() { Enabled = true }, new() { LimitIops = DiskIoSettings.MaxIops, ReservationIops = 1000 }, folder);
        Crowd(500, folder);
    }

    private static void Row(string name, DatastoreIoSettings datastore, DiskIoSettings settings, string folder)
    {
        using var host = new StorageIoControl { SettingsOf = _ => datastore };
        using DiskIo disk = host.Attach(new DiskIdentity(Guid.NewGuid(), "a", 0, Path.Combine(folder, "x")), settings);
        var request = new Request();
        double best = double.MaxValue;
        long allocated = 0;
        for (int round = 0; round < Rounds; round++)
        {
            long bytes = GC.GetAllocatedBytesForCurrentThread(), start = Stopwatch.GetTimestamp();
            for (int i = 0; i < Requests; i++)
            {
                if (!disk.Submit(request, IoKind.Read, 4096))
                {
                    request.Wait();
                }

                disk.End(request, succeeded: true);
            }

            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalNanoseconds / Requests);
            allocated = GC.GetAllocatedBytesForCurrentThread() - bytes;
        }

        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {name} | {best:F0} | {allocated} |"));
    }

    /// <summary>Every disk has a request that waits: each end is a decision among all of them.</summary>
    private static void Crowd(int disks, string folder)
    {
        using var host = new StorageIoControl { SettingsOf = static _ => new() { Enabled = true, QueueDepth = DatastoreIoSettings.MinQueueDepth } };
        var granted = new Queue<CrowdRequest>();
        DiskIo[] attached = [.. Enumerable.Range(0, disks).Select(i => host.Attach(
            new DiskIdentity(Guid.NewGuid(), $"{i}", 0, Path.Combine(folder, "x")), new DiskIoSettings { ReservationIops = i % 4 == 0 ? 10 : 0 }.WithShares(null, 500 + i)))];
        foreach (DiskIo disk in attached)
        {
            for (int i = 0; i < 2; i++)
            {
                var request = new CrowdRequest(disk, granted);
                if (disk.Submit(request, IoKind.Read, 4096))
                {
                    granted.Enqueue(request);
                }
            }
        }

        double best = double.MaxValue;
        long allocated = 0;
        for (int round = 0; round < Rounds; round++)
        {
            long bytes = GC.GetAllocatedBytesForCurrentThread(), start = Stopwatch.GetTimestamp();
            for (int i = 0; i < Requests / 4; i++)
            {
                CrowdRequest request = granted.Dequeue();
                request.Disk.End(request, succeeded: true);
                if (request.Disk.Submit(request, IoKind.Read, 4096))
                {
                    granted.Enqueue(request);
                }
            }

            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalNanoseconds / (Requests / 4));
            allocated = GC.GetAllocatedBytesForCurrentThread() - bytes;
        }

        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {disks} disks have requests waiting: end, decision, submit | {best:F0} | {allocated} |"));
        host.Datastores[0].Configure(DatastoreIoSettings.Default with { QueueDepth = DatastoreIoSettings.MaxQueueDepth });
        foreach (CrowdRequest request in granted.ToArray())
        {
            request.Disk.End(request, succeeded: true);
        }

        Array.ForEach(attached, static disk => disk.Dispose());
    }

    private sealed class CrowdRequest(DiskIo disk, Queue<CrowdRequest> granted) : IoRequest
    {
        public DiskIo Disk => disk;

        protected override void Granted() => granted.Enqueue(this);
    }

    private sealed class Request : IoRequest
    {
        private volatile bool _granted;

        public void Wait()
        {
            var wait = new SpinWait();
            while (!_granted)
            {
                wait.SpinOnce();
            }

            _granted = false;
        }

        protected override void Granted() => _granted = true;
    }
}
