using Hypervisor.Engine.Processor.FloatingPoint;
using Hypervisor.Engine.Processor.Simd;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// FXSAVE, XSAVE and their relatives; MXCSR.
internal static unsafe partial class SimdInstructions
{
    private static void RegisterState(InstructionTable.Builder table)
    {
        table.Set(Code.Ldmxcsr_m32, &LoadMxcsr<LegacyEncoding>);
        table.Set(Code.VEX_Vldmxcsr_m32, &LoadMxcsr<VexEncoding>);
        table.Set(Code.Stmxcsr_m32, &StoreMxcsr<LegacyEncoding>);
        table.Set(Code.VEX_Vstmxcsr_m32, &StoreMxcsr<VexEncoding>);
        table.Set(Code.Fxsave_m512byte, &FxSave);
        table.Set(Code.Fxsave64_m512byte, &FxSave);
        table.Set(Code.Fxrstor_m512byte, &FxRestore);
        table.Set(Code.Fxrstor64_m512byte, &FxRestore);
        table.Set(Code.Xsave_mem, &XSave);
        table.Set(Code.Xsave64_mem, &XSave);
        table.Set(Code.Xsaveopt_mem, &XSaveOptimized);
        table.Set(Code.Xsaveopt64_mem, &XSaveOptimized);
        table.Set(Code.Xsavec_mem, &XSaveCompacted);
        table.Set(Code.Xsavec64_mem, &XSaveCompacted);
        table.Set(Code.Xsaves_mem, &XSaveSupervisor);
        table.Set(Code.Xsaves64_mem, &XSaveSupervisor);
        table.Set(Code.Xrstor_mem, &XRestore);
        table.Set(Code.Xrstor64_mem, &XRestore);
        table.Set(Code.Xrstors_mem, &XRestoreSupervisor);
        table.Set(Code.Xrstors64_mem, &XRestoreSupervisor);
    }

    private static bool IsWide(DecodedInstruction* i) => i->Code
        is Code.Fxsave64_m512byte or Code.Fxrstor64_m512byte or Code.Xsave64_mem or Code.Xrstor64_mem
        or Code.Xsaveopt64_mem or Code.Xsavec64_mem or Code.Xsaves64_mem or Code.Xrstors64_mem;

    private static DecodedInstruction* LoadMxcsr<TEncoding>(X86Processor cpu, DecodedInstruction* i)
        where TEncoding : struct, IVectorEncoding
    {
        Enter<TEncoding>(cpu);
        uint value = cpu.ReadOperand<uint>(i);
        if ((value & ~Mxcsr.Valid) != 0)
        {
            cpu.RaiseGeneralProtection();
        }

        cpu.State->Mxcsr = value;
        return i + 1;
    }

    private static DecodedInstruction* StoreMxcsr<TEncoding>(X86Processor cpu, DecodedInstruction* i)
        where TEncoding : struct, IVectorEncoding
    {
        Enter<TEncoding>(cpu);
        cpu.WriteOperand(i, cpu.State->Mxcsr);
        return i + 1;
    }

    private static void EnterFx(X86Processor cpu)
    {
        if ((cpu.State->Cr0 & (X86Processor.Cr0Em | X86Processor.Cr0Ts)) != 0)
        {
            cpu.Raise(Vector.DeviceNotAvailable);
        }
    }

    private static ulong AreaAddress(X86Processor cpu, DecodedInstruction* i, int bytes, ulong alignment, AccessKind kind)
    {
        ulong address = cpu.Address(i, bytes, kind);
        if ((address & (alignment - 1)) != 0)
        {
            cpu.RaiseGeneralProtection();
        }

        return address;
    }

    private static DecodedInstruction* FxSave(X86Processor cpu, DecodedInstruction* i)
    {
        EnterFx(cpu);
        ulong address = AreaAddress(cpu, i, ExtendedState.LegacyBytes, 16, AccessKind.Write);
        byte* area = stackalloc byte[ExtendedState.LegacyBytes];
        ExtendedState.StoreX87(cpu.State, area, IsWide(i));
        ExtendedState.StoreMxcsr(cpu.State, area);
        ExtendedState.StoreXmm(cpu.State, area, RegisterCount(cpu));

        // What lies behind the registers is left for software (SDM vol. 1, 10.5.1).
        cpu.ProbeRange(address, ExtendedState.LegacyBytes, AccessKind.Write);
        cpu.WriteBytes(address, area, ExtendedState.XmmOffset + (RegisterCount(cpu) * 16));
        return i + 1;
    }

    private static DecodedInstruction* FxRestore(X86Processor cpu, DecodedInstruction* i)
    {
        EnterFx(cpu);
        ulong address = AreaAddress(cpu, i, ExtendedState.LegacyBytes, 16, AccessKind.Read);
        byte* area = stackalloc byte[ExtendedState.LegacyBytes];
        cpu.ReadBytes(address, area, ExtendedState.LegacyBytes);
        uint mxcsr = *(uint*)(area + ExtendedState.MxcsrOffset);
        if ((mxcsr & ~Mxcsr.Valid) != 0)
        {
            cpu.RaiseGeneralProtection();
        }

        ExtendedState.LoadX87(cpu.State, area, IsWide(i));
        cpu.State->Mxcsr = mxcsr;
        ExtendedState.LoadXmm(cpu.State, area, RegisterCount(cpu));
        return i + 1;
    }

    /// <summary>Vector registers that the mode can name.</summary>
    private static int RegisterCount(X86Processor cpu) => cpu.Is64Bit ? 16 : 8;

    private static ulong EnterXSave(X86Processor cpu)
    {
        if ((cpu.State->Cr4 & X86Processor.Cr4Osxsave) == 0)
        {
            cpu.Raise(Vector.InvalidOpcode);
        }

        if ((cpu.State->Cr0 & X86Processor.Cr0Ts) != 0)
        {
            cpu.Raise(Vector.DeviceNotAvailable);
        }

        const int rax = 0;
        const int rdx = 2;
        ulong requested = (uint)cpu.State->Gpr[rax] | (cpu.State->Gpr[rdx] << 32);
        return requested & cpu.State->Xcr0;
    }

    private static DecodedInstruction* XSave(X86Processor cpu, DecodedInstruction* i) => XSave(cpu, i, optimized: false);

    private static DecodedInstruction* XSaveOptimized(X86Processor cpu, DecodedInstruction* i) => XSave(cpu, i, optimized: true);

    private static DecodedInstruction* XSave(X86Processor cpu, DecodedInstruction* i, bool optimized)
    {
        ulong requested = EnterXSave(cpu);
        ulong address = AreaAddress(cpu, i, ExtendedState.HeaderOffset + 64, 64, AccessKind.Write);
        ulong inUse = ExtendedState.InUse(cpu.State);
        ulong written = optimized ? requested & inUse : requested;
        int count = RegisterCount(cpu);
        byte* area = stackalloc byte[ExtendedState.StandardBytes];
        cpu.ProbeRange(address, ExtendedState.StandardBytesOf(requested), AccessKind.Write);
        ulong header = cpu.Read<ulong>(address + ExtendedState.HeaderOffset);
        if ((written & ExtendedState.X87) != 0)
        {
            ExtendedState.StoreX87(cpu.State, area, IsWide(i));
            cpu.WriteBytes(address, area, ExtendedState.MxcsrOffset);
            cpu.WriteBytes(address + ExtendedState.X87Offset, area + ExtendedState.X87Offset, 128);
        }

        if ((requested & (ExtendedState.Sse | ExtendedState.Avx)) != 0)
        {
            ExtendedState.StoreMxcsr(cpu.State, area);
            cpu.WriteBytes(address + ExtendedState.MxcsrOffset, area + ExtendedState.MxcsrOffset, 8);
        }

        if ((written & ExtendedState.Sse) != 0)
        {
            ExtendedState.StoreXmm(cpu.State, area, count);
            cpu.WriteBytes(address + ExtendedState.XmmOffset, area + ExtendedState.XmmOffset, count * 16);
        }

        if ((written & ExtendedState.Avx) != 0)
        {
            ExtendedState.StoreUpper(cpu.State, area + ExtendedState.AvxOffset, count);
            cpu.WriteBytes(address + ExtendedState.AvxOffset, area + ExtendedState.AvxOffset, count * 16);
        }

        cpu.Write(address + ExtendedState.HeaderOffset, (header & ~requested) | (requested & inUse));
        return i + 1;
    }

    private static DecodedInstruction* XSaveCompacted(X86Processor cpu, DecodedInstruction* i) =>
        XSaveCompacted(cpu, i, EnterXSave(cpu));

    // There are no supervisor components (IA32_XSS is zero): XSAVES saves what XSAVEC does, for the kernel alone.
    private static DecodedInstruction* XSaveSupervisor(X86Processor cpu, DecodedInstruction* i)
    {
        ulong requested = EnterXSave(cpu);
        RequireKernel(cpu);
        return XSaveCompacted(cpu, i, requested);
    }

    private static DecodedInstruction* XRestoreSupervisor(X86Processor cpu, DecodedInstruction* i)
    {
        ulong requested = EnterXSave(cpu);
        RequireKernel(cpu);
        return XRestore(cpu, i, requested, compactedOnly: true);
    }

    private static DecodedInstruction* XRestore(X86Processor cpu, DecodedInstruction* i) =>
        XRestore(cpu, i, EnterXSave(cpu), compactedOnly: false);

    private static void RequireKernel(X86Processor cpu)
    {
        if (cpu.Cpl != 0)
        {
            cpu.RaiseGeneralProtection();
        }
    }

    private static DecodedInstruction* XSaveCompacted(X86Processor cpu, DecodedInstruction* i, ulong requested)
    {
        ulong address = AreaAddress(cpu, i, ExtendedState.HeaderOffset + 64, 64, AccessKind.Write);
        ulong inUse = ExtendedState.InUse(cpu.State);
        if (cpu.State->Mxcsr != Mxcsr.Initial)
        {
            // With XSAVEC, MXCSR belongs to the SSE component (SDM vol. 1, 13.10).
            inUse |= ExtendedState.Sse;
        }

        ulong written = requested & inUse;
        int count = RegisterCount(cpu);
        byte* area = stackalloc byte[ExtendedState.StandardBytes];
        cpu.ProbeRange(address, ExtendedState.StandardBytesOf(requested), AccessKind.Write);
        if ((written & ExtendedState.X87) != 0)
        {
            ExtendedState.StoreX87(cpu.State, area, IsWide(i));
            cpu.WriteBytes(address, area, ExtendedState.MxcsrOffset);
            cpu.WriteBytes(address + ExtendedState.X87Offset, area + ExtendedState.X87Offset, 128);
        }

        if ((written & ExtendedState.Sse) != 0)
        {
            ExtendedState.StoreMxcsr(cpu.State, area);
            ExtendedState.StoreXmm(cpu.State, area, count);
            cpu.WriteBytes(address + ExtendedState.MxcsrOffset, area + ExtendedState.MxcsrOffset, 8);
            cpu.WriteBytes(address + ExtendedState.XmmOffset, area + ExtendedState.XmmOffset, count * 16);
        }

        if ((written & ExtendedState.Avx) != 0)
        {
            ExtendedState.StoreUpper(cpu.State, area + ExtendedState.AvxOffset, count);
            cpu.WriteBytes(address + ExtendedState.AvxOffset, area + ExtendedState.AvxOffset, count * 16);
        }

        cpu.Write(address + ExtendedState.HeaderOffset, written);
        cpu.Write(address + ExtendedState.HeaderOffset + 8, requested | ExtendedState.Compacted);
        return i + 1;
    }

    private static DecodedInstruction* XRestore(X86Processor cpu, DecodedInstruction* i, ulong requested, bool compactedOnly)
    {
        ulong address = AreaAddress(cpu, i, ExtendedState.HeaderOffset + 64, 64, AccessKind.Read);
        byte* area = stackalloc byte[ExtendedState.StandardBytes];
        cpu.ReadBytes(address, area, ExtendedState.HeaderOffset + 64);
        ulong present = *(ulong*)(area + ExtendedState.HeaderOffset);
        ulong format = *(ulong*)(area + ExtendedState.HeaderOffset + 8);
        bool compacted = (format & ExtendedState.Compacted) != 0;
        ulong known = compacted ? format & ~ExtendedState.Compacted : cpu.State->Xcr0;
        bool reserved = compactedOnly && !compacted;
        for (int at = compacted ? 16 : 8; at < (compacted ? 64 : 24); at++)
        {
            reserved |= area[ExtendedState.HeaderOffset + at] != 0;
        }

        uint mxcsr = *(uint*)(area + ExtendedState.MxcsrOffset);
        bool loadsMxcsr = compacted
            ? (requested & present & ExtendedState.Sse) != 0
            : (requested & (ExtendedState.Sse | ExtendedState.Avx)) != 0;
        if (reserved || (present & ~known) != 0 || (known & ~cpu.State->Xcr0) != 0
            || (loadsMxcsr && (mxcsr & ~Mxcsr.Valid) != 0))
        {
            cpu.RaiseGeneralProtection();
        }

        int count = RegisterCount(cpu);
        if ((requested & present & ExtendedState.Avx) != 0)
        {
            cpu.ReadBytes(address + ExtendedState.AvxOffset, area + ExtendedState.AvxOffset, count * 16);
        }

        if ((requested & ExtendedState.X87) != 0)
        {
            if ((present & ExtendedState.X87) == 0)
            {
                ExtendedState.ResetX87(cpu.State);
            }
            else
            {
                ExtendedState.LoadX87(cpu.State, area, IsWide(i));
            }
        }

        if (loadsMxcsr)
        {
            cpu.State->Mxcsr = mxcsr;
        }
        else if (compacted && (requested & ExtendedState.Sse) != 0)
        {
            cpu.State->Mxcsr = Mxcsr.Initial;
        }

        if ((requested & ExtendedState.Sse) != 0)
        {
            if ((present & ExtendedState.Sse) == 0)
            {
                new Span<byte>(area + ExtendedState.XmmOffset, count * 16).Clear();
            }

            ExtendedState.LoadXmm(cpu.State, area, count);
        }

        if ((requested & ExtendedState.Avx) != 0)
        {
            if ((present & ExtendedState.Avx) == 0)
            {
                new Span<byte>(area + ExtendedState.AvxOffset, count * 16).Clear();
            }

            ExtendedState.LoadUpper(cpu.State, area + ExtendedState.AvxOffset, count);
        }

        return i + 1;
    }
}
