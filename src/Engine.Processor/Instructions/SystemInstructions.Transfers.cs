namespace Hypervisor.Engine.Processor;

// Far transfers, interrupts, system calls.
internal static unsafe partial class SystemInstructions
{
    private static void RegisterTransfers(InstructionTable.Builder table)
    {
        table.Set(table.Named("Jmp_ptr1616"), &JumpFarImmediate2);
        table.Set(table.Named("Jmp_ptr1632"), &JumpFarImmediate4);
        table.Set(table.Named("Call_ptr1616"), &CallFarImmediate2);
        table.Set(table.Named("Call_ptr1632"), &CallFarImmediate4);
        table.Set(table.Named("Jmp_m1616"), &JumpFar2);
        table.Set(table.Named("Jmp_m1632"), &JumpFar4);
        table.Set(table.Named("Jmp_m1664"), &JumpFar8);
        table.Set(table.Named("Call_m1616"), &CallFar2);
        table.Set(table.Named("Call_m1632"), &CallFar4);
        table.Set(table.Named("Call_m1664"), &CallFar8);
        table.Set(table.Named("Retfw"), &ReturnFar2);
        table.Set(table.Named("Retfd"), &ReturnFar4);
        table.Set(table.Named("Retfq"), &ReturnFar8);
        table.Set(table.Named("Retfw_imm16"), &ReturnFar2);
        table.Set(table.Named("Retfd_imm16"), &ReturnFar4);
        table.Set(table.Named("Retfq_imm16"), &ReturnFar8);
        table.Set(table.Named("Iretw"), &InterruptReturn2);
        table.Set(table.Named("Iretd"), &InterruptReturn4);
        table.Set(table.Named("Iretq"), &InterruptReturn8);
        table.Set(table.Named("Int_imm8"), &Interrupt);
        table.Set(table.Named("Int3"), &Breakpoint);
        table.Set(table.Named("Int1"), &DebugTrap);
        table.Set(table.Named("Into"), &InterruptOnOverflow);
        table.Set(table.Named("Syscall"), &Syscall);
        table.Set(table.Named("Sysretd"), &Sysret4);
        table.Set(table.Named("Sysretq"), &Sysret8);
        table.Set(table.Named("Sysenter"), &Sysenter);
        table.Set(table.Named("Sysexitd"), &Sysexit4);
        table.Set(table.Named("Sysexitq"), &Sysexit8);
    }

    private static DecodedInstruction* Transfer(X86Processor cpu, DecodedInstruction* i, ushort selector, ulong offset, int size, bool call)
    {
        cpu.FarTransfer(i, selector, offset, size, call);
        cpu.State->Retired += i->Ordinal;
        return null;
    }

    private static DecodedInstruction* TransferMemory(X86Processor cpu, DecodedInstruction* i, int size, bool call)
    {
        ulong linear = cpu.Address(i, size + 2, AccessKind.Read);
        ulong offset = cpu.ReadSized(linear, size);
        return Transfer(cpu, i, cpu.Read<ushort>(linear + (ulong)size), offset, size, call);
    }

    private static DecodedInstruction* JumpFarImmediate2(X86Processor cpu, DecodedInstruction* i) =>
        Transfer(cpu, i, (ushort)i->Displacement, (ulong)i->Immediate, 2, call: false);

    private static DecodedInstruction* JumpFarImmediate4(X86Processor cpu, DecodedInstruction* i) =>
        Transfer(cpu, i, (ushort)i->Displacement, (ulong)i->Immediate, 4, call: false);

    private static DecodedInstruction* CallFarImmediate2(X86Processor cpu, DecodedInstruction* i) =>
        Transfer(cpu, i, (ushort)i->Displacement, (ulong)i->Immediate, 2, call: true);

    private static DecodedInstruction* CallFarImmediate4(X86Processor cpu, DecodedInstruction* i) =>
        Transfer(cpu, i, (ushort)i->Displacement, (ulong)i->Immediate, 4, call: true);

    private static DecodedInstruction* JumpFar2(X86Processor cpu, DecodedInstruction* i) => TransferMemory(cpu, i, 2, call: false);

    private static DecodedInstruction* JumpFar4(X86Processor cpu, DecodedInstruction* i) => TransferMemory(cpu, i, 4, call: false);

    private static DecodedInstruction* JumpFar8(X86Processor cpu, DecodedInstruction* i) => TransferMemory(cpu, i, 8, call: false);

    private static DecodedInstruction* CallFar2(X86Processor cpu, DecodedInstruction* i) => TransferMemory(cpu, i, 2, call: true);

    private static DecodedInstruction* CallFar4(X86Processor cpu, DecodedInstruction* i) => TransferMemory(cpu, i, 4, call: true);

    private static DecodedInstruction* CallFar8(X86Processor cpu, DecodedInstruction* i) => TransferMemory(cpu, i, 8, call: true);

    private static DecodedInstruction* ReturnFar2(X86Processor cpu, DecodedInstruction* i) => ReturnFar(cpu, i, 2);

    private static DecodedInstruction* ReturnFar4(X86Processor cpu, DecodedInstruction* i) => ReturnFar(cpu, i, 4);

    private static DecodedInstruction* ReturnFar8(X86Processor cpu, DecodedInstruction* i) => ReturnFar(cpu, i, 8);

    private static DecodedInstruction* ReturnFar(X86Processor cpu, DecodedInstruction* i, int size)
    {
        cpu.FarReturn(size, (uint)i->Immediate & 0xFFFF);
        cpu.State->Retired += i->Ordinal;
        return null;
    }

    private static DecodedInstruction* InterruptReturn2(X86Processor cpu, DecodedInstruction* i) => InterruptReturn(cpu, i, 2);

    private static DecodedInstruction* InterruptReturn4(X86Processor cpu, DecodedInstruction* i) => InterruptReturn(cpu, i, 4);

    private static DecodedInstruction* InterruptReturn8(X86Processor cpu, DecodedInstruction* i) => InterruptReturn(cpu, i, 8);

    private static DecodedInstruction* InterruptReturn(X86Processor cpu, DecodedInstruction* i, int size)
    {
        cpu.InterruptReturn(size);
        cpu.State->Retired += i->Ordinal;
        return null;
    }

    private static DecodedInstruction* Interrupt(X86Processor cpu, DecodedInstruction* i) => cpu.SoftwareInterrupt(i, (byte)i->Immediate);

    private static DecodedInstruction* Breakpoint(X86Processor cpu, DecodedInstruction* i) => cpu.SoftwareInterrupt(i, (int)Vector.Breakpoint);

    private static DecodedInstruction* DebugTrap(X86Processor cpu, DecodedInstruction* i) => cpu.SoftwareInterrupt(i, (int)Vector.Debug, DeliveryKind.PrivilegedSoftware);

    private static DecodedInstruction* InterruptOnOverflow(X86Processor cpu, DecodedInstruction* i) =>
        LazyFlags.Overflow(cpu.State) ? cpu.SoftwareInterrupt(i, (int)Vector.Overflow) : cpu.LeaveToNext(i);

    private static SegmentState FlatCode(ushort selector, int dpl, bool is64Bit) => new()
    {
        Selector = selector,
        Limit = uint.MaxValue,
        Attributes = 0x809Bu | ((uint)dpl << 5) | (is64Bit ? SegmentState.Long : SegmentState.Big),
    };

    private static SegmentState FlatData(ushort selector, int dpl) => new()
    {
        Selector = selector,
        Limit = uint.MaxValue,
        Attributes = 0xC093u | ((uint)dpl << 5),
    };

    private static DecodedInstruction* Syscall(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        // Intel: only from 64-bit code.
        if (!cpu.Is64Bit || (s->Efer & X86Processor.EferSce) == 0)
        {
            cpu.Raise(Vector.InvalidOpcode);
        }

        s->Gpr[1] = cpu.NextRip(i);
        s->Gpr[11] = cpu.GetRflags() & ~Rflags.Resume;
        ushort selector = (ushort)((cpu.Msrs.Star >> 32) & 0xFFFC);
        s->Segments[(int)SegmentName.Cs] = FlatCode(selector, 0, is64Bit: true);
        s->Segments[(int)SegmentName.Ss] = FlatData((ushort)(selector + 8), 0);
        s->Rip = cpu.Msrs.Lstar;
        cpu.SetRflags(s->Gpr[11] & ~cpu.Msrs.SyscallMask & Rflags.All);
        cpu.EnterPrivilege();
        s->Retired += i->Ordinal;
        return null;
    }

    private static DecodedInstruction* Sysret4(X86Processor cpu, DecodedInstruction* i) => Sysret(cpu, i, to64: false);

    private static DecodedInstruction* Sysret8(X86Processor cpu, DecodedInstruction* i) => Sysret(cpu, i, to64: true);

    private static DecodedInstruction* Sysret(X86Processor cpu, DecodedInstruction* i, bool to64)
    {
        CpuState* s = cpu.State;
        if (!cpu.Is64Bit || (s->Efer & X86Processor.EferSce) == 0)
        {
            cpu.Raise(Vector.InvalidOpcode);
        }

        if (cpu.Cpl != 0 || (to64 && !X86Processor.IsCanonical(s->Gpr[1])))
        {
            cpu.RaiseGeneralProtection();
        }

        ushort star = (ushort)(cpu.Msrs.Star >> 48);
        s->Segments[(int)SegmentName.Cs] = FlatCode((ushort)((star + (to64 ? 16 : 0)) | 3), 3, to64);
        s->Segments[(int)SegmentName.Ss] = FlatData((ushort)((star + 8) | 3), 3);
        s->Rip = to64 ? s->Gpr[1] : (uint)s->Gpr[1];
        cpu.SetRflags(s->Gpr[11] & Rflags.All & ~(Rflags.Resume | Rflags.Virtual8086));
        cpu.EnterPrivilege();
        s->Retired += i->Ordinal;
        return null;
    }

    private static DecodedInstruction* Sysenter(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        if (!cpu.IsProtected || (cpu.Msrs.SysenterCs & 0xFFFC) == 0)
        {
            cpu.RaiseGeneralProtection();
        }

        bool wide = cpu.IsLongMode;
        ushort selector = (ushort)(cpu.Msrs.SysenterCs & 0xFFFC);
        cpu.SetSystemFlags(s->SystemFlags & ~(Rflags.Virtual8086 | Rflags.Interrupt | Rflags.Resume));
        s->Segments[(int)SegmentName.Cs] = FlatCode(selector, 0, wide);
        s->Segments[(int)SegmentName.Ss] = FlatData((ushort)(selector + 8), 0);
        s->Gpr[4] = wide ? cpu.Msrs.SysenterEsp : (uint)cpu.Msrs.SysenterEsp;
        s->Rip = wide ? cpu.Msrs.SysenterEip : (uint)cpu.Msrs.SysenterEip;
        cpu.EnterPrivilege();
        s->Retired += i->Ordinal;
        return null;
    }

    private static DecodedInstruction* Sysexit4(X86Processor cpu, DecodedInstruction* i) => Sysexit(cpu, i, to64: false);

    private static DecodedInstruction* Sysexit8(X86Processor cpu, DecodedInstruction* i) => Sysexit(cpu, i, to64: true);

    private static DecodedInstruction* Sysexit(X86Processor cpu, DecodedInstruction* i, bool to64)
    {
        CpuState* s = cpu.State;
        if (!cpu.IsProtected || cpu.Cpl != 0 || (cpu.Msrs.SysenterCs & 0xFFFC) == 0
            || (to64 && !(X86Processor.IsCanonical(s->Gpr[1]) && X86Processor.IsCanonical(s->Gpr[2]))))
        {
            cpu.RaiseGeneralProtection();
        }

        ushort selector = (ushort)(cpu.Msrs.SysenterCs & 0xFFFC);
        s->Segments[(int)SegmentName.Cs] = FlatCode((ushort)((selector + (to64 ? 32 : 16)) | 3), 3, to64);
        s->Segments[(int)SegmentName.Ss] = FlatData((ushort)((selector + (to64 ? 40 : 24)) | 3), 3);
        s->Gpr[4] = to64 ? s->Gpr[1] : (uint)s->Gpr[1];
        s->Rip = to64 ? s->Gpr[2] : (uint)s->Gpr[2];
        cpu.EnterPrivilege();
        s->Retired += i->Ordinal;
        return null;
    }
}
