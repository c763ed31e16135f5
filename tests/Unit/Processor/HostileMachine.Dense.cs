using System.Buffers.Binary;
using Hypervisor.Engine.Processor;
using Hypervisor.Tests.Unit.Processor.Oracle;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

// Cases that go on: exceptions lead to a handler with a good stack, which goes on at a random place of the hostile memory with other
// registers, in the kernel's mode or the user's. Whoever is stopped gets other registers, too, and now and then other control bits.
internal sealed unsafe partial class HostileMachine
{
    private const int Snippets = 2000, RefilledBytes = 0x1_0000;
    private const ulong GoodGdt = 0x2_0000, GoodIdt = 0x3_0000, GoodTask = 0x3_4000, GoodStack = 0x3_F000, GoodHandler = 0x3_8000, Seed = 0x3_9000, DenseEnd = 0xA_0000;
    private const ushort TaskSelector = 0x38, DataSelector = 0x10, UserCodeSelector = 0x1B, UserDataSelector = 0x23;

    // In real mode the handler and its seed lie at the end of the code's segment.
    private const uint RealHandler = 0xFF00, RealSeed = 0xFFF0;

    // What no generator of comparable cases makes: branches of all kinds, system instructions, segments, string instructions.
    private static readonly byte[][] SystemSnippets =
    [
        [0xEB, 0x05], [0xEB, 0xF0], [0x74, 0x20], [0x75, 0xE0], [0xE9, 0x00, 0x01, 0x00, 0x00], [0xE9, 0x00, 0xF0, 0xFF, 0xFF], [0xE8, 0x40, 0x00, 0x00, 0x00],
        [0xE8, 0x00, 0xE0, 0xFF, 0xFF], [0xC3], [0xC2, 0x08, 0x00], [0xFF, 0xE0], [0xFF, 0xD3], [0xFF, 0x25, 0, 0, 0, 0], [0xFF, 0x14, 0x24], [0xFF, 0x30], [0x8F, 0x03],
        [0xE2, 0xFA], [0xE3, 0x04], [0xCC], [0xCD, 0x80], [0x0F, 0x05], [0x0F, 0x07], [0x48, 0x0F, 0x07], [0x0F, 0x34], [0x0F, 0x35], [0x48, 0xCF], [0xCF], [0xCB],
        [0x9C, 0x9D], [0x9D], [0xFA], [0xFB], [0xFC], [0xFD], [0xF4], [0x0F, 0x01, 0xCA], [0x0F, 0x01, 0xCB], [0x0F, 0x01, 0xF8], [0x0F, 0x01, 0xF9],
        [0x0F, 0x20, 0xC0], [0x0F, 0x22, 0xC0], [0x0F, 0x20, 0xD1], [0x0F, 0x20, 0xDA], [0x0F, 0x22, 0xD8], [0x0F, 0x20, 0xE3], [0x0F, 0x22, 0xE3], [0x44, 0x0F, 0x20, 0xC0],
        [0x0F, 0x30], [0x0F, 0x32], [0x0F, 0x31], [0x0F, 0xA2], [0x0F, 0x01, 0x38], [0x0F, 0x01, 0xD1], [0x0F, 0x06], [0x0F, 0x08], [0x0F, 0x23, 0xF8], [0x0F, 0x21, 0xF0],
        [0x8E, 0xD8], [0x8E, 0xD0], [0x8C, 0xC8], [0x66, 0x8C, 0xDB], [0x8C, 0x08], [0x8E, 0xE8], [0x1F], [0x0F, 0xA1], [0x0F, 0xB2, 0x23],
        [0xA4], [0xF3, 0xA4], [0xF3, 0x48, 0xA5], [0xF3, 0xA5], [0x66, 0xF3, 0xA5], [0xAA], [0xF3, 0xAA], [0xF3, 0x48, 0xAB], [0x67, 0xF3, 0xA4], [0x64, 0xF3, 0xA4], [0xF2, 0xAA],
        [0xAC], [0xF3, 0xAD], [0xA6], [0xF3, 0xA6], [0xF2, 0xAE], [0x6C], [0xF3, 0x6E], [0xE4, 0x60], [0xEE], [0xC8, 0x10, 0x00, 0x02], [0xC9], [0x0F, 0xC7, 0xF0],
        [0x87, 0x03], [0x48, 0x87, 0x03], [0xF0, 0x01, 0x03], [0xF0, 0x48, 0x11, 0x03], [0xF0, 0xFF, 0x03], [0xF0, 0xF7, 0x1B], [0xF0, 0x0F, 0xC1, 0x03], [0xF0, 0x0F, 0xBA, 0x2B, 0x05],
        [0xF0, 0x0F, 0xB1, 0x0B], [0xF0, 0x48, 0x0F, 0xB1, 0x0B], [0xF0, 0x0F, 0xC7, 0x0B], [0xF0, 0x48, 0x0F, 0xC7, 0x0B], [0xF3, 0x6D], [0xF3, 0x6F],
        [0xB9, 0x40, 0x00, 0x00, 0x00], [0xB9, 0x00, 0x10, 0x00, 0x00], [0x48, 0x89, 0xE7], [0x48, 0x8D, 0x35, 0xE0, 0xFF, 0xFF, 0xFF], [0x48, 0x8D, 0x3D, 0x10, 0, 0, 0],
    ];

    private byte[][]? _snippets;
    private byte[] _handler = [];

    /// <summary>A machine as for <see cref="RunCase"/>, with tables that are in order, goes on for as many stops.</summary>
    public void RunDense(int mode, int stops)
    {
        Pages?.ComeHome();
        Cpu.Reset();
        Refill();
        SetSystemState(mode);
        WriteGoodTables(mode);
        WriteHandler(mode);
        using var siblings = new SiblingRun(this, mode, stops);
        for (int n = 0; n < stops; n++)
        {
            Scatter(Cpu, _random, mode, GoodStack);
            var reason = Cpu.Run();
            Assert.InRange(reason, StopReason.Requested, StopReason.Shutdown);
            Assert.Equal(0ul, Cpu.State->Zero);
            if (reason == StopReason.Shutdown || (Pages == null && !IsHandlerIntact(mode)))
            {
                return;
            }
        }
    }

    // Other registers, another place, in a 64th of the cases another control bit.
    private static void Scatter(X86Processor cpu, Random random, int mode, ulong stack)
    {
        for (int register = 0; register < 16; register++)
        {
            if (random.Next(4) != 0)
            {
                cpu.SetGeneralRegister(register, random.Next(8) == 0 ? RandomEdge(random)
                    : mode == 64 && random.Next(4) == 0 ? RandomAddress(random) : (ulong)random.Next((int)MemoryBytes));
            }
        }

        if (mode != 16)
        {
            cpu.SetGeneralRegister(4, stack - 0x800 - (8 * (ulong)random.Next(32)));
        }

        cpu.RflagsRegister = (ulong)random.Next(0x40_0000) & (random.Next(8) == 0 ? ~0x2_0000ul : ~0x2_4100ul);
        cpu.Rip = RandomPlace(random, mode);
        switch (random.Next(64))
        {
            case 0:
                cpu.Cr0 ^= 1ul << random.Next(1, 6);
                break;
            case 1:
                cpu.Cr0 ^= random.Next(2) == 0 ? 0x1_0000ul : 0x4_0000ul;
                break;
            case 2:
                cpu.Cr4 ^= (1ul << random.Next(0, 12)) & 0xFDF;
                break;
            case 3:
                cpu.Cr4 ^= 1ul << random.Next(16, 22);
                break;
            case 4:
                cpu.FlushPhysicalMappings();
                break;
        }
    }

    private static ulong RandomPlace(Random random, int mode) =>
        mode == 16 ? (ulong)random.Next(0x1_0000) : Code + (ulong)random.Next((int)(DenseEnd - Code));

    // A part of the hostile memory: snippets whole and damaged, bytes that are rare, and just any.
    private void Refill()
    {
        var snippets = _snippets ??= MakeSnippets();
        int start = (int)Code + (_random.Next((int)((DenseEnd - Code) / RefilledBytes)) * RefilledBytes);
        var part = Memory.Slice(start, RefilledBytes);
        _random.NextBytes(part);
        for (int at = 0; at < part.Length - 32;)
        {
            var snippet = _random.Next(3) == 0 ? SystemSnippets[_random.Next(SystemSnippets.Length)] : snippets[_random.Next(snippets.Length)];
            int length = Math.Min(snippet.Length, part.Length - at);
            snippet.AsSpan(0, length).CopyTo(part[at..]);
            if (_random.Next(6) == 0)
            {
                part[at + _random.Next(length)] ^= (byte)(1 << _random.Next(8));
            }

            at += length + (_random.Next(24) == 0 ? _random.Next(20) : 0);
        }

        for (ulong page = (ulong)start >> 12; page < ((ulong)start + RefilledBytes) >> 12; page++)
        {
            CodePageWritten(page);
        }
    }

    private byte[][] MakeSnippets()
    {
        var made = new List<byte[]>();
        for (int n = 0; n < Snippets; n++)
        {
            var codes = (n % 3) switch
            {
                0 => InstructionSets.Vector,
                _ => InstructionSets.Integer,
            };
            byte[] code = new CaseGenerator(codes, _random.Next()).Make(null).Code;
            if (code.Length > 0)
            {
                made.Add(code);
            }
        }

        return [.. made];
    }

    // Descriptors, a task with stacks, and a gate for each vector that leads anywhere.
    private void WriteGoodTables(int mode)
    {
        void Put(ulong address, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(Memory[(int)address..], value);
        bool wide = IsLong(mode);
        ulong narrow = 0x00CF_9B00_0000_FFFFul, code = wide ? 0x00AF_9B00_0000_FFFFul : narrow, userCode = mode == 64 ? code : narrow, data = 0x00CF_9300_0000_FFFFul, user = 0x0000_6000_0000_0000ul;
        ulong[] descriptors = [0, code, data, userCode | user, data | user, data | user, userCode | user];
        for (int n = 0; n < descriptors.Length; n++)
        {
            Put(GoodGdt + (8 * (ulong)n), descriptors[n]);
        }

        Put(GoodGdt + TaskSelector, 0x0000_8900_0000_0067 | (GoodTask << 16));
        Put(GoodGdt + TaskSelector + 8, 0);
        Memory.Slice((int)GoodTask, 0x80).Clear();
        Put(GoodTask + 4, GoodStack | (wide ? 0 : 0x10ul << 32));
        Put(GoodTask + 0x24, GoodStack - 0x400);
        for (ulong n = 1; n <= (ulong)_siblings.Length; n++)
        {
            // The same with stacks of its own.
            Memory.Slice((int)GoodTask, 0x80).CopyTo(Memory[(int)TaskOf(n)..]);
            Put(TaskOf(n) + 4, StackOf(n) | (wide ? 0 : 0x10ul << 32));
            Put(TaskOf(n) + 0x24, StackOf(n) - 0x400);
        }

        for (int vector = 0; vector < 256; vector++)
        {
            ulong place = _random.Next(16) == 0 ? RandomPlace(_random, mode) : mode == 16 ? RealHandler : GoodHandler;
            if (mode == 16)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(Memory[(int)(GoodIdt + (4 * (ulong)vector))..], (uint)(Code >> 4 << 16) | (uint)place);
                continue;
            }

            // An interrupt or a trap gate, for everybody or for CPL 0, with a stack of its own or without.
            uint type = (_random.Next(2) == 0 ? 0x8Eu : 0x8Fu) | (_random.Next(4) != 0 ? 0x60u : 0), stack = wide && _random.Next(4) != 0 ? 1u : 0;
            ulong gate = (place & 0xFFFF) | (8 << 16) | ((ulong)stack << 32) | ((ulong)type << 40) | (place >> 16 << 48);
            Put(GoodIdt + ((wide ? 16ul : 8) * (ulong)vector), gate);
            if (wide)
            {
                Put(GoodIdt + (16ul * (ulong)vector) + 8, 0);
            }
        }

        if (mode != 16)
        {
            Cpu.SetSegment(SegmentName.Ss, new SegmentState { Selector = DataSelector, Base = 0, Limit = uint.MaxValue, Attributes = 0xC093u | (uint)(Cpu.State->Cpl << 5) });
        }

        Cpu.Gdtr = (GoodGdt, 0x7F);
        Cpu.Idtr = (GoodIdt, (ushort)(mode == 16 ? 0x3FF : wide ? 0xFFF : 0x7FF));
        if (mode != 16)
        {
            Cpu.SetSegment(SegmentName.Tr, new SegmentState { Selector = TaskSelector, Base = GoodTask, Limit = 0x67, Attributes = 0x8B });
            for (ulong page = GoodGdt >> 12; page < Code >> 12; page++)
            {
                CodePageWritten(page);

                // For the kernel only: also where it may not fetch the user's code (SMEP).
                const byte UserAllowed = 4;
                int entry = (int)(mode == 33 ? Tables + 0x3000 + (page * 4) : Tables + 0x2000 + (page * 8));
                Memory[entry] &= unchecked((byte)~UserAllowed);
            }
        }
    }

    // Takes numbers from a linear congruential generator in memory.
    private void WriteHandler(int mode)
    {
        var a = new Assembler(IsLong(mode) ? 64 : mode == 16 ? 16 : 32);
        var seed = mode == 16 ? __dword_ptr.cs[(int)RealSeed] : __dword_ptr.ss[(int)Seed];
        var stay = a.CreateLabel();
        a.imul(eax, seed, 0x19660D);
        a.add(eax, 0x3C6EF35F);
        if (mode != 16)
        {
            a.mov(seed, eax);
        }
        else
        {
            // Its own segment cannot be relied on for writing, but every stack is good.
            a.push(ds);
            a.push(cs);
            a.pop(ds);
            a.mov(__dword_ptr[(int)RealSeed], eax);
            a.pop(ds);
        }

        a.mov(edi, eax);
        a.shr(edi, 12);
        a.imul(esi, eax, 0x1234567);
        a.shr(esi, 12);
        a.mov(ebx, edi);
        a.and(ebx, -64);
        a.mov(ebp, esi);
        a.mov(ecx, (uint)(mode == 16 ? RealHandler : DenseEnd - Code));
        a.xor(edx, edx);
        a.shr(eax, 4);
        a.div(ecx);
        a.mov(ecx, edi);
        a.and(ecx, 63);
        if (mode == 16)
        {
            a.jmp(dx);
        }
        else
        {
            a.add(edx, (uint)Code);
            a.test(edi, 1);
            a.jz(stay);
            EmitReturnToUser(a, wide: IsLong(mode));
            a.Label(ref stay);
            if (IsLong(mode))
            {
                a.jmp(rdx);
            }
            else
            {
                a.jmp(edx);
            }
        }

        using var stream = new MemoryStream();
        a.Assemble(new StreamCodeWriter(stream), mode == 16 ? RealHandler : GoodHandler);
        ulong at = mode == 16 ? Code + RealHandler : GoodHandler;
        _handler = stream.ToArray();
        _handler.CopyTo(Memory[(int)at..]);
        BinaryPrimitives.WriteInt32LittleEndian(Memory[(int)(mode == 16 ? Code + RealSeed : Seed)..], _random.Next());
        CodePageWritten(at >> 12);
    }

    private bool IsHandlerIntact(int mode) =>
        Memory.Slice((int)(mode == 16 ? Code + RealHandler : GoodHandler), _handler.Length).SequenceEqual(_handler);

    private static void EmitReturnToUser(Assembler a, bool wide)
    {
        a.mov(eax, (uint)UserDataSelector);
        a.mov(ds, ax);
        a.mov(es, ax);
        a.push(UserDataSelector);
        if (wide)
        {
            a.push(rbp);
            a.push(0x202);
            a.push(UserCodeSelector);
            a.push(rdx);
            a.iretq();
        }
        else
        {
            a.push(ebp);
            a.push(0x202);
            a.push(UserCodeSelector);
            a.push(edx);
            a.iretd();
        }
    }
}
