using System.Diagnostics;
using System.Globalization;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Benchmarks.IoControl;

/// <summary>A disk of a scenario: what it is set to, and what it is entitled to.</summary>
/// <param name="Name">What the table calls it.</param>
/// <param name="Settings">Shares, limits, reservation.</param>
/// <param name="Entitled">Operations a second, of any size.</param>
/// <param name="Bytes">Size of a request.</param>
internal sealed record ScenarioDisk(string Name, DiskIoSettings Settings, double Entitled, int Bytes = 4096);

/// <summary>Measures disks that are under load and prints what they got beside what they are entitled to.</summary>
internal static class Scenario
{
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(2);

    /// <summary>Runs load generators on a datastore.</summary>
    public static void Run(string title, DatastoreIoSettings datastore, TimeSpan time, IReadOnlyList<ScenarioDisk> disks, string folder, Func<string, Engine.Storage.IDiskImage> open)
    {
        using var host = new StorageIoControl { SettingsOf = _ => datastore };
        LoadGenerator[] load = [.. disks.Select((disk, i) =>
            new LoadGenerator(host.Attach(new DiskIdentity(Guid.NewGuid(), disk.Name, i, Path.Combine(folder, "x")), disk.Settings), open(disk.Name), depth: 32, disk.Bytes))];
        try
        {
            // The generators work on threads of their own: this one waits until they are in their stride, then while they are measured.
            Thread.Sleep(WarmUp);
            DiskIoRates[] rates = Measure([.. load.Select(static generator => generator.Io)], time);
            Print(title, host.Datastores[0], disks, rates);
        }
        finally
        {
            // The limit goes first: what it holds back would keep the generators waiting.
            host.Datastores[0].Configure(DatastoreIoSettings.Default);
            Array.ForEach(load, static generator => generator.Dispose());
        }
    }

    /// <summary>Rates of disks over a time.</summary>
    public static DiskIoRates[] Measure(IReadOnlyList<DiskIo> disks, TimeSpan time)
    {
        DiskIoStatistics[] before = [.. disks.Select(static disk => disk.Statistics)];
        long start = Stopwatch.GetTimestamp();
        Thread.Sleep(time);
        TimeSpan elapsed = Stopwatch.GetElapsedTime(start);
        return [.. disks.Select((disk, i) => new DiskIoRates(before[i], disk.Statistics, elapsed))];
    }

    public static void Print(string title, DatastoreIo datastore, IReadOnlyList<ScenarioDisk> disks, DiskIoRates[] rates)
    {
        Console.WriteLine();
        Console.WriteLine($"{title} (queue depth {datastore.QueueDepth})");
        Console.WriteLine();
        Console.WriteLine("| disk | set | entitled, IO/s | achieved, IO/s | off by | MB/s | DAVG, ms | KAVG, ms | QAVG, ms | GAVG, ms |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|---|---|");
        for (int i = 0; i < disks.Count; i++)
        {
            DiskIoRates rate = rates[i];
            double off = (rate.CommandsPerSecond / disks[i].Entitled) - 1;
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"| {disks[i].Name} | {Describe(disks[i])} | {disks[i].Entitled:F0} | {rate.CommandsPerSecond:F1} | {Math.Round(off, 3):+0.0%;-0.0%;0.0%} | {rate.MBReadPerSecond:F2} | {rate.DeviceLatency:F3} | {rate.KernelLatency:F3} | {rate.QueueLatency:F3} | {rate.GuestLatency:F3} |"));
        }
    }

    private static string Describe(ScenarioDisk disk)
    {
        DiskIoSettings settings = disk.Settings;
        string text = $"{settings.Shares} shares";
        text += settings.LimitIops > 0 ? $", limit {settings.LimitIops}" : "";
        text += settings.LimitBytesPerSecond > 0 ? $", {settings.LimitBytesPerSecond >> 20} MB/s" : "";
        text += settings.ReservationIops > 0 ? $", reserved {settings.ReservationIops}" : "";
        return disk.Bytes == 4096 ? text : $"{text}; {disk.Bytes / 1024} KB each";
    }
}
