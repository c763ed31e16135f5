using Hypervisor.Engine.Processor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>
/// A processor in 32-bit protected mode with descriptor tables, a task-state segment, and a handler for each exception that keeps its
/// vector in EBX and stops with the frame on the stack.
/// </summary>
internal sealed unsafe class ProtectedMachine : IDisposable
{
    public const ushort KernelCode = 0x08, KernelData = 0x10, UserCode = 0x1B, UserData = 0x23, MainTask = 0x28;
    public const ulong Gdt = 0x6000, Idt = 0x7000, MainTaskState = 0x2_0000, KernelStack = 0x1D_0000, UserStack = 0x1F_0000;
    public const ulong Second = 0x14_0000, User = 0x13_0000;
    private const ulong Handlers = 0x12_0000, HandlerBytes = 16;

    public ProtectedMachine(int level = 0)
    {
        Fixture = new ProcessorFixture(32, level);
        Write(Gdt + KernelCode, 0x00CF_9B00_0000_FFFF);
        Write(Gdt + KernelData, 0x00CF_9300_0000_FFFF);
        Write(Gdt + (UserCode & ~7u), 0x00CF_FB00_0000_FFFF);
        Write(Gdt + (UserData & ~7u), 0x00CF_F300_0000_FFFF);
        Describe(MainTask, MainTaskState, 0x2067, 0x8B);
        Fixture.Cpu.Gdtr = (Gdt, 0xFFF);
        Fixture.Cpu.Idtr = (Idt, 0x7FF);
        Fixture.Cpu.SetSegment(SegmentName.Tr, new SegmentState { Base = MainTaskState, Limit = 0x2067, Attributes = 0x8B, Selector = MainTask });
        Write32(MainTaskState + 4, (uint)KernelStack);
        Write32(MainTaskState + 8, KernelData);
        for (uint vector = 0; vector < 32; vector++)
        {
            ulong handler = Handlers + (vector * HandlerBytes);
            Load(handler, 32, a =>
            {
                a.mov(ebx, vector);
                a.hlt();
            });
            Gate(vector, KernelCode, (uint)handler, 0x8E);
        }
    }

    public ProcessorFixture Fixture { get; }

    public X86Processor Cpu => Fixture.Cpu;

    /// <summary>What EBX holds: the vector of the exception that ended the code.</summary>
    public uint Vector => (uint)Cpu.GetGeneralRegister(3);

    public uint Eax => (uint)Cpu.GetGeneralRegister(0);

    public ulong Flags => Cpu.RflagsRegister;

    public void Write(ulong address, ulong value) => Fixture.Write(address, value);

    public void Write32(ulong address, uint value) => *(uint*)(Fixture.Host + address) = value;

    public void Write16(ulong address, ushort value) => *(ushort*)(Fixture.Host + address) = value;

    public uint Read32(ulong address) => *(uint*)(Fixture.Host + address);

    public ushort Read16(ulong address) => *(ushort*)(Fixture.Host + address);

    /// <summary>A 32-bit word on the stack, 0 the top one.</summary>
    public uint Stacked(int number) => Read32(Cpu.GetGeneralRegister(4) + ((ulong)number * 4));

    /// <summary>A descriptor of a segment in the GDT, with byte granularity.</summary>
    public void Describe(ushort selector, ulong address, uint limit, uint access, uint flags = 0) =>
        Write(
            Gdt + (selector & ~7u),
            (limit & 0xFFFF) | ((address & 0xFF_FFFF) << 16) | ((ulong)access << 40) | (((limit >> 16) & 15ul) << 48) | ((ulong)flags << 52)
                | ((address >> 24) << 56));

    /// <summary>A gate in the IDT.</summary>
    public void Gate(uint vector, ushort selector, uint offset, uint access) => Write(Idt + (vector * 8), GateBits(selector, offset, access));

    /// <summary>A gate in the GDT.</summary>
    public void GateInGdt(ushort at, ushort selector, uint offset, uint access, int parameters = 0) =>
        Write(Gdt + (at & ~7u), GateBits(selector, offset, access) | ((ulong)parameters << 32));

    public void Load(ulong address, int bits, Action<Assembler> code)
    {
        var assembler = new Assembler(bits);
        code(assembler);
        using var stream = new MemoryStream();
        assembler.Assemble(new StreamCodeWriter(stream), address);
        stream.ToArray().CopyTo(new Span<byte>(Fixture.Host + address, (int)stream.Length));
        for (ulong page = address >> 12; page <= (address + (ulong)stream.Length) >> 12; page++)
        {
            Cpu.InvalidateCodePage(page);
        }
    }

    public StopReason Execute(Action<Assembler> code) => Fixture.Execute(code);

    /// <summary>Runs code at CPL 3 after the kernel's IRET.</summary>
    public StopReason ExecuteUser(Action<Assembler> code, uint flags = 2)
    {
        Load(User, 32, code);
        return Execute(a =>
        {
            a.push(UserData);
            a.push((int)UserStack);
            a.push((int)flags);
            a.push(UserCode);
            a.push((int)User);
            a.iretd();
        });
    }

    /// <summary>A task-state segment of 32 bits that starts at <see cref="Second"/> with flat segments.</summary>
    public void DescribeTask(ushort selector, ulong address, uint access = 0x89)
    {
        Describe(selector, address, 0x67, access);
        Write32(address + 32, (uint)Second);
        Write32(address + 36, 2);
        Write32(address + 56, 0x1C_0000);
        Write32(address + 72, KernelData);
        Write32(address + 76, KernelCode);
        Write32(address + 80, KernelData);
        Write32(address + 84, KernelData);
    }

    public void Dispose() => Fixture.Dispose();

    private static ulong GateBits(ushort selector, uint offset, uint access) =>
        (offset & 0xFFFF) | ((ulong)selector << 16) | ((ulong)access << 40) | ((ulong)(offset >> 16) << 48);
}
