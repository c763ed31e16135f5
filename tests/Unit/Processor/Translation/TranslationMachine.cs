using Hypervisor.Engine.Native;
using Hypervisor.Engine.Processor;
using Iced.Intel;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>
/// A processor in 64-bit mode, or another one, with 4 KB pages, descriptor tables, and a handler for each vector that halts, in long mode
/// on a stack of its own: all registers but RIP, RSP, CS, SS and RFLAGS then are those of the interrupted code, and these are in the frame.
/// </summary>
internal sealed unsafe class TranslationMachine : IMemoryBus, IPortBus, ILocalApic, IDisposable
{
    public const ulong MemoryBytes = 4 << 20, MappedBytes = 8 << 20;
    public const ulong Directory = 0x1000, Tables = 0x1_0000, Handlers = 0x9000, Gdt = 0xA000, TaskState = 0xB000, Idt = 0xC000;
    public const ulong HandlerStackTop = 0xF000;

    /// <summary>Where code, data and the stack of tests lie; what is above 4 MB has no memory until it is mapped.</summary>
    public const ulong Code = 0x10_0000, Data = 0x20_0000, StackTop = 0x30_0000, Free = 0x50_0000;

    public const ushort KernelCode = 8, KernelData = 16, UserData = 0x23, UserCode = 0x2B;

    /// <summary>32-bit code; and data: not flat, with a base and 4 GB, with a limit.</summary>
    public const ushort KernelCode32 = 0x48, UserCode32 = 0x53, ShiftedData = 0x58, BasedData = 0x60, LimitedData = 0x68;

    /// <summary>Where <see cref="ShiftedData"/> and <see cref="BasedData"/> begin, and the last byte of <see cref="LimitedData"/>.</summary>
    public const ulong ShiftedBase = 0x1000, BasedBase = Data - 0x10, Limit = 0xFFF;

    /// <summary>The last page of 4 GB, which is not mapped at first; that of each of the four is the same.</summary>
    public const ulong TopPage = 0xFFFF_F000;

    public const ulong Present = 1, Writable = 2, User = 4, Global = 0x100, NoExecute = 1ul << 63;
    private const ulong HandlerBytes = 8, TopDirectory = 0x4000, TopTable = 0x5000;

    private readonly AnonymousMemory _memory = AnonymousMemory.Allocate((nuint)MemoryBytes);
    private readonly AnonymousMemory _attributes = AnonymousMemory.Allocate(4096);
    private readonly Lock _busLock = new();
    private readonly Lock _codeLock = new();
    private readonly List<X86Processor> _processors = [];
    private readonly MovingPages? _wanted;
    private readonly int _threshold;
    private readonly int _cacheBytes;
    private readonly GuestMode _mode;
    private readonly bool _user;

    /// <param name="threshold">Runs before a block is translated; 0 interprets all.</param>
    /// <param name="cacheBytes">Room for code.</param>
    /// <param name="mode">What it runs.</param>
    /// <param name="user">32-bit code runs at CPL 3, and may touch all pages.</param>
    public TranslationMachine(int threshold, int cacheBytes = 4 << 20, GuestMode mode = GuestMode.Long, bool user = false)
    {
        _mode = mode;
        _user = user;
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
        cpu.Cr4 = _mode == GuestMode.Legacy ? 0x4_0600ul : 0x4_0620;
        if (_mode is GuestMode.Long or GuestMode.Compatibility)
        {
            cpu.Efer = 0xD01;
        }

        cpu.Cr0 = 0x8001_0033;
        uint user = _user ? 0x60u : 0;
        cpu.SetSegment(SegmentName.Cs, _mode == GuestMode.Long
            ? new SegmentState { Selector = KernelCode, Limit = uint.MaxValue, Attributes = 0xA09B }
            : new SegmentState { Selector = _user ? UserCode32 : KernelCode32, Limit = uint.MaxValue, Attributes = 0xC09B | user });
        foreach (var name in new[] { SegmentName.Ds, SegmentName.Es, SegmentName.Ss })
        {
            cpu.SetSegment(name, new SegmentState { Selector = _user ? UserData : KernelData, Limit = uint.MaxValue, Attributes = 0xC093 | user });
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
    public void Map(ulong linear, ulong physical, ulong flags)
    {
        if (_mode == GuestMode.Legacy)
        {
            *(uint*)(Host + PlaceOfEntry(linear)) = (uint)(physical | flags);
        }
        else
        {
            Write(PlaceOfEntry(linear), physical | flags);
        }
    }

    /// <summary>Maps <see cref="TopPage"/>, of a machine that runs 32-bit code.</summary>
    public void MapTop(ulong physical) => Map(TopPage, physical, Present | Writable);

    /// <summary>Where the page-table entry of a linear page lies in this machine's mode.</summary>
    public ulong PlaceOfEntry(ulong linear)
    {
        ulong table = linear >= TopPage ? TopTable : Tables, page = linear >= TopPage ? _mode == GuestMode.Legacy ? 1023ul : 511 : linear >> 12;
        return table + (page * (_mode == GuestMode.Legacy ? 4ul : 8));
    }

    /// <summary>Where the page-table entry of a linear page lies.</summary>
    public static ulong EntryOf(ulong linear) => Tables + ((linear >> 12) * 8);

    /// <summary>Assembles code that runs at one address to another (a page's place in memory).</summary>
    public int Load(ulong physical, Action<Assembler> code, ulong? linear = null, int? bits = null)
    {
        byte[] bytes = Assemble(linear ?? physical, code, bits ?? (_mode == GuestMode.Long ? 64 : 32));
        bytes.CopyTo(new Span<byte>(Host + physical, bytes.Length));
        for (ulong page = physical >> 12; page <= (physical + (ulong)bytes.Length) >> 12; page++)
        {
            CodePageWritten(page);
        }

        return bytes.Length;
    }

    public static byte[] Assemble(ulong linear, Action<Assembler> code, int bits = 64)
    {
        var assembler = new Assembler(bits);
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

        if (Vector >= 0 && Cpu.GetGeneralRegister(4) <= MemoryBytes - 48)
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

    /// <summary>Called when a device is stored to.</summary>
    public Action? DeviceWritten { get; set; }

    public ulong ReadMmio(ulong address, int size) => address;

    public void WriteMmio(ulong address, int size, ulong value) => DeviceWritten?.Invoke();

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
        WriteDirectories();
        for (ulong page = 0; page < MemoryBytes; page += 4096)
        {
            Map(page, page, Present | Writable | (_user ? User : 0));
        }

        Write(Gdt + KernelCode, 0x00AF_9B00_0000_FFFF);
        Write(Gdt + KernelData, 0x00CF_9300_0000_FFFF);
        Write(Gdt + (UserCode & ~7ul), 0x00AF_FB00_0000_FFFF);
        Write(Gdt + (UserData & ~7ul), 0x00CF_F300_0000_FFFF);
        Write(Gdt + KernelCode32, 0x00CF_9B00_0000_FFFF);
        Write(Gdt + (UserCode32 & ~7ul), 0x00CF_FB00_0000_FFFF);
        Write(Gdt + ShiftedData, 0x00CF_F300_0000_FFFF | (ShiftedBase << 16));
        Write(Gdt + BasedData, 0x00CF_F300_0000_FFFF | (BasedBase << 16));
        Write(Gdt + LimitedData, 0x0040_F300_0000_0000 | (Data << 16) | Limit);
        bool wide = _mode is GuestMode.Long or GuestMode.Compatibility;
        Write(TaskState + 4, HandlerStackTop | (wide ? 0ul : (ulong)KernelData << 32));
        Write(TaskState + 36, HandlerStackTop);
        for (uint vector = 0; vector < 256; vector++)
        {
            ulong handler = Handlers + (vector * HandlerBytes);
            Memory[(int)handler] = 0xF4;
            ulong gate = (handler & 0xFFFF) | (0x8Eul << 40) | ((handler >> 16) << 48);
            Write(Idt + (vector * (wide ? 16ul : 8)), gate | (wide ? (KernelCode << 16) | (1ul << 32) : (ulong)KernelCode32 << 16));
        }
    }

    private void WriteDirectories()
    {
        if (_mode == GuestMode.Legacy)
        {
            for (ulong n = 0; n < MappedBytes >> 22; n++)
            {
                *(uint*)(Host + Directory + (n * 4)) = (uint)(Tables + (n << 12)) | 7;
            }

            for (ulong n = 255; n < 1024; n += 256)
            {
                *(uint*)(Host + Directory + (n * 4)) = (uint)TopTable | 7;
            }

            return;
        }

        ulong pointers = Directory + (_mode == GuestMode.Pae ? 0ul : 0x1000), rights = _mode == GuestMode.Pae ? 1ul : 7;
        if (_mode != GuestMode.Pae)
        {
            Write(Directory, pointers | 7);
        }

        Write(pointers, (Directory + 0x2000) | rights);
        for (ulong n = 1; n < 4; n++)
        {
            Write(pointers + (n * 8), TopDirectory | rights);
        }

        Write(Directory + 0x2000 + (511 * 8), TopTable | 7);
        Write(TopDirectory + (511 * 8), TopTable | 7);
        for (ulong n = 0; n < MappedBytes >> 21; n++)
        {
            Write(Directory + 0x2000 + (n * 8), (Tables + (n << 12)) | 7);
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
