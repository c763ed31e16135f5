using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.Simd;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// Moves between XMM registers and memory.
internal static unsafe partial class SimdInstructions
{
    private static void RegisterMoves(InstructionTable.Builder table)
    {
        table.Set(Code.Movaps_xmm_xmmm128, &LoadAligned);
        table.Set(Code.Movapd_xmm_xmmm128, &LoadAligned);
        table.Set(Code.Movdqa_xmm_xmmm128, &LoadAligned);
        table.Set(Code.Movntdqa_xmm_m128, &LoadAligned);
        table.Set(Code.Movups_xmm_xmmm128, &LoadUnaligned);
        table.Set(Code.Movupd_xmm_xmmm128, &LoadUnaligned);
        table.Set(Code.Movdqu_xmm_xmmm128, &LoadUnaligned);
        table.Set(Code.Lddqu_xmm_m128, &LoadUnaligned);
        table.Set(Code.Movaps_xmmm128_xmm, &StoreAligned);
        table.Set(Code.Movapd_xmmm128_xmm, &StoreAligned);
        table.Set(Code.Movdqa_xmmm128_xmm, &StoreAligned);
        table.Set(Code.Movntps_m128_xmm, &StoreAligned);
        table.Set(Code.Movntpd_m128_xmm, &StoreAligned);
        table.Set(Code.Movntdq_m128_xmm, &StoreAligned);
        table.Set(Code.Movups_xmmm128_xmm, &StoreUnaligned);
        table.Set(Code.Movupd_xmmm128_xmm, &StoreUnaligned);
        table.Set(Code.Movdqu_xmmm128_xmm, &StoreUnaligned);

        table.Set(Code.Movq_xmm_xmmm64, &LoadZeroed<ulong>);
        table.Set(Code.Movq_xmmm64_xmm, &StoreZeroed);
        table.Set(Code.Movd_xmm_rm32, &LoadGeneral<uint>);
        table.Set(Code.Movq_xmm_rm64, &LoadGeneral<ulong>);
        table.Set(Code.Movd_rm32_xmm, &StoreGeneral<uint, LegacyEncoding>);
        table.Set(Code.Movq_rm64_xmm, &StoreGeneral<ulong, LegacyEncoding>);

        table.Set(Code.Movss_xmm_xmmm32, &LoadScalar<uint>);
        table.Set(Code.Movsd_xmm_xmmm64, &LoadScalar<ulong>);
        table.Set(Code.Movss_xmmm32_xmm, &StoreScalar<uint>);
        table.Set(Code.Movsd_xmmm64_xmm, &StoreScalar<ulong>);

        table.Set(Code.Movlps_xmm_m64, &LoadHalf<LowHalf>);
        table.Set(Code.Movlpd_xmm_m64, &LoadHalf<LowHalf>);
        table.Set(Code.Movhps_xmm_m64, &LoadHalf<HighHalf>);
        table.Set(Code.Movhpd_xmm_m64, &LoadHalf<HighHalf>);
        table.Set(Code.Movlps_m64_xmm, &StoreHalf<LowHalf, LegacyEncoding>);
        table.Set(Code.Movlpd_m64_xmm, &StoreHalf<LowHalf, LegacyEncoding>);
        table.Set(Code.Movhps_m64_xmm, &StoreHalf<HighHalf, LegacyEncoding>);
        table.Set(Code.Movhpd_m64_xmm, &StoreHalf<HighHalf, LegacyEncoding>);
        table.Set(Code.Movhlps_xmm_xmm, &MoveHighToLow);
        table.Set(Code.Movlhps_xmm_xmm, &MoveLowToHigh);
        table.Set(Code.Maskmovdqu_rDI_xmm_xmm, &MaskedStore<LegacyEncoding>);
        table.Set(Code.Movnti_m32_r32, &StoreNonTemporal<uint>);
        table.Set(Code.Movnti_m64_r64, &StoreNonTemporal<ulong>);
        for (var code = Code.Lfence_E9; code <= Code.Lfence_EF; code++)
        {
            table.Set(code, &Fence);
        }

        for (var code = Code.Mfence_F1; code <= Code.Mfence_F7; code++)
        {
            table.Set(code, &Fence);
        }

        for (var code = Code.Sfence_F9; code <= Code.Sfence_FF; code++)
        {
            table.Set(code, &Fence);
        }
    }

    /// <summary>One half of an XMM register.</summary>
    private interface IHalf
    {
        static abstract int Index { get; }
    }

    private readonly struct LowHalf : IHalf
    {
        public static int Index => 0;
    }

    private readonly struct HighHalf : IHalf
    {
        public static int Index => 1;
    }

    private static DecodedInstruction* LoadAligned(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        Xmm(cpu, i->Reg0) = Source(cpu, i);
        return i + 1;
    }

    private static DecodedInstruction* LoadUnaligned(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        Xmm(cpu, i->Reg0) = HasMemory(i) ? cpu.ReadOperand<Vector128<byte>>(i) : Xmm(cpu, i->Reg1);
        return i + 1;
    }

    private static DecodedInstruction* StoreAligned(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        if (HasMemory(i))
        {
            cpu.Write(AlignedAddress(cpu, i, AccessKind.Write), Xmm(cpu, i->Reg1));
        }
        else
        {
            Xmm(cpu, i->Reg0) = Xmm(cpu, i->Reg1);
        }

        return i + 1;
    }

    private static DecodedInstruction* StoreUnaligned(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        if (HasMemory(i))
        {
            cpu.WriteOperand(i, Xmm(cpu, i->Reg1));
        }
        else
        {
            Xmm(cpu, i->Reg0) = Xmm(cpu, i->Reg1);
        }

        return i + 1;
    }

    private static DecodedInstruction* LoadZeroed<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        Enter(cpu);
        Xmm(cpu, i->Reg0) = Vector128.CreateScalar(Element<T>(cpu, i)).AsByte();
        return i + 1;
    }

    private static DecodedInstruction* StoreZeroed(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        ulong value = Low<ulong>(cpu, i->Reg1);
        if (HasMemory(i))
        {
            cpu.WriteOperand(i, value);
        }
        else
        {
            Xmm(cpu, i->Reg0) = Vector128.CreateScalar(value).AsByte();
        }

        return i + 1;
    }

    private static DecodedInstruction* LoadGeneral<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        Enter(cpu);
        T value = HasMemory(i) ? cpu.ReadOperand<T>(i) : cpu.Register<T>(i->Reg1);
        Xmm(cpu, i->Reg0) = Vector128.CreateScalar(value).AsByte();
        return i + 1;
    }

    private static DecodedInstruction* StoreGeneral<T, TEncoding>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
        where TEncoding : struct, IVectorEncoding
    {
        Enter<TEncoding>(cpu);
        T value = Low<T>(cpu, i->Reg1);
        if (HasMemory(i))
        {
            cpu.WriteOperand(i, value);
        }
        else
        {
            cpu.Register<ulong>(i->Reg0) = 0;
            cpu.Register<T>(i->Reg0) = value;
        }

        return i + 1;
    }

    // From memory the rest of the register is cleared, from a register it stays.
    private static DecodedInstruction* LoadScalar<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        Enter(cpu);
        if (HasMemory(i))
        {
            Xmm(cpu, i->Reg0) = Vector128.CreateScalar(cpu.ReadOperand<T>(i)).AsByte();
        }
        else
        {
            Low<T>(cpu, i->Reg0) = Low<T>(cpu, i->Reg1);
        }

        return i + 1;
    }

    private static DecodedInstruction* StoreScalar<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        Enter(cpu);
        if (HasMemory(i))
        {
            cpu.WriteOperand(i, Low<T>(cpu, i->Reg1));
        }
        else
        {
            Low<T>(cpu, i->Reg0) = Low<T>(cpu, i->Reg1);
        }

        return i + 1;
    }

    private static DecodedInstruction* LoadHalf<THalf>(X86Processor cpu, DecodedInstruction* i)
        where THalf : struct, IHalf
    {
        Enter(cpu);
        ulong value = cpu.ReadOperand<ulong>(i);
        ref var destination = ref Xmm(cpu, i->Reg0);
        destination = destination.AsUInt64().WithElement(THalf.Index, value).AsByte();
        return i + 1;
    }

    private static DecodedInstruction* StoreHalf<THalf, TEncoding>(X86Processor cpu, DecodedInstruction* i)
        where THalf : struct, IHalf
        where TEncoding : struct, IVectorEncoding
    {
        Enter<TEncoding>(cpu);
        cpu.WriteOperand(i, Xmm(cpu, i->Reg1).AsUInt64().GetElement(THalf.Index));
        return i + 1;
    }

    private static DecodedInstruction* MoveHighToLow(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        ref var destination = ref Xmm(cpu, i->Reg0);
        destination = Vector128.Create(Xmm(cpu, i->Reg1).GetUpper(), destination.GetUpper());
        return i + 1;
    }

    private static DecodedInstruction* MoveLowToHigh(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        ref var destination = ref Xmm(cpu, i->Reg0);
        destination = Vector128.Create(destination.GetLower(), Xmm(cpu, i->Reg1).GetLower());
        return i + 1;
    }

    // Its registers are general ones: neither CR0.TS nor CR0.EM matters.
    private static DecodedInstruction* StoreNonTemporal<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        cpu.WriteOperand(i, cpu.Register<T>(i->Reg1));
        return i + 1;
    }

    // The encodings of the fences that leave the low bits of ModRM free.
    private static DecodedInstruction* Fence(X86Processor cpu, DecodedInstruction* i)
    {
        Thread.MemoryBarrier();
        return i + 1;
    }

    private static DecodedInstruction* MaskedStore<TEncoding>(X86Processor cpu, DecodedInstruction* i)
        where TEncoding : struct, IVectorEncoding
    {
        Enter<TEncoding>(cpu);
        var data = Xmm(cpu, i->Reg1);
        StoreBytes(cpu, i, (byte*)&data, Xmm(cpu, i->Reg2).ExtractMostSignificantBits());
        return i + 1;
    }

    /// <summary>Stores the bytes whose mask bit is set to [rDI]; all of them or, when a page is missing, none.</summary>
    private static void StoreBytes(X86Processor cpu, DecodedInstruction* i, byte* data, uint mask)
    {
        if (mask == 0)
        {
            return;
        }

        const int rdi = 7;
        ulong offset = cpu.State->Gpr[rdi];
        offset = (i->Flags & InstructionFlags.Address32) != 0 ? (uint)offset
            : (i->Flags & InstructionFlags.Address16) != 0 ? (ushort)offset : offset;
        int first = System.Numerics.BitOperations.TrailingZeroCount(mask);
        int last = System.Numerics.BitOperations.Log2(mask);
        ulong linear = cpu.SegmentedAddress((SegmentName)i->Segment, offset + (uint)first, (uint)(last - first + 1), AccessKind.Write)
            - (uint)first;
        cpu.ProbeRange(linear + (uint)first, last - first + 1, AccessKind.Write);
        for (int at = first; at <= last; at++)
        {
            if ((mask >> at & 1) != 0)
            {
                cpu.Write(linear + (uint)at, data[at]);
            }
        }
    }
}
