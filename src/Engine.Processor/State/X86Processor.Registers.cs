namespace Hypervisor.Engine.Processor;

// The register file as the outside sees it: loaders, debuggers, saved states. Only while the processor is stopped.
public sealed unsafe partial class X86Processor
{
    /// <summary>A general-purpose register by its number in instruction encodings: RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 … R15.</summary>
    public ulong GetGeneralRegister(int number) => State->Gpr[CheckNumber(number, 16)];

    /// <inheritdoc cref="GetGeneralRegister"/>
    public void SetGeneralRegister(int number, ulong value) => State->Gpr[CheckNumber(number, 16)] = value;

    /// <summary>RIP (EIP, IP).</summary>
    public ulong Rip
    {
        get => State->Rip;
        set => State->Rip = value;
    }

    /// <summary>RFLAGS; undefined bits are dropped, bit 1 is set.</summary>
    public ulong RflagsRegister
    {
        get => GetRflags();
        set => SetRflags(value & Rflags.All);
    }

    /// <summary>A segment register with its hidden part.</summary>
    public SegmentState GetSegment(SegmentName name) => State->Segments[CheckNumber((int)name, 8)];

    /// <summary>Sets a segment register without any check. The privilege level is SS's DPL in protected mode.</summary>
    public void SetSegment(SegmentName name, SegmentState value)
    {
        State->Segments[CheckNumber((int)name, 8)] = value;
        RefreshMode();
    }

    /// <summary>GDTR.</summary>
    public (ulong Base, ushort Limit) Gdtr
    {
        get => (State->GdtBase, (ushort)State->GdtLimit);
        set => (State->GdtBase, State->GdtLimit) = (value.Base, value.Limit);
    }

    /// <summary>IDTR.</summary>
    public (ulong Base, ushort Limit) Idtr
    {
        get => (State->IdtBase, (ushort)State->IdtLimit);
        set => (State->IdtBase, State->IdtLimit) = (value.Base, value.Limit);
    }

    /// <summary>CR0. Set without checks; the mode follows from CR0, CR4 and EFER together.</summary>
    public ulong Cr0
    {
        get => State->Cr0;
        set
        {
            State->Cr0 = value | 0x10;
            RefreshMode();
        }
    }

    /// <summary>CR2, the address of the last page fault.</summary>
    public ulong Cr2
    {
        get => State->Cr2;
        set => State->Cr2 = value;
    }

    /// <summary>CR3.</summary>
    public ulong Cr3
    {
        get => State->Cr3;
        set
        {
            State->Cr3 = value;
            RefreshMode();
        }
    }

    /// <summary>CR4. Set without checks.</summary>
    public ulong Cr4
    {
        get => State->Cr4;
        set
        {
            State->Cr4 = value;
            SetAttention(Attention.FlushBlocks);
            RefreshMode();
        }
    }

    /// <summary>CR8: the task priority of the local APIC.</summary>
    public ulong Cr8
    {
        get => LocalApic?.TaskPriority ?? 0;
        set
        {
            if (LocalApic is { } apic)
            {
                apic.TaskPriority = (byte)(value & 15);
                SetAttention(Attention.Interrupt);
            }
        }
    }

    /// <summary>IA32_EFER, LMA included. Set without checks.</summary>
    public ulong Efer
    {
        get => State->Efer;
        set
        {
            State->Efer = value;
            RefreshMode();
        }
    }

    /// <summary>Reads a model-specific register as RDMSR does; false where that raises #GP(0).</summary>
    public bool TryReadMsr(uint index, out ulong value) => ReadMsr(index, out value);

    /// <summary>Writes a model-specific register as WRMSR does; false where that raises #GP(0).</summary>
    public bool TryWriteMsr(uint index, ulong value) => WriteMsr(index, value);

    private static int CheckNumber(int number, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(number);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(number, count);
        return number;
    }

    internal ulong GetRflags() => State->SystemFlags | LazyFlags.Materialise(State) | Rflags.Fixed;

    // Callers have decided which bits may change.
    internal void SetRflags(ulong value)
    {
        LazyFlags.Set(State, value);
        SetSystemFlags(value);
    }

    internal void SetSystemFlags(ulong value)
    {
        ulong old = State->SystemFlags;
        State->SystemFlags = value & Rflags.All & ~Rflags.Arithmetic;
        ulong changed = old ^ State->SystemFlags;
        ulong risen = changed & State->SystemFlags;
        if ((risen & Rflags.Trap) != 0)
        {
            SetAttention(Attention.SingleStep | Attention.Interrupt);
        }
        else if ((risen & Rflags.Interrupt) != 0 && State->InterruptHeld != 0)
        {
            // Otherwise nothing waits for IF: what comes now, or came and was not looked at, asks for attention itself.
            SetAttention(Attention.Interrupt);
        }

        if ((changed & (Rflags.AlignmentCheck | Rflags.Virtual8086 | Rflags.Trap)) != 0)
        {
            SelectTranslationSet();
        }
    }
}
