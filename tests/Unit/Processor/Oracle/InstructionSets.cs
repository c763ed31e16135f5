using Hypervisor.Engine.Processor;
using Iced.Intel;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>Which instructions can be put under test by building them blindly from their operand kinds.</summary>
internal static class InstructionSets
{
    private static readonly HashSet<Mnemonic> Excluded =
    [
        // Leave the block, the privilege level or the segments; see CaseGenerator's templates for near branches.
        Mnemonic.Call, Mnemonic.Ret, Mnemonic.Retf, Mnemonic.Iret, Mnemonic.Iretd, Mnemonic.Iretq, Mnemonic.Jmp, Mnemonic.Int,
        Mnemonic.Syscall, Mnemonic.Sysenter, Mnemonic.Sysret, Mnemonic.Sysexit, Mnemonic.Lss, Mnemonic.Lfs, Mnemonic.Lgs,
        Mnemonic.Sysretq, Mnemonic.Sysexitq, Mnemonic.Int1,

        // Show the host's system registers or its clock.
        Mnemonic.Sldt, Mnemonic.Str, Mnemonic.Sgdt, Mnemonic.Sidt, Mnemonic.Smsw, Mnemonic.Lar, Mnemonic.Lsl, Mnemonic.Verr,
        Mnemonic.Verw, Mnemonic.Cpuid, Mnemonic.Rdtsc, Mnemonic.Rdtscp, Mnemonic.Rdpmc, Mnemonic.Wait, Mnemonic.Xgetbv,

        // Port and debug registers of the host are closed in other ways than the guest's.
        Mnemonic.In, Mnemonic.Out, Mnemonic.Insb, Mnemonic.Insw, Mnemonic.Insd, Mnemonic.Outsb, Mnemonic.Outsw, Mnemonic.Outsd,

        // Images with pointers to the last x87 instruction, which makers save at different times.
        Mnemonic.Fxsave, Mnemonic.Fxsave64, Mnemonic.Fxrstor, Mnemonic.Fxrstor64,

        Mnemonic.INVALID, Mnemonic.Ud0, Mnemonic.Ud1, Mnemonic.Zero_bytes, Mnemonic.Db, Mnemonic.Dw, Mnemonic.Dd, Mnemonic.Dq,
        Mnemonic.Nop, Mnemonic.Reservednop, Mnemonic.Extrq, Mnemonic.Insertq, Mnemonic.Movntsd, Mnemonic.Movntss,
    ];

    private static readonly CpuidFeature[] IntegerFeatures =
    [
        CpuidFeature.INTEL8086, CpuidFeature.INTEL186, CpuidFeature.INTEL286, CpuidFeature.INTEL386, CpuidFeature.INTEL486,
        CpuidFeature.X64, CpuidFeature.CMOV, CpuidFeature.ADX, CpuidFeature.POPCNT,
        CpuidFeature.MOVBE, CpuidFeature.CX8, CpuidFeature.CMPXCHG16B, CpuidFeature.BMI1, CpuidFeature.BMI2, CpuidFeature.LZCNT,
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

    public static Code[] Integer { get; } = Select(IntegerFeatures, code => !UsesSystemRegister(code));

    public static Code[] Vector { get; } = Select(VectorFeatures, code => code is not (Code.Crc32_r32_rm8 or Code.Ldmxcsr_m32));

    /// <summary>AVX, AVX2, FMA and F16C: the VEX-encoded vector instructions.</summary>
    public static Code[] Avx { get; } = Select(AvxFeatures, code => code is not Code.VEX_Vldmxcsr_m32);

    public static Code[] X87 { get; } = Select(X87Features, code => !Transcendental.Contains(code.Mnemonic())
        && !code.ToString().StartsWith("Cyrix", StringComparison.Ordinal)
        && !code.ToString().StartsWith("Fstenv", StringComparison.Ordinal)
        && !code.ToString().StartsWith("Fsave", StringComparison.Ordinal)
        && (code != Code.Fstpnce_sti || HostProcessor.ComparesUnmaskedX87));

    public static Code[] Transcendentals { get; } = Select(X87Features, code => Transcendental.Contains(code.Mnemonic()));

    private static Code[] Select(CpuidFeature[] features, Predicate<Code> accepts) =>
    [
        .. Enum.GetValues<Code>().Where(code =>
        {
            var form = code.ToOpCode();
            var needed = code.CpuidFeatures();
            return form.Mode64 && form.Encoding is EncodingKind.Legacy or EncodingKind.VEX && needed.Length > 0
                && form.IsInstruction && needed.Any(features.Contains) && (features == AvxFeatures) == (form.Encoding == EncodingKind.VEX && UsesVectors(code))
                && InstructionTable.IsKnown(code) && HostProcessor.Executes(code) && !Excluded.Contains(code.Mnemonic()) && !form.IsPrivileged && accepts(code) && form.Fwait == false;
        }),
    ];

    // All of VEX but the instructions on general registers.
    private static bool UsesVectors(Code code) => !code.CpuidFeatures().Any(IntegerFeatures.Contains);

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
