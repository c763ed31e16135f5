using Hypervisor.Engine.Processor;

namespace Hypervisor.Tests.Unit.Processor;

// Several processors in dense cases, each at places of its own in the same code and with the same tables: they store to each other's code,
// stacks, operands and page tables, and devices have them interrupt, stop, reset and start each other.
internal sealed unsafe partial class HostileMachine
{
    // Nobody runs for so long that is stopped every millisecond, whatever else the host does.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private readonly Lock _busLock = new();
    private readonly Lock _codeLock = new();

    /// <summary>Instructions retired by all processors but the first.</summary>
    public ulong SiblingInstructions => _processors.Skip(1).Aggregate(0ul, static (sum, cpu) => sum + cpu.RetiredInstructions);

    private static ulong TaskOf(ulong index) => GoodTask + (index * 0x100);

    private static ulong StackOf(ulong index) => GoodStack - (index * 0x1000);

    // All are bootstrap processors, so that a reset leaves none of them waiting.
    private X86Processor MakeProcessor(IMemoryBus memory, IPortBus ports, ILocalApic apic, bool translated) => new(new ProcessorOptions
    {
        Index = 0,
        ProcessorCount = _siblings.Length + 1,
        Memory = memory,
        Ports = ports,
        Timestamp = new TimestampCounter(),
        BusLock = _busLock,
        CodeLock = _codeLock,
        Translate = translated,
        TranslationThreshold = 1,
        CodeCacheBytes = 4 << 20,
    })
    {
        LocalApic = apic,
    };

    private void Change(ulong page, PageAttributes set, PageAttributes clear)
    {
        ref byte attributes = ref PageAttributeTable[page];
        byte old;
        do
        {
            old = Volatile.Read(ref attributes);
        }
        while (Interlocked.CompareExchange(ref attributes, (byte)((old | (byte)set) & ~(byte)clear), old) != old);
    }

    private void Marked(ulong page, int by) => SafePoints.RevokeWriteAccess(_processors.Where((_, n) => n != by).ToArray(), page);

    // What a device may do to the machine's processors; in a call of one of them.
    private void Disturb(Random random)
    {
        var cpu = _processors[random.Next(_processors.Length)];
        switch (random.Next(_processors.Length == 1 ? 16 : 64))
        {
            case 0:
                cpu.FlushPhysicalMappings();
                break;
            case 16 or 17:
                cpu.InjectNmi();
                break;
            case 18 or 19:
                cpu.SignalInterrupt();
                break;
            case 20:
                ulong page = (ulong)random.Next((int)PageAttributeCount);
                Change(page, PageAttributes.TrackWrites, PageAttributes.None);
                SafePoints.Forget(_processors, [page]);
                break;
            case 21:
                SafePoints.Forget(_processors, []);
                break;
            case 22 when random.Next(32) == 0:
                cpu.Init();
                break;
        }
    }

    // The state of the first processor, less what is its own.
    private void Follow(X86Processor sibling, int index)
    {
        sibling.Reset();
        sibling.Cr3 = Cpu.Cr3;
        sibling.Cr4 = Cpu.Cr4;
        sibling.Efer = Cpu.Efer;
        sibling.Cr0 = Cpu.Cr0;
        sibling.Gdtr = Cpu.Gdtr;
        sibling.Idtr = Cpu.Idtr;
        for (var name = SegmentName.Es; name <= SegmentName.Ldtr; name++)
        {
            sibling.SetSegment(name, Cpu.GetSegment(name));
        }

        var task = Cpu.GetSegment(SegmentName.Tr);
        task.Base = TaskOf((ulong)index);
        sibling.SetSegment(SegmentName.Tr, task);
    }

    // The other processors of a case run until they are waited for; what went wrong there is told to the test.
    private sealed class SiblingRun : IDisposable
    {
        private readonly Thread[] _threads;
        private volatile string? _failure;
        private volatile bool _ends;

        public SiblingRun(HostileMachine machine, int mode, int stops)
        {
            _threads = [.. machine._siblings.Select(sibling => new Thread(() => Run(machine, sibling, mode, stops)) { IsBackground = true })];
            foreach (var sibling in machine._siblings)
            {
                machine.Follow(machine._processors[sibling.Index], sibling.Index);
            }

            Array.ForEach(_threads, static thread => thread.Start());
        }

        public void Dispose()
        {
            _ends = true;
            foreach (var thread in _threads)
            {
                Assert.True(thread.Join(Patience), "A processor cannot be stopped.");
            }

            Assert.Null(_failure);
        }

        private void Run(HostileMachine machine, Sibling sibling, int mode, int stops)
        {
            try
            {
                var cpu = machine._processors[sibling.Index];
                for (int n = 0; n < stops && !_ends; n++)
                {
                    Scatter(cpu, sibling.Random, mode, StackOf((ulong)sibling.Index));
                    if (cpu.Run() == StopReason.Shutdown)
                    {
                        return;
                    }

                    if (cpu.IsHalted)
                    {
                        cpu.InjectNmi();
                    }

                    if (cpu.State->Zero != 0)
                    {
                        throw new InvalidOperationException("The register that is always zero is not.");
                    }
                }
            }
            catch (Exception error)
            {
                _failure ??= error.ToString();
            }
        }
    }

    // What another processor is connected to.
    private sealed class Sibling(HostileMachine machine, int index, int seed) : IMemoryBus, IPortBus, ILocalApic
    {
        public int Index => index;

        public Random Random { get; } = new(seed + (index * 1_000_003));

        public byte* PageAttributeTable => machine.PageAttributeTable;

        public ulong PageAttributeCount => machine.PageAttributeCount;

        public bool HasInterrupt => Random.Next(64) == 0;

        public byte TaskPriority { get; set; }

        public ulong ApicBase => machine.ApicBase;

        public byte* TryGetPage(ulong address, bool forWriting, out PagePresence presence) => machine.TryGetPage(address, forWriting, out presence);

        public void MakePresent(ulong address, bool forWriting) => machine.MakePresent(address, forWriting);

        public void CodePageWritten(ulong pageNumber) => machine.CodePageWritten(pageNumber);

        public void CodePageMarked(ulong pageNumber) => machine.Marked(pageNumber, index);

        public void TrackedPageWritten(ulong pageNumber) => machine.TrackedPageWritten(pageNumber);

        public ulong ReadMmio(ulong address, int size) => (ulong)Random.NextInt64();

        public void WriteMmio(ulong address, int size, ulong value) => machine.Disturb(Random);

        public uint Read(ushort port, int size) => (uint)Random.Next();

        public void Write(ushort port, int size, uint value) => machine.Disturb(Random);

        public int Acknowledge() => Random.Next(-1, 256);

        public bool TryReadMsr(uint index, out ulong value)
        {
            value = ApicBase;
            return true;
        }

        public bool TryWriteMsr(uint index, ulong value) => Random.Next(2) == 0;
    }
}
