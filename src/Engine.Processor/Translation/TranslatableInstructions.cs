using Iced.Intel;

namespace Hypervisor.Engine.Processor.Translation;

/// <summary>How much of the vector state a block needs in the host's registers.</summary>
internal enum VectorUse : byte
{
    None,
    Sse,
    Avx,
}

/// <summary>Which instructions may be copied: those that do the same in user mode of the host as they do for the guest.</summary>
internal static class TranslatableInstructions
{
    private static readonly HashSet<Mnemonic> Integer =
    [
        Mnemonic.Adc, Mnemonic.Adcx, Mnemonic.Add, Mnemonic.Adox, Mnemonic.And, Mnemonic.Andn, Mnemonic.Bextr, Mnemonic.Blsi, Mnemonic.Blsmsk,
        Mnemonic.Blsr, Mnemonic.Bsf, Mnemonic.Bsr, Mnemonic.Bswap, Mnemonic.Bt, Mnemonic.Btc, Mnemonic.Btr, Mnemonic.Bts, Mnemonic.Bzhi,
        Mnemonic.Cbw, Mnemonic.Cdq, Mnemonic.Cdqe, Mnemonic.Clc, Mnemonic.Cmc, Mnemonic.Cmova, Mnemonic.Cmovae, Mnemonic.Cmovb, Mnemonic.Cmovbe,
        Mnemonic.Cmove, Mnemonic.Cmovg, Mnemonic.Cmovge, Mnemonic.Cmovl, Mnemonic.Cmovle, Mnemonic.Cmovne, Mnemonic.Cmovno, Mnemonic.Cmovnp,
        Mnemonic.Cmovns, Mnemonic.Cmovo, Mnemonic.Cmovp, Mnemonic.Cmovs, Mnemonic.Cmp, Mnemonic.Cmpxchg, Mnemonic.Cmpxchg16b, Mnemonic.Cmpxchg8b,
        Mnemonic.Cqo, Mnemonic.Crc32, Mnemonic.Cwd, Mnemonic.Cwde, Mnemonic.Dec, Mnemonic.Imul, Mnemonic.Inc, Mnemonic.Lahf, Mnemonic.Lfence,
        Mnemonic.Lzcnt, Mnemonic.Mfence, Mnemonic.Mov, Mnemonic.Movbe, Mnemonic.Movnti, Mnemonic.Movsx, Mnemonic.Movsxd, Mnemonic.Movzx,
        Mnemonic.Mul, Mnemonic.Mulx, Mnemonic.Neg, Mnemonic.Not, Mnemonic.Or, Mnemonic.Pdep, Mnemonic.Pext, Mnemonic.Popcnt, Mnemonic.Rcl,
        Mnemonic.Rcr, Mnemonic.Rol, Mnemonic.Ror, Mnemonic.Rorx, Mnemonic.Sahf, Mnemonic.Sal, Mnemonic.Sar, Mnemonic.Sarx, Mnemonic.Sbb,
        Mnemonic.Seta, Mnemonic.Setae, Mnemonic.Setb, Mnemonic.Setbe, Mnemonic.Sete, Mnemonic.Setg, Mnemonic.Setge, Mnemonic.Setl, Mnemonic.Setle,
        Mnemonic.Setne, Mnemonic.Setno, Mnemonic.Setnp, Mnemonic.Setns, Mnemonic.Seto, Mnemonic.Setp, Mnemonic.Sets, Mnemonic.Sfence, Mnemonic.Shl,
        Mnemonic.Shld, Mnemonic.Shlx, Mnemonic.Shr, Mnemonic.Shrd, Mnemonic.Shrx, Mnemonic.Stc, Mnemonic.Sub, Mnemonic.Test, Mnemonic.Tzcnt,
        Mnemonic.Xadd, Mnemonic.Xchg, Mnemonic.Xor,
    ];

    // Vector instructions that are not what they seem: masked and gathered accesses may skip faults, MXCSR decides what may run.
    private static readonly HashSet<Mnemonic> NotCopied =
    [
        Mnemonic.Maskmovdqu, Mnemonic.Vmaskmovdqu, Mnemonic.Vmaskmovps, Mnemonic.Vmaskmovpd, Mnemonic.Vpmaskmovd, Mnemonic.Vpmaskmovq,
        Mnemonic.Ldmxcsr, Mnemonic.Stmxcsr, Mnemonic.Vldmxcsr, Mnemonic.Vstmxcsr, Mnemonic.Vgatherdps, Mnemonic.Vgatherdpd, Mnemonic.Vgatherqps,
        Mnemonic.Vgatherqpd, Mnemonic.Vpgatherdd, Mnemonic.Vpgatherdq, Mnemonic.Vpgatherqd, Mnemonic.Vpgatherqq,
    ];

    // 128-bit operands of SSE must be aligned, but not these.
    private static readonly HashSet<Mnemonic> Unaligned =
    [
        Mnemonic.Movups, Mnemonic.Movupd, Mnemonic.Movdqu, Mnemonic.Lddqu, Mnemonic.Pcmpestri, Mnemonic.Pcmpestrm, Mnemonic.Pcmpistri,
        Mnemonic.Pcmpistrm, Mnemonic.Pcmpestri64, Mnemonic.Pcmpestrm64,
    ];

    // And of VEX-encoded instructions only these.
    private static readonly HashSet<Mnemonic> Aligned =
    [
        Mnemonic.Vmovaps, Mnemonic.Vmovapd, Mnemonic.Vmovdqa, Mnemonic.Vmovntps, Mnemonic.Vmovntpd, Mnemonic.Vmovntdq, Mnemonic.Vmovntdqa,
        Mnemonic.Cmpxchg16b,
    ];

    private static readonly Entry[] Entries = Build();

    /// <summary>The instruction may be copied, its operands permitting.</summary>
    public static bool IsCopied(Code code) => Entries[(int)code].IsCopied;

    /// <summary>What it needs in the host's vector registers, when it is copied.</summary>
    public static VectorUse Vectors(Code code) => Entries[(int)code].Vectors;

    /// <summary>A memory operand of 16 or 32 bytes must be aligned to its size.</summary>
    public static bool IsAligned(Code code) => Entries[(int)code].IsAligned;

    private static Entry[] Build()
    {
        var codes = Enum.GetValues<Code>();
        var entries = new Entry[(int)codes.Max() + 1];
        foreach (var code in codes)
        {
            entries[(int)code] = Describe(code);
        }

        return entries;
    }

    private static Entry Describe(Code code)
    {
        var mnemonic = code.Mnemonic();
        bool vex = code.Encoding() == EncodingKind.VEX;
        if ((!vex && code.Encoding() != EncodingKind.Legacy) || !code.CpuidFeatures().All(HostFeatures.Has))
        {
            return default;
        }

        if (Integer.Contains(mnemonic))
        {
            // MOVNTI is an SSE instruction to whoever turned SSE off.
            return new Entry(true, mnemonic == Mnemonic.Movnti ? VectorUse.Sse : VectorUse.None, Aligned.Contains(mnemonic));
        }

        if (NotCopied.Contains(mnemonic))
        {
            return default;
        }

        bool vectors = mnemonic is Mnemonic.Vzeroupper or Mnemonic.Vzeroall;
        var information = code.ToOpCode();
        for (int n = 0; n < information.OpCount && !vectors; n++)
        {
            vectors = information.GetOpKind(n) is OpCodeOperandKind.xmm_reg or OpCodeOperandKind.xmm_rm or OpCodeOperandKind.xmm_vvvv
                or OpCodeOperandKind.xmm_is4 or OpCodeOperandKind.xmm_is5 or OpCodeOperandKind.xmm_or_mem or OpCodeOperandKind.ymm_reg
                or OpCodeOperandKind.ymm_rm or OpCodeOperandKind.ymm_vvvv or OpCodeOperandKind.ymm_is4 or OpCodeOperandKind.ymm_is5
                or OpCodeOperandKind.ymm_or_mem;
        }

        bool aligned = vex ? Aligned.Contains(mnemonic) : !Unaligned.Contains(mnemonic);
        return vectors ? new Entry(true, vex ? VectorUse.Avx : VectorUse.Sse, aligned) : default;
    }

    private readonly record struct Entry(bool IsCopied, VectorUse Vectors, bool IsAligned);
}
