using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.Simd;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// Packed integer instructions on XMM registers.
internal static unsafe partial class SimdInstructions
{
    private static void RegisterInteger(InstructionTable.Builder table)
    {
        Packed<Paddb>(table, "Paddb");
        Packed<Paddw>(table, "Paddw");
        Packed<Paddd>(table, "Paddd");
        Packed<Paddq>(table, "Paddq");
        Packed<Psubb>(table, "Psubb");
        Packed<Psubw>(table, "Psubw");
        Packed<Psubd>(table, "Psubd");
        Packed<Psubq>(table, "Psubq");
        Packed<Paddsb>(table, "Paddsb");
        Packed<Paddsw>(table, "Paddsw");
        Packed<Paddusb>(table, "Paddusb");
        Packed<Paddusw>(table, "Paddusw");
        Packed<Psubsb>(table, "Psubsb");
        Packed<Psubsw>(table, "Psubsw");
        Packed<Psubusb>(table, "Psubusb");
        Packed<Psubusw>(table, "Psubusw");
        Packed<Pavgb>(table, "Pavgb");
        Packed<Pavgw>(table, "Pavgw");
        Packed<Pminub>(table, "Pminub");
        Packed<Pmaxub>(table, "Pmaxub");
        Packed<Pminsw>(table, "Pminsw");
        Packed<Pmaxsw>(table, "Pmaxsw");
        Packed<Pminsb>(table, "Pminsb");
        Packed<Pmaxsb>(table, "Pmaxsb");
        Packed<Pminuw>(table, "Pminuw");
        Packed<Pmaxuw>(table, "Pmaxuw");
        Packed<Pminsd>(table, "Pminsd");
        Packed<Pmaxsd>(table, "Pmaxsd");
        Packed<Pminud>(table, "Pminud");
        Packed<Pmaxud>(table, "Pmaxud");
        Unary<Pabsb>(table, "Pabsb");
        Unary<Pabsw>(table, "Pabsw");
        Unary<Pabsd>(table, "Pabsd");
        Packed<Psignb>(table, "Psignb");
        Packed<Psignw>(table, "Psignw");
        Packed<Psignd>(table, "Psignd");
        Packed<Pand>(table, "Pand");
        Packed<Pandn>(table, "Pandn");
        Packed<Por>(table, "Por");
        Packed<Pxor>(table, "Pxor");
        Packed<Pcmpeqb>(table, "Pcmpeqb");
        Packed<Pcmpeqw>(table, "Pcmpeqw");
        Packed<Pcmpeqd>(table, "Pcmpeqd");
        Packed<Pcmpeqq>(table, "Pcmpeqq");
        Packed<Pcmpgtb>(table, "Pcmpgtb");
        Packed<Pcmpgtw>(table, "Pcmpgtw");
        Packed<Pcmpgtd>(table, "Pcmpgtd");
        Packed<Pcmpgtq>(table, "Pcmpgtq");
        Packed<Pmullw>(table, "Pmullw");
        Packed<Pmulld>(table, "Pmulld");
        Packed<Pmulhw>(table, "Pmulhw");
        Packed<Pmulhuw>(table, "Pmulhuw");
        Packed<Pmulhrsw>(table, "Pmulhrsw");
        Packed<Pmuludq>(table, "Pmuludq");
        Packed<Pmuldq>(table, "Pmuldq");
        Packed<Pmaddwd>(table, "Pmaddwd");
        Packed<Pmaddubsw>(table, "Pmaddubsw");
        Packed<Phaddw>(table, "Phaddw");
        Packed<Phaddsw>(table, "Phaddsw");
        Packed<Phaddd>(table, "Phaddd");
        Packed<Phsubw>(table, "Phsubw");
        Packed<Phsubsw>(table, "Phsubsw");
        Packed<Phsubd>(table, "Phsubd");
        Packed<Psadbw>(table, "Psadbw");
        UnaryNarrow<Phminposuw>(table, "Phminposuw");
        Packed<Packsswb>(table, "Packsswb");
        Packed<Packssdw>(table, "Packssdw");
        Packed<Packuswb>(table, "Packuswb");
        Packed<Packusdw>(table, "Packusdw");
        Packed<Punpcklbw>(table, "Punpcklbw");
        Packed<Punpckhbw>(table, "Punpckhbw");
        Packed<Punpcklwd>(table, "Punpcklwd");
        Packed<Punpckhwd>(table, "Punpckhwd");
        Packed<Punpckldq>(table, "Punpckldq");
        Packed<Punpckhdq>(table, "Punpckhdq");
        Packed<Punpcklqdq>(table, "Punpcklqdq");
        Packed<Punpckhqdq>(table, "Punpckhqdq");
        Packed<Pshufb>(table, "Pshufb");
        Unary<Movshdup>(table, "Movshdup");
        Unary<Movsldup>(table, "Movsldup");
        Packed<Pand>(table, "Andps");
        Packed<Pand>(table, "Andpd");
        Packed<Pandn>(table, "Andnps");
        Packed<Pandn>(table, "Andnpd");
        Packed<Por>(table, "Orps");
        Packed<Por>(table, "Orpd");
        Packed<Pxor>(table, "Xorps");
        Packed<Pxor>(table, "Xorpd");
        Packed<Punpckldq>(table, "Unpcklps");
        Packed<Punpckhdq>(table, "Unpckhps");
        Packed<Punpcklqdq>(table, "Unpcklpd");
        Packed<Punpckhqdq>(table, "Unpckhpd");
        Widening<Pmovsxbw, ulong, Vector128<byte>>(table, "Pmovsxbw", 64);
        Widening<Pmovzxbw, ulong, Vector128<byte>>(table, "Pmovzxbw", 64);
        Widening<Pmovsxwd, ulong, Vector128<byte>>(table, "Pmovsxwd", 64);
        Widening<Pmovzxwd, ulong, Vector128<byte>>(table, "Pmovzxwd", 64);
        Widening<Pmovsxdq, ulong, Vector128<byte>>(table, "Pmovsxdq", 64);
        Widening<Pmovzxdq, ulong, Vector128<byte>>(table, "Pmovzxdq", 64);
        Widening<Pmovsxbd, uint, ulong>(table, "Pmovsxbd", 32);
        Widening<Pmovzxbd, uint, ulong>(table, "Pmovzxbd", 32);
        Widening<Pmovsxwq, uint, ulong>(table, "Pmovsxwq", 32);
        Widening<Pmovzxwq, uint, ulong>(table, "Pmovzxwq", 32);
        Widening<Pmovsxbq, ushort, uint>(table, "Pmovsxbq", 16);
        Widening<Pmovzxbq, ushort, uint>(table, "Pmovzxbq", 16);
        table.Set(Code.Movddup_xmm_xmmm64, &Widen<Movddup, ulong>);
        table.Set(Code.VEX_Vmovddup_xmm_xmmm64, &VexWiden<Movddup, ulong>);
        table.Set(Code.VEX_Vmovddup_ymm_ymmm256, &VexUnary<Movddup, Length256>);
        Shift<Psrlw>(table, "Psrlw");
        Shift<Psrld>(table, "Psrld");
        Shift<Psrlq>(table, "Psrlq");
        Shift<Psraw>(table, "Psraw");
        Shift<Psrad>(table, "Psrad");
        Shift<Psllw>(table, "Psllw");
        Shift<Pslld>(table, "Pslld");
        Shift<Psllq>(table, "Psllq");
        ShiftImmediate<Pslldq>(table, "Pslldq");
        ShiftImmediate<Psrldq>(table, "Psrldq");
        Selected<Shufps>(table, "Shufps");
        Selected<Shufpd>(table, "Shufpd");
        UnarySelected<Pshufd>(table, "Pshufd");
        UnarySelected<Pshuflw>(table, "Pshuflw");
        UnarySelected<Pshufhw>(table, "Pshufhw");
        Selected<Pblendw>(table, "Pblendw");
        Selected<Blendps>(table, "Blendps");
        Selected<Blendpd>(table, "Blendpd");
        Selected<Palignr>(table, "Palignr");
        Selected<Mpsadbw>(table, "Mpsadbw");
        PackedNarrow<Aesenc>(table, "Aesenc");
        PackedNarrow<Aesenclast>(table, "Aesenclast");
        PackedNarrow<Aesdec>(table, "Aesdec");
        PackedNarrow<Aesdeclast>(table, "Aesdeclast");
        UnaryNarrow<Aesimc>(table, "Aesimc");
        table.Set(Code.Aeskeygenassist_xmm_xmmm128_imm8, &Immediate<Aeskeygenassist>);
        table.Set(Code.VEX_Vaeskeygenassist_xmm_xmmm128_imm8, &VexUnaryImmediate<Aeskeygenassist, Length128>);
        SelectedNarrow<Pclmulqdq>(table, "Pclmulqdq");
        table.Set(Code.Sha1nexte_xmm_xmmm128, &Binary<Sha1nexte>);
        table.Set(Code.Sha1msg1_xmm_xmmm128, &Binary<Sha1msg1>);
        table.Set(Code.Sha1msg2_xmm_xmmm128, &Binary<Sha1msg2>);
        table.Set(Code.Sha1rnds4_xmm_xmmm128_imm8, &Immediate<Sha1rnds4>);
        table.Set(Code.Sha256msg1_xmm_xmmm128, &Binary<Sha256msg1>);
        table.Set(Code.Sha256msg2_xmm_xmmm128, &Binary<Sha256msg2>);
        table.Set(Code.Sha256rnds2_xmm_xmmm128, &Sha256Rounds);
    }

    // The message words are in XMM0.
    private static DecodedInstruction* Sha256Rounds(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var source = Source(cpu, i);
        ref var destination = ref Xmm(cpu, i->Reg0);
        destination = Sha256.TwoRounds(destination, source, Xmm(cpu, 0));
        return i + 1;
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
