using System.Numerics;

namespace Hypervisor.Engine.Processor;

/// <summary>PUSH, POP and their kin at one operand width.</summary>
internal static unsafe class StackHandlers<T> where T : unmanaged, IBinaryInteger<T>
{
    public static DecodedInstruction* PushRegister(X86Processor cpu, DecodedInstruction* i)
    {
        cpu.Push(Width.Get<T>(cpu.State, i->Reg0));
        return i + 1;
    }

    public static DecodedInstruction* PushMemory(X86Processor cpu, DecodedInstruction* i)
    {
        T value = cpu.ReadOperand<T>(i);
        cpu.CheckStackAddress(-sizeof(T), sizeof(T));
        cpu.Push(value);
        return i + 1;
    }

    public static DecodedInstruction* PushImmediate(X86Processor cpu, DecodedInstruction* i)
    {
        cpu.Push(Width.Truncate<T>((ulong)i->Immediate));
        return i + 1;
    }

    public static DecodedInstruction* PopRegister(X86Processor cpu, DecodedInstruction* i)
    {
        T value = cpu.Peek<T>();
        cpu.MoveStack(sizeof(T));
        Width.Set(cpu.State, i->Reg0, value);
        return i + 1;
    }

    public static DecodedInstruction* PopMemory(X86Processor cpu, DecodedInstruction* i)
    {
        // An address based on RSP is computed after RSP moved (Intel SDM vol. 2, POP).
        cpu.CheckStackAddress(0, sizeof(T));
        T value = cpu.Peek<T>();
        ulong old = cpu.State->Gpr[4];
        cpu.MoveStack(sizeof(T));
        ulong moved = cpu.State->Gpr[4];
        ulong offset = cpu.EffectiveOffset(i);
        cpu.State->Gpr[4] = old;
        cpu.Write(cpu.SegmentedAddress((SegmentName)i->Segment, offset, (uint)sizeof(T), AccessKind.Write), value);
        cpu.State->Gpr[4] = moved;
        return i + 1;
    }

    public static DecodedInstruction* PushAll(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong old = s->Gpr[4];
        // The lowest slot first: if it can be written without a fault then, but for a hole between pages, all can.
        cpu.MoveStack(-8 * sizeof(T));
        cpu.MoveStack(sizeof(T));
        ulong lowest = s->Gpr[4];
        s->Gpr[4] = old;
        ulong linear = cpu.SegmentedAddress(SegmentName.Ss, (lowest - (ulong)sizeof(T)) & cpu.StackMask, (uint)sizeof(T), AccessKind.Write);
        cpu.ProbeRange(linear, sizeof(T), AccessKind.Write);
        try
        {
            for (int n = 0; n < 8; n++)
            {
                cpu.Push(n == 4 ? Width.Truncate<T>(old) : Width.Truncate<T>(s->Gpr[n]));
            }
        }
        catch (GuestException)
        {
            s->Gpr[4] = old;
            throw;
        }

        return i + 1;
    }

    public static DecodedInstruction* PopAll(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        T* values = stackalloc T[8];
        for (int n = 0; n < 8; n++)
        {
            values[n] = cpu.Peek<T>(n * sizeof(T));
        }

        for (int n = 0; n < 8; n++)
        {
            if (n != 3)
            {
                Width.Set(s, (byte)((7 - n) * 8), values[n]);
            }
        }

        cpu.MoveStack(8 * sizeof(T));
        return i + 1;
    }

    public static DecodedInstruction* PushSegment(X86Processor cpu, DecodedInstruction* i)
    {
        cpu.Push(Width.Truncate<T>(cpu.State->Segments[i->Reg0].Selector));
        return i + 1;
    }

    public static DecodedInstruction* PushFlags(X86Processor cpu, DecodedInstruction* i)
    {
        ulong flags = cpu.GetRflags() & ~(Rflags.Virtual8086 | Rflags.Resume);
        if (cpu.IsVirtual8086Limited)
        {
            RequireVirtualFlags(cpu);
            flags = cpu.ReadVirtualFlags();
        }

        cpu.Push(Width.Truncate<T>(flags));
        return i + 1;
    }

    public static DecodedInstruction* PopFlags(X86Processor cpu, DecodedInstruction* i)
    {
        bool limited = cpu.IsVirtual8086Limited;
        if (limited)
        {
            RequireVirtualFlags(cpu);
        }

        ulong image = Width.ZeroExtend(cpu.Peek<T>());
        if (limited)
        {
            cpu.CheckVirtualFlags(image);
            cpu.MoveStack(sizeof(T));
            cpu.LoadVirtualFlags(image);
            return cpu.LeaveToNext(i);
        }

        cpu.MoveStack(sizeof(T));
        ulong kept = Rflags.Virtual8086 | Rflags.VirtualInterrupt | Rflags.VirtualInterruptPending;
        if (cpu.IsProtected)
        {
            kept |= cpu.Cpl > 0 ? Rflags.IoPrivilege : 0;
            kept |= cpu.Cpl > cpu.IoPrivilege ? Rflags.Interrupt : 0;
        }

        cpu.LoadFlags(image & ~Rflags.Resume, sizeof(T), kept);
        return cpu.LeaveToNext(i);
    }

    // PUSHF and POPF in virtual-8086 mode below IOPL 3: only the 16-bit forms, and only with CR4.VME.
    private static void RequireVirtualFlags(X86Processor cpu)
    {
        if (sizeof(T) != 2 || !cpu.HasVirtualInterrupt)
        {
            cpu.RaiseGeneralProtection();
        }
    }

    public static DecodedInstruction* Enter(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong oldSp = s->Gpr[4];
        int level = (int)i->Displacement & 31;
        cpu.Push(Width.Get<T>(s, 5 * 8));
        ulong frame = s->Gpr[4];
        try
        {
            if (level > 0)
            {
                ulong mask = cpu.StackMask;
                ulong bp = s->Gpr[5];
                for (int n = 1; n < level; n++)
                {
                    bp -= (ulong)sizeof(T);
                    ulong linear = cpu.SegmentedAddress(SegmentName.Ss, bp & mask, (uint)sizeof(T), AccessKind.Read);
                    cpu.Push(cpu.Read<T>(linear));
                }

                cpu.Push(Width.Truncate<T>(frame));
            }

            cpu.MoveStack(-(int)(i->Immediate & 0xFFFF));
            // ENTER raises what a store at the new stack pointer would.
            cpu.ProbeRange(cpu.SegmentedAddress(SegmentName.Ss, s->Gpr[4] & cpu.StackMask, 1, AccessKind.Write), 1, AccessKind.Write);
        }
        catch (GuestException)
        {
            s->Gpr[4] = oldSp;
            throw;
        }

        Width.Set(s, 5 * 8, Width.Truncate<T>(frame));
        return i + 1;
    }

    public static DecodedInstruction* Leave(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong mask = cpu.StackMask;
        ulong bp = s->Gpr[5] & mask;
        ulong linear = cpu.Is64Bit ? bp : cpu.SegmentedAddress(SegmentName.Ss, bp, (uint)sizeof(T), AccessKind.Read);
        T value = cpu.Read<T>(linear);
        ulong sp = bp + (ulong)sizeof(T);
        s->Gpr[4] = mask == 0xFFFF ? (s->Gpr[4] & ~mask) | (sp & mask) : sp & mask;
        Width.Set(s, 5 * 8, value);
        return i + 1;
    }
}

internal static unsafe partial class IntegerInstructions
{
    private static void RegisterStack(InstructionTable.Builder table)
    {
        Stack<ushort>(table, 16, "w");
        Stack<uint>(table, 32, "d");
        Stack<ulong>(table, 64, "q");
        table.Set(table.Named("Push_imm16"), &StackHandlers<ushort>.PushImmediate);
        table.Set(table.Named("Pushd_imm32"), &StackHandlers<uint>.PushImmediate);
        table.Set(table.Named("Pushq_imm32"), &StackHandlers<ulong>.PushImmediate);
        table.Set(table.Named("Pushaw"), &StackHandlers<ushort>.PushAll);
        table.Set(table.Named("Pushad"), &StackHandlers<uint>.PushAll);
        table.Set(table.Named("Popaw"), &StackHandlers<ushort>.PopAll);
        table.Set(table.Named("Popad"), &StackHandlers<uint>.PopAll);
        foreach (string segment in new[] { "ES", "CS", "SS", "DS", "FS", "GS" })
        {
            table.Set(table.Named($"Pushw_{segment}"), &StackHandlers<ushort>.PushSegment);
            table.Set(table.Named($"Pushd_{segment}"), &StackHandlers<uint>.PushSegment);
        }

        table.Set(table.Named("Pushq_FS"), &StackHandlers<ulong>.PushSegment);
        table.Set(table.Named("Pushq_GS"), &StackHandlers<ulong>.PushSegment);
    }

    private static void Stack<T>(InstructionTable.Builder table, int bits, string suffix) where T : unmanaged, IBinaryInteger<T>
    {
        table.Set(table.Named($"Push_r{bits}"), &StackHandlers<T>.PushRegister);
        table.Set(table.Named($"Push_rm{bits}"), &StackHandlers<T>.PushRegister, &StackHandlers<T>.PushMemory);
        table.Set(table.Named($"Push{suffix}_imm8"), &StackHandlers<T>.PushImmediate);
        table.Set(table.Named($"Pop_r{bits}"), &StackHandlers<T>.PopRegister);
        table.Set(table.Named($"Pop_rm{bits}"), &StackHandlers<T>.PopRegister, &StackHandlers<T>.PopMemory);
        table.Set(table.Named($"Pushf{suffix}"), &StackHandlers<T>.PushFlags);
        table.Set(table.Named($"Popf{suffix}"), &StackHandlers<T>.PopFlags);
        table.Set(table.Named($"Enter{suffix}_imm16_imm8"), &StackHandlers<T>.Enter);
        table.Set(table.Named($"Leave{suffix}"), &StackHandlers<T>.Leave);
    }
}
