namespace Hypervisor.Engine.Processor;

// Single flags, LAHF and SAHF, no-operations.
internal static unsafe partial class IntegerInstructions
{
    private static void RegisterFlags(InstructionTable.Builder table)
    {
        table.Set(table.Named("Clc"), &ClearCarry);
        table.Set(table.Named("Stc"), &SetCarry);
        table.Set(table.Named("Cmc"), &ComplementCarry);
        table.Set(table.Named("Cld"), &ClearDirection);
        table.Set(table.Named("Std"), &SetDirection);
        table.Set(table.Named("Lahf"), &Lahf);
        table.Set(table.Named("Sahf"), &Sahf);
        table.Set(table.Named("Salc"), &Salc);
        foreach (string name in new[]
        {
            "Nopw", "Nopd", "Nopq", "Nop_rm16", "Nop_rm32", "Nop_rm64", "Endbr32", "Endbr64", "Prefetchnta_m8", "Prefetcht0_m8",
            "Prefetcht1_m8", "Prefetcht2_m8", "Prefetch_m8", "Prefetchw_m8", "Prefetchwt1_m8", "Cldemote_m8", "Prefetchit0_m8",
            "Prefetchit1_m8", "Rdsspd_r32", "Rdsspq_r64", "Prefetchreserved3_m8", "Prefetchreserved4_m8", "Prefetchreserved5_m8",
            "Prefetchreserved6_m8", "Prefetchreserved7_m8",
        })
        {
            table.Set(table.Named(name), &Nothing);
        }

        foreach (string opcode in new[] { "0F0D", "0F18", "0F19", "0F1A", "0F1B", "0F1C", "0F1D", "0F1E", "0F1F" })
        {
            table.Set(table.Named($"Reservednop_rm16_r16_{opcode}"), &Nothing);
            table.Set(table.Named($"Reservednop_rm32_r32_{opcode}"), &Nothing);
            table.Set(table.Named($"Reservednop_rm64_r64_{opcode}"), &Nothing);
        }

        table.Set(table.Named("Pause"), &Pause);
        foreach (string name in new[] { "Lfence", "Sfence", "Mfence" })
        {
            table.Set(table.Named(name), &Fence);
        }
    }

    private static DecodedInstruction* Nothing(X86Processor cpu, DecodedInstruction* i) => i + 1;

    private static DecodedInstruction* Pause(X86Processor cpu, DecodedInstruction* i)
    {
        // The other processors of a machine may share this host processor: a spin that lasts gives way now and then.
        cpu.SpinHint();
        return i + 1;
    }

    private static DecodedInstruction* Fence(X86Processor cpu, DecodedInstruction* i)
    {
        Interlocked.MemoryBarrier();
        return i + 1;
    }

    private static DecodedInstruction* ClearCarry(X86Processor cpu, DecodedInstruction* i)
    {
        LazyFlags.SetCarry(cpu.State, false);
        return i + 1;
    }

    private static DecodedInstruction* SetCarry(X86Processor cpu, DecodedInstruction* i)
    {
        LazyFlags.SetCarry(cpu.State, true);
        return i + 1;
    }

    private static DecodedInstruction* ComplementCarry(X86Processor cpu, DecodedInstruction* i)
    {
        LazyFlags.SetCarry(cpu.State, !LazyFlags.Carry(cpu.State));
        return i + 1;
    }

    private static DecodedInstruction* ClearDirection(X86Processor cpu, DecodedInstruction* i)
    {
        cpu.State->SystemFlags &= ~Rflags.Direction;
        return i + 1;
    }

    private static DecodedInstruction* SetDirection(X86Processor cpu, DecodedInstruction* i)
    {
        cpu.State->SystemFlags |= Rflags.Direction;
        return i + 1;
    }

    private static DecodedInstruction* Lahf(X86Processor cpu, DecodedInstruction* i)
    {
        *((byte*)cpu.State + 1) = (byte)(LazyFlags.Materialise(cpu.State) | Rflags.Fixed);
        return i + 1;
    }

    private static DecodedInstruction* Sahf(X86Processor cpu, DecodedInstruction* i)
    {
        ulong overflow = LazyFlags.Materialise(cpu.State) & Rflags.Overflow;
        LazyFlags.Set(cpu.State, *((byte*)cpu.State + 1) | overflow);
        return i + 1;
    }

    private static DecodedInstruction* Salc(X86Processor cpu, DecodedInstruction* i)
    {
        *(byte*)cpu.State = LazyFlags.Carry(cpu.State) ? (byte)0xFF : (byte)0;
        return i + 1;
    }
}
