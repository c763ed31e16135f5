using System.Diagnostics;
using System.Globalization;
using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Partitions.Kvm;
using Hypervisor.Engine.Partitions.Software;

namespace Hypervisor.Benchmarks.Memory;

/// <summary>A guest that stores a word to each page of its memory, twice: what the first time costs beyond the second is the host's handing out of memory.</summary>
internal static class TouchBenchmark
{
    private const uint CodeAddress = 0x10000, GdtAddress = 0x7000, FirstAddress = 0x40_0000;
    private const ushort CodeSelector = 8, DataSelector = 16;
    private const int MB = 1 << 20;

    public static int Run(string[] args)
    {
        int memoryMB = 512, rounds = 5;
        for (int i = 0; i < args.Length; i += 2)
        {
            if (i + 1 == args.Length || !int.TryParse(args[i + 1], CultureInfo.InvariantCulture, out int value) || value is < 16 or > 2048 && args[i] == "--memory")
            {
                return Usage();
            }

            switch (args[i])
            {
                case "--memory": memoryMB = value; break;
                case "--rounds": rounds = value; break;
                default: return Usage();
            }
        }

        IPartitionFactory[] backends = [new KvmPartitionFactory(), new SoftwarePartitionFactory()];
        Console.WriteLine("| backend | first time, small pages, ms | large pages, ms | second time, small, ms | large, ms |");
        Console.WriteLine("|---|---:|---:|---:|---:|");
        foreach (IPartitionFactory backend in backends.Where(static backend => backend.Probe().Available))
        {
            var passes = new Dictionary<bool, List<(double First, double Second)>> { [false] = [], [true] = [] };
            for (int round = 0; round < rounds; round++)
            {
                foreach (bool large in (bool[])[false, true])
                {
                    // A host that is a virtual machine itself gets memory at the first touch too: that is not what is measured.
                    WarmUp(memoryMB);
                    passes[large].Add(Measure(backend, memoryMB, large));
                }
            }

            double Median(bool large, Func<(double First, double Second), double> of) => passes[large].Select(of).Order().ElementAt(rounds / 2);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"| {backend.Backend} | {Median(false, static pass => pass.First):N0} | {Median(true, static pass => pass.First):N0} | {Median(false, static pass => pass.Second):N0} | {Median(true, static pass => pass.Second):N0} |"));
        }

        return 0;
    }

    private static int Usage()
    {
        Console.Error.WriteLine("usage: memory touch [--memory 16-2048] [--rounds 5]");
        return 2;
    }

    private static unsafe void WarmUp(int memoryMB)
    {
        using GuestMemory memory = Allocate(memoryMB * 5 / 4, large: true);
        var (_, host, bytes, _) = memory.Blocks.Single();
        for (ulong offset = 0; offset < bytes; offset += GuestMemory.PageSize)
        {
            // SAFETY: within the block.
            *((byte*)host + offset) = 1;
        }
    }

    private static GuestMemory Allocate(int memoryMB, bool large)
    {
        var memory = new GuestMemory();
        memory.AddBlock(0, (ulong)memoryMB * MB);
        memory.LargePages = new LargePages(memory, areOfUse: true);
        memory.LargePages.Allow(large);
        return memory;
    }

    private static (double First, double Second) Measure(IPartitionFactory backend, int memoryMB, bool large)
    {
        using GuestMemory memory = Allocate(memoryMB, large);
        var bus = new Bus();
        using IPartition partition = backend.Create(new PartitionOptions { ProcessorCount = 1, Bus = bus, Clock = bus });
        foreach (var (guest, host, bytes, _) in memory.Blocks)
        {
            partition.MapMemory(guest, host, bytes, MemoryAccess.All);
        }

        memory.Load(CodeAddress, Program((uint)memoryMB * MB));
        memory.TryWrite(GdtAddress + CodeSelector, 0x00CF_9B00_0000_FFFFul);
        memory.TryWrite(GdtAddress + DataSelector, 0x00CF_9300_0000_FFFFul);
        IVirtualProcessor processor = bus.Processor = partition.Processors[0];
        SystemRegisters system = processor.GetSystemRegisters();
        system.Cs = Flat(CodeSelector, 0xC09B);
        system.Ds = system.Es = system.Fs = system.Gs = system.Ss = Flat(DataSelector, 0xC093);
        system.Cr0 = 0x33;
        system.Gdt = new DescriptorTableRegister { Base = GdtAddress, Limit = 0x17 };
        processor.SetSystemRegisters(system);
        processor.SetGeneralRegisters(new GeneralRegisters { Rip = CodeAddress, Rflags = 2 });
        VpExit exit = processor.Run();
        return bus.Times is [var start, var first, var second]
            ? ((first - start).TotalMilliseconds, (second - first).TotalMilliseconds)
            : throw new InvalidOperationException($"The guest stopped: {exit}.");
    }

    private static SegmentRegister Flat(ushort selector, ushort attributes) => new() { Base = 0, Limit = uint.MaxValue, Selector = selector, Attributes = attributes };

    // again: out 10h, al; mov esi, first; next: mov [esi], esi; add esi, 1000h; cmp esi, end; jb next; jmp again
    private static byte[] Program(uint end) =>
    [
        0xE6, 0x10, 0xBE, .. BitConverter.GetBytes(FirstAddress),
        0x89, 0x36, 0x81, 0xC6, 0x00, 0x10, 0x00, 0x00, 0x81, 0xFE, .. BitConverter.GetBytes(end), 0x72, 0xF0, 0xEB, 0xE7,
    ];

    /// <summary>Notes the process's CPU time at each write to a port, and stops the guest with the third.</summary>
    private sealed class Bus : IPartitionBus, IMachineClock
    {
        public IVirtualProcessor? Processor { get; set; }

        public List<TimeSpan> Times { get; } = [];

        public long Now => 0;

        public DateTimeOffset UtcNow => DateTimeOffset.UnixEpoch;

        public uint ReadPort(ushort port, int size) => uint.MaxValue;

        public void WritePort(ushort port, int size, uint value)
        {
            Times.Add(Environment.CpuUsage.TotalTime);
            if (Times.Count == 3)
            {
                Processor!.Kick();
            }
        }

        public ulong ReadMmio(ulong address, int size) => ulong.MaxValue;

        public void WriteMmio(ulong address, int size, ulong value)
        {
            // Nothing is there.
        }

        public IMachineTimer CreateTimer(Action callback) => new Timer();

        private sealed class Timer : IMachineTimer
        {
            public void Arm(long deadline)
            {
                // Time stands still.
            }

            public void Disarm()
            {
                // It never runs.
            }

            public void Dispose()
            {
                // Nothing is owned.
            }
        }
    }
}
