using System.Diagnostics;
using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Partitions;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Benchmarks.Stops;

/// <summary>
/// A guest in long mode that runs a load with interrupts enabled; its handler writes to a port. Everything is timed on the thread of
/// the virtual processor.
/// </summary>
internal sealed class StopMachine : IPartitionBus, IMachineClock, IDisposable
{
    private const ulong MemoryBytes = 64 << 20, CodeAddress = 0x1_0000, HandlerAddress = 0x1_8000, StackTop = 0x2_0000;
    private const ulong Level4 = 0x2000, Level3 = 0x3000, Level2 = 0x4000, Gdt = 0x7000, Idt = 0x8000;
    private const ulong LargePage = 2 << 20;
    private const uint LocalApic = 0xFEE0_0000, ApicBaseMsr = 0x1B, EndOfInterrupt = 0x80B, SpuriousVector = 0x80F;
    private const byte ReportPort = 0x80, Vector = 0x40;
    private static readonly TimeSpan WarmUp = TimeSpan.FromMilliseconds(300), Patience = TimeSpan.FromSeconds(10);

    private readonly GuestMemory _memory = new();
    private readonly IPartition _partition;
    private readonly Random _random = new(1);
    private readonly ManualResetEventSlim _resume = new();
    private volatile bool _ends;
    private long _left, _handled;

    public StopMachine(IPartitionFactory factory, Load load)
    {
        _memory.AddBlock(0, MemoryBytes);
        _partition = factory.Create(new PartitionOptions { ProcessorCount = 1, Bus = this, Clock = this });
        foreach (var (guest, host, bytes, _) in _memory.Blocks)
        {
            _partition.MapMemory(guest, host, bytes, MemoryAccess.All);
        }

        _memory.Written = _partition.NotifyHostWrite;
        BuildTables();
        BuildCode(load);
    }

    public long Now => Stopwatch.GetElapsedTime(0).Ticks * 100;

    public DateTimeOffset UtcNow => DateTimeOffset.UnixEpoch;

    private IVirtualProcessor Processor => _partition.Processors[0];

    /// <summary>Times from a request to the processor being out, and from an interrupt to its handler, sorted.</summary>
    public (TimeSpan[] Stops, TimeSpan[] Interrupts) Measure(int samples)
    {
        var thread = new Thread(RunProcessor) { IsBackground = true, Name = "processor" };
        thread.Start();

        // The code is to be translated and the runtime's second compilation to be over; neither tells when.
        Thread.Sleep(WarmUp);
        var stops = new TimeSpan[samples];
        var interrupts = new TimeSpan[samples];
        for (int n = 0; n < samples; n++)
        {
            WaitAWhile();
            interrupts[n] = Await(ref _handled, () => _partition.SignalMsi(LocalApic, Vector));
            WaitAWhile();
            stops[n] = Await(ref _left, Processor.Kick);
            _resume.Set();
        }

        _ends = true;
        Processor.Kick();
        thread.Join();
        Array.Sort(stops);
        Array.Sort(interrupts);
        return (stops, interrupts);
    }

    public uint ReadPort(ushort port, int size) => 0;

    public void WritePort(ushort port, int size, uint value) => Volatile.Write(ref _handled, Stopwatch.GetTimestamp());

    public ulong ReadMmio(ulong address, int size) => 0;

    public void WriteMmio(ulong address, int size, ulong value)
    {
    }

    public IMachineTimer CreateTimer(Action callback) => new NoTimer();

    public void Dispose()
    {
        _partition.Dispose();
        _memory.Dispose();
        _resume.Dispose();
    }

    private static TimeSpan Await(ref long time, Action request)
    {
        Volatile.Write(ref time, 0);
        long start = Stopwatch.GetTimestamp();
        request();
        while (Volatile.Read(ref time) == 0)
        {
            if (Stopwatch.GetElapsedTime(start) > Patience)
            {
                throw new TimeoutException("The processor does not answer.");
            }
        }

        return Stopwatch.GetElapsedTime(start, Volatile.Read(ref time));
    }

    // Not in step with anything the guest does.
    private void WaitAWhile()
    {
        long start = Stopwatch.GetTimestamp();
        var wait = TimeSpan.FromMicroseconds(_random.Next(100, 600));
        while (Stopwatch.GetElapsedTime(start) < wait)
        {
            Thread.SpinWait(10);
        }
    }

    private void RunProcessor()
    {
        while (!_ends)
        {
            var exit = Processor.Run();
            Volatile.Write(ref _left, Stopwatch.GetTimestamp());
            if (exit.Reason != VpExitReason.Kicked)
            {
                throw new InvalidOperationException($"The guest stopped: {exit}.");
            }

            if (!_ends)
            {
                _resume.Wait();
                _resume.Reset();
            }
        }
    }

    private void BuildTables()
    {
        const ulong presentWritable = 3, large = 0x80;
        _memory.TryWrite(Level4, Level3 | presentWritable);
        _memory.TryWrite(Level3, Level2 | presentWritable);
        for (ulong n = 0; n < MemoryBytes / LargePage; n++)
        {
            _memory.TryWrite(Level2 + (8 * n), (n * LargePage) | presentWritable | large);
        }

        _memory.TryWrite(Gdt + 8, 0x00AF_9B00_0000_FFFFul);
        _memory.TryWrite(Gdt + 16, 0x00CF_9300_0000_FFFFul);
        _memory.TryWrite(Idt + (16 * Vector), (HandlerAddress & 0xFFFF) | (8ul << 16) | (0x8Eul << 40) | (HandlerAddress >> 16 << 48));
        _memory.TryWrite(Idt + (16 * Vector) + 8, 0ul);
        var system = Processor.GetSystemRegisters();
        system.Cs = new SegmentRegister { Selector = 8, Limit = uint.MaxValue, Attributes = 0xA09B };
        system.Ss = system.Ds = system.Es = new SegmentRegister { Selector = 16, Limit = uint.MaxValue, Attributes = 0xC093 };
        system.Gdt = new DescriptorTableRegister { Base = Gdt, Limit = 0x17 };
        system.Idt = new DescriptorTableRegister { Base = Idt, Limit = 0xFFF };

        // PE MP ET NE WP PG; PAE OSFXSR OSXMMEXCPT; LME LMA NXE.
        system.Cr0 = 0x8001_0033;
        system.Cr3 = Level4;
        system.Cr4 = 0x620;
        system.Efer = 0xD00;
        Processor.SetSystemRegisters(system);
        Processor.SetGeneralRegisters(new GeneralRegisters { Rip = CodeAddress, Rflags = 2, Rsp = StackTop });
    }

    private void BuildCode(Load load)
    {
        Place(CodeAddress, a =>
        {
            // x2APIC mode, and the APIC on (Intel SDM vol. 3A, 11.12.1).
            WriteMsr(a, ApicBaseMsr, LocalApic | 0xD00);
            WriteMsr(a, SpuriousVector, 0x1FF);
            a.sti();
            load.Emit(a);
        });
        Place(HandlerAddress, static a =>
        {
            a.push(rax);
            a.push(rcx);
            a.push(rdx);
            a.@out(ReportPort, al);
            WriteMsr(a, EndOfInterrupt, 0);
            a.pop(rdx);
            a.pop(rcx);
            a.pop(rax);
            a.iretq();
        });
    }

    private static void WriteMsr(Assembler a, uint index, uint value)
    {
        a.mov(ecx, index);
        a.mov(eax, value);
        a.xor(edx, edx);
        a.wrmsr();
    }

    private void Place(ulong address, Action<Assembler> program)
    {
        var assembler = new Assembler(64);
        program(assembler);
        using var stream = new MemoryStream();
        assembler.Assemble(new StreamCodeWriter(stream), address);
        _memory.Load(address, stream.ToArray());
    }

    private sealed class NoTimer : IMachineTimer
    {
        public void Arm(long deadline)
        {
        }

        public void Disarm()
        {
        }

        public void Dispose()
        {
        }
    }
}
