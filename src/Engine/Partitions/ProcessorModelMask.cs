namespace Hypervisor.Engine.Partitions;

/// <summary>
/// Takes the instructions above a level of the x86-64 psABI out of CPUID, so that a machine may move between hosts that share only
/// that level. Features that are no instructions for programs (paging, supervisor protection, speculation controls) stay.
/// </summary>
internal static class ProcessorModelMask
{
    // Leaf 1 ECX: SSE3, SSSE3, CX16, SSE4.1, SSE4.2, POPCNT; FMA, MOVBE, XSAVE, OSXSAVE, AVX, F16C; PCID, x2APIC, TSC deadline, hypervisor.
    private const uint Version2Ecx = 1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23;
    private const uint Version3Ecx = 1u << 12 | 1u << 22 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 29;
    private const uint SystemEcx = 1u << 17 | 1u << 21 | 1u << 24 | 1u << 31;

    // Leaf 7 EBX: FSGSBASE, TSC_ADJUST, SMEP, ERMS, INVPCID, SMAP stay; BMI1, AVX2, BMI2 belong to v3.
    private const uint SystemEbx7 = 1u << 0 | 1u << 1 | 1u << 7 | 1u << 9 | 1u << 10 | 1u << 20;
    private const uint Version3Ebx7 = 1u << 3 | 1u << 5 | 1u << 8;

    // Leaf 7 ECX: UMIP, LA57. EDX: FSRM and the speculation controls.
    private const uint SystemEcx7 = 1u << 2 | 1u << 16;
    private const uint SystemEdx7 = 1u << 4 | 1u << 10 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 29 | 1u << 31;

    // Leaf 8000_0001h ECX: CmpLegacy, CR8 legacy, topology extensions stay; LAHF is v2, LZCNT (ABM) v3. EDX: MMXEXT and 3DNow! go.
    private const uint SystemExtendedEcx = 1u << 1 | 1u << 4 | 1u << 22;
    private const uint Multimedia = 1u << 22 | 1u << 30 | 1u << 31;

    /// <summary>x87, SSE and AVX state.</summary>
    private const uint Version3State = 7;

    /// <summary>Limits one leaf to a model; false where the whole leaf is to be taken away.</summary>
    internal static bool Apply(ProcessorModel model, uint function, uint index, ref uint eax, ref uint ebx, ref uint ecx, ref uint edx)
    {
        if (model == ProcessorModel.Host)
        {
            return true;
        }

        bool v2 = model >= ProcessorModel.V2, v3 = model >= ProcessorModel.V3;
        switch (function, index)
        {
            case (1, _):
                ecx &= SystemEcx | (v2 ? Version2Ecx : 0) | (v3 ? Version3Ecx : 0);
                return true;

            case (7, 0):
                eax = 0;
                ebx &= SystemEbx7 | (v3 ? Version3Ebx7 : 0);
                ecx &= SystemEcx7;
                edx &= SystemEdx7;
                return true;

            case (0xD, 0):
                eax &= Version3State;
                edx = 0;
                return v3;

            case (0xD, 1):
                // XSAVEOPT stays; compacted and supervisor forms go.
                eax &= 1;
                ebx = ecx = edx = 0;
                return v3;

            case (0xD, _):
                return v3 && index == 2;

            case (0x8000_0001, _):
                ecx &= SystemExtendedEcx | (v2 ? 1u : 0) | (v3 ? 1u << 5 : 0);
                edx &= ~Multimedia;
                return true;

            default:
                // Key Locker, AMX, AVX10 and the further subleaves of 7.
                return function is not (7 or 0x19 or 0x1D or 0x1E or 0x24);
        }
    }
}
