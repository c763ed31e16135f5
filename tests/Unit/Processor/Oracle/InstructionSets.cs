using Hypervisor.Engine.Processor;
using Iced.Intel;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>Which instructions can be put under test by building them blindly from their operand kinds.</summary>
internal static class InstructionSets
{
    // Why instructions that user mode has are not put under test.
    private static readonly Dictionary<Mnemonic, string> Excluded = Reasons(
        // See CaseGenerator's templates for near branches.
        ("far transfers, interrupts, system calls", [Mnemonic.Call, Mnemonic.Ret, Mnemonic.Retf, Mnemonic.Iret, Mnemonic.Iretd, Mnemonic.Iretq,
            Mnemonic.Jmp, Mnemonic.Int, Mnemonic.Int1, Mnemonic.Syscall, Mnemonic.Sysenter, Mnemonic.Sysret, Mnemonic.Sysexit,
            Mnemonic.Sysretq, Mnemonic.Sysexitq]),
        ("segment registers and bases", [Mnemonic.Lss, Mnemonic.Lfs, Mnemonic.Lgs, Mnemonic.Rdfsbase, Mnemonic.Rdgsbase, Mnemonic.Wrfsbase,
            Mnemonic.Wrgsbase]),
        ("show the host's tables, identity or clock", [Mnemonic.Sldt, Mnemonic.Str, Mnemonic.Sgdt, Mnemonic.Sidt, Mnemonic.Smsw,
            Mnemonic.Lar, Mnemonic.Lsl, Mnemonic.Verr, Mnemonic.Verw, Mnemonic.Cpuid, Mnemonic.Rdtsc, Mnemonic.Rdtscp, Mnemonic.Rdpmc,
            Mnemonic.Rdpid, Mnemonic.Xgetbv]),
        ("random numbers", [Mnemonic.Rdrand, Mnemonic.Rdseed]),
        ("ports", [Mnemonic.In, Mnemonic.Out, Mnemonic.Insb, Mnemonic.Insw, Mnemonic.Insd, Mnemonic.Outsb, Mnemonic.Outsw, Mnemonic.Outsd]),
        ("shadow stacks", [Mnemonic.Rdsspd, Mnemonic.Rdsspq]),
        ("hints of processors to come", [Mnemonic.Prefetchit0, Mnemonic.Prefetchit1, Mnemonic.Prefetchwt1, Mnemonic.Cldemote]),

        // These have a test of their own: makers save the pointers to the last x87 instruction at different times.
        ("compared as images", [Mnemonic.Fxsave, Mnemonic.Fxsave64, Mnemonic.Fxrstor, Mnemonic.Fxrstor64]),
        ("no instructions", [Mnemonic.INVALID, Mnemonic.Ud0, Mnemonic.Ud1, Mnemonic.Zero_bytes, Mnemonic.Db, Mnemonic.Dw, Mnemonic.Dd,
            Mnemonic.Dq, Mnemonic.Extrq, Mnemonic.Insertq, Mnemonic.Movntsd, Mnemonic.Movntss]));

    private static readonly CpuidFeature[] IntegerFeatures =
    [
        CpuidFeature.INTEL8086, CpuidFeature.INTEL186, CpuidFeature.INTEL286, CpuidFeature.INTEL386, CpuidFeature.INTEL486,
        CpuidFeature.X64, CpuidFeature.CMOV, CpuidFeature.ADX, CpuidFeature.POPCNT,
        CpuidFeature.MOVBE, CpuidFeature.CX8, CpuidFeature.CMPXCHG16B, CpuidFeature.BMI1, CpuidFeature.BMI2, CpuidFeature.LZCNT,
        CpuidFeature.MULTIBYTENOP, CpuidFeature.PAUSE, CpuidFeature.CLFSH, CpuidFeature.CLFLUSHOPT, CpuidFeature.CLWB,
        CpuidFeature.PREFETCHW, CpuidFeature.CET_IBT,
    ];

    private static readonly CpuidFeature[] VectorFeatures =
    [
        CpuidFeature.MMX, CpuidFeature.SSE, CpuidFeature.SSE2, CpuidFeature.SSE3, CpuidFeature.SSSE3, CpuidFeature.SSE4_1,
        CpuidFeature.SSE4_2, CpuidFeature.AES, CpuidFeature.PCLMULQDQ, CpuidFeature.SHA,
    ];

    private static readonly CpuidFeature[] AvxFeatures =
    [
        CpuidFeature.AVX, CpuidFeature.AVX2, CpuidFeature.FMA, CpuidFeature.F16C,
    ];

    private static readonly CpuidFeature[] X87Features =
    [
        CpuidFeature.FPU, CpuidFeature.FPU287, CpuidFeature.FPU387,
    ];

    // Their last bits are not IEEE's but each maker's; they have a test of their own.
    private static readonly HashSet<Mnemonic> Transcendental =
    [
        Mnemonic.Fsin, Mnemonic.Fcos, Mnemonic.Fsincos, Mnemonic.Fptan, Mnemonic.Fpatan, Mnemonic.F2xm1, Mnemonic.Fyl2x,
        Mnemonic.Fyl2xp1,
    ];

    /// <summary>Every form that some test compares, whether or not this host can execute it.</summary>
    public static IReadOnlySet<Code> Comparable { get; } = new HashSet<Code>(
    [
        .. Candidates(IntegerFeatures), .. Candidates(VectorFeatures), .. Candidates(AvxFeatures), .. Candidates(X87Features),
        .. CaseGenerator.ImageInstructions, .. CaseGenerator.TransferInstructions,
    ]);

    public static Code[] Integer { get; } = Select(IntegerFeatures, static _ => true);

    public static Code[] Vector { get; } = Select(VectorFeatures, static _ => true);

    /// <summary>AVX, AVX2, FMA and F16C: the VEX-encoded vector instructions.</summary>
    public static Code[] Avx { get; } = Select(AvxFeatures, static _ => true);

    public static Code[] X87 { get; } = Select(X87Features, static code => !Transcendental.Contains(code.Mnemonic()));

    public static Code[] Transcendentals { get; } = Select(X87Features, static code => Transcendental.Contains(code.Mnemonic()));

    /// <summary>Those of the former that 32-bit code has, and what only such code has: tested interpreted against translated.</summary>
    public static Code[] Of32Bits { get; } =
    [
        .. Integer.Concat(Vector).Concat(Avx).Where(code => code.ToOpCode().Mode32),
        .. NotIn64Bits.Where(static code => InstructionTable.IsKnown(code)),
    ];

    private static Code[] NotIn64Bits =>
    [
        Code.Inc_r16, Code.Inc_r32, Code.Dec_r16, Code.Dec_r32, Code.Push_r32, Code.Pop_r32, Code.Push_rm32, Code.Pop_rm32, Code.Pushd_imm8,
        Code.Pushd_imm32, Code.Pushfd, Code.Leaved, Code.Enterd_imm16_imm8, Code.Pushad, Code.Popad, Code.Pushaw, Code.Aaa, Code.Aas, Code.Daa,
        Code.Das, Code.Aad_imm8, Code.Aam_imm8, Code.Salc, Code.Pushd_DS, Code.Pushd_ES, Code.Pushd_SS, Code.Pushd_CS,
    ];

    /// <summary>Why a known form is not compared; null where none is known.</summary>
    public static string? ReasonAgainst(Code code)
    {
        var form = code.ToOpCode();
        return !form.Mode64 ? "not in 64-bit mode"
            : form.IsPrivileged ? "privileged"
            : Excluded.TryGetValue(code.Mnemonic(), out string? reason) ? reason
            : UsesSystemRegister(code) ? "segment registers and bases"
            : IsShortBranch(code) || code is Code.Reservednop_rm16_r16_0F0D or Code.Reservednop_rm32_r32_0F0D or Code.Reservednop_rm64_r64_0F0D
                ? "differ between makers (branches of 16 bits, 0F 0D with registers)"
            : code is Code.Ldmxcsr_m32 or Code.VEX_Vldmxcsr_m32 ? "compared as images"
            : null;
    }

    private static Code[] Select(CpuidFeature[] features, Predicate<Code> accepts) =>
        [.. Candidates(features).Where(code => HostProcessor.Executes(code) && accepts(code))];

    // What can be built from operand kinds and compared, on a host that has it.
    private static IEnumerable<Code> Candidates(CpuidFeature[] features) => Enum.GetValues<Code>().Where(code =>
    {
        var form = code.ToOpCode();
        return form.Encoding is EncodingKind.Legacy or EncodingKind.VEX && form.IsInstruction && !form.Fwait
            && code.CpuidFeatures().Any(features.Contains)
            && (features == AvxFeatures) == (form.Encoding == EncodingKind.VEX && UsesVectors(code))
            && InstructionTable.IsKnown(code) && ReasonAgainst(code) == null;
    });

    // JMP, Jcc and LOOP with an operand-size prefix.
    private static bool IsShortBranch(Code code) =>
        code.ToOpCode().GetOpKind(0) is OpCodeOperandKind.br16_1 or OpCodeOperandKind.br16_2;

    // All of VEX but the instructions on general registers.
    private static bool UsesVectors(Code code) => !code.CpuidFeatures().Any(IntegerFeatures.Contains);

    private static Dictionary<Mnemonic, string> Reasons(params ReadOnlySpan<(string Reason, Mnemonic[] Mnemonics)> groups)
    {
        var reasons = new Dictionary<Mnemonic, string>();
        foreach (var (reason, mnemonics) in groups)
        {
            foreach (var mnemonic in mnemonics)
            {
                reasons[mnemonic] = reason;
            }
        }

        return reasons;
    }

    private static bool UsesSystemRegister(Code code)
    {
        var form = code.ToOpCode();
        for (int at = 0; at < form.OpCount; at++)
        {
            var kind = form.GetOpKind(at);
            if (kind is OpCodeOperandKind.seg_reg or OpCodeOperandKind.cr_reg or OpCodeOperandKind.dr_reg or OpCodeOperandKind.tr_reg
                or OpCodeOperandKind.fs or OpCodeOperandKind.gs)
            {
                return true;
            }
        }

        return false;
    }
}
