namespace Hypervisor.Engine.Processor;

// CPUID, MSRs, time stamps, random numbers, XCR0.
internal static unsafe partial class SystemInstructions
{
    private static void RegisterFeatures(InstructionTable.Builder table)
    {
        table.Set(table.Named("Cpuid"), &Cpuid);
        table.Set(table.Named("Rdmsr"), &ReadMsr);
        table.Set(table.Named("Wrmsr"), &WriteMsr);
        table.Set(table.Named("Rdtsc"), &ReadTimestamp);
        table.Set(table.Named("Rdtscp"), &ReadTimestampAndId);
        table.Set(table.Named("Rdpid_r32"), &ReadProcessorId);
        table.Set(table.Named("Rdpid_r64"), &ReadProcessorId);
        table.Set(table.Named("Rdpmc"), &ReadCounter);
        table.Set(table.Named("Xgetbv"), &ReadExtendedControl);
        table.Set(table.Named("Xsetbv"), &WriteExtendedControl);
        table.Set(table.Named("Rdrand_r16"), &Random2);
        table.Set(table.Named("Rdrand_r32"), &Random4);
        table.Set(table.Named("Rdrand_r64"), &Random8);
        table.Set(table.Named("Rdseed_r16"), &Random2);
        table.Set(table.Named("Rdseed_r32"), &Random4);
        table.Set(table.Named("Rdseed_r64"), &Random8);
    }

    private static DecodedInstruction* Cpuid(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        cpu.Identify((uint)s->Gpr[0], (uint)s->Gpr[1], out uint eax, out uint ebx, out uint ecx, out uint edx);
        s->Gpr[0] = eax;
        s->Gpr[3] = ebx;
        s->Gpr[1] = ecx;
        s->Gpr[2] = edx;
        return i + 1;
    }

    private static DecodedInstruction* ReadMsr(X86Processor cpu, DecodedInstruction* i)
    {
        RequireKernel(cpu);
        CpuState* s = cpu.State;
        if (!cpu.TryReadMsr((uint)s->Gpr[1], out ulong value))
        {
            cpu.RaiseGeneralProtection();
        }

        s->Gpr[0] = (uint)value;
        s->Gpr[2] = value >> 32;
        return i + 1;
    }

    private static DecodedInstruction* WriteMsr(X86Processor cpu, DecodedInstruction* i)
    {
        RequireKernel(cpu);
        CpuState* s = cpu.State;
        if (!cpu.TryWriteMsr((uint)s->Gpr[1], (uint)s->Gpr[0] | (s->Gpr[2] << 32)))
        {
            cpu.RaiseGeneralProtection();
        }

        return cpu.LeaveToNext(i);
    }

    private static DecodedInstruction* ReadTimestamp(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        if (cpu.Cpl != 0 && (s->Cr4 & X86Processor.Cr4Tsd) != 0)
        {
            cpu.RaiseGeneralProtection();
        }

        ulong value = cpu.ReadTimestamp();
        s->Gpr[0] = (uint)value;
        s->Gpr[2] = value >> 32;
        return i + 1;
    }

    private static DecodedInstruction* ReadTimestampAndId(X86Processor cpu, DecodedInstruction* i)
    {
        ReadTimestamp(cpu, i);
        cpu.State->Gpr[1] = (uint)cpu.Msrs.TscAux;
        return i + 1;
    }

    private static DecodedInstruction* ReadProcessorId(X86Processor cpu, DecodedInstruction* i)
    {
        *(ulong*)((byte*)cpu.State + i->Reg0) = (uint)cpu.Msrs.TscAux;
        return i + 1;
    }

    private static DecodedInstruction* ReadCounter(X86Processor cpu, DecodedInstruction* i)
    {
        cpu.RaiseGeneralProtection();
        return i + 1;
    }

    private static DecodedInstruction* ReadExtendedControl(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        if ((s->Cr4 & X86Processor.Cr4Osxsave) == 0)
        {
            cpu.Raise(Vector.InvalidOpcode);
        }

        if ((uint)s->Gpr[1] > 1)
        {
            cpu.RaiseGeneralProtection();
        }

        // XCR0, and for index 1 those of its components that are in use.
        ulong value = (uint)s->Gpr[1] == 0 ? s->Xcr0 : s->Xcr0 & ExtendedState.InUse(s);
        s->Gpr[0] = (uint)value;
        s->Gpr[2] = value >> 32;
        return i + 1;
    }

    private static DecodedInstruction* WriteExtendedControl(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        if ((s->Cr4 & X86Processor.Cr4Osxsave) == 0)
        {
            cpu.Raise(Vector.InvalidOpcode);
        }

        RequireKernel(cpu);
        ulong value = (uint)s->Gpr[0] | (s->Gpr[2] << 32);
        bool avxAlone = (value & (ExtendedState.Sse | ExtendedState.Avx)) == ExtendedState.Avx;
        if ((uint)s->Gpr[1] != 0 || (value & ExtendedState.X87) == 0 || (value & ~cpu.SupportedComponents) != 0 || avxAlone)
        {
            cpu.RaiseGeneralProtection();
        }

        s->Xcr0 = value;
        return cpu.LeaveToNext(i);
    }

    private static ulong NextRandom(X86Processor cpu)
    {
        ulong value;
        System.Security.Cryptography.RandomNumberGenerator.Fill(new Span<byte>(&value, 8));
        // CF says that there was one; the other five are cleared.
        LazyFlags.Set(cpu.State, Rflags.Carry);
        return value;
    }

    private static DecodedInstruction* Random2(X86Processor cpu, DecodedInstruction* i)
    {
        Width.Set(cpu.State, i->Reg0, (ushort)NextRandom(cpu));
        return i + 1;
    }

    private static DecodedInstruction* Random4(X86Processor cpu, DecodedInstruction* i)
    {
        Width.Set(cpu.State, i->Reg0, (uint)NextRandom(cpu));
        return i + 1;
    }

    private static DecodedInstruction* Random8(X86Processor cpu, DecodedInstruction* i)
    {
        Width.Set(cpu.State, i->Reg0, NextRandom(cpu));
        return i + 1;
    }
}
