namespace Hypervisor.Engine.Processor;

// Control and debug registers, HLT, interrupts on and off, translation buffers.
internal static unsafe partial class SystemInstructions
{
    private static void RegisterControl(InstructionTable.Builder table)
    {
        table.Set(table.Named("Mov_r32_cr"), &ReadControl);
        table.Set(table.Named("Mov_r64_cr"), &ReadControl);
        table.Set(table.Named("Mov_cr_r32"), &WriteControl);
        table.Set(table.Named("Mov_cr_r64"), &WriteControl);
        table.Set(table.Named("Mov_r32_dr"), &ReadDebug);
        table.Set(table.Named("Mov_r64_dr"), &ReadDebug);
        table.Set(table.Named("Mov_dr_r32"), &WriteDebug);
        table.Set(table.Named("Mov_dr_r64"), &WriteDebug);
        table.Set(table.Named("Clts"), &ClearTaskSwitched);
        table.Set(table.Named("Smsw_rm16"), &StoreStatus2);
        table.Set(table.Named("Smsw_r32m16"), &StoreStatus4);
        table.Set(table.Named("Smsw_r64m16"), &StoreStatus8);
        table.Set(table.Named("Lmsw_rm16"), &LoadStatus);
        table.Set(table.Named("Lmsw_r32m16"), &LoadStatus);
        table.Set(table.Named("Lmsw_r64m16"), &LoadStatus);
        table.Set(table.Named("Invlpg_m"), &InvalidatePage);
        table.Set(table.Named("Invpcid_r32_m128"), &InvalidateContext);
        table.Set(table.Named("Invpcid_r64_m128"), &InvalidateContext);
        table.Set(table.Named("Wbinvd"), &WriteBack);
        table.Set(table.Named("Invd"), &WriteBack);
        table.Set(table.Named("Clflush_m8"), &FlushLine);
        table.Set(table.Named("Clflushopt_m8"), &FlushLine);
        table.Set(table.Named("Clwb_m8"), &FlushLine);
        table.Set(table.Named("Hlt"), &Halt);
        table.Set(table.Named("Cli"), &ClearInterrupt);
        table.Set(table.Named("Sti"), &SetInterrupt);
        table.Set(table.Named("Clac"), &ClearAccess);
        table.Set(table.Named("Stac"), &SetAccess);
    }

    private static DecodedInstruction* ReadControl(X86Processor cpu, DecodedInstruction* i)
    {
        RequireKernel(cpu);
        ulong value = i->Reg1 switch
        {
            0 => cpu.State->Cr0,
            2 => cpu.State->Cr2,
            3 => cpu.State->Cr3,
            4 => cpu.State->Cr4,
            8 => cpu.Cr8,
            _ => RaiseUndefined(cpu),
        };
        *(ulong*)((byte*)cpu.State + i->Reg0) = cpu.Is64Bit ? value : (uint)value;
        return i + 1;
    }

    private static ulong RaiseUndefined(X86Processor cpu)
    {
        cpu.Raise(Vector.InvalidOpcode);
        return 0;
    }

    private static DecodedInstruction* WriteControl(X86Processor cpu, DecodedInstruction* i)
    {
        RequireKernel(cpu);
        ulong value = RegisterOperand(cpu, i->Reg1);
        value = cpu.Is64Bit ? value : (uint)value;
        switch (i->Reg0)
        {
            case 0: cpu.LoadCr0(value); break;
            case 2: cpu.State->Cr2 = value; break;
            case 3: cpu.LoadCr3(value); break;
            case 4: cpu.LoadCr4(value); break;
            case 8:
                if (value > 15)
                {
                    cpu.RaiseGeneralProtection();
                }

                cpu.Cr8 = value;
                break;
            default: cpu.Raise(Vector.InvalidOpcode); break;
        }

        return cpu.LeaveToNext(i);
    }

    private static int DebugNumber(X86Processor cpu, int number)
    {
        RequireKernel(cpu);
        if (number is 4 or 5)
        {
            if ((cpu.State->Cr4 & X86Processor.Cr4De) != 0)
            {
                cpu.Raise(Vector.InvalidOpcode);
            }

            number += 2;
        }
        else if (number > 7)
        {
            cpu.Raise(Vector.InvalidOpcode);
        }

        cpu.CheckDebugAccess();
        return number;
    }

    private static DecodedInstruction* ReadDebug(X86Processor cpu, DecodedInstruction* i)
    {
        ulong value = cpu.State->Debug[DebugNumber(cpu, i->Reg1)];
        *(ulong*)((byte*)cpu.State + i->Reg0) = cpu.Is64Bit ? value : (uint)value;
        return i + 1;
    }

    private static DecodedInstruction* WriteDebug(X86Processor cpu, DecodedInstruction* i)
    {
        int number = DebugNumber(cpu, i->Reg0);
        ulong value = RegisterOperand(cpu, i->Reg1);
        value = cpu.Is64Bit ? value : (uint)value;
        if (number >= 6 && value >> 32 != 0)
        {
            cpu.RaiseGeneralProtection();
        }

        cpu.SetDebug(number, value);
        return cpu.LeaveToNext(i);
    }

    private static DecodedInstruction* ClearTaskSwitched(X86Processor cpu, DecodedInstruction* i)
    {
        RequireKernel(cpu);
        cpu.State->Cr0 &= ~X86Processor.Cr0Ts;
        return i + 1;
    }

    private static DecodedInstruction* StoreStatus2(X86Processor cpu, DecodedInstruction* i) => StoreStatus(cpu, i, 2);

    private static DecodedInstruction* StoreStatus4(X86Processor cpu, DecodedInstruction* i) => StoreStatus(cpu, i, 4);

    private static DecodedInstruction* StoreStatus8(X86Processor cpu, DecodedInstruction* i) => StoreStatus(cpu, i, 8);

    private static DecodedInstruction* StoreStatus(X86Processor cpu, DecodedInstruction* i, int size)
    {
        RequireInformation(cpu);
        StoreWord(cpu, i, cpu.State->Cr0, size);
        return i + 1;
    }

    private static DecodedInstruction* LoadStatus(X86Processor cpu, DecodedInstruction* i)
    {
        RequireKernel(cpu);
        ulong value = SelectorOperand(cpu, i, i->Reg0);
        // LMSW can set PE, not clear it.
        cpu.LoadCr0((cpu.State->Cr0 & ~0xEul) | (value & 0xF));
        return cpu.LeaveToNext(i);
    }

    private static DecodedInstruction* InvalidatePage(X86Processor cpu, DecodedInstruction* i)
    {
        RequireKernel(cpu);
        ulong offset = cpu.EffectiveOffset(i);
        ulong address = offset + (!cpu.Is64Bit || i->Segment >= (byte)SegmentName.Fs ? cpu.State->Segments[i->Segment].Base : 0);
        cpu.FlushTranslation(cpu.Is64Bit ? address : (uint)address);
        return cpu.LeaveToNext(i);
    }

    private static DecodedInstruction* InvalidateContext(X86Processor cpu, DecodedInstruction* i)
    {
        RequireKernel(cpu);
        ulong kind = RegisterOperand(cpu, i->Reg0);
        ulong descriptor = cpu.Address(i, 16, AccessKind.Read);
        ulong context = cpu.Read<ulong>(descriptor);
        ulong linear = cpu.Read<ulong>(descriptor + 8);
        cpu.InvalidateContext(cpu.Is64Bit ? kind : (uint)kind, context, linear);
        return cpu.LeaveToNext(i);
    }

    private static DecodedInstruction* WriteBack(X86Processor cpu, DecodedInstruction* i)
    {
        RequireKernel(cpu);
        return i + 1;
    }

    private static DecodedInstruction* FlushLine(X86Processor cpu, DecodedInstruction* i)
    {
        // Behaves as a load for permissions.
        cpu.Read<byte>(cpu.Address(i, 1, AccessKind.Read));
        return i + 1;
    }

    private static DecodedInstruction* Halt(X86Processor cpu, DecodedInstruction* i)
    {
        RequireKernel(cpu);
        cpu.Halt();
        return cpu.LeaveToNext(i);
    }

    private static bool MayChangeInterrupt(X86Processor cpu) =>
        !cpu.IsProtected || cpu.Cpl <= cpu.IoPrivilege;

    private static void RequireVirtualInterrupt(X86Processor cpu)
    {
        if (!cpu.HasVirtualInterrupt)
        {
            cpu.RaiseGeneralProtection();
        }
    }

    private static DecodedInstruction* ClearInterrupt(X86Processor cpu, DecodedInstruction* i)
    {
        if (!MayChangeInterrupt(cpu))
        {
            RequireVirtualInterrupt(cpu);
            cpu.State->SystemFlags &= ~Rflags.VirtualInterrupt;
            return i + 1;
        }

        cpu.State->SystemFlags &= ~Rflags.Interrupt;
        return i + 1;
    }

    private static DecodedInstruction* SetInterrupt(X86Processor cpu, DecodedInstruction* i)
    {
        if (!MayChangeInterrupt(cpu))
        {
            RequireVirtualInterrupt(cpu);
            cpu.SetVirtualInterrupt();
            return i + 1;
        }

        if ((cpu.State->SystemFlags & Rflags.Interrupt) == 0)
        {
            cpu.State->SystemFlags |= Rflags.Interrupt;
            cpu.ShadowInterrupts(cpu.NextRip(i));
            cpu.SetAttention(Attention.Interrupt);
            if (cpu.LocalApic is { HasInterrupt: true })
            {
                // STI, NOP, CLI opens a window of one instruction, which firmware polls through: not over before the block is.
                return cpu.Leave(i, cpu.NextRip(i));
            }
        }

        return i + 1;
    }

    private static DecodedInstruction* ClearAccess(X86Processor cpu, DecodedInstruction* i) => ChangeAccess(cpu, i, 0);

    private static DecodedInstruction* SetAccess(X86Processor cpu, DecodedInstruction* i) => ChangeAccess(cpu, i, Rflags.AlignmentCheck);

    private static DecodedInstruction* ChangeAccess(X86Processor cpu, DecodedInstruction* i, ulong flag)
    {
        if (cpu.Cpl != 0)
        {
            cpu.Raise(Vector.InvalidOpcode);
        }

        cpu.State->SystemFlags = (cpu.State->SystemFlags & ~Rflags.AlignmentCheck) | flag;
        cpu.SelectTranslationSet();
        return i + 1;
    }
}
