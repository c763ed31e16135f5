using System.Runtime.InteropServices;
using Hypervisor.Engine.Native.Kvm;

namespace Hypervisor.Engine.Partitions.Kvm;

/// <summary>
/// Takes the instructions above a level of the x86-64 psABI out of CPUID, so that a machine may move between hosts that share only
/// that level. Features that are no instructions for programs (paging, supervisor protection, speculation controls) stay.
/// </summary>
internal static class KvmCpuidModels
{
    // Leaf 1 ECX.
    private const uint Version2Ecx = 1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23;           // SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT
    private const uint Version3Ecx = 1u << 12 | 1u << 22 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 29;         // FMA MOVBE XSAVE OSXSAVE AVX F16C
    private const uint SystemEcx = 1u << 17 | 1u << 21 | 1u << 24 | 1u << 31;                                 // PCID x2APIC TSC-deadline hypervisor

    // Leaf 7 EBX: FSGSBASE, TSC_ADJUST, SMEP, ERMS, INVPCID, SMAP stay; BMI1, AVX2, BMI2 belong to v3.
    private const uint SystemEbx7 = 1u << 0 | 1u << 1 | 1u << 7 | 1u << 9 | 1u << 10 | 1u << 20;
    private const uint Version3Ebx7 = 1u << 3 | 1u << 5 | 1u << 8;

    // Leaf 7 ECX: UMIP, LA57. EDX: FSRM and the speculation controls.
    private const uint SystemEcx7 = 1u << 2 | 1u << 16;
    private const uint SystemEdx7 = 1u << 4 | 1u << 10 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 29 | 1u << 31;

    // Leaf 8000_0001h ECX: CmpLegacy, CR8 legacy, topology extensions stay; LAHF is v2, LZCNT (ABM) v3.
    private const uint SystemExtendedEcx = 1u << 1 | 1u << 4 | 1u << 22;

    /// <summary>x87, SSE and AVX state.</summary>
    private const uint Version3State = 7;

    internal static void Limit(List<KvmCpuidEntry> leaves, ProcessorModel model)
    {
        if (model == ProcessorModel.Host)
        {
            return;
        }

        bool v2 = model >= ProcessorModel.V2, v3 = model >= ProcessorModel.V3;
        foreach (ref var leaf in CollectionsMarshal.AsSpan(leaves))
        {
            switch (leaf.Function, leaf.Index)
            {
                case (1, _):
                    leaf.Ecx &= SystemEcx | (v2 ? Version2Ecx : 0) | (v3 ? Version3Ecx : 0);
                    break;

                case (7, 0):
                    leaf.Eax = 0;
                    leaf.Ebx &= SystemEbx7 | (v3 ? Version3Ebx7 : 0);
                    leaf.Ecx &= SystemEcx7;
                    leaf.Edx &= SystemEdx7;
                    break;

                case (0xD, 0):
                    leaf.Eax &= Version3State;
                    leaf.Edx = 0;
                    break;

                case (0xD, 1):
                    // XSAVEOPT stays; compacted and supervisor forms go.
                    leaf.Eax &= 1;
                    leaf.Ebx = leaf.Ecx = leaf.Edx = 0;
                    break;

                case (0x8000_0001, _):
                    leaf.Ecx &= SystemExtendedEcx | (v2 ? 1u : 0) | (v3 ? 1u << 5 : 0);

                    // 3DNow! and its extensions, MMXEXT.
                    leaf.Edx &= ~(1u << 22 | 1u << 30 | 1u << 31);
                    break;
            }
        }

        leaves.RemoveAll(leaf => leaf.Function is 0x19 or 0x1D or 0x1E or 0x24 || (leaf.Function == 7 && leaf.Index > 0)
            || (leaf.Function == 0xD && (!v3 || leaf.Index > 2)));
    }
}
