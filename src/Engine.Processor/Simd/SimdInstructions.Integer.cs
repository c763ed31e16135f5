using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.Simd;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// Packed integer instructions on XMM registers.
internal static unsafe partial class SimdInstructions
{
    private static void RegisterInteger(InstructionTable.Builder table)
    {
        table.Set(Code.Paddb_xmm_xmmm128, &Binary<Paddb>);
        table.Set(Code.Paddw_xmm_xmmm128, &Binary<Paddw>);
        table.Set(Code.Paddd_xmm_xmmm128, &Binary<Paddd>);
        table.Set(Code.Paddq_xmm_xmmm128, &Binary<Paddq>);
        table.Set(Code.Psubb_xmm_xmmm128, &Binary<Psubb>);
        table.Set(Code.Psubw_xmm_xmmm128, &Binary<Psubw>);
        table.Set(Code.Psubd_xmm_xmmm128, &Binary<Psubd>);
        table.Set(Code.Psubq_xmm_xmmm128, &Binary<Psubq>);
        table.Set(Code.Paddsb_xmm_xmmm128, &Binary<Paddsb>);
        table.Set(Code.Paddsw_xmm_xmmm128, &Binary<Paddsw>);
        table.Set(Code.Paddusb_xmm_xmmm128, &Binary<Paddusb>);
        table.Set(Code.Paddusw_xmm_xmmm128, &Binary<Paddusw>);
        table.Set(Code.Psubsb_xmm_xmmm128, &Binary<Psubsb>);
        table.Set(Code.Psubsw_xmm_xmmm128, &Binary<Psubsw>);
        table.Set(Code.Psubusb_xmm_xmmm128, &Binary<Psubusb>);
        table.Set(Code.Psubusw_xmm_xmmm128, &Binary<Psubusw>);
        table.Set(Code.Pavgb_xmm_xmmm128, &Binary<Pavgb>);
        table.Set(Code.Pavgw_xmm_xmmm128, &Binary<Pavgw>);
        table.Set(Code.Pminub_xmm_xmmm128, &Binary<Pminub>);
        table.Set(Code.Pmaxub_xmm_xmmm128, &Binary<Pmaxub>);
        table.Set(Code.Pminsw_xmm_xmmm128, &Binary<Pminsw>);
        table.Set(Code.Pmaxsw_xmm_xmmm128, &Binary<Pmaxsw>);
        table.Set(Code.Pminsb_xmm_xmmm128, &Binary<Pminsb>);
        table.Set(Code.Pmaxsb_xmm_xmmm128, &Binary<Pmaxsb>);
        table.Set(Code.Pminuw_xmm_xmmm128, &Binary<Pminuw>);
        table.Set(Code.Pmaxuw_xmm_xmmm128, &Binary<Pmaxuw>);
        table.Set(Code.Pminsd_xmm_xmmm128, &Binary<Pminsd>);
        table.Set(Code.Pmaxsd_xmm_xmmm128, &Binary<Pmaxsd>);
        table.Set(Code.Pminud_xmm_xmmm128, &Binary<Pminud>);
        table.Set(Code.Pmaxud_xmm_xmmm128, &Binary<Pmaxud>);
        table.Set(Code.Pabsb_xmm_xmmm128, &Binary<Pabsb>);
        table.Set(Code.Pabsw_xmm_xmmm128, &Binary<Pabsw>);
        table.Set(Code.Pabsd_xmm_xmmm128, &Binary<Pabsd>);
        table.Set(Code.Psignb_xmm_xmmm128, &Binary<Psignb>);
        table.Set(Code.Psignw_xmm_xmmm128, &Binary<Psignw>);
        table.Set(Code.Psignd_xmm_xmmm128, &Binary<Psignd>);
        table.Set(Code.Pand_xmm_xmmm128, &Binary<Pand>);
        table.Set(Code.Pandn_xmm_xmmm128, &Binary<Pandn>);
        table.Set(Code.Por_xmm_xmmm128, &Binary<Por>);
        table.Set(Code.Pxor_xmm_xmmm128, &Binary<Pxor>);
        table.Set(Code.Pcmpeqb_xmm_xmmm128, &Binary<Pcmpeqb>);
        table.Set(Code.Pcmpeqw_xmm_xmmm128, &Binary<Pcmpeqw>);
        table.Set(Code.Pcmpeqd_xmm_xmmm128, &Binary<Pcmpeqd>);
        table.Set(Code.Pcmpeqq_xmm_xmmm128, &Binary<Pcmpeqq>);
        table.Set(Code.Pcmpgtb_xmm_xmmm128, &Binary<Pcmpgtb>);
        table.Set(Code.Pcmpgtw_xmm_xmmm128, &Binary<Pcmpgtw>);
        table.Set(Code.Pcmpgtd_xmm_xmmm128, &Binary<Pcmpgtd>);
        table.Set(Code.Pcmpgtq_xmm_xmmm128, &Binary<Pcmpgtq>);
        table.Set(Code.Pmullw_xmm_xmmm128, &Binary<Pmullw>);
        table.Set(Code.Pmulld_xmm_xmmm128, &Binary<Pmulld>);
        table.Set(Code.Pmulhw_xmm_xmmm128, &Binary<Pmulhw>);
        table.Set(Code.Pmulhuw_xmm_xmmm128, &Binary<Pmulhuw>);
        table.Set(Code.Pmulhrsw_xmm_xmmm128, &Binary<Pmulhrsw>);
        table.Set(Code.Pmuludq_xmm_xmmm128, &Binary<Pmuludq>);
        table.Set(Code.Pmuldq_xmm_xmmm128, &Binary<Pmuldq>);
        table.Set(Code.Pmaddwd_xmm_xmmm128, &Binary<Pmaddwd>);
        table.Set(Code.Pmaddubsw_xmm_xmmm128, &Binary<Pmaddubsw>);
        table.Set(Code.Phaddw_xmm_xmmm128, &Binary<Phaddw>);
        table.Set(Code.Phaddsw_xmm_xmmm128, &Binary<Phaddsw>);
        table.Set(Code.Phaddd_xmm_xmmm128, &Binary<Phaddd>);
        table.Set(Code.Phsubw_xmm_xmmm128, &Binary<Phsubw>);
        table.Set(Code.Phsubsw_xmm_xmmm128, &Binary<Phsubsw>);
        table.Set(Code.Phsubd_xmm_xmmm128, &Binary<Phsubd>);
        table.Set(Code.Psadbw_xmm_xmmm128, &Binary<Psadbw>);
        table.Set(Code.Phminposuw_xmm_xmmm128, &Binary<Phminposuw>);
        table.Set(Code.Packsswb_xmm_xmmm128, &Binary<Packsswb>);
        table.Set(Code.Packssdw_xmm_xmmm128, &Binary<Packssdw>);
        table.Set(Code.Packuswb_xmm_xmmm128, &Binary<Packuswb>);
        table.Set(Code.Packusdw_xmm_xmmm128, &Binary<Packusdw>);
        table.Set(Code.Punpcklbw_xmm_xmmm128, &Binary<Punpcklbw>);
        table.Set(Code.Punpckhbw_xmm_xmmm128, &Binary<Punpckhbw>);
        table.Set(Code.Punpcklwd_xmm_xmmm128, &Binary<Punpcklwd>);
        table.Set(Code.Punpckhwd_xmm_xmmm128, &Binary<Punpckhwd>);
        table.Set(Code.Punpckldq_xmm_xmmm128, &Binary<Punpckldq>);
        table.Set(Code.Punpckhdq_xmm_xmmm128, &Binary<Punpckhdq>);
        table.Set(Code.Punpcklqdq_xmm_xmmm128, &Binary<Punpcklqdq>);
        table.Set(Code.Punpckhqdq_xmm_xmmm128, &Binary<Punpckhqdq>);
        table.Set(Code.Pshufb_xmm_xmmm128, &Binary<Pshufb>);
        table.Set(Code.Movshdup_xmm_xmmm128, &Binary<Movshdup>);
        table.Set(Code.Movsldup_xmm_xmmm128, &Binary<Movsldup>);
        table.Set(Code.Andps_xmm_xmmm128, &Binary<Pand>);
        table.Set(Code.Andpd_xmm_xmmm128, &Binary<Pand>);
        table.Set(Code.Andnps_xmm_xmmm128, &Binary<Pandn>);
        table.Set(Code.Andnpd_xmm_xmmm128, &Binary<Pandn>);
        table.Set(Code.Orps_xmm_xmmm128, &Binary<Por>);
        table.Set(Code.Orpd_xmm_xmmm128, &Binary<Por>);
        table.Set(Code.Xorps_xmm_xmmm128, &Binary<Pxor>);
        table.Set(Code.Xorpd_xmm_xmmm128, &Binary<Pxor>);
        table.Set(Code.Unpcklps_xmm_xmmm128, &Binary<Punpckldq>);
        table.Set(Code.Unpckhps_xmm_xmmm128, &Binary<Punpckhdq>);
        table.Set(Code.Unpcklpd_xmm_xmmm128, &Binary<Punpcklqdq>);
        table.Set(Code.Unpckhpd_xmm_xmmm128, &Binary<Punpckhqdq>);
        table.Set(Code.Pmovsxbw_xmm_xmmm64, &Widen<Pmovsxbw, ulong>);
        table.Set(Code.Pmovzxbw_xmm_xmmm64, &Widen<Pmovzxbw, ulong>);
        table.Set(Code.Pmovsxwd_xmm_xmmm64, &Widen<Pmovsxwd, ulong>);
        table.Set(Code.Pmovzxwd_xmm_xmmm64, &Widen<Pmovzxwd, ulong>);
        table.Set(Code.Pmovsxdq_xmm_xmmm64, &Widen<Pmovsxdq, ulong>);
        table.Set(Code.Pmovzxdq_xmm_xmmm64, &Widen<Pmovzxdq, ulong>);
        table.Set(Code.Pmovsxbd_xmm_xmmm32, &Widen<Pmovsxbd, uint>);
        table.Set(Code.Pmovzxbd_xmm_xmmm32, &Widen<Pmovzxbd, uint>);
        table.Set(Code.Pmovsxwq_xmm_xmmm32, &Widen<Pmovsxwq, uint>);
        table.Set(Code.Pmovzxwq_xmm_xmmm32, &Widen<Pmovzxwq, uint>);
        table.Set(Code.Pmovsxbq_xmm_xmmm16, &Widen<Pmovsxbq, ushort>);
        table.Set(Code.Pmovzxbq_xmm_xmmm16, &Widen<Pmovzxbq, ushort>);
        table.Set(Code.Movddup_xmm_xmmm64, &Widen<Movddup, ulong>);
        table.Set(Code.Psrlw_xmm_xmmm128, &ShiftByRegister<Psrlw>);
        table.Set(Code.Psrlw_xmm_imm8, &ShiftByImmediate<Psrlw>);
        table.Set(Code.Psrld_xmm_xmmm128, &ShiftByRegister<Psrld>);
        table.Set(Code.Psrld_xmm_imm8, &ShiftByImmediate<Psrld>);
        table.Set(Code.Psrlq_xmm_xmmm128, &ShiftByRegister<Psrlq>);
        table.Set(Code.Psrlq_xmm_imm8, &ShiftByImmediate<Psrlq>);
        table.Set(Code.Psraw_xmm_xmmm128, &ShiftByRegister<Psraw>);
        table.Set(Code.Psraw_xmm_imm8, &ShiftByImmediate<Psraw>);
        table.Set(Code.Psrad_xmm_xmmm128, &ShiftByRegister<Psrad>);
        table.Set(Code.Psrad_xmm_imm8, &ShiftByImmediate<Psrad>);
        table.Set(Code.Psllw_xmm_xmmm128, &ShiftByRegister<Psllw>);
        table.Set(Code.Psllw_xmm_imm8, &ShiftByImmediate<Psllw>);
        table.Set(Code.Pslld_xmm_xmmm128, &ShiftByRegister<Pslld>);
        table.Set(Code.Pslld_xmm_imm8, &ShiftByImmediate<Pslld>);
        table.Set(Code.Psllq_xmm_xmmm128, &ShiftByRegister<Psllq>);
        table.Set(Code.Psllq_xmm_imm8, &ShiftByImmediate<Psllq>);
        table.Set(Code.Pslldq_xmm_imm8, &ShiftByImmediate<Pslldq>);
        table.Set(Code.Psrldq_xmm_imm8, &ShiftByImmediate<Psrldq>);
        table.Set(Code.Shufps_xmm_xmmm128_imm8, &Immediate<Shufps>);
        table.Set(Code.Shufpd_xmm_xmmm128_imm8, &Immediate<Shufpd>);
        table.Set(Code.Pshufd_xmm_xmmm128_imm8, &Immediate<Pshufd>);
        table.Set(Code.Pshuflw_xmm_xmmm128_imm8, &Immediate<Pshuflw>);
        table.Set(Code.Pshufhw_xmm_xmmm128_imm8, &Immediate<Pshufhw>);
        table.Set(Code.Pblendw_xmm_xmmm128_imm8, &Immediate<Pblendw>);
        table.Set(Code.Blendps_xmm_xmmm128_imm8, &Immediate<Blendps>);
        table.Set(Code.Blendpd_xmm_xmmm128_imm8, &Immediate<Blendpd>);
        table.Set(Code.Palignr_xmm_xmmm128_imm8, &Immediate<Palignr>);
        table.Set(Code.Mpsadbw_xmm_xmmm128_imm8, &Immediate<Mpsadbw>);
        table.Set(Code.Aesenc_xmm_xmmm128, &Binary<Aesenc>);
        table.Set(Code.Aesenclast_xmm_xmmm128, &Binary<Aesenclast>);
        table.Set(Code.Aesdec_xmm_xmmm128, &Binary<Aesdec>);
        table.Set(Code.Aesdeclast_xmm_xmmm128, &Binary<Aesdeclast>);
        table.Set(Code.Aesimc_xmm_xmmm128, &Binary<Aesimc>);
        table.Set(Code.Aeskeygenassist_xmm_xmmm128_imm8, &Immediate<Aeskeygenassist>);
        table.Set(Code.Pclmulqdq_xmm_xmmm128_imm8, &Immediate<Pclmulqdq>);
    }

    private static DecodedInstruction* Binary<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorBinary
    {
        Enter(cpu);
        var source = Source(cpu, i);
        ref var destination = ref Xmm(cpu, i->Reg0);
        destination = TOp.Apply(destination, source);
        return i + 1;
    }

    private static DecodedInstruction* Widen<TOp, T>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorBinary
        where T : unmanaged
    {
        Enter(cpu);
        var source = Source<T>(cpu, i);
        Xmm(cpu, i->Reg0) = TOp.Apply(source, source);
        return i + 1;
    }

    private static DecodedInstruction* Immediate<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorImmediate
    {
        Enter(cpu);
        var source = Source(cpu, i);
        ref var destination = ref Xmm(cpu, i->Reg0);
        destination = TOp.Apply(destination, source, (byte)i->Immediate);
        return i + 1;
    }

    private static DecodedInstruction* ShiftByImmediate<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorShift
    {
        Enter(cpu);
        ref var destination = ref Xmm(cpu, i->Reg0);
        destination = TOp.Apply(destination, (byte)i->Immediate);
        return i + 1;
    }

    private static DecodedInstruction* ShiftByRegister<TOp>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorShift
    {
        Enter(cpu);
        var source = Source(cpu, i);
        ref var destination = ref Xmm(cpu, i->Reg0);
        destination = TOp.Apply(destination, source.AsUInt64().ToScalar());
        return i + 1;
    }
}
