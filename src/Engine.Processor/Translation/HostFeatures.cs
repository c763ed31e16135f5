using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Iced.Intel;

namespace Hypervisor.Engine.Processor.Translation;

/// <summary>What the host's processor can do, as far as translated code relies on it.</summary>
internal static class HostFeatures
{
    private const uint AmdFamilyWithFastExtract = 0x19;

    /// <summary>The host is an x86-64 with the flag-free shifts of BMI2, which translated code is made of.</summary>
    public static bool CanTranslate { get; } =
        RuntimeInformation.ProcessArchitecture == Architecture.X64 && Bmi2.X64.IsSupported && Sse42.X64.IsSupported;

    /// <summary>AVX, with its registers saved by the operating system.</summary>
    public static bool HasAvx { get; } = CanTranslate && Avx.IsSupported;

    /// <summary>PEXT takes a few cycles; on AMD before Zen 3 it takes dozens.</summary>
    public static bool HasFastExtract { get; } = CanTranslate && FindFastExtract();

    /// <summary>The host executes instructions of this kind.</summary>
    public static bool Has(CpuidFeature feature) => feature switch
    {
        CpuidFeature.INTEL8086 or CpuidFeature.INTEL186 or CpuidFeature.INTEL286 or CpuidFeature.INTEL386 or CpuidFeature.INTEL486
            or CpuidFeature.X64 or CpuidFeature.CMOV or CpuidFeature.CX8 or CpuidFeature.SSE or CpuidFeature.SSE2 or CpuidFeature.SSE3
            or CpuidFeature.SSSE3 or CpuidFeature.SSE4_1 or CpuidFeature.SSE4_2 or CpuidFeature.POPCNT or CpuidFeature.CMPXCHG16B
            or CpuidFeature.MULTIBYTENOP or CpuidFeature.PAUSE => true,
        CpuidFeature.AES => Aes.IsSupported,
        CpuidFeature.PCLMULQDQ => Pclmulqdq.IsSupported,
        CpuidFeature.AVX => Avx.IsSupported,
        CpuidFeature.AVX2 => Avx2.IsSupported,
        CpuidFeature.FMA => Fma.IsSupported,
        CpuidFeature.BMI1 => Bmi1.IsSupported,
        CpuidFeature.BMI2 => Bmi2.IsSupported,
        CpuidFeature.LZCNT => Lzcnt.IsSupported,
        CpuidFeature.MOVBE => (Leaf(1, 0).Ecx & (1 << 22)) != 0,
        CpuidFeature.F16C => Avx.IsSupported && (Leaf(1, 0).Ecx & (1 << 29)) != 0,
        CpuidFeature.ADX => (Leaf(7, 0).Ebx & (1 << 19)) != 0,
        CpuidFeature.SHA => (Leaf(7, 0).Ebx & (1 << 29)) != 0,
        _ => false,
    };

    private static (int Eax, int Ebx, int Ecx, int Edx) Leaf(int leaf, int subleaf) => X86Base.CpuId(leaf, subleaf);

    private static bool FindFastExtract()
    {
        // "AuthenticAMD" in EBX, EDX, ECX of leaf 0.
        bool amd = Leaf(0, 0).Ebx == 0x6874_7541;
        uint signature = (uint)Leaf(1, 0).Eax;
        return !amd || ((signature >> 8) & 15) + ((signature >> 20) & 255) >= AmdFamilyWithFastExtract;
    }
}
