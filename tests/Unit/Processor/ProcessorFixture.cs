using Hypervisor.Engine.Native;
using Hypervisor.Engine.Processor;
using Hypervisor.Tests.Unit.Processor.Translation;
using Iced.Intel;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>A processor with 4 MB of memory, 64-bit mode set up by hand, identity-mapped; code ends with HLT.</summary>
internal sealed unsafe class ProcessorFixture : IMemoryBus, IPortBus, ILocalApic, IDisposable
{
    public const ulong MemoryBytes = 4 << 20;
    public const ulong CodeAddress = 0x10_0000;
    public const ulong StackTop = 0x20_0000;
    public const ulong DataAddress = 0x30_0000;
    private const ulong PageTables = 0x8000;

    private readonly AnonymousMemory _memory = AnonymousMemory.Allocate((nuint)MemoryBytes);
    private readonly AnonymousMemory _attributes = AnonymousMemory.Allocate(4096);
    private readonly Lock _busLock = new();
    private readonly Lock _codeLock = new();
    private readonly List<X86Processor> _processors = [];
    private readonly MovingPages? _pages;

    public ProcessorFixture(int bits = 64, int level = 0)
    {
        Cpu = Make(level, translate: true);
        _pages = MovingPages.IfWanted((byte*)_memory.Address, (int)(MemoryBytes / 4096), () => [.. _processors]);
        Bits = bits;
        if (bits == 16)
        {
            Cpu.SetSegment(SegmentName.Cs, new SegmentState { Limit = 0xFFFF, Attributes = 0x9B });
            Cpu.SetGeneralRegister(4, 0xFFF0);
            return;
        }

        if (bits == 64)
        {
            // One 2 MB page each, user-accessible.
            Write(PageTables, PageTables + 0x1007);
            Write(PageTables + 0x1000, PageTables + 0x2007);
            for (ulong n = 0; n < 512; n++)
            {
                Write(PageTables + 0x2000 + (n * 8), (n << 21) | 0x87);
            }

        }

        EnterFlatMode(Cpu);
    }

    public X86Processor Cpu { get; }

    public int Bits { get; }

    public List<(ushort Port, int Size, uint Value)> Output { get; } = [];

    /// <summary>Called with each write to a port, on the processor's thread.</summary>
    public Action PortWritten { get; set; } = static () => { };

    public List<(ulong Address, int Size, ulong Value)> MmioWrites { get; } = [];

    public byte PendingVector { get; set; }

    /// <summary>Whatever the test does, somebody asks once for the pages of the memory that are stored to.</summary>
    public void Watch(ulong address) => PageAttributeTable[address >> 12] |= (byte)PageAttributes.TrackWrites;

    /// <summary>The memory as it is while no processor runs.</summary>
    public byte* Host
    {
        get
        {
            _pages?.ComeHome();
            return (byte*)_memory.Address;
        }
    }

    public byte* PageAttributeTable => (byte*)_attributes.Address;

    public ulong PageAttributeCount => MemoryBytes / 4096;

    public bool HasInterrupt => PendingVector != 0;

    public byte TaskPriority { get; set; }

    public ulong ApicBase => 0xFEE0_0900;

    /// <summary>Another processor of the machine, in the same mode and with the same memory.</summary>
    public X86Processor AddProcessor(bool translate)
    {
        var other = Make(0, translate);
        EnterFlatMode(other);
        return other;
    }

    /// <summary>Assembles code to an address.</summary>
    public void Load(ulong address, Action<Assembler> code)
    {
        var assembler = new Assembler(Bits);
        code(assembler);
        using var stream = new MemoryStream();
        assembler.Assemble(new StreamCodeWriter(stream), address);
        stream.ToArray().CopyTo(new Span<byte>(Host + address, (int)stream.Length));
    }

    /// <summary>Runs code, to which HLT is added, and returns why it stopped.</summary>
    public StopReason Execute(Action<Assembler> code)
    {
        ulong address = Bits == 16 ? 0x1000 : CodeAddress;
        Load(address, assembler =>
        {
            code(assembler);
            assembler.hlt();
        });
        Cpu.InvalidateCodePage(address >> 12);
        Cpu.Rip = address;
        return Cpu.Run();
    }

    public void Write(ulong address, ulong value) => *(ulong*)(Host + address) = value;

    public ulong Read(ulong address) => *(ulong*)(Host + address);

    public byte* TryGetPage(ulong address, bool forWriting, out PagePresence presence)
    {
        if (_pages != null && address < MemoryBytes)
        {
            return _pages.TryGetPage(address, forWriting, out presence);
        }

        if (forWriting && address < MemoryBytes)
        {
            StoreAhead?.Invoke(address);
        }

        presence = address < MemoryBytes ? PagePresence.Writable : PagePresence.None;
        return address < MemoryBytes ? (byte*)_memory.Address + address : null;
    }

    public void MakePresent(ulong address, bool forWriting) => _pages?.MakePresent(address, forWriting);

    public void CodePageWritten(ulong pageNumber) => Cpu.InvalidateCodePage(pageNumber);

    /// <summary>Pages come and go in all machines of the tests.</summary>
    public bool PagesMove => _pages != null;

    /// <summary>Called with a page that is asked for to store to.</summary>
    public Action<ulong>? StoreAhead { get; set; }

    /// <summary>What devices answer; their address, unless a test says otherwise.</summary>
    public Func<ulong, ulong> Devices { get; set; } = static address => address;

    public ulong ReadMmio(ulong address, int size) => Devices(address);

    public void WriteMmio(ulong address, int size, ulong value) => MmioWrites.Add((address, size, value));

    uint IPortBus.Read(ushort port, int size) => port;

    void IPortBus.Write(ushort port, int size, uint value)
    {
        Output.Add((port, size, value));
        PortWritten();
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

    private X86Processor Make(int level, bool translate)
    {
        var cpu = new X86Processor(new ProcessorOptions
        {
            Index = 0,
            ProcessorCount = 1,
            Memory = this,
            Ports = this,
            Timestamp = new TimestampCounter(),
            BusLock = _busLock,
            CodeLock = _codeLock,
            FeatureLevel = level,
            Translate = translate,
        })
        {
            LocalApic = this,
        };
        _processors.Add(cpu);
        return cpu;
    }

    private void EnterFlatMode(X86Processor cpu)
    {
        if (Bits == 64)
        {
            cpu.Cr3 = PageTables;
            cpu.Cr4 = 0x620;
            cpu.Efer = 0xD01;
        }

        cpu.Cr0 = Bits == 64 ? 0x8000_0033 : 0x33;
        uint size = Bits == 64 ? 0xA000u : 0xC000u;
        cpu.SetSegment(SegmentName.Cs, new SegmentState { Selector = 8, Limit = uint.MaxValue, Attributes = size | 0x9B });
        foreach (var name in new[] { SegmentName.Ds, SegmentName.Es, SegmentName.Ss })
        {
            cpu.SetSegment(name, new SegmentState { Selector = 16, Limit = uint.MaxValue, Attributes = 0xC093 });
        }

        cpu.SetGeneralRegister(4, StackTop);
    }

    public void Dispose()
    {
        _pages?.Finish();
        Cpu.Dispose();
        _memory.Dispose();
        _attributes.Dispose();
    }
}
