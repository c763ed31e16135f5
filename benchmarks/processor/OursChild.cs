using System.Globalization;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Benchmarks.Processor;

/// <summary>
/// Our machine in a process of its own, with its serial console on standard input and output as QEMU's: every boot starts as cold as
/// QEMU's, and a crash ends one measurement only.
/// </summary>
internal static class OursChild
{
    public const string Option = "--child", StartMarker = "@start";

    /// <param name="args">Kernel, initial RAM disk, command line, MB of memory, processors, then settings as name=value.</param>
    public static int Run(string[] args)
    {
        var configuration = new VirtualMachineConfiguration
        {
            Id = Guid.NewGuid(),
            Name = "processor-benchmark",
            KernelPath = args[0],
            InitrdPath = args[1],
            KernelCommandLine = args[2],
            MemoryMB = int.Parse(args[3], CultureInfo.InvariantCulture),
            NumCpu = int.Parse(args[4], CultureInfo.InvariantCulture),
            Backend = BackendKind.Software,
            AdvancedSettings = args[5..].Select(setting => setting.Split('=', 2)).ToDictionary(pair => pair[0], pair => pair[1]),
        };
        using Stream output = Console.OpenStandardOutput();
        output.Write("@start\n"u8);
        output.Flush();
        // Its memory managed as a host's machines have it, with enough of it.
        using var memory = new MemoryManager(new MemoryConfigurationSource());
        using IMachine machine = new MachineFactory(scheduler: null, memory: memory).Create(configuration);
        machine.EventRaised += happened => Console.Error.WriteLine($"ours: {happened.Severity}: {happened.Message}");
        machine.Start();
        new Thread(() => Feed(machine)) { IsBackground = true, Name = "input" }.Start();
        Show(machine.Console, output);
        MachineStop stop = machine.Stopped.GetAwaiter().GetResult();
        if (stop.Reason is not (MachineStopReason.GuestShutdown or MachineStopReason.PoweredOff))
        {
            Console.Error.WriteLine($"ours: {stop.Reason}: {stop.Message}");
            return 1;
        }

        return 0;
    }

    private static void Show(MachineConsole console, Stream output)
    {
        byte[] buffer = new byte[65536];
        for (long position = 0; ;)
        {
            int count = console.Read(ref position, buffer);
            if (count > 0)
            {
                output.Write(buffer, 0, count);
                output.Flush();
            }
            else if (console.IsCompleted)
            {
                return;
            }
            else
            {
                console.WaitForOutputAsync(position, CancellationToken.None).GetAwaiter().GetResult();
            }
        }
    }

    // The end of the input is the end of the benchmark, whose machine nobody needs then.
    private static void Feed(IMachine machine)
    {
        using Stream input = Console.OpenStandardInput();
        byte[] buffer = new byte[4096];
        for (int count; (count = input.Read(buffer)) > 0;)
        {
            machine.Console.SendAsync(buffer.AsMemory(0, count)).GetAwaiter().GetResult();
        }

        machine.PowerOff();
    }
}
