using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Storage.IoControl;
using Hypervisor.Shell;

namespace Hypervisor.Benchmarks.IoControl;

/// <summary>Stock Debian guests that read their disks without cache, on one datastore with a limit.</summary>
internal sealed partial class Guests : IDisposable
{
    private const int DiskBytes = 64 << 20, Readers = 4;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private readonly string _folder;
    private readonly StorageIoControl _io = new();
    private readonly List<IMachine> _machines = [];

    public Guests(string folder, IReadOnlyList<ScenarioDisk> disks)
    {
        _folder = folder;
        var packages = new DebianPackages(DebianPackages.DefaultFolder, Console.Error.WriteLine);
        string kernelPackage = packages.Fetch(packages.ResolveCloudKernel()), initrd = Path.Combine(folder, "initrd");
        File.WriteAllBytes(initrd, QuickstartInitramfs.Build(packages.Fetch("busybox-static"), kernelPackage));
        var factory = new MachineFactory(storageIo: _io);
        foreach (ScenarioDisk disk in disks)
        {
            string image = Path.Combine(folder, disk.Name + ".img");
            File.WriteAllBytes(image, new byte[DiskBytes]);
            IMachine machine = factory.Create(new VirtualMachineConfiguration
            {
                Id = Guid.NewGuid(),
                Name = disk.Name,
                MemoryMB = 192,
                NumCpu = 1,
                KernelPath = QuickstartInitramfs.FindKernel(kernelPackage),
                InitrdPath = initrd,
                KernelCommandLine = "console=ttyS0 quiet",
                Disks = [new() { Path = image, IoControl = disk.Settings }],
            });
            _machines.Add(machine);
            machine.Start();
        }
    }

    /// <summary>Loads the guests and prints what they got, and what they themselves saw.</summary>
    public async Task RunAsync(DatastoreIoSettings datastore, TimeSpan time, IReadOnlyList<ScenarioDisk> disks)
    {
        foreach (IMachine machine in _machines)
        {
            await ExpectAsync(machine, QuickstartInitramfs.ReadyMarker, 0);
            await AskAsync(machine, $"for i in $(seq {Readers}); do (while true; do dd if=/dev/vda of=/dev/null bs=4k iflag=direct; done >/dev/null 2>&1 &); done");
        }

        DatastoreIo store = _io.Datastores[0];
        store.Configure(datastore);
        await Task.Delay(TimeSpan.FromSeconds(5));
        DiskIo[] io = [.. _machines.Select(machine => _io.Find(machine.Configuration.Id, 0)!)];
        string[] before = [.. await Task.WhenAll(_machines.Select(StatAsync))];
        DiskIoRates[] rates = await Task.Run(() => Scenario.Measure(io, time));
        string[] after = [.. await Task.WhenAll(_machines.Select(StatAsync))];
        Scenario.Print($"Guests: a limit of {datastore.LimitIops} IO/s for the datastore, {Readers} readers each", store, disks, rates);
        Console.WriteLine();
        for (int i = 0; i < disks.Count; i++)
        {
            long[] a = Numbers(before[i]), b = Numbers(after[i]);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{disks[i].Name}: the guest's own statistics say {(b[3] - a[3]) / (double)Math.Max(1, b[0] - a[0]):F3} ms a read."));
        }
    }

    public void Dispose()
    {
        _machines.ForEach(static machine => machine.Dispose());
        _io.Dispose();
    }

    // Linux, Documentation/block/stat.rst: reads, merged, sectors, milliseconds of reads, …
    private static async Task<string> StatAsync(IMachine machine)
    {
        string answer = await AskAsync(machine, "cat /sys/block/vda/stat");
        return answer;
    }

    private static long[] Numbers(string text) => [.. NumberPattern().Matches(text).Select(static match => long.Parse(match.Value, CultureInfo.InvariantCulture))];

    private static async Task<string> AskAsync(IMachine machine, string command)
    {
        long position = machine.Console.Position;
        string mark = Guid.NewGuid().ToString("N")[..8];
        await machine.Console.SendAsync(Encoding.ASCII.GetBytes($"echo \"<{mark[..4]}\"\"{mark[4..]}$({command})>\"\n"));
        await ExpectAsync(machine, $"<{mark}", position);
        await ExpectAsync(machine, ">", position);
        await Task.Delay(200);
        byte[] output = new byte[MachineConsole.HistoryBytes];
        long at = position;
        string text = Encoding.ASCII.GetString(output, 0, machine.Console.Read(ref at, output));
        int start = text.IndexOf($"<{mark}", StringComparison.Ordinal) + mark.Length + 1;
        return text[start..];
    }

    private static async Task ExpectAsync(IMachine machine, string text, long position)
    {
        if (!await machine.Console.WaitForTextAsync(text, position, Patience))
        {
            throw new InvalidOperationException($"{machine.Configuration.Name} did not say '{text}'.");
        }
    }

    [GeneratedRegex("[0-9]+")]
    private static partial Regex NumberPattern();
}
