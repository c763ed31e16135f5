using System.Runtime.Intrinsics.X86;
using Iced.Intel;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>What of the host's processor decides which cases may be compared.</summary>
internal static class HostProcessor
{
    private const int AuthenticAmdEbx = 0x6874_7541;

    /// <summary>
    /// The makers' x87 units differ in what an unmasked exception leaves behind. The interpreter was compared with one of AMD's, so
    /// such cases are made only there.
    /// </summary>
    public static bool ComparesUnmaskedX87 { get; } = X86Base.IsSupported && X86Base.CpuId(0, 0).Ebx == AuthenticAmdEbx;

    /// <summary>The host saves and restores YMM registers.</summary>
    public static bool HasAvx { get; } = Avx.IsSupported;

    /// <summary>The host executes an instruction, as far as its features say.</summary>
    public static bool Executes(Code code) =>
        Array.TrueForAll(code.CpuidFeatures(), Has) && (code != Code.Fstpnce_sti || ComparesUnmaskedX87);

    private static bool Has(CpuidFeature feature) => feature switch
    {
        CpuidFeature.AVX => Avx.IsSupported,
        CpuidFeature.AVX2 => Avx2.IsSupported,
        CpuidFeature.FMA => Fma.IsSupported,
        CpuidFeature.F16C => Avx.IsSupported && (X86Base.CpuId(1, 0).Ecx & (1 << 29)) != 0,
        CpuidFeature.BMI1 => Bmi1.IsSupported,
        CpuidFeature.BMI2 => Bmi2.IsSupported,
        CpuidFeature.LZCNT => Lzcnt.IsSupported,
        CpuidFeature.AES => Aes.IsSupported,
        CpuidFeature.PCLMULQDQ => Pclmulqdq.IsSupported,
        CpuidFeature.SHA => X86Base.IsSupported && X86Base.CpuId(0, 0).Eax >= 7 && (X86Base.CpuId(7, 0).Ebx & (1 << 29)) != 0,
        CpuidFeature.CLFLUSHOPT => X86Base.IsSupported && X86Base.CpuId(0, 0).Eax >= 7 && (X86Base.CpuId(7, 0).Ebx & (1 << 23)) != 0,
        CpuidFeature.CLWB => X86Base.IsSupported && X86Base.CpuId(0, 0).Eax >= 7 && (X86Base.CpuId(7, 0).Ebx & (1 << 24)) != 0,
        CpuidFeature.ADX => X86Base.IsSupported && X86Base.CpuId(0, 0).Eax >= 7 && (X86Base.CpuId(7, 0).Ebx & (1 << 19)) != 0,
        _ => true,
    };
}
