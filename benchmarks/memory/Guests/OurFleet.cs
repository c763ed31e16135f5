using System.Diagnostics;
using System.Globalization;
using System.Text;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Benchmarks.Memory.Guests;

/// <summary>Guests on our software processor, with a memory budget or without.</summary>
internal sealed class OurFleet : Fleet
{
    private const double Megabyte = 1 << 20;

    private readonly MemoryManager _manager;
    private readonly IMachine[] _machines;
    private readonly long[] _positions;
    private readonly string _folder = Directory.CreateTempSubdirectory("memory-swap").FullName;
    private readonly long _residentBefore;

    public OurFleet(GuestsOptions options, GuestContent content, string kernel, string initrd, int? budgetMB)
    {
        Name = budgetMB is { } budget ? string.Create(CultureInfo.InvariantCulture, $"ours, {budget} MB") : "ours, all memory";
        var source = new MemoryConfigurationSource();
        source.Publish(new MemoryConfiguration
        {
            BudgetBytes = budgetMB is { } megabytes ? (long)megabytes << 20 : long.MaxValue,
            ProcessorMHz = 1000L * Environment.ProcessorCount * 2,
            Settings = new MemoryPolicySettings { ShareSalting = 0, ShareScanMinutes = budgetMB is null ? 0 : MemoryPolicySettings.Default.ShareScanMinutes },
        });
        _residentBefore = Resident.OfProcessMB(Environment.ProcessId);
        _manager = new MemoryManager(source) { SwapPathOf = id => Path.Combine(_folder, $"{id}.vswp") };
        var factory = new MachineFactory(scheduler: null, memory: _manager);
        _machines = [.. Enumerable.Range(0, options.Guests).Select(guest => factory.Create(new VirtualMachineConfiguration
        {
            Id = Guid.NewGuid(),
            Name = string.Create(CultureInfo.InvariantCulture, $"guest{guest}"),
            MemoryMB = options.MemoryMB,
            NumCpu = 1,
            KernelPath = kernel,
            InitrdPath = initrd,
            KernelCommandLine = "console=ttyS0 quiet",
            Backend = BackendKind.Software,
            Disks = [new() { Path = content.Disks[guest], ReadOnly = true }, new() { Path = content.Script, ReadOnly = true }],
        }))];
        _positions = new long[_machines.Length];
        Array.ForEach(_machines, static machine => machine.Start());
    }

    public override string Name { get; }

    public override IReadOnlyList<string> Output => [.. _machines.Select(static machine =>
    {
        byte[] buffer = new byte[MachineConsole.HistoryBytes];
        long position = 0;
        return Encoding.Latin1.GetString(buffer, 0, machine.Console.Read(ref position, buffer));
    })];

    public override Task Expect(string text) => Task.WhenAll(_machines.Select(async (machine, i) =>
    {
        long start = Stopwatch.GetTimestamp();
        while (!await machine.Console.WaitForTextAsync(text, _positions[i], TimeSpan.FromSeconds(1)))
        {
            if (HasPanicked(Output[i]) || machine.Console.IsCompleted || Stopwatch.GetElapsedTime(start) > Patience)
            {
                throw new InvalidOperationException($"{machine.Configuration.Name} did not print '{text}':\n{Output[i]}");
            }
        }
    }));

    public override Task Type(string line) => Task.WhenAll(_machines.Select((machine, i) =>
    {
        _positions[i] = machine.Console.Position;
        return machine.Console.SendAsync(Encoding.ASCII.GetBytes(line + "\n"));
    }));

    public override double HostMB() => Resident.OfProcessMB(Environment.ProcessId) - _residentBefore;

    public override IReadOnlyList<(string Technique, double MB)> Reclaimed()
    {
        var host = _manager.Statistics();
        double Sum(Func<MachineMemoryStatistics, double> of) => host.Machines.Sum(of) / Megabyte;
        return
        [
            ("sharing", (host.SharedSavedBytes) / Megabyte),
            ("balloon", Sum(static machine => machine.BalloonBytes)),
            ("compression", Sum(static machine => (machine.Pages!.Compressed * 4096.0) - machine.Pages.CompressedBytes)),
            ("swap", Sum(static machine => machine.Pages!.Swapped * 4096.0)),
        ];
    }

    public override void Dispose()
    {
        Array.ForEach(_machines, static machine => machine.Dispose());
        _manager.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}
