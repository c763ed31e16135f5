namespace Hypervisor.Engine.Processor.Translation;

/// <summary>
/// The code between the runtime and translated code: the entry that loads the guest's registers, the exits that save them, and the
/// loading of vector registers on first use. System V calling convention.
/// </summary>
internal sealed unsafe class TranslationStubs
{
    private const int GuestRegisters = 16;

    // RBX, RBP and R12 to R15 belong to the caller.
    private static readonly int[] Preserved = [HostRegister.Rbx, HostRegister.Rbp, HostRegister.R12, HostRegister.R13, HostRegister.R14, HostRegister.R15];

    /// <summary>Emits the stubs.</summary>
    /// <param name="code">Writes to the start of the code memory.</param>
    /// <param name="toExecutable">From where bytes are written to where they are executed.</param>
    /// <param name="wideVectors">The host has AVX, and its operating system saves it.</param>
    public TranslationStubs(HostAssembler code, nint toExecutable, bool wideVectors)
    {
        byte* Here() => code.Position + toExecutable;

        // The exits end here; RAX is free, everything is saved.
        byte* leave = Here();
        EmitSaveVectors(code, wideVectors);
        code.LoadState(HostRegister.Rsp, StateLayout.HostStack);
        for (int n = Preserved.Length - 1; n >= 0; n--)
        {
            code.Pop(Preserved[n]);
        }

        code.Bytes(0xC3); // RET

        // With the block in RCX and the address to return to on the stack.
        Instruction = Here();
        code.Pop(HostRegister.Translation);
        code.StoreState(StateLayout.ExitAddress, HostRegister.Translation);
        code.StoreState(StateLayout.ExitRecord, HostRegister.Count);
        code.StoreStateImmediate32(StateLayout.ExitKind, (int)TranslatedExit.Instruction);
        byte* save = Here();
        EmitSaveRegisters(code);
        code.Jump(leave - toExecutable);

        // With the link in RCX.
        Link = Here();
        code.StoreState(StateLayout.ExitRecord, HostRegister.Count);
        code.StoreStateImmediate32(StateLayout.ExitKind, (int)TranslatedExit.Link);
        code.Jump(save - toExecutable);

        // With the linear address in the address scratch.
        Retired = Here();
        code.StoreState(StateLayout.Rip, HostRegister.Address);
        code.StoreStateImmediate32(StateLayout.ExitKind, (int)TranslatedExit.Retired);
        code.Jump(save - toExecutable);

        LoadSse = Here();
        EmitLoadVectorsOnUse(code, wideVectors, StateLayout.SseAllowed, toExecutable);
        LoadAvx = Here();
        EmitLoadVectorsOnUse(code, wideVectors, StateLayout.AvxAllowed, toExecutable);

        EnterWithVectors = Here();
        EmitPrologue(code);
        EmitLoadVectors(code, wideVectors);
        byte* rest = code.JumpLater();
        Enter = Here();
        EmitPrologue(code);
        HostAssembler.Patch(rest, code.Position);
        EmitLoadRegisters(code);
        code.JumpState(StateLayout.EntryTarget);
    }

    /// <summary>Enters translated code: called with the state as its only argument; returns when the code leaves.</summary>
    public byte* Enter { get; }

    /// <summary>As <see cref="Enter"/>, with the vector registers loaded first: they must be allowed.</summary>
    public byte* EnterWithVectors { get; }

    /// <summary>Leaves for the interpreter to execute an instruction.</summary>
    public byte* Instruction { get; }

    /// <summary>Leaves to have a jump linked.</summary>
    public byte* Link { get; }

    /// <summary>Leaves because the block that was entered is no more.</summary>
    public byte* Retired { get; }

    /// <summary>Loads the vector registers if the guest may use SSE now, else leaves as <see cref="Instruction"/> does. Called with the block in RCX.</summary>
    public byte* LoadSse { get; }

    /// <summary>As <see cref="LoadSse"/>, for AVX.</summary>
    public byte* LoadAvx { get; }

    private static void EmitPrologue(HostAssembler code)
    {
        foreach (int register in Preserved)
        {
            code.Push(register);
        }

        // MOV [RDI + HostStack], RSP; LEA RSP, [RDI + bias].
        code.Bytes(0x48, 0x89, 0xA7);
        code.Word(StateLayout.HostStack);
        code.Lea(HostRegister.Rsp, HostRegister.Rdi, ProcessorMemory.StackBias);
    }

    private static void EmitLoadRegisters(HostAssembler code)
    {
        // The flags come as LAHF and SETO leave them: 127 + AL overflows if AL is 1; SAHF does the others.
        code.LoadState(HostRegister.Rax, StateLayout.NativeFlags);
        code.Bytes(0x04, 0x7F, 0x9E); // ADD AL, 127; SAHF
        for (int guest = 0; guest < GuestRegisters; guest++)
        {
            int home = HostRegister.Home(guest);
            if (home != HostRegister.None)
            {
                code.LoadState(home, StateLayout.Register(guest));
            }
        }

        // For those blocks that are entered from anywhere.
        code.LoadState(HostRegister.Address, StateLayout.Rip);
    }

    // The stack's first word overlies the places of RAX and RCX, which are still in registers here.
    private static void EmitSaveRegisters(HostAssembler code)
    {
        code.StoreState(StateLayout.Register(0), HostRegister.Rax);
        code.Bytes(0x9F, 0x0F, 0x90, 0xC0); // LAHF; SETO AL
        code.StoreState(StateLayout.NativeFlags, HostRegister.Rax);
        for (int guest = 1; guest < GuestRegisters; guest++)
        {
            int home = HostRegister.Home(guest);
            if (home != HostRegister.None)
            {
                code.StoreState(StateLayout.Register(guest), home);
            }
        }
    }

    private static void EmitSaveVectors(HostAssembler code, bool wide)
    {
        code.LoadStateByte(HostRegister.Count, StateLayout.SseAbsent);
        // TEST ECX, ECX; JNZ past the saving.
        code.Bytes(0x85, 0xC9);
        byte* skip = code.JumpCondition(5);
        for (int n = 0; n < 16; n++)
        {
            code.VectorState(store: true, n, StateLayout.Vectors + (32 * n), wide);
        }

        Mxcsr(code, 3, StateLayout.Mxcsr);
        Mxcsr(code, 2, StateLayout.HostMxcsr);
        code.StoreStateByte(StateLayout.SseAbsent, 1);
        code.StoreStateByte(StateLayout.AvxAbsent, 1);
        if (wide)
        {
            code.Bytes(0xC5, 0xF8, 0x77); // VZEROUPPER
        }

        HostAssembler.Patch(skip, code.Position);
    }

    private static void EmitLoadVectors(HostAssembler code, bool wide)
    {
        for (int n = 0; n < 16; n++)
        {
            code.VectorState(store: false, n, StateLayout.Vectors + (32 * n), wide);
        }

        Mxcsr(code, 2, StateLayout.Mxcsr);
    }

    private void EmitLoadVectorsOnUse(HostAssembler code, bool wide, int allowed, nint toExecutable)
    {
        // The return address of this stub's caller is on the stack: places are 8 bytes further.
        const int pushed = sizeof(ulong);
        code.StoreState(StateLayout.ExitRecord + pushed, HostRegister.Count);
        code.LoadStateByte(HostRegister.Count, allowed + pushed);
        byte* denied = code.JumpIfCountZero();
        byte* load = code.JumpLater();
        code.Land(denied);
        code.LoadState(HostRegister.Count, StateLayout.ExitRecord + pushed);
        code.Jump(Instruction - toExecutable);
        HostAssembler.Patch(load, code.Position);
        code.Pop(HostRegister.Translation);
        EmitLoadVectors(code, wide);
        code.StoreStateByte(StateLayout.SseAbsent, 0);
        code.LoadStateByte(HostRegister.Count, StateLayout.AvxAllowed);
        // AVX is absent where it is not allowed: 1 - allowed, without touching flags.
        code.Bytes(0xF7, 0xD1); // NOT ECX
        code.Lea(HostRegister.Count, HostRegister.Count, 2);
        code.StoreStateLowByte(StateLayout.AvxAbsent, HostRegister.Count);
        code.Push(HostRegister.Translation);
        code.Bytes(0xC3); // RET
    }

    private static void Mxcsr(HostAssembler code, int extension, int place)
    {
        code.Bytes(0x0F, 0xAE);
        // LDMXCSR is /2, STMXCSR /3, of the same two bytes.
        code.StateOperandTail(extension, place);
    }
}
