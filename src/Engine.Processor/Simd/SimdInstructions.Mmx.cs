using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.FloatingPoint;
using Hypervisor.Engine.Processor.Simd;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// MMX: the significands of the x87 registers as 64-bit vectors. Operations are the XMM ones on low halves.
internal static unsafe partial class SimdInstructions
{
    private static void RegisterMmx(InstructionTable.Builder table)
    {
        table.Set(Code.Paddb_mm_mmm64, &MmxBinary<Paddb>);
        table.Set(Code.Paddw_mm_mmm64, &MmxBinary<Paddw>);
        table.Set(Code.Paddd_mm_mmm64, &MmxBinary<Paddd>);
        table.Set(Code.Paddq_mm_mmm64, &MmxBinary<Paddq>);
        table.Set(Code.Psubb_mm_mmm64, &MmxBinary<Psubb>);
        table.Set(Code.Psubw_mm_mmm64, &MmxBinary<Psubw>);
        table.Set(Code.Psubd_mm_mmm64, &MmxBinary<Psubd>);
        table.Set(Code.Psubq_mm_mmm64, &MmxBinary<Psubq>);
        table.Set(Code.Paddsb_mm_mmm64, &MmxBinary<Paddsb>);
        table.Set(Code.Paddsw_mm_mmm64, &MmxBinary<Paddsw>);
        table.Set(Code.Paddusb_mm_mmm64, &MmxBinary<Paddusb>);
        table.Set(Code.Paddusw_mm_mmm64, &MmxBinary<Paddusw>);
        table.Set(Code.Psubsb_mm_mmm64, &MmxBinary<Psubsb>);
        table.Set(Code.Psubsw_mm_mmm64, &MmxBinary<Psubsw>);
        table.Set(Code.Psubusb_mm_mmm64, &MmxBinary<Psubusb>);
        table.Set(Code.Psubusw_mm_mmm64, &MmxBinary<Psubusw>);
        table.Set(Code.Pavgb_mm_mmm64, &MmxBinary<Pavgb>);
        table.Set(Code.Pavgw_mm_mmm64, &MmxBinary<Pavgw>);
        table.Set(Code.Pminub_mm_mmm64, &MmxBinary<Pminub>);
        table.Set(Code.Pmaxub_mm_mmm64, &MmxBinary<Pmaxub>);
        table.Set(Code.Pminsw_mm_mmm64, &MmxBinary<Pminsw>);
        table.Set(Code.Pmaxsw_mm_mmm64, &MmxBinary<Pmaxsw>);
        table.Set(Code.Pabsb_mm_mmm64, &MmxBinary<Pabsb>);
        table.Set(Code.Pabsw_mm_mmm64, &MmxBinary<Pabsw>);
        table.Set(Code.Pabsd_mm_mmm64, &MmxBinary<Pabsd>);
        table.Set(Code.Psignb_mm_mmm64, &MmxBinary<Psignb>);
        table.Set(Code.Psignw_mm_mmm64, &MmxBinary<Psignw>);
        table.Set(Code.Psignd_mm_mmm64, &MmxBinary<Psignd>);
        table.Set(Code.Pand_mm_mmm64, &MmxBinary<Pand>);
        table.Set(Code.Pandn_mm_mmm64, &MmxBinary<Pandn>);
        table.Set(Code.Por_mm_mmm64, &MmxBinary<Por>);
        table.Set(Code.Pxor_mm_mmm64, &MmxBinary<Pxor>);
        table.Set(Code.Pcmpeqb_mm_mmm64, &MmxBinary<Pcmpeqb>);
        table.Set(Code.Pcmpeqw_mm_mmm64, &MmxBinary<Pcmpeqw>);
        table.Set(Code.Pcmpeqd_mm_mmm64, &MmxBinary<Pcmpeqd>);
        table.Set(Code.Pcmpgtb_mm_mmm64, &MmxBinary<Pcmpgtb>);
        table.Set(Code.Pcmpgtw_mm_mmm64, &MmxBinary<Pcmpgtw>);
        table.Set(Code.Pcmpgtd_mm_mmm64, &MmxBinary<Pcmpgtd>);
        table.Set(Code.Pmullw_mm_mmm64, &MmxBinary<Pmullw>);
        table.Set(Code.Pmulhw_mm_mmm64, &MmxBinary<Pmulhw>);
        table.Set(Code.Pmulhuw_mm_mmm64, &MmxBinary<Pmulhuw>);
        table.Set(Code.Pmulhrsw_mm_mmm64, &MmxBinary<Pmulhrsw>);
        table.Set(Code.Pmuludq_mm_mmm64, &MmxBinary<Pmuludq>);
        table.Set(Code.Pmaddwd_mm_mmm64, &MmxBinary<Pmaddwd>);
        table.Set(Code.Pmaddubsw_mm_mmm64, &MmxBinary<Pmaddubsw>);
        table.Set(Code.Psadbw_mm_mmm64, &MmxBinary<Psadbw>);
        table.Set(Code.Packsswb_mm_mmm64, &MmxJoined<Packsswb>);
        table.Set(Code.Packssdw_mm_mmm64, &MmxJoined<Packssdw>);
        table.Set(Code.Packuswb_mm_mmm64, &MmxJoined<Packuswb>);
        table.Set(Code.Phaddw_mm_mmm64, &MmxJoined<Phaddw>);
        table.Set(Code.Phaddsw_mm_mmm64, &MmxJoined<Phaddsw>);
        table.Set(Code.Phaddd_mm_mmm64, &MmxJoined<Phaddd>);
        table.Set(Code.Phsubw_mm_mmm64, &MmxJoined<Phsubw>);
        table.Set(Code.Phsubsw_mm_mmm64, &MmxJoined<Phsubsw>);
        table.Set(Code.Phsubd_mm_mmm64, &MmxJoined<Phsubd>);
        table.Set(Code.Punpcklbw_mm_mmm32, &MmxInterleaveLow<Punpcklbw>);
        table.Set(Code.Punpckhbw_mm_mmm64, &MmxInterleaveHigh<Punpcklbw>);
        table.Set(Code.Punpcklwd_mm_mmm32, &MmxInterleaveLow<Punpcklwd>);
        table.Set(Code.Punpckhwd_mm_mmm64, &MmxInterleaveHigh<Punpcklwd>);
        table.Set(Code.Punpckldq_mm_mmm32, &MmxInterleaveLow<Punpckldq>);
        table.Set(Code.Punpckhdq_mm_mmm64, &MmxInterleaveHigh<Punpckldq>);
        table.Set(Code.Psrlw_mm_mmm64, &MmxShiftByRegister<Psrlw>);
        table.Set(Code.Psrlw_mm_imm8, &MmxShiftByImmediate<Psrlw>);
        table.Set(Code.Psrld_mm_mmm64, &MmxShiftByRegister<Psrld>);
        table.Set(Code.Psrld_mm_imm8, &MmxShiftByImmediate<Psrld>);
        table.Set(Code.Psrlq_mm_mmm64, &MmxShiftByRegister<Psrlq>);
        table.Set(Code.Psrlq_mm_imm8, &MmxShiftByImmediate<Psrlq>);
        table.Set(Code.Psraw_mm_mmm64, &MmxShiftByRegister<Psraw>);
        table.Set(Code.Psraw_mm_imm8, &MmxShiftByImmediate<Psraw>);
        table.Set(Code.Psrad_mm_mmm64, &MmxShiftByRegister<Psrad>);
        table.Set(Code.Psrad_mm_imm8, &MmxShiftByImmediate<Psrad>);
        table.Set(Code.Psllw_mm_mmm64, &MmxShiftByRegister<Psllw>);
        table.Set(Code.Psllw_mm_imm8, &MmxShiftByImmediate<Psllw>);
        table.Set(Code.Pslld_mm_mmm64, &MmxShiftByRegister<Pslld>);
        table.Set(Code.Pslld_mm_imm8, &MmxShiftByImmediate<Pslld>);
        table.Set(Code.Psllq_mm_mmm64, &MmxShiftByRegister<Psllq>);
        table.Set(Code.Psllq_mm_imm8, &MmxShiftByImmediate<Psllq>);
        table.Set(Code.Pshufb_mm_mmm64, &MmxShuffleBytes);
        table.Set(Code.Pshufw_mm_mmm64_imm8, &MmxShuffleWords);
        table.Set(Code.Palignr_mm_mmm64_imm8, &MmxAlign);
        table.Set(Code.Emms, &EmptyMmx);
        table.Set(Code.Movd_mm_rm32, &MmxLoadGeneral<uint>);
        table.Set(Code.Movq_mm_rm64, &MmxLoadGeneral<ulong>);
        table.Set(Code.Movd_rm32_mm, &MmxStoreGeneral<uint>);
        table.Set(Code.Movq_rm64_mm, &MmxStoreGeneral<ulong>);
        table.Set(Code.Movq_mm_mmm64, &MmxLoad);
        table.Set(Code.Movq_mmm64_mm, &MmxStore);
        table.Set(Code.Movntq_m64_mm, &MmxStore);
        table.Set(Code.Maskmovq_rDI_mm_mm, &MmxMaskedStore);
        table.Set(Code.Pmovmskb_r32_mm, &MmxByteMask);
        table.Set(Code.Pmovmskb_r64_mm, &MmxByteMask);
        table.Set(Code.Pextrw_r32_mm_imm8, &MmxExtract);
        table.Set(Code.Pextrw_r64_mm_imm8, &MmxExtract);
        table.Set(Code.Pinsrw_mm_r32m16_imm8, &MmxInsert);
        table.Set(Code.Pinsrw_mm_r64m16_imm8, &MmxInsert);
        table.Set(Code.Movq2dq_xmm_mm, &MmxToXmm);
        table.Set(Code.Movdq2q_mm_xmm, &XmmToMmx);
        table.Set(Code.Cvtpi2ps_xmm_mmm64, &MmxIntegersToSingles);
        table.Set(Code.Cvtpi2pd_xmm_mmm64, &MmxIntegersToDoubles);
        table.Set(Code.Cvtps2pi_mm_xmmm64, &SinglesToMmx<Rounded>);
        table.Set(Code.Cvttps2pi_mm_xmmm64, &SinglesToMmx<Truncated>);
        table.Set(Code.Cvtpd2pi_mm_xmmm128, &DoublesToMmx<Rounded>);
        table.Set(Code.Cvttpd2pi_mm_xmmm128, &DoublesToMmx<Truncated>);
    }

    /// <summary>#UD without a unit, #NM when it is another task's, #MF when an x87 exception waits (SDM vol. 3A, 13.5).</summary>
    private static void EnterMmx(X86Processor cpu)
    {
        var state = cpu.State;
        if ((state->Cr0 & (X86Processor.Cr0Em | X86Processor.Cr0Ts)) != 0)
        {
            cpu.Raise((state->Cr0 & X86Processor.Cr0Em) != 0 ? Vector.InvalidOpcode : Vector.DeviceNotAvailable);
        }

        if ((state->X87Status & X87State.ErrorSummary) != 0)
        {
            cpu.Raise(Vector.FloatingPoint);
        }
    }

    /// <summary>
    /// What every MMX instruction but EMMS does to the stack: all registers in use, TOP zero. A conversion does it even when it then
    /// raises #XM.
    /// </summary>
    private static void TouchMmx(X86Processor cpu)
    {
        X87State.SetTop(cpu.State, 0);
        cpu.State->X87Valid = 0xFF;
    }

    private static ulong Mm(X86Processor cpu, int number) => cpu.State->X87[number].Mantissa;

    private static void SetMm(X86Processor cpu, int number, ulong value)
    {
        TouchMmx(cpu);
        ref var register = ref cpu.State->X87[number];
        register.Mantissa = value;
        register.SignExponent = 0xFFFF;
    }

    private static ulong MmxSource(X86Processor cpu, DecodedInstruction* i) =>
        HasMemory(i) ? cpu.ReadOperand<ulong>(i) : Mm(cpu, i->Reg1);

    private static Vector128<byte> Widened(ulong value) => Vector128.CreateScalar(value).AsByte();

    private static DecodedInstruction* MmxBinary<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorBinary
    {
        EnterMmx(cpu);
        ulong source = MmxSource(cpu, i);
        SetMm(cpu, i->Reg0, TOp.Apply(Widened(Mm(cpu, i->Reg0)), Widened(source)).AsUInt64().ToScalar());
        return i + 1;
    }

    // Operations that gather from both operands see them as the halves of one XMM operand.
    private static DecodedInstruction* MmxJoined<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorBinary
    {
        EnterMmx(cpu);
        ulong source = MmxSource(cpu, i);
        var joined = Vector128.Create(Mm(cpu, i->Reg0), source).AsByte();
        SetMm(cpu, i->Reg0, TOp.Apply(joined, joined).AsUInt64().ToScalar());
        return i + 1;
    }

    private static DecodedInstruction* MmxInterleaveLow<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorBinary
    {
        EnterMmx(cpu);
        ulong source = HasMemory(i) ? cpu.ReadOperand<uint>(i) : Mm(cpu, i->Reg1);
        SetMm(cpu, i->Reg0, TOp.Apply(Widened(Mm(cpu, i->Reg0)), Widened(source)).AsUInt64().ToScalar());
        return i + 1;
    }

    private static DecodedInstruction* MmxInterleaveHigh<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorBinary
    {
        EnterMmx(cpu);
        ulong source = MmxSource(cpu, i);
        SetMm(cpu, i->Reg0, TOp.Apply(Widened(Mm(cpu, i->Reg0)), Widened(source)).AsUInt64().GetElement(1));
        return i + 1;
    }

    private static DecodedInstruction* MmxShiftByRegister<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorShift
    {
        EnterMmx(cpu);
        ulong count = MmxSource(cpu, i);
        SetMm(cpu, i->Reg0, TOp.Apply(Widened(Mm(cpu, i->Reg0)), count).AsUInt64().ToScalar());
        return i + 1;
    }

    private static DecodedInstruction* MmxShiftByImmediate<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorShift
    {
        EnterMmx(cpu);
        SetMm(cpu, i->Reg0, TOp.Apply(Widened(Mm(cpu, i->Reg0)), (byte)i->Immediate).AsUInt64().ToScalar());
        return i + 1;
    }

    private static DecodedInstruction* MmxShuffleBytes(X86Processor cpu, DecodedInstruction* i)
    {
        EnterMmx(cpu);
        var control = Widened(MmxSource(cpu, i)) & Vector128.Create((byte)0x87);
        SetMm(cpu, i->Reg0, Pshufb.Apply(Widened(Mm(cpu, i->Reg0)), control).AsUInt64().ToScalar());
        return i + 1;
    }

    private static DecodedInstruction* MmxShuffleWords(X86Processor cpu, DecodedInstruction* i)
    {
        EnterMmx(cpu);
        var source = Vector64.CreateScalar(MmxSource(cpu, i)).AsByte();
        SetMm(cpu, i->Reg0, Words.Shuffle(source, (byte)i->Immediate).AsUInt64().ToScalar());
        return i + 1;
    }

    private static DecodedInstruction* MmxAlign(X86Processor cpu, DecodedInstruction* i)
    {
        EnterMmx(cpu);
        var joined = Vector128.Create(MmxSource(cpu, i), Mm(cpu, i->Reg0)).AsByte();
        SetMm(cpu, i->Reg0, Psrldq.Apply(joined, (byte)i->Immediate).AsUInt64().ToScalar());
        return i + 1;
    }

    private static DecodedInstruction* EmptyMmx(X86Processor cpu, DecodedInstruction* i)
    {
        EnterMmx(cpu);
        cpu.State->X87Valid = 0;
        X87State.SetTop(cpu.State, 0);
        return i + 1;
    }

    private static DecodedInstruction* MmxLoadGeneral<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        EnterMmx(cpu);
        T value = HasMemory(i) ? cpu.ReadOperand<T>(i) : cpu.Register<T>(i->Reg1);
        SetMm(cpu, i->Reg0, sizeof(T) == 4 ? *(uint*)&value : *(ulong*)&value);
        return i + 1;
    }

    private static DecodedInstruction* MmxStoreGeneral<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        EnterMmx(cpu);
        ulong value = Mm(cpu, i->Reg1);
        if (HasMemory(i))
        {
            cpu.WriteOperand(i, *(T*)&value);
        }
        else
        {
            cpu.Register<ulong>(i->Reg0) = sizeof(T) == 4 ? (uint)value : value;
        }

        TouchMmx(cpu);
        return i + 1;
    }

    private static DecodedInstruction* MmxLoad(X86Processor cpu, DecodedInstruction* i)
    {
        EnterMmx(cpu);
        SetMm(cpu, i->Reg0, MmxSource(cpu, i));
        return i + 1;
    }

    private static DecodedInstruction* MmxStore(X86Processor cpu, DecodedInstruction* i)
    {
        EnterMmx(cpu);
        ulong value = Mm(cpu, i->Reg1);
        if (HasMemory(i))
        {
            cpu.WriteOperand(i, value);
            TouchMmx(cpu);
        }
        else
        {
            SetMm(cpu, i->Reg0, value);
        }

        return i + 1;
    }

    private static DecodedInstruction* MmxMaskedStore(X86Processor cpu, DecodedInstruction* i)
    {
        EnterMmx(cpu);
        ulong data = Mm(cpu, i->Reg1);
        StoreBytes(cpu, i, (byte*)&data, Widened(Mm(cpu, i->Reg2)).ExtractMostSignificantBits() & 0xFF);
        TouchMmx(cpu);
        return i + 1;
    }

    private static DecodedInstruction* MmxByteMask(X86Processor cpu, DecodedInstruction* i)
    {
        EnterMmx(cpu);
        cpu.Register<ulong>(i->Reg0) = Widened(Mm(cpu, i->Reg1)).ExtractMostSignificantBits();
        TouchMmx(cpu);
        return i + 1;
    }

    private static DecodedInstruction* MmxExtract(X86Processor cpu, DecodedInstruction* i)
    {
        EnterMmx(cpu);
        cpu.Register<ulong>(i->Reg0) = (ushort)(Mm(cpu, i->Reg1) >> (16 * ((int)i->Immediate & 3)));
        TouchMmx(cpu);
        return i + 1;
    }

    private static DecodedInstruction* MmxInsert(X86Processor cpu, DecodedInstruction* i)
    {
        EnterMmx(cpu);
        ushort value = HasMemory(i) ? cpu.ReadOperand<ushort>(i) : cpu.Register<ushort>(i->Reg1);
        int shift = 16 * ((int)i->Immediate & 3);
        SetMm(cpu, i->Reg0, (Mm(cpu, i->Reg0) & ~(0xFFFFul << shift)) | ((ulong)value << shift));
        return i + 1;
    }

    private static DecodedInstruction* MmxToXmm(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        EnterMmx(cpu);
        Xmm(cpu, i->Reg0) = Widened(Mm(cpu, i->Reg1));
        TouchMmx(cpu);
        return i + 1;
    }

    private static DecodedInstruction* XmmToMmx(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        EnterMmx(cpu);
        SetMm(cpu, i->Reg0, Low<ulong>(cpu, i->Reg1));
        return i + 1;
    }

    private static DecodedInstruction* MmxIntegersToSingles(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        EnterMmx(cpu);
        ulong source = MmxSource(cpu, i);
        TouchMmx(cpu);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        uint low = SseFloat.IntegerToSingle(ref context, (int)source);
        uint high = SseFloat.IntegerToSingle(ref context, (int)(source >> 32));
        Commit(cpu, context);
        Low<ulong>(cpu, i->Reg0) = low | ((ulong)high << 32);
        return i + 1;
    }

    // From memory no MMX register is involved, and the x87 state stays (SDM vol. 2, CVTPI2PD).
    private static DecodedInstruction* MmxIntegersToDoubles(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        ulong source;
        if (HasMemory(i))
        {
            source = cpu.ReadOperand<ulong>(i);
        }
        else
        {
            EnterMmx(cpu);
            source = Mm(cpu, i->Reg1);
            TouchMmx(cpu);
        }

        Xmm(cpu, i->Reg0) = Vector128.Create((double)(int)source, (int)(source >> 32)).AsByte();
        return i + 1;
    }

    private static DecodedInstruction* SinglesToMmx<TTruncate>(X86Processor cpu, DecodedInstruction* i)
        where TTruncate : struct, IChoice
    {
        Enter(cpu);
        EnterMmx(cpu);
        ulong source = Element<ulong>(cpu, i);
        TouchMmx(cpu);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        uint low = (uint)SseFloat.SingleToInteger(ref context, TTruncate.Value, 32, (uint)source);
        uint high = (uint)SseFloat.SingleToInteger(ref context, TTruncate.Value, 32, (uint)(source >> 32));
        Commit(cpu, context);
        SetMm(cpu, i->Reg0, low | ((ulong)high << 32));
        return i + 1;
    }

    private static DecodedInstruction* DoublesToMmx<TTruncate>(X86Processor cpu, DecodedInstruction* i)
        where TTruncate : struct, IChoice
    {
        Enter(cpu);
        EnterMmx(cpu);
        var source = Source(cpu, i).AsUInt64();
        TouchMmx(cpu);
        var context = Mxcsr.Begin(cpu.State->Mxcsr);
        uint low = (uint)SseFloat.DoubleToInteger(ref context, TTruncate.Value, 32, source.ToScalar());
        uint high = (uint)SseFloat.DoubleToInteger(ref context, TTruncate.Value, 32, source.GetElement(1));
        Commit(cpu, context);
        SetMm(cpu, i->Reg0, low | ((ulong)high << 32));
        return i + 1;
    }
}
