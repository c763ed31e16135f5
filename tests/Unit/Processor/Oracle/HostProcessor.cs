using System.Runtime.Intrinsics.X86;
using Iced.Intel;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>What of the host's processor decides which cases may be compared.</summary>
internal static class HostProcessor
{
    private const int AuthenticAmdEbx = 0x6874_7541;
    private const int StandardBytes = 832;

    /// <summary>
    /// The makers' x87 units differ in what an unmasked exception leaves behind. The interpreter was compared with one of AMD's, so
    /// such cases are made only there.
    /// </summary>
    public static bool ComparesUnmaskedX87 { get; } = X86Base.IsSupported && X86Base.CpuId(0, 0).Ebx == AuthenticAmdEbx;

    /// <summary>The host saves and restores YMM registers.</summary>
    public static bool HasAvx { get; } = HasBit(1, 2, 28) && Leaf(0xD).Ebx >= StandardBytes;

    /// <summary>
    /// The host executes an instruction, as far as its features say; asked of CPUID, so that the runtime's own use of them can be turned
    /// off (DOTNET_EnableAVX=0 and others) to test what the interpreter does without.
    /// </summary>
    public static bool Executes(Code code) =>
        Array.TrueForAll(code.CpuidFeatures(), Has) && (code != Code.Fstpnce_sti || ComparesUnmaskedX87);

    private static bool Has(CpuidFeature feature) => feature switch
    {
        CpuidFeature.AVX => HasAvx,
        CpuidFeature.AVX2 => HasAvx && HasBit(7, 1, 5),
        CpuidFeature.FMA => HasAvx && HasBit(1, 2, 12),
        CpuidFeature.F16C => HasAvx && HasBit(1, 2, 29),
        CpuidFeature.BMI1 => HasBit(7, 1, 3),
        CpuidFeature.BMI2 => HasBit(7, 1, 8),
        CpuidFeature.LZCNT => HasBit(0x8000_0001, 2, 5),
        CpuidFeature.AES => HasBit(1, 2, 25),
        CpuidFeature.PCLMULQDQ => HasBit(1, 2, 1),
        CpuidFeature.SHA => HasBit(7, 1, 29),
        CpuidFeature.CLFLUSHOPT => HasBit(7, 1, 23),
        CpuidFeature.CLWB => HasBit(7, 1, 24),
        CpuidFeature.ADX => HasBit(7, 1, 19),
        _ => true,
    };

    // Registers by their order in CPUID's result: EAX, EBX, ECX, EDX.
    private static bool HasBit(uint leaf, int register, int bit)
    {
        var (eax, ebx, ecx, edx) = Leaf(leaf);
        int value = register switch
        {
            0 => eax,
            1 => ebx,
            2 => ecx,
            _ => edx,
        };
        return (value >> bit & 1) != 0;
    }

    private static (int Eax, int Ebx, int Ecx, int Edx) Leaf(uint leaf) =>
        X86Base.IsSupported && (uint)X86Base.CpuId((int)(leaf & 0x8000_0000), 0).Eax >= leaf ? X86Base.CpuId((int)leaf, 0) : default;
}
