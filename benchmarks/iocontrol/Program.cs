using System.Globalization;
using Hypervisor.Benchmarks.IoControl;
using Hypervisor.Engine.Storage;
using Hypervisor.Engine.Storage.IoControl;
using Hypervisor.Shell;

// Storage I/O control on real threads and files: what disks get beside what they are entitled to. See docs/performance.md.
TimeSpan time = TimeSpan.FromSeconds(10);
bool guests = true;
string root = Path.GetTempPath();
for (int i = 0; i < args.Length; i++)
{
    switch (args[i])
    {
        case "--seconds" when i + 1 < args.Length: time = TimeSpan.FromSeconds(double.Parse(args[++i], CultureInfo.InvariantCulture)); break;
        case "--folder" when i + 1 < args.Length: root = args[++i]; break;
        case "--no-guests": guests = false; break;
        default:
            Console.Error.WriteLine("usage: iocontrol [--seconds 10] [--folder PATH] [--no-guests]");
            return 2;
    }
}

string folder = Directory.CreateDirectory(Path.Combine(root, $"hv-iocontrol-{Environment.ProcessId}")).FullName;
try
{
    Console.WriteLine($"{Environment.ProcessorCount} host CPUs, .NET {Environment.Version}, {DateTime.UtcNow:yyyy-MM-dd}");
    Console.WriteLine();
    PassThrough.Run(folder);

    DiskIoSettings one = Shares(1000), three = Shares(3000);
    var saturated = new DatastoreIoSettings { LimitIops = 2000 };
    Scenario.Run("Files on a datastore limited to 2000 IO/s, 1:3", saturated, time, [new("a", one, 500), new("b", three, 1500)], folder, OpenFile);
    Scenario.Run("Files on a datastore limited to 2000 IO/s, a limit", saturated, time,
        [new("a", three with { LimitIops = 300 }, 300), new("b", one, 1700)], folder, OpenFile);
    Scenario.Run("Files on a datastore limited to 2000 IO/s, a reservation", saturated, time,
        [new("a", Shares(100) with { ReservationIops = 800 }, 800), new("b", Shares(10_000), 1200)], folder, OpenFile);
    Scenario.Run("Files, limits alone", DatastoreIoSettings.Default, time,
        [new("a", new() { LimitIops = 1000 }, 1000), new("b", new() { LimitBytesPerSecond = 16 << 20 }, 256, 64 * 1024), new("c", new() { LimitIops = 1000 }, 500, 64 * 1024)], folder, OpenFile);

    // Two requests of 4 ms at once: 500 a second. Each disk executes four at once, eight in all wait 16 ms.
    using var device = new SlowDevice(2, TimeSpan.FromMilliseconds(4));
    Scenario.Run("A device of 500 IO/s without control, 1:3", DatastoreIoSettings.Default, time, [new("a", one, 250), new("b", three, 250)], folder, device.MakeDisk);
    Scenario.Run("The same device with control at 8 ms, 1:3", new() { Enabled = true, CongestionThresholdMillisecond = 8 }, time,
        [new("a", one, 125), new("b", three, 375)], folder, device.MakeDisk);

    if (guests && DebianPackages.IsSupported(out string reason))
    {
        ScenarioDisk[] disks = [new("guest-a", one, 100), new("guest-b", three, 300)];
        using var run = new Guests(folder, disks);
        await run.RunAsync(new DatastoreIoSettings { LimitIops = 400 }, time, disks);
    }

    return 0;
}
finally
{
    Directory.Delete(folder, recursive: true);
}

IDiskImage OpenFile(string name)
{
    string path = Path.Combine(folder, $"{name}.raw");
    File.WriteAllBytes(path, new byte[32 << 20]);
    return RawDiskImage.Open(path);
}

static DiskIoSettings Shares(int shares) => new DiskIoSettings().WithShares(null, shares);
