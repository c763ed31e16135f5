using System.Diagnostics;
using System.Runtime.InteropServices;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Unit.Support;
using Iced.Intel;

namespace Hypervisor.Tests.Unit.Partitions;

/// <summary>
/// The smallest machine that test guests need: 4 MB of memory and a bus that records. A guest reports 32-bit values at
/// <see cref="ReportPort"/> and ends with any write to <see cref="DonePort"/>.
/// </summary>
internal sealed class TestMachine : IPartitionBus, IDisposable
{
    public const ushort ReportPort = 0x500, DonePort = 0x504;
    public const ulong MemoryBytes = 4 << 20, CodeAddress = 0x10000, StackTop = 0x20000, DataAddress = 0x30000;
    public const ulong MmioAddress = 0x80_0000, ApicAddress = 0xFEE0_0000;

    private const ulong Level4 = 0x2000, Level3 = 0x3000, LowLevel2 = 0x4000, HighLevel2 = 0x5000, FirstTable = 0x6000;
    private const ulong Gdt = 0x7000, Idt = 0x8000;
    private const ushort CodeSelector = 8, DataSelector = 16;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly Lock _lock = new();
    private volatile bool _done;

    public TestMachine(IPartitionFactory factory, int processors = 1, string? model = null, int coresPerSocket = 1)
    {
        Memory.AddBlock(0, MemoryBytes);
        Partition = factory.Create(new PartitionOptions
        {
            ProcessorCount = processors,
            Bus = this,
            Clock = new StopwatchClock(),
            ProcessorModel = model,
            CoresPerSocket = coresPerSocket,
        });
        Memory.Written = Partition.NotifyHostWrite;
        Map(0);
    }

    public GuestMemory Memory { get; } = new();

    public IPartition Partition { get; }

    public IVirtualProcessor Processor => Partition.Processors[0];

    /// <summary>Everything that the guest reported.</summary>
    public List<uint> Reports { get; } = [];

    /// <summary>Writes to ports other than the two of this class.</summary>
    public List<(ushort Port, int Size, uint Value)> PortWrites { get; } = [];

    public List<(ulong Address, int Size, ulong Value)> MmioWrites { get; } = [];

    public Func<ushort, int, uint> OnReadPort { get; set; } = (_, _) => uint.MaxValue;

    public Func<ulong, int, ulong> OnReadMmio { get; set; } = (_, _) => ulong.MaxValue;

    public Action<uint> OnReport { get; set; } = _ => { };

    public void Map(ulong address, MemoryAccess access = MemoryAccess.All)
    {
        var (guest, host, bytes, _) = Memory.Blocks.Single(block => block.GuestAddress == address);
        Partition.MapMemory(guest, host, bytes, access);
    }

    /// <summary>Loads a program for real mode with all segments based at 0.</summary>
    public void LoadReal(Action<Assembler> program, ulong address = 0x1000)
    {
        Load(16, address, program);
        var system = Processor.GetSystemRegisters();
        system.Cs.Base = address & 0xF_0000;
        system.Cs.Selector = (ushort)(system.Cs.Base >> 4);
        Processor.SetSystemRegisters(system);
        Processor.SetGeneralRegisters(new GeneralRegisters { Rip = address & 0xFFFF, Rflags = 2, Rsp = 0xF000 });
    }

    /// <summary>Loads a program for protected mode with flat segments, without paging.</summary>
    public void LoadProtected(Action<Assembler> program)
    {
        Load(32, CodeAddress, program);
        var system = Processor.GetSystemRegisters();
        system.Cs = Flat(CodeSelector, 0xC09B);
        system.Ds = system.Es = system.Fs = system.Gs = system.Ss = Flat(DataSelector, 0xC093);
        system.Cr0 = 0x33;
        Memory.TryWrite(Gdt + CodeSelector, 0x00CF_9B00_0000_FFFFul);
        Memory.TryWrite(Gdt + DataSelector, 0x00CF_9300_0000_FFFFul);
        system.Gdt = new DescriptorTableRegister { Base = Gdt, Limit = 0x17 };
        Processor.SetSystemRegisters(system);
        Processor.SetGeneralRegisters(new GeneralRegisters { Rip = CodeAddress, Rflags = 2, Rsp = StackTop });
    }

    /// <summary>
    /// Loads a program for long mode: the first and the fourth GB map onto themselves, the first 2 MB in pages of 4 KB. Handlers are
    /// labels in the program.
    /// </summary>
    public AssemblerResult LoadLong(Action<Assembler> program, params (byte Vector, Func<Label> Handler)[] handlers)
    {
        var assembled = Load(64, CodeAddress, program);
        Memory.TryWrite(Level4, Level3 | 3);
        Memory.TryWrite(Level3, LowLevel2 | 3);
        Memory.TryWrite(Level3 + 24, HighLevel2 | 3);
        for (ulong i = 0; i < 512; i++)
        {
            Memory.TryWrite(LowLevel2 + i * 8, i == 0 ? FirstTable | 3 : (i << 21) | 0x83);

            // Uncached, as devices are.
            Memory.TryWrite(HighLevel2 + i * 8, ((3ul << 30) + (i << 21)) | 0x9B);
            Memory.TryWrite(FirstTable + i * 8, (i << 12) | 3);
        }

        Memory.TryWrite(Gdt + CodeSelector, 0x00AF_9B00_0000_FFFFul);
        Memory.TryWrite(Gdt + DataSelector, 0x00CF_9300_0000_FFFFul);
        foreach (var (vector, handler) in handlers)
        {
            SetGate(vector, assembled.GetLabelRIP(handler()));
        }

        var system = Processor.GetSystemRegisters();
        system.Cs = Flat(CodeSelector, 0xA09B);
        system.Ds = system.Es = system.Fs = system.Gs = system.Ss = Flat(DataSelector, 0xC093);
        system.Gdt = new DescriptorTableRegister { Base = Gdt, Limit = 0x17 };
        system.Idt = new DescriptorTableRegister { Base = Idt, Limit = 0xFFF };

        // PE MP ET NE WP PG; PAE OSFXSR; LME LMA NXE.
        system.Cr0 = 0x8001_0033;
        system.Cr3 = Level4;
        system.Cr4 = 0x220;
        system.Efer = 0xD00;
        Processor.SetSystemRegisters(system);
        Processor.SetGeneralRegisters(new GeneralRegisters { Rip = CodeAddress, Rflags = 2, Rsp = StackTop });
        return assembled;
    }

    /// <summary>Changes the mapping of a page below 2 MB.</summary>
    public void SetPageEntry(ulong address, ulong entry) => Memory.TryWrite(FirstTable + (address >> 12) * 8, entry);

    public AssemblerResult Load(int bitness, ulong address, Action<Assembler> program)
    {
        var assembler = new Assembler(bitness);
        program(assembler);
        using var stream = new MemoryStream();
        var result = assembler.Assemble(new StreamCodeWriter(stream), address, BlockEncoderOptions.ReturnNewInstructionOffsets);
        Memory.Load(address, stream.ToArray());
        return result;
    }

    /// <summary>Runs processor 0 until the guest is done; fails the test when it ends otherwise.</summary>
    public void RunToEnd()
    {
        var exit = RunUntilStop(Processor);
        Assert.True(_done, $"The guest stopped by {exit} at {Processor.GetGeneralRegisters().Rip:x}h, reports [{string.Join(", ", Reports.Select(r => r.ToString("x")))}].");
        Assert.Equal(VpExitReason.Kicked, exit.Reason);
        _done = false;
    }

    /// <summary>Runs a processor, waiting while it halts, until the guest is done or something else ends it.</summary>
    public VpExit RunUntilStop(IVirtualProcessor processor)
    {
        long start = Stopwatch.GetTimestamp();
        using var watchdog = new Timer(state => ((IVirtualProcessor)state!).Kick(), processor, Patience, TimeSpan.FromSeconds(1));
        while (true)
        {
            var exit = processor.Run();
            if (exit.Reason == VpExitReason.Halted && Stopwatch.GetElapsedTime(start) < Patience)
            {
                processor.WaitWhileHalted(TimeSpan.FromSeconds(1));
                continue;
            }

            return exit;
        }
    }

    public uint ReadPort(ushort port, int size) => OnReadPort(port, size);

    public void WritePort(ushort port, int size, uint value)
    {
        switch (port)
        {
            case ReportPort:
                lock (_lock)
                {
                    Reports.Add(value);
                }

                OnReport(value);
                break;
            case DonePort:
                _done = true;
                foreach (var processor in Partition.Processors)
                {
                    processor.Kick();
                }

                break;
            default:
                lock (_lock)
                {
                    PortWrites.Add((port, size, value));
                }

                break;
        }
    }

    public ulong ReadMmio(ulong address, int size) => OnReadMmio(address, size);

    public void WriteMmio(ulong address, int size, ulong value)
    {
        lock (_lock)
        {
            MmioWrites.Add((address, size, value));
        }
    }

    public void Dispose()
    {
        Partition.Dispose();
        Memory.Dispose();
    }

    /// <summary>A 64-bit interrupt gate (Intel SDM vol. 3A, figure 7-8).</summary>
    private void SetGate(byte vector, ulong handler)
    {
        Memory.TryWrite(Idt + vector * 16ul, (handler & 0xFFFF) | ((ulong)CodeSelector << 16) | (0x8Eul << 40) | ((handler & 0xFFFF_0000) << 32));
        Memory.TryWrite(Idt + vector * 16ul + 8, handler >> 32);
    }

    private static SegmentRegister Flat(ushort selector, uint attributes) =>
        new() { Selector = selector, Limit = uint.MaxValue, Attributes = attributes };
}
