namespace Hypervisor.Engine.Processor;

// Virtual-8086 mode and its extensions: the virtual interrupt flag, and software interrupts that stay in the 8086 program (Intel
// SDM vol. 3A, 21.3 and 21.4).
public sealed unsafe partial class X86Processor
{
    private const uint TaskIoMapBase = 102, InterruptRedirectionBytes = 32;

    /// <summary>IOPL, 0 to 3.</summary>
    internal int IoPrivilege => (int)(State->SystemFlags >> 12) & 3;

    /// <summary>Virtual-8086 mode at an IOPL that leaves IF to the monitor.</summary>
    internal bool IsVirtual8086Limited => IsVirtual8086 && IoPrivilege != 3;

    /// <summary>CLI and STI of code without I/O privilege act on VIF (CR4.VME, CR4.PVI).</summary>
    internal bool HasVirtualInterrupt => IsVirtual8086 ? (State->Cr4 & Cr4Vme) != 0 : (State->Cr4 & Cr4Pvi) != 0 && State->Cpl == 3;

    /// <summary>STI on VIF; #GP while the monitor has one pending.</summary>
    internal void SetVirtualInterrupt()
    {
        if ((State->SystemFlags & Rflags.VirtualInterruptPending) != 0)
        {
            RaiseGeneralProtection();
        }

        State->SystemFlags |= Rflags.VirtualInterrupt;
    }

    /// <summary>Raises unless this 16-bit image of FLAGS may be loaded by the 8086 program itself (POPF and IRET under CR4.VME).</summary>
    internal void CheckVirtualFlags(ulong image)
    {
        bool pending = (State->SystemFlags & Rflags.VirtualInterruptPending) != 0;
        if ((image & Rflags.Trap) != 0 || (pending && (image & Rflags.Interrupt) != 0))
        {
            RaiseGeneralProtection();
        }
    }

    /// <summary>Loads a checked 16-bit image, IF of which is VIF; IF and IOPL stay.</summary>
    internal void LoadVirtualFlags(ulong image)
    {
        const ulong kept = Rflags.Interrupt | Rflags.IoPrivilege;
        LoadFlags(image, 2, kept);
        State->SystemFlags = (State->SystemFlags & ~Rflags.VirtualInterrupt)
            | ((image & Rflags.Interrupt) != 0 ? Rflags.VirtualInterrupt : 0);
    }

    /// <summary>FLAGS as the 8086 program sees them: VIF in the place of IF, and IOPL 3.</summary>
    internal ulong ReadVirtualFlags()
    {
        ulong flags = GetRflags();
        ulong seen = (flags & Rflags.VirtualInterrupt) != 0 ? flags | Rflags.Interrupt : flags & ~Rflags.Interrupt;
        return (seen | Rflags.IoPrivilege) & 0xFFFF;
    }

    /// <summary>
    /// INT n in virtual-8086 mode (vol. 3A, table 21-2): true when it went to the 8086 program's own handler, false when it is to go
    /// through the IDT; raises #GP(0) when it is the monitor's to decide.
    /// </summary>
    private bool TryInterruptVirtual8086(int vector, ulong next)
    {
        bool own = (State->Cr4 & Cr4Vme) != 0 && !IsRedirected(vector);
        if (own)
        {
            InterruptVirtual8086(vector, next);
            return true;
        }

        if (IoPrivilege != 3)
        {
            RaiseGeneralProtection();
        }

        return false;
    }

    // A bit a vector, below the I/O permission bitmap of the task-state segment: set for those the monitor wants.
    private bool IsRedirected(int vector)
    {
        ref SegmentState task = ref State->Segments[(int)SegmentName.Tr];
        if (!task.IsUsable || (task.Type & 8) == 0 || task.Limit < LongTaskBytes - 1)
        {
            RaiseGeneralProtection();
        }

        uint at = ReadSystem<ushort>(task.Base + TaskIoMapBase) - InterruptRedirectionBytes + ((uint)vector >> 3);
        if (at > task.Limit)
        {
            RaiseGeneralProtection();
        }

        return (ReadSystem<byte>(task.Base + at) & (1 << (vector & 7))) != 0;
    }

    private void InterruptVirtual8086(int vector, ulong next)
    {
        bool limited = IoPrivilege != 3;
        ulong flags = limited ? ReadVirtualFlags() : GetRflags() & 0xFFFF;
        uint target = ReadSystem<uint>((ulong)vector * 4);
        ulong sp = State->Gpr[4];
        ulong first = StackAddress(ref sp, 2, AccessKind.Write);
        ulong second = StackAddress(ref sp, 2, AccessKind.Write);
        ulong third = StackAddress(ref sp, 2, AccessKind.Write);
        ProbeRange(first, 2, AccessKind.Write);
        ProbeRange(second, 2, AccessKind.Write);
        Write(third, (ushort)next);
        Write(second, State->Segments[(int)SegmentName.Cs].Selector);
        Write(first, (ushort)flags);
        State->Gpr[4] = sp;
        State->Rip = (ushort)target;
        _stepArmed = false;
        ulong cleared = Rflags.Trap | Rflags.Resume | (limited ? Rflags.VirtualInterrupt : Rflags.Interrupt);
        SetSystemFlags(State->SystemFlags & ~cleared);
        LoadRealCode((ushort)(target >> 16));
    }
}
