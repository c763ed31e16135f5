using Hypervisor.Engine.Native.Posix;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>
/// Runs code on the machine's own processor with every register chosen. Faults are caught by a handler of generated code, which
/// recognises the thread that is inside a test by its thread pointer and passes all other faults on to the runtime.
/// </summary>
internal sealed unsafe class NativeProcessor : IDisposable
{
    private const ulong Gpr = OracleLayout.Context;
    private const ulong Flags = OracleLayout.Context + 0x80;
    private const ulong Signal = OracleLayout.Context + 0xA8;
    private const ulong HostStack = OracleLayout.Context + 0xB0;
    private const ulong Thread = OracleLayout.Context + 0xB8;
    private const ulong OldMask = OracleLayout.Context + 0xC8;
    private const ulong BlockMask = OracleLayout.Context + 0xD0;
    private const ulong HostMxcsr = OracleLayout.Context + 0xD8;
    private const ulong Saved = OracleLayout.Context + 0x100;
    private const ulong Previous = OracleLayout.Context + 0x400;

    // An XSAVE image in the standard format: the FXSAVE image, a header, the upper halves of the YMM registers.
    private const ulong Fx = OracleLayout.Context + 0x500;
    private const ulong Header = Fx + 512;
    private const ulong Upper = Fx + 576;
    private const int StandardBytes = 576 + 256;
    private const int Components = 7;

    // ucontext_t of Linux on x86-64: 23 general registers from 40, then the pointer to the FXSAVE image.
    private const int ContextRegisters = 40, ContextFpu = 224, RegisterCount = 23;
    private const int SavedRdi = 8, SavedRsp = 15, SavedRip = 16, SavedFlags = 17, SavedError = 19, SavedTrap = 20, SavedCr2 = 22;

    // Order of the general registers in ucontext_t, by encoding.
    private static readonly int[] SavedGpr = [13, 14, 12, 11, 15, 10, 9, 8, 0, 1, 2, 3, 4, 5, 6, 7];
    private static readonly int[] Signals = [4, 5, 7, 8, 11];

    private readonly FixedMapping _mapping;
    private readonly Dictionary<int, SignalAction> _previous = [];
    private readonly delegate* unmanaged<void> _entry;

    public NativeProcessor()
    {
        _mapping = FixedMapping.Reserve((nint)OracleLayout.Base, (nuint)OracleLayout.Length);
        _mapping.Protect((nint)(OracleLayout.Code - OracleLayout.Base), 0x3000, read: true, write: true, execute: true);
        _mapping.Protect((nint)(OracleLayout.Data - OracleLayout.Base), OracleLayout.DataBytes, read: true, write: true, execute: false);

        var assembler = new Assembler(64);
        var exit = assembler.CreateLabel();
        var faultExit = assembler.CreateLabel();
        var handler = assembler.CreateLabel();
        EmitEntry(assembler);
        assembler.Label(ref exit);
        EmitExit(assembler, ref faultExit);
        assembler.Label(ref handler);
        EmitHandler(assembler, faultExit);

        using var stream = new MemoryStream();
        var result = assembler.Assemble(new StreamCodeWriter(stream), OracleLayout.Stubs, BlockEncoderOptions.ReturnNewInstructionOffsets);
        stream.GetBuffer().AsSpan(0, (int)stream.Length).CopyTo(new Span<byte>((void*)OracleLayout.Stubs, 4096));
        _entry = (delegate* unmanaged<void>)OracleLayout.Stubs;
        ExitAddress = result.GetLabelRIP(exit);
        *(ulong*)BlockMask = ~Signals.Aggregate(0ul, (mask, signal) => mask | (1ul << (signal - 1)));

        ulong address = result.GetLabelRIP(handler);
        foreach (int signal in Signals)
        {
            var action = SignalAction.Get(signal);
            ((ulong*)Previous)[signal] = (ulong)action.Handler;
            action.Handler = (nint)address;
            action.Flags |= SignalAction.SigInfo | SignalAction.OnStack;
            _previous[signal] = SignalAction.Replace(signal, action);
        }
    }

    private ulong ExitAddress { get; }

    /// <summary>The scratch memory.</summary>
    public Span<byte> Data => new((void*)OracleLayout.Data, OracleLayout.DataBytes);

    /// <summary>Runs a block of at most a few hundred bytes; the state is replaced by what it leaves.</summary>
    public void Run(ReadOnlySpan<byte> code, ref MachineState state)
    {
        byte* at = (byte*)OracleLayout.Code;
        code.CopyTo(new Span<byte>(at, 2048));
        at += code.Length;

        // jmp exit
        *at = 0xE9;
        *(int*)(at + 1) = (int)(ExitAddress - (ulong)(at + 5));

        for (int n = 0; n < 16; n++)
        {
            ((ulong*)Gpr)[n] = state.Gpr[n];
        }

        *(ulong*)Flags = state.Rflags;
        *(ulong*)Signal = 0;
        for (int n = 0; n < 512; n++)
        {
            ((byte*)Fx)[n] = state.Fx[n];
        }

        new Span<byte>((void*)Header, 64).Clear();
        *(ulong*)Header = Components;
        for (int n = 0; n < 256; n++)
        {
            ((byte*)Upper)[n] = state.Upper[n];
        }

        _entry();

        ulong* saved = (ulong*)Saved;
        bool faulted = *(ulong*)Signal != 0;
        for (int n = 0; n < 16; n++)
        {
            state.Gpr[n] = faulted ? saved[SavedGpr[n]] : ((ulong*)Gpr)[n];
        }

        state.Rflags = faulted ? saved[SavedFlags] : *(ulong*)Flags;
        state.Rip = faulted ? saved[SavedRip] : 0;
        state.Vector = faulted ? (long)saved[SavedTrap] : -1;
        state.ErrorCode = faulted ? saved[SavedError] : 0;
        state.Cr2 = faulted && saved[SavedTrap] == 14 ? saved[SavedCr2] : 0;
        for (int n = 0; n < 512; n++)
        {
            state.Fx[n] = ((byte*)Fx)[n];
        }

        for (int n = 0; HostProcessor.HasAvx && n < 256; n++)
        {
            state.Upper[n] = ((byte*)Upper)[n];
        }
    }

    public void Dispose()
    {
        foreach (var (signal, action) in _previous)
        {
            _ = SignalAction.Replace(signal, action);
        }

        _mapping.Dispose();
    }

    private static readonly AssemblerRegister64[] Registers =
        [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15];

    private static AssemblerMemoryOperand At(ulong address) => __qword_ptr[(long)address];

    private static void EmitEntry(Assembler a)
    {
        a.push(rbx);
        a.push(rbp);
        a.push(r12);
        a.push(r13);
        a.push(r14);
        a.push(r15);

        // rt_sigprocmask(SIG_SETMASK, all but the faults): no other handler may run on the test's stack.
        a.mov(eax, 14);
        a.mov(edi, 2);
        a.mov(esi, (uint)BlockMask);
        a.mov(edx, (uint)OldMask);
        a.mov(r10d, 8);
        a.syscall();
        a.mov(At(HostStack), rsp);
        a.stmxcsr(__dword_ptr[(long)HostMxcsr]);
        if (HostProcessor.HasAvx)
        {
            a.mov(eax, Components);
            a.xor(edx, edx);
            a.xrstor64(__[(long)Fx]);
        }
        else
        {
            a.fxrstor64(__[(long)Fx]);
        }

        a.mov(rax, __qword_ptr.fs[0]);
        a.mov(At(Thread), rax);
        a.push(At(Flags));
        a.popfq();
        for (int n = 0; n < 16; n++)
        {
            a.mov(Registers[n], At(Gpr + (8u * (uint)n)));
        }

        a.jmp(OracleLayout.Code);
    }

    private static void EmitExit(Assembler a, ref Label faultExit)
    {
        for (int n = 0; n < 16; n++)
        {
            a.mov(At(Gpr + (8u * (uint)n)), Registers[n]);
        }

        a.mov(rsp, At(HostStack));
        a.pushfq();
        a.pop(At(Flags));
        a.push(0x202);
        a.popfq();
        if (HostProcessor.HasAvx)
        {
            a.mov(eax, Components);
            a.xor(edx, edx);
            a.xsave64(__[(long)Fx]);
        }
        else
        {
            a.fxsave64(__[(long)Fx]);
        }

        a.Label(ref faultExit);
        if (HostProcessor.HasAvx)
        {
            // The runtime expects the upper halves clean.
            a.vzeroupper();
        }

        a.mov(At(Thread), 0);
        a.fninit();
        a.ldmxcsr(__dword_ptr[(long)HostMxcsr]);
        a.mov(eax, 14);
        a.mov(edi, 2);
        a.mov(esi, (uint)OldMask);
        a.xor(edx, edx);
        a.mov(r10d, 8);
        a.syscall();
        a.pop(r15);
        a.pop(r14);
        a.pop(r13);
        a.pop(r12);
        a.pop(rbp);
        a.pop(rbx);
        a.ret();
    }

    private static void EmitHandler(Assembler a, Label faultExit)
    {
        var chain = a.CreateLabel();
        a.mov(rax, __qword_ptr.fs[0]);
        a.cmp(rax, At(Thread));
        a.jne(chain);
        a.mov(edi, edi);
        a.mov(At(Signal), rdi);
        a.lea(rsi, __[rdx + ContextRegisters]);
        a.mov(edi, (uint)Saved);
        a.mov(ecx, RegisterCount);
        a.rep.movsq();
        a.mov(rsi, __qword_ptr[rdx + ContextFpu]);
        a.mov(edi, (uint)Fx);
        a.mov(ecx, (HostProcessor.HasAvx ? StandardBytes : 512) / 8);
        a.rep.movsq();
        a.lea(rax, __[faultExit]);
        a.mov(__qword_ptr[rdx + ContextRegisters + (8 * SavedRip)], rax);
        a.mov(rax, At(HostStack));
        a.mov(__qword_ptr[rdx + ContextRegisters + (8 * SavedRsp)], rax);
        a.mov(__qword_ptr[rdx + ContextRegisters + (8 * SavedFlags)], 0x202);
        a.ret();
        a.Label(ref chain);
        a.mov(eax, edi);
        a.mov(rax, __qword_ptr[(rax * 8) + (long)Previous]);
        a.jmp(rax);
    }
}
