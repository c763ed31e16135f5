using System.Buffers.Binary;
using Hypervisor.Engine.Native;
using Hypervisor.Engine.Processor;
using Hypervisor.Tests.Unit.Processor.Translation;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>
/// A processor whose memory lies between two zones that nothing may write to, with a page of ROM, a hole and device memory; it is
/// stopped every millisecond, so that endless loops end too.
/// </summary>
internal sealed unsafe partial class HostileMachine : IMemoryBus, IPortBus, ILocalApic, IDisposable
{
    private const ulong MemoryBytes = 1 << 20, ZoneBytes = 1 << 20, RomPage = 0xF_0000, HolePage = 0xA_0000;
    private const ulong Tables = 0x1000, TablePages = 8, Code = 0x4_0000, CodeBytes = 0x8000;
    private const byte Zone = 0xA5;

    private readonly Random _random;
    private readonly AnonymousMemory _memory = AnonymousMemory.Allocate((nuint)(MemoryBytes + (2 * ZoneBytes)));
    private readonly AnonymousMemory _attributes = AnonymousMemory.Allocate(4096);
    private readonly X86Processor[] _processors;
    private readonly Sibling[] _siblings;
    private readonly Thread _stopper;
    private volatile bool _done;

    /// <param name="seed">Of all that is random.</param>
    /// <param name="translated">Code is translated when it is met, where the host can run translations.</param>
    /// <param name="frames">So many pages of memory can be present at a time, and they come and go; 0 where they stay.</param>
    /// <param name="processors">How many there are; only dense cases run on all.</param>
    public HostileMachine(int seed, bool translated = false, int frames = 0, int processors = 1)
    {
        _random = new Random(seed);
        new Span<byte>((byte*)_memory.Address, (int)(MemoryBytes + (2 * ZoneBytes))).Fill(Zone);
        _random.NextBytes(Memory);
        _siblings = [.. Enumerable.Range(1, processors - 1).Select(index => new Sibling(this, index, seed))];
        _processors = [MakeProcessor(this, this, this, translated), .. _siblings.Select(sibling => MakeProcessor(sibling, sibling, sibling, translated))];
        if (frames != 0)
        {
            Pages = new MovingPages(Host, (int)(MemoryBytes / 4096), frames, seed, () => _processors);
            Pages.Start();
        }

        _stopper = new Thread(() =>
        {
            while (!_done)
            {
                Thread.Sleep(1);
                Array.ForEach(_processors, static cpu => cpu.RequestStop());
            }
        });
        _stopper.Start();
    }

    public X86Processor Cpu => _processors[0];

    /// <summary>Its pages, if they come and go.</summary>
    public MovingPages? Pages { get; }

    public byte* PageAttributeTable => (byte*)_attributes.Address;

    // Less than there is: pages beyond the table are legal.
    public ulong PageAttributeCount => (MemoryBytes / 4096) - 16;

    public bool HasInterrupt => _random.Next(64) == 0;

    public byte TaskPriority { get; set; }

    public ulong ApicBase => 0xFEE0_0900;

    private byte* Host => (byte*)_memory.Address + ZoneBytes;

    private Span<byte> Memory => new(Host, (int)MemoryBytes);

    /// <summary>New code and registers, and a run of at most a few milliseconds.</summary>
    /// <param name="mode">16: real mode. 32: protected mode. 33: with paging. 34: with PAE paging. 35: 32-bit code in long mode. 64: long mode.</param>
    public void RunCase(int mode)
    {
        Cpu.Reset();
        WriteCode();
        SetSystemState(mode);
        for (int register = 0; register < 16; register++)
        {
            Cpu.SetGeneralRegister(register, mode == 64 || _random.Next(8) == 0 ? RandomAddress() : (uint)RandomAddress());
        }

        Cpu.RflagsRegister = (ulong)_random.Next(0x40_0000) & ~(_random.Next(4) == 0 ? 0ul : 0x2_0100);
        Cpu.Rip = mode == 16 ? (ulong)_random.Next((int)CodeBytes) : Code + (ulong)_random.Next((int)CodeBytes);
        var reason = Cpu.Run();
        Pages?.ComeHome();
        Assert.InRange(reason, StopReason.Requested, StopReason.Shutdown);
        Assert.Equal(0ul, Cpu.State->Zero);
    }

    /// <summary>Asserts that the zones around the memory are as they were.</summary>
    public void CheckSurroundings()
    {
        Assert.Equal(-1, new Span<byte>(Host - ZoneBytes, (int)ZoneBytes).IndexOfAnyExcept(Zone));
        Assert.Equal(-1, new Span<byte>(Host + MemoryBytes, (int)ZoneBytes).IndexOfAnyExcept(Zone));
    }

    public byte* TryGetPage(ulong address, bool forWriting, out PagePresence presence)
    {
        bool exists = address < MemoryBytes && address != HolePage;
        if (Pages != null && exists && address != RomPage)
        {
            return Pages.TryGetPage(address, forWriting, out presence);
        }

        presence = !exists ? PagePresence.None : address == RomPage ? PagePresence.ReadOnly : PagePresence.Writable;
        return exists ? Host + address : null;
    }

    public void MakePresent(ulong address, bool forWriting) => Pages?.MakePresent(address, forWriting);

    public void CodePageWritten(ulong pageNumber)
    {
        Change(pageNumber, PageAttributes.None, PageAttributes.AllOfCode);
        Array.ForEach(_processors, cpu => cpu.InvalidateCodePage(pageNumber));
    }

    public void CodePageMarked(ulong pageNumber) => Marked(pageNumber, 0);

    public void TrackedPageWritten(ulong pageNumber) => Change(pageNumber, PageAttributes.None, PageAttributes.TrackWrites);

    public ulong ReadMmio(ulong address, int size) => (ulong)_random.NextInt64();

    public void WriteMmio(ulong address, int size, ulong value)
    {
        Assert.InRange(size, 1, 8);
        Disturb(_random);
    }

    uint IPortBus.Read(ushort port, int size) => (uint)_random.Next();

    void IPortBus.Write(ushort port, int size, uint value) => Assert.InRange(size, 1, 4);

    public int Acknowledge() => _random.Next(-1, 256);

    public bool TryReadMsr(uint index, out ulong value)
    {
        value = ApicBase;
        return true;
    }

    public bool TryWriteMsr(uint index, ulong value) => _random.Next(2) == 0;

    public void Dispose()
    {
        _done = true;
        _stopper.Join();
        Pages?.Stop();
        Array.ForEach(_processors, static cpu => cpu.Dispose());
        Pages?.Dispose();
        _memory.Dispose();
        _attributes.Dispose();
    }

    private void WriteCode()
    {
        // Prefixes, escapes and what is rare among random bytes, amid random bytes.
        ReadOnlySpan<byte> likely = [0x0F, 0x0F, 0x66, 0xF2, 0xF3, 0xF0, 0x48, 0x4C, 0x67, 0xC4, 0xC5, 0xD8, 0xDD, 0xDF, 0xA4, 0xA5, 0xAB, 0x64, 0x65, 0x2E, 0xC8, 0xCF, 0xCB, 0xEA, 0x38, 0x3A, 0xAE, 0xC7];
        var code = Memory.Slice((int)Code, (int)CodeBytes);
        if (_random.Next(16) == 0)
        {
            _random.NextBytes(code);
            for (int n = 0; n < code.Length; n += _random.Next(1, 6))
            {
                code[n] = likely[_random.Next(likely.Length)];
            }

            for (ulong page = Code >> 12; page < (Code + CodeBytes) >> 12; page++)
            {
                CodePageWritten(page);
            }
        }

        Change((ulong)_random.Next((int)PageAttributeCount), PageAttributes.TrackWrites, PageAttributes.None);
    }

    private void SetSystemState(int mode)
    {
        const uint Present = 0x80;
        bool flat = mode != 16 && _random.Next(2) == 0;
        uint size = mode == 64 ? 0xA000u : !flat && _random.Next(4) == 0 ? 0u : 0xC000u;
        uint privilege = mode != 16 && _random.Next(3) == 0 ? 3u : 0u;
        if (mode != 16)
        {
            WriteTables(mode);
            Cpu.Cr3 = Tables;
            Cpu.Cr4 = mode >= 34 ? 0x6F0u | ((uint)_random.Next(2) << 20) : 0x610;
            if (IsLong(mode))
            {
                Cpu.Efer = 0xD01;
            }

            Cpu.Cr0 = (mode == 32 ? 0x33u : 0x8000_0033 | ((uint)_random.Next(2) << 16)) | ((uint)_random.Next(2) << 18);
            if (_random.Next(4) == 0)
            {
                // VME, PVI, DE; PCID where it may be.
                Cpu.Cr4 |= (uint)_random.Next(16) & 0xBu | (IsLong(mode) ? 0x2_0000u : 0);
            }
        }

        Cpu.SetSegment(SegmentName.Cs, new SegmentState
        {
            Selector = mode == 16 ? (ushort)(Code >> 4) : (ushort)(8 | privilege),
            Base = mode == 16 ? Code : 0,
            Limit = mode == 16 ? 0xFFFF : !flat && _random.Next(4) == 0 ? (uint)(Code + CodeBytes) : uint.MaxValue,
            Attributes = mode == 16 ? 0x9B : size | 0x1B | Present | (privilege << 5),
        });
        foreach (var name in (SegmentName[])[SegmentName.Ds, SegmentName.Es, SegmentName.Ss, SegmentName.Fs, SegmentName.Gs])
        {
            bool whole = flat && name < SegmentName.Fs;
            uint type = whole || name == SegmentName.Ss || _random.Next(3) != 0 ? 3u : (uint)_random.Next(16);
            Cpu.SetSegment(name, new SegmentState
            {
                Selector = mode == 16 ? (ushort)_random.Next(0x10000) : (ushort)(16 | privilege),
                Base = !whole && _random.Next(3) == 0 ? RandomAddress() & (mode == 64 ? 0x7FFF_FFFF_FFFFul : mode == 16 ? 0xF_FFF0ul : uint.MaxValue) : 0,
                Limit = mode == 16 ? 0xFFFF : !whole && _random.Next(3) == 0 ? (uint)_random.Next(1 << 21) : uint.MaxValue,
                Attributes = 0x4010 | type | Present | (privilege << 5),
            });
        }

        bool tables = _random.Next(2) == 0;
        if (_random.Next(4) == 0)
        {
            for (int number = 0; number < 4; number++)
            {
                Cpu.SetDebug(number, RandomAddress());
            }

            Cpu.SetDebug(7, (ulong)_random.NextInt64());
        }

        Cpu.Gdtr = (tables ? RandomAddress() : 0x2_0000, (ushort)_random.Next(0x10000));
        Cpu.Idtr = (tables ? RandomAddress() : 0x3_0000, tables ? (ushort)0xFFF : (ushort)0);
        if (tables && _random.Next(2) == 0)
        {
            Cpu.SetSegment(SegmentName.Tr, new SegmentState { Selector = 0x28, Base = RandomAddress() & 0x7FFF_FFFF, Limit = (uint)_random.Next(0x3000), Attributes = _random.Next(4) == 0 ? 0x83u : 0x8B });
            WriteSystemDescriptors();
            Cpu.SetSegment(SegmentName.Ldtr, new SegmentState { Selector = 0x30, Base = RandomAddress() & 0x7FFF_FFFF, Limit = (uint)_random.Next(0x3000), Attributes = 0x82 });
        }
    }

    // Descriptors of tasks and gates among the random ones, in both tables.
    private void WriteSystemDescriptors()
    {
        ReadOnlySpan<byte> types = [0x81, 0x84, 0x85, 0x89, 0x8B, 0x8C, 0x8E, 0xE4, 0xE5, 0xEC, 0xEE, 0xEF, 0x9B, 0xFB, 0x93, 0xF3, 0x82];
        for (int at = 0x2_0000; at < 0x3_1000; at += 8)
        {
            ulong value = (ulong)_random.NextInt64() & 0x00FF_00FF_FFFF_FFFF;
            value = (value & ~0xFFFF_0000ul) | ((ulong)_random.Next(0x80) << 19);
            BinaryPrimitives.WriteUInt64LittleEndian(Memory[at..], value | ((ulong)types[_random.Next(types.Length)] << 40));
        }
    }

    // Tables that mostly map something: onto themselves and each other, onto memory, holes and beyond, with any rights.
    private void WriteTables(int mode)
    {
        for (ulong at = Tables; at < Tables + (TablePages * 4096); at += 8)
        {
            ulong page = _random.Next(8) switch
            {
                0 => (ulong)_random.NextInt64() & 0x000F_FFFF_FFFF_F000,
                1 => HolePage,
                2 => RomPage,
                < 5 => Tables + ((ulong)_random.Next((int)TablePages) << 12),
                _ => (ulong)_random.Next(256) << 12,
            };
            ulong rights = (uint)_random.Next(0x1000) | (_random.Next(16) == 0 ? 0ul : 7);
            ulong entry = page | (rights & (_random.Next(4) == 0 ? ~0ul : ~0x80ul)) | (_random.Next(16) == 0 ? 1ul << 63 : 0);
            BinaryPrimitives.WriteUInt64LittleEndian(Memory[(int)at..], mode == 33 ? (uint)entry | ((ulong)(uint)(page | 7) << 32) : entry);
        }

        // Where the code lies, it can usually be fetched.
        void Put(ulong address, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(Memory[(int)address..], value);
        switch (mode)
        {
            case 33:
                BinaryPrimitives.WriteUInt32LittleEndian(Memory[(int)Tables..], (uint)(Tables + 0x3000) | 7);
                for (ulong n = 0; n < 256; n++)
                {
                    BinaryPrimitives.WriteUInt32LittleEndian(Memory[(int)(Tables + 0x3000 + (n * 4))..], (uint)(n << 12) | 7);
                }

                break;
            case 34:
                Put(Tables, (Tables + 0x1000) | 1);
                Put(Tables + 0x1000, (Tables + 0x2000) | 7);
                break;
            case 35 or 64:
                Put(Tables, (Tables + 0x3000) | 7);
                Put(Tables + 0x3000, (Tables + 0x1000) | 7);
                Put(Tables + 0x1000, (Tables + 0x2000) | 7);
                break;
        }

        for (ulong n = 0; mode >= 34 && n < 256; n++)
        {
            Put(Tables + 0x2000 + (n * 8), (n << 12) | 7);
        }
    }

    private static bool IsLong(int mode) => mode is 35 or 64;

    private ulong RandomAddress() => RandomAddress(_random);

    private static ulong RandomAddress(Random random) => random.Next(10) switch
    {
        0 => (ulong)random.NextInt64() << 1,
        1 => 0xFFFF_FFFF_FFFF_FFFF - (ulong)random.Next(64),
        2 => 0xFFFF_FFFF - (ulong)random.Next(64),
        3 => 0x7FFF_FFFF_FFFF - (ulong)random.Next(64),
        4 => (MemoryBytes - 32) + (ulong)random.Next(64),
        5 => ((ulong)random.Next(257) << 12) - (ulong)random.Next(32),
        6 => HolePage - 16 + (ulong)random.Next(32),
        _ => (ulong)random.Next((int)MemoryBytes),
    };

    // Where an operand lies half in another page, half in a device, half in memory that cannot be written.
    private static ulong RandomEdge(Random random)
    {
        ulong page = random.Next(4) switch
        {
            0 => (ulong)random.Next(1, 257) << 12,
            1 => RomPage + ((ulong)random.Next(2) << 12),
            _ => HolePage + ((ulong)random.Next(2) << 12),
        };
        return page - (ulong)random.Next(16);
    }
}
