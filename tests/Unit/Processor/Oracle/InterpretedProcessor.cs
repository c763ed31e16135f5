using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Hypervisor.Engine.Processor;
using Hypervisor.Tests.Unit.Processor.Translation;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>
/// Runs the same code in the software processor, at privilege level 3 of a guest with the smallest kernel there can be: every
/// vector's handler writes to a port, which stops the processor.
/// </summary>
internal sealed unsafe class InterpretedProcessor : IDisposable
{
    private const ulong Pml4 = 0x1000, Pdpt = 0x2000, Directory = 0x3000, CodeTable = 0x4000, DataTable = 0x5000, KernelTable = 0x6000;
    private const ulong Gdt = 0x7000, Tss = 0x8000, Idt = 0x9000, Handlers = 0xA000, StackTop = 0xD000;
    private const ulong CodePage = 0x10000, DataPage = 0x12000, MemoryBytes = 0x20000;
    private const ushort KernelCode = 0x08, UserData = 0x2B, UserCode = 0x33, TaskSegment = 0x40;
    private const int EndVector = 0x80;

    private readonly FlatMemory _memory = new();
    private readonly X86Processor _cpu;
    private readonly SegmentFile _segments;

    /// <param name="translated">Every block is translated when it is met, where the host can run translations.</param>
    /// <param name="frames">So many pages of memory can be present at a time, and they move; 0 where they stay.</param>
    /// <param name="seed">Of the pages' movements.</param>
    /// <param name="bits">Width of the code: 64, or 32 in compatibility mode with flat segments.</param>
    public InterpretedProcessor(bool translated = false, int frames = 0, int seed = 0, int bits = 64)
    {
        BuildTables();
        Write(Gdt + (UserCode & ~7u), bits == 64 ? 0x00AF_FB00_0000_FFFFul : 0x00CF_FB00_0000_FFFF);
        _cpu = new X86Processor(new ProcessorOptions
        {
            Index = 0,
            ProcessorCount = 1,
            Memory = _memory,
            Ports = new StopPort(this),
            Timestamp = new TimestampCounter(1_000_000_000),
            Translate = translated,
            TranslationThreshold = 1,
        })
        {
            LocalApic = new SilentApic(),
        };
        _memory.Processor = _cpu;
        if (frames != 0)
        {
            _memory.Pages = new MovingPages(_memory.Bytes, (int)(MemoryBytes >> 12), frames, seed, () => [_cpu]);
        }

        _cpu.Cr3 = Pml4;
        _cpu.Cr4 = X86Processor.Cr4Pae | X86Processor.Cr4Osfxsr | X86Processor.Cr4Osxmmexcpt | X86Processor.Cr4Osxsave;
        _cpu.Efer = X86Processor.EferLme | X86Processor.EferLma | X86Processor.EferNxe | X86Processor.EferSce;
        _cpu.Cr0 = X86Processor.Cr0Pe | X86Processor.Cr0Pg | X86Processor.Cr0Ne | X86Processor.Cr0Mp | X86Processor.Cr0Wp | X86Processor.Cr0Am;
        _cpu.State->Xcr0 = 7;
        _cpu.Gdtr = (Gdt, 0x4F);
        _cpu.Idtr = (Idt, 0xFFF);
        _cpu.SetSegment(SegmentName.Tr, new SegmentState { Base = Tss, Limit = 0x67, Attributes = 0x8B, Selector = TaskSegment });
        _cpu.SetSegment(SegmentName.Cs, new SegmentState { Limit = 0xFFFF_FFFF, Attributes = bits == 64 ? 0xA0FBu : 0xC0FB, Selector = UserCode });
        _cpu.SetSegment(SegmentName.Ss, new SegmentState { Limit = 0xFFFF_FFFF, Attributes = 0xC0F3, Selector = UserData });
        foreach (var name in new[] { SegmentName.Ds, SegmentName.Es, SegmentName.Fs, SegmentName.Gs })
        {
            _cpu.SetSegment(name, new SegmentState { Attributes = SegmentState.Unusable });
        }

        foreach (var name in bits == 32 ? (SegmentName[])[SegmentName.Ds, SegmentName.Es] : [])
        {
            _cpu.SetSegment(name, new SegmentState { Limit = 0xFFFF_FFFF, Attributes = 0xC0F3, Selector = UserData });
        }

        _segments = _cpu.State->Segments;
    }

    /// <summary>Its pages, if they move.</summary>
    public MovingPages? Pages => _memory.Pages;

    /// <summary>The scratch memory.</summary>
    public Span<byte> Data => new(_memory.Bytes + DataPage, OracleLayout.DataBytes);

    /// <summary>Runs a block; the state is replaced by what it leaves.</summary>
    public void Run(ReadOnlySpan<byte> code, ref MachineState state)
    {
        byte* at = _memory.Bytes + CodePage;
        new Span<byte>(at, 4096).Clear();
        code.CopyTo(new Span<byte>(at, 2048));
        at[code.Length] = 0xCD;
        at[code.Length + 1] = EndVector;
        _cpu.InvalidateCodePage(CodePage >> 12);

        var registers = _cpu.State;
        registers->Segments = _segments;
        for (int n = 0; n < 16; n++)
        {
            registers->Gpr[n] = state.Gpr[n];
        }

        _cpu.RflagsRegister = state.Rflags;
        _cpu.DeriveMode();
        registers->Rip = OracleLayout.Code;
        registers->Cr2 = 0;
        fixed (byte* fx = state.Fx)
        {
            ExtendedState.LoadX87(registers, fx, wide: true);
            ExtendedState.LoadXmm(registers, fx, 16);
            registers->Mxcsr = *(uint*)(fx + ExtendedState.MxcsrOffset);
        }

        fixed (byte* upper = state.Upper)
        {
            ExtendedState.LoadUpper(registers, upper, 16);
        }

        var reason = _cpu.Run();
        _memory.Pages?.ComeHome();
        ulong rip = registers->Rip;
        if (reason != StopReason.Requested || rip < Handlers || rip >= Handlers + 4096)
        {
            throw new InvalidOperationException($"The software processor stopped with {reason} at {rip:x}h.");
        }

        int vector = (int)((rip - Handlers) / 16);
        ulong* frame = (ulong*)(_memory.Bytes + registers->Gpr[4]);
        bool hasCode = vector is 8 or (>= 10 and <= 14) or 17;
        state.ErrorCode = hasCode ? frame[0] : 0;
        frame += hasCode ? 1 : 0;
        for (int n = 0; n < 16; n++)
        {
            state.Gpr[n] = registers->Gpr[n];
        }

        state.Gpr[4] = frame[3];
        state.Rflags = frame[2];
        state.Rip = frame[0];
        state.Vector = vector;
        state.Cr2 = vector == 14 ? registers->Cr2 : 0;
        if (vector == EndVector && state.Rip == OracleLayout.Code + (ulong)code.Length + 2)
        {
            state.Vector = -1;
            state.Rip = 0;
        }

        fixed (byte* fx = state.Fx)
        {
            ExtendedState.StoreX87(registers, fx, wide: true);
            ExtendedState.StoreXmm(registers, fx, 16);
            ExtendedState.StoreMxcsr(registers, fx);
        }

        fixed (byte* upper = state.Upper)
        {
            ExtendedState.StoreUpper(registers, upper, 16);
        }
    }

    public void Dispose()
    {
        _cpu.Dispose();
        _memory.Dispose();
    }

    private void BuildTables()
    {
        const ulong user = 7, supervisor = 3, noExecute = 1ul << 63;
        Write(Pml4, Pdpt | user);
        Write(Pdpt, Directory | user);
        Write(Directory, KernelTable | supervisor);
        ulong directoryIndex = OracleLayout.Code >> 21;
        Write(Directory + (8 * (directoryIndex & 511)), CodeTable | user);
        Write(Directory + (8 * ((directoryIndex + 1) & 511)), DataTable | user);
        for (ulong page = 0; page < MemoryBytes >> 12; page++)
        {
            Write(KernelTable + (8 * page), (page << 12) | supervisor);
        }

        Write(CodeTable + (8 * ((OracleLayout.Code >> 12) & 511)), CodePage | user);
        for (ulong page = 0; page < OracleLayout.DataBytes >> 12; page++)
        {
            Write(DataTable + (8 * (((OracleLayout.Data >> 12) + page) & 511)), (DataPage + (page << 12)) | user | noExecute);
        }

        Write(Gdt + KernelCode, 0x00AF_9B00_0000_FFFF);
        Write(Gdt + 0x10, 0x00CF_9300_0000_FFFF);
        Write(Gdt + (UserData & ~7u), 0x00CF_F300_0000_FFFF);
        Write(Gdt + TaskSegment, 0x0000_8B00_0000_0067 | (Tss << 16));
        Write(Tss + 4, StackTop);
        for (ulong vector = 0; vector < 256; vector++)
        {
            ulong handler = Handlers + (16 * vector);
            Write(Idt + (16 * vector), (handler & 0xFFFF) | ((ulong)KernelCode << 16) | (0xEEul << 40) | (handler >> 16 << 48));

            // out 80h, al; jmp $
            Write(handler, 0xFEEB_80E6);
        }
    }

    private void Write(ulong address, ulong value) =>
        BinaryPrimitives.WriteUInt64LittleEndian(new Span<byte>(_memory.Bytes + address, 8), value);

    private sealed class StopPort(InterpretedProcessor owner) : IPortBus
    {
        public uint Read(ushort port, int size) => uint.MaxValue;

        public void Write(ushort port, int size, uint value) => owner._cpu.RequestStop();
    }

    private sealed class SilentApic : ILocalApic
    {
        public bool HasInterrupt => false;

        public byte TaskPriority { get; set; }

        public ulong ApicBase => 0xFEE0_0900;

        public int Acknowledge() => -1;

        public bool TryReadMsr(uint index, out ulong value)
        {
            value = 0;
            return false;
        }

        public bool TryWriteMsr(uint index, ulong value) => false;
    }

    private sealed class FlatMemory : IMemoryBus, IDisposable
    {
        public byte* Bytes { get; } = (byte*)NativeMemory.AlignedAlloc((nuint)MemoryBytes, 4096);

        public byte* PageAttributeTable { get; } = (byte*)NativeMemory.AllocZeroed((nuint)(MemoryBytes >> 12));

        public ulong PageAttributeCount => MemoryBytes >> 12;

        public X86Processor? Processor { get; set; }

        public MovingPages? Pages { get; set; }

        public void MakePresent(ulong address, bool forWriting) => Pages?.MakePresent(address, forWriting);

        public FlatMemory() => NativeMemory.Clear(Bytes, (nuint)MemoryBytes);

        public byte* TryGetPage(ulong address, bool forWriting, out PagePresence presence)
        {
            if (Pages != null && address < MemoryBytes)
            {
                return Pages.TryGetPage(address, forWriting, out presence);
            }

            presence = address < MemoryBytes ? PagePresence.Writable : PagePresence.None;
            return address < MemoryBytes ? Bytes + address : null;
        }

        public void CodePageWritten(ulong pageNumber) => Processor?.InvalidateCodePage(pageNumber);

        public ulong ReadMmio(ulong address, int size) => ulong.MaxValue;

        public void WriteMmio(ulong address, int size, ulong value)
        {
        }

        public void Dispose()
        {
            Pages?.Dispose();
            NativeMemory.AlignedFree(Bytes);
            NativeMemory.Free(PageAttributeTable);
        }
    }
}
