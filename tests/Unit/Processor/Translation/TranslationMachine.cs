using Hypervisor.Engine.Native;
using Hypervisor.Engine.Processor;
using Iced.Intel;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>
/// A processor in 64-bit mode with 4 KB pages, descriptor tables, and a handler for each vector that halts on a stack of its own: all
/// registers but RIP, RSP, CS, SS and RFLAGS then are those of the interrupted code, and these are in the frame.
/// </summary>
internal sealed unsafe class TranslationMachine : IMemoryBus, IPortBus, ILocalApic, IDisposable
{
    public const ulong MemoryBytes = 4 << 20, MappedBytes = 8 << 20;
    public const ulong Directory = 0x1000, Tables = 0x1_0000, Handlers = 0x9000, Gdt = 0xA000, TaskState = 0xB000, Idt = 0xC000;
    public const ulong HandlerStackTop = 0xF000;

    /// <summary>Where code, data and the stack of tests lie; what is above 4 MB has no memory until it is mapped.</summary>
    public const ulong Code = 0x10_0000, Data = 0x20_0000, StackTop = 0x30_0000, Free = 0x50_0000;

    public const ushort KernelCode = 8, KernelData = 16, UserData = 0x23, UserCode = 0x2B;
    public const ulong Present = 1, Writable = 2, User = 4, Global = 0x100, NoExecute = 1ul << 63;
    private const ulong HandlerBytes = 8;

    private readonly AnonymousMemory _memory = AnonymousMemory.Allocate((nuint)MemoryBytes);
    private readonly AnonymousMemory _attributes = AnonymousMemory.Allocate(4096);
    private readonly Lock _busLock = new();
    private readonly Lock _codeLock = new();
    private readonly List<X86Processor> _processors = [];
    private readonly MovingPages? _wanted;
    private readonly int _threshold;
    private readonly int _cacheBytes;

    /// <param name="threshold">Runs before a block is translated; 0 interprets all.</param>
    /// <param name="cacheBytes">Room for code.</param>
    public TranslationMachine(int threshold, int cacheBytes = 4 << 20)
    {
        _threshold = threshold;
        _cacheBytes = cacheBytes;
        Pages = _wanted = MovingPages.IfWanted((byte*)_memory.Address, (int)(MemoryBytes / 4096), () => [.. _processors]);
        WriteTables();
        AddProcessor();
    }

    public X86Processor Cpu => _processors[0];

    /// <summary>The machine translates.</summary>
    public bool Translates => _threshold != 0;

    public byte PendingVector { get; set; }

    /// <summary>The memory as it is while no processor runs.</summary>
    public byte* Host
    {
        get
        {
            Pages?.ComeHome();
            return (byte*)_memory.Address;
        }
    }

    public Span<byte> Memory => new(Host, (int)MemoryBytes);

    public byte* PageAttributeTable => (byte*)_attributes.Address;

    public ulong PageAttributeCount => MemoryBytes / 4096;

    public bool HasInterrupt => PendingVector != 0;

    public byte TaskPriority { get; set; }

    public ulong ApicBase => 0xFEE0_0900;

    public List<(ushort Port, uint Value)> Output { get; } = [];

    /// <summary>Why the last run ended.</summary>
    public StopReason Reason { get; private set; }

    /// <summary>The vector whose handler halted, or -1.</summary>
    public int Vector => Cpu.Rip is > Handlers and < Handlers + (256 * HandlerBytes) ? (int)((Cpu.Rip - Handlers) / HandlerBytes) : -1;

    /// <summary>The handler's frame: error code if the vector has one, RIP, CS, RFLAGS, RSP, SS.</summary>
    public ulong Frame(int number) => Read(Cpu.GetGeneralRegister(4) + ((ulong)number * 8));

    public ulong Register(int number) => Cpu.GetGeneralRegister(number);

    public X86Processor AddProcessor()
    {
        var cpu = new X86Processor(new ProcessorOptions
        {
            Index = 0,
            ProcessorCount = 1,
            Memory = _processors.Count == 0 ? this : new Bus(this, _processors.Count),
            Ports = this,
            Timestamp = new TimestampCounter(),
            BusLock = _busLock,
            CodeLock = _codeLock,
            Translate = _threshold != 0,
            TranslationThreshold = Math.Max(1, _threshold),
            CodeCacheBytes = _cacheBytes,
        })
        {
            LocalApic = this,
        };
        cpu.Cr3 = Directory;
        cpu.Cr4 = 0x4_0620;
        cpu.Efer = 0xD01;
        cpu.Cr0 = 0x8001_0033;
        cpu.SetSegment(SegmentName.Cs, new SegmentState { Selector = KernelCode, Limit = uint.MaxValue, Attributes = 0xA09B });
        foreach (var name in new[] { SegmentName.Ds, SegmentName.Es, SegmentName.Ss })
        {
            cpu.SetSegment(name, new SegmentState { Selector = KernelData, Limit = uint.MaxValue, Attributes = 0xC093 });
        }

        cpu.SetSegment(SegmentName.Tr, new SegmentState { Base = TaskState, Limit = 0x67, Attributes = 0x8B, Selector = 0x30 });
        cpu.Gdtr = (Gdt, 0xFF);
        cpu.Idtr = (Idt, 0xFFF);
        for (int register = 0; register < 16; register++)
        {
            cpu.SetGeneralRegister(register, register == 4 ? StackTop : 0);
        }

        cpu.RflagsRegister = 2;
        _processors.Add(cpu);
        return cpu;
    }

    /// <summary>Maps a linear page below 8 MB; takes effect when the processor's translation is forgotten.</summary>
    public void Map(ulong linear, ulong physical, ulong flags) => Write(EntryOf(linear), physical | flags);

    /// <summary>Where the page-table entry of a linear page lies.</summary>
    public static ulong EntryOf(ulong linear) => Tables + ((linear >> 12) * 8);

    /// <summary>Assembles code that runs at one address to another (a page's place in memory).</summary>
    public int Load(ulong physical, Action<Assembler> code, ulong? linear = null)
    {
        byte[] bytes = Assemble(linear ?? physical, code);
        bytes.CopyTo(new Span<byte>(Host + physical, bytes.Length));
        for (ulong page = physical >> 12; page <= (physical + (ulong)bytes.Length) >> 12; page++)
        {
            CodePageWritten(page);
        }

        return bytes.Length;
    }

    public static byte[] Assemble(ulong linear, Action<Assembler> code)
    {
        var assembler = new Assembler(64);
        code(assembler);
        using var stream = new MemoryStream();
        assembler.Assemble(new StreamCodeWriter(stream), linear);
        return stream.ToArray();
    }

    /// <summary>Loads code, to which HLT is added, and runs it.</summary>
    public void Execute(Action<Assembler> code)
    {
        Load(Code, a =>
        {
            code(a);
            a.hlt();
        });
        Run(Code);
    }

    public void Run(ulong rip)
    {
        Cpu.Rip = rip;
        Reason = Cpu.Run();
    }

    public void Write(ulong address, ulong value) => *(ulong*)(Host + address) = value;

    public ulong Read(ulong address) => *(ulong*)(Host + address);

    /// <summary>All that must not depend on how the code was run.</summary>
    public string Describe()
    {
        CpuState* s = Cpu.State;
        var lines = new List<string> { $"{Reason} vector {Vector} rip {Cpu.Rip:X} flags {Cpu.RflagsRegister:X} cr2 {s->Cr2:X} cpl {s->Cpl} mxcsr {s->Mxcsr:X}" };
        for (int n = 0; n < 16; n++)
        {
            lines.Add($"r{n} {Cpu.GetGeneralRegister(n):X}");
        }

        if (Vector >= 0)
        {
            lines.Add(string.Join(' ', Enumerable.Range(0, 6).Select(n => Frame(n).ToString("X"))));
        }

        var vectors = new ReadOnlySpan<byte>(&s->Vectors, sizeof(VectorFile));
        for (int n = 0; n < vectors.Length; n += 32)
        {
            if (vectors.Slice(n, 32).IndexOfAnyExcept((byte)0) >= 0)
            {
                lines.Add($"ymm{n / 32} {Convert.ToHexString(vectors.Slice(n, 32))}");
            }
        }

        lines.AddRange(Output.Select(o => $"out {o.Port:X} {o.Value:X}"));
        return string.Join('\n', lines);
    }

    /// <summary>Where pages are while processors run, if not at home; set before.</summary>
    public MovingPages? Pages { get; set; }

    public void MakePresent(ulong address, bool forWriting) => Pages?.MakePresent(address, forWriting);

    public byte* TryGetPage(ulong address, bool forWriting, out PagePresence presence)
    {
        if (Pages != null && address < MemoryBytes)
        {
            return Pages.TryGetPage(address, forWriting, out presence);
        }

        presence = address < MemoryBytes ? PagePresence.Writable : PagePresence.None;
        return address < MemoryBytes ? (byte*)_memory.Address + address : null;
    }

    public void CodePageWritten(ulong pageNumber)
    {
        if (pageNumber < PageAttributeCount)
        {
            ref byte attributes = ref PageAttributeTable[pageNumber];
            byte old;
            do
            {
                old = Volatile.Read(ref attributes);
            }
            while (Interlocked.CompareExchange(ref attributes, (byte)(old & ~(int)PageAttributes.AllOfCode), old) != old);
        }

        foreach (var cpu in _processors)
        {
            cpu.InvalidateCodePage(pageNumber);
        }
    }

    public void CodePageMarked(ulong pageNumber) => Marked(pageNumber, 0);

    public ulong ReadMmio(ulong address, int size) => address;

    public void WriteMmio(ulong address, int size, ulong value)
    {
    }

    uint IPortBus.Read(ushort port, int size) => port;

    void IPortBus.Write(ushort port, int size, uint value)
    {
        Output.Add((port, value));
        if (port == 0x20)
        {
            PendingVector = (byte)value;
            Cpu.SignalInterrupt();
        }
    }

    public int Acknowledge()
    {
        int vector = PendingVector == 0 ? -1 : PendingVector;
        PendingVector = 0;
        return vector;
    }

    public bool TryReadMsr(uint index, out ulong value)
    {
        value = ApicBase;
        return index == 0x1B;
    }

    public bool TryWriteMsr(uint index, ulong value) => index == 0x1B;

    public void Dispose()
    {
        _wanted?.Finish();
        foreach (var cpu in _processors)
        {
            cpu.Dispose();
        }

        _memory.Dispose();
        _attributes.Dispose();
    }

    private void Marked(ulong page, int by)
    {
        SafePoints.RevokeWriteAccess(_processors.Where((_, n) => n != by).ToArray(), page);
    }

    private void WriteTables()
    {
        Write(Directory, (Directory + 0x1000) | 7);
        Write(Directory + 0x1000, (Directory + 0x2000) | 7);
        for (ulong n = 0; n < MappedBytes >> 21; n++)
        {
            Write(Directory + 0x2000 + (n * 8), (Tables + (n << 12)) | 7);
        }

        for (ulong page = 0; page < MemoryBytes; page += 4096)
        {
            Map(page, page, Present | Writable);
        }

        Write(Gdt + KernelCode, 0x00AF_9B00_0000_FFFF);
        Write(Gdt + KernelData, 0x00CF_9300_0000_FFFF);
        Write(Gdt + (UserCode & ~7ul), 0x00AF_FB00_0000_FFFF);
        Write(Gdt + (UserData & ~7ul), 0x00CF_F300_0000_FFFF);
        Write(TaskState + 4, HandlerStackTop);
        Write(TaskState + 36, HandlerStackTop);
        for (uint vector = 0; vector < 256; vector++)
        {
            ulong handler = Handlers + (vector * HandlerBytes);
            Memory[(int)handler] = 0xF4;
            Write(Idt + (vector * 16), (handler & 0xFFFF) | (KernelCode << 16) | (1ul << 32) | (0x8Eul << 40) | ((handler >> 16) << 48));
        }
    }

    // What the other processors of the machine see of it.
    private sealed class Bus(TranslationMachine machine, int index) : IMemoryBus
    {
        public byte* PageAttributeTable => machine.PageAttributeTable;

        public ulong PageAttributeCount => machine.PageAttributeCount;

        public byte* TryGetPage(ulong address, bool forWriting, out PagePresence presence) => machine.TryGetPage(address, forWriting, out presence);

        public void MakePresent(ulong address, bool forWriting) => machine.MakePresent(address, forWriting);

        public void CodePageWritten(ulong pageNumber) => machine.CodePageWritten(pageNumber);

        public void CodePageMarked(ulong pageNumber) => machine.Marked(pageNumber, index);

        public ulong ReadMmio(ulong address, int size) => machine.ReadMmio(address, size);

        public void WriteMmio(ulong address, int size, ulong value) => machine.WriteMmio(address, size, value);
    }
}
