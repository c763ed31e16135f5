using System.Numerics;
using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Processor;

// CPUID (Intel SDM vol. 2, CPUID): x86-64-v3 and more; what is shown is there.
public sealed unsafe partial class X86Processor
{
    private const ulong ApicEnabled = 1 << 11;

    private const uint MaximumLeaf = 0x16, MaximumExtendedLeaf = 0x8000_0008;

    private const uint Features1C = 1u << 0 | 1u << 1 | 1u << 9 | 1u << 12 | 1u << 13 | 1u << 17 | 1u << 19 | 1u << 20 | 1u << 21 | 1u << 22 | 1u << 23 | 1u << 24
        | 1u << 25 | 1u << 26 | 1u << 28 | 1u << 29 | 1u << 30 | 1u << 31;

    private const uint Features1D = 1u << 0 | 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8 | 1u << 9 | 1u << 11 | 1u << 12
        | 1u << 13 | 1u << 14 | 1u << 15 | 1u << 16 | 1u << 17 | 1u << 19 | 1u << 23 | 1u << 24 | 1u << 25 | 1u << 26 | 1u << 27;

    // FSGSBASE, TSC_ADJUST, BMI1, AVX2, SMEP, BMI2, ERMS, INVPCID, FPU selectors deprecated, RDSEED, ADX, SMAP, CLFLUSHOPT, CLWB, SHA.
    private const uint Features7B = 1u << 0 | 1u << 1 | 1u << 3 | 1u << 5 | 1u << 7 | 1u << 8 | 1u << 9 | 1u << 10 | 1u << 13 | 1u << 18 | 1u << 19
        | 1u << 20 | 1u << 23 | 1u << 24 | 1u << 29;

    // UMIP, RDPID.
    private const uint Features7C = 1u << 2 | 1u << 22;

    // FSRM, IBRS and IBPB, STIBP, ARCH_CAPABILITIES, SSBD.
    private const uint Features7D = 1u << 4 | 1u << 26 | 1u << 27 | 1u << 29 | 1u << 31;

    // BHI_CTRL, MCDT_NO. Linux does not believe BHI_NO of IA32_ARCH_CAPABILITIES, and without BHI_DIS_S (IA32_SPEC_CTRL[10]) it runs a
    // loop of branches at every system call.
    private const uint Features7D2 = 1u << 4 | 1u << 5;

    // LAHF in 64-bit mode, LZCNT, PREFETCHW.
    private const uint FeaturesExtendedC = 1u << 0 | 1u << 5 | 1u << 8;

    // XSAVEOPT, XSAVEC, XGETBV with ECX 1, XSAVES.
    private const uint FeaturesState = 15;

    private readonly int _coresPerSocket;
    private readonly FeatureLevelMask _level;

    private static ReadOnlySpan<byte> Brand => "Hypervisor x86-64 software processor\0\0\0\0\0\0\0\0\0\0\0\0"u8;

    /// <summary>Components that XCR0 can enable.</summary>
    internal ulong SupportedComponents => _level.Components;

    internal void Identify(uint leaf, uint subleaf, out uint eax, out uint ebx, out uint ecx, out uint edx)
    {
        eax = ebx = ecx = edx = 0;
        if (leaf is > MaximumLeaf and < 0x4000_0000)
        {
            leaf = MaximumLeaf;
        }

        int coreBits = _coresPerSocket > 1 ? BitOperations.Log2((uint)_coresPerSocket - 1) + 1 : 0;
        ulong frequency = _timestamp.Frequency;
        switch (leaf)
        {
            case 0:
                eax = MaximumLeaf;
                // "GenuineIntel": it is what makes operating systems take the TSC's frequency from leaf 15h.
                ebx = 0x756E_6547;
                edx = 0x4965_6E69;
                ecx = 0x6C65_746E;
                break;
            case 1:
                eax = _level.Signature;
                ebx = ((uint)Index << 24) | ((uint)Math.Min(255, 1 << coreBits) << 16) | (8 << 8);
                ecx = (Features1C & ~_level.Hidden1C) | ((State->Cr4 & Cr4Osxsave) != 0 ? 1u << 27 : 0);
                // The APIC's bit goes with IA32_APIC_BASE.EN (vol. 3A, 11.4.3).
                edx = Features1D & ~(LocalApic is { } apic && (apic.ApicBase & ApicEnabled) == 0 ? 1u << 9 : 0) | (_coresPerSocket > 1 ? 1u << 28 : 0);
                break;
            case 2:
                // All cache descriptors are in leaf 4.
                eax = 0x00FE_FF01;
                break;
            case 4:
                IdentifyCache(subleaf, coreBits, out eax, out ebx, out ecx, out edx);
                break;
            case 6:
                // ARAT: the APIC timer does not stop.
                eax = 4;
                break;
            case 7 when subleaf == 0:
                eax = 2;
                ebx = Features7B & ~_level.Hidden7B;
                ecx = Features7C;
                edx = Features7D;
                break;
            case 7 when subleaf == 2:
                edx = Features7D2;
                break;
            case 0xB:
                IdentifyTopology(subleaf, coreBits, out eax, out ebx, out ecx);
                edx = (uint)Index;
                break;
            case 0xD:
                IdentifyState(subleaf, out eax, out ebx, out ecx, out edx);
                break;
            case 0x15:
                // The crystal runs as fast as the TSC and the APIC timer.
                (eax, ebx, ecx) = frequency <= uint.MaxValue ? (1u, 1u, (uint)frequency) : (1u, 1u, 0u);
                break;
            case 0x16:
                eax = ebx = (uint)(frequency / 1_000_000);
                ecx = 100;
                break;
            case 0x4000_0000:
                eax = 0x4000_0000;
                ebx = 0x7079_4823;
                ecx = 0x7369_7672;
                edx = 0x2123_726F;
                break;
            case 0x8000_0000:
                eax = MaximumExtendedLeaf;
                break;
            case 0x8000_0001:
                // SYSCALL, NX, 1 GB pages, RDTSCP, LM.
                ecx = FeaturesExtendedC & ~_level.HiddenExtendedC;
                edx = 1u << 11 | 1u << 20 | 1u << 26 | 1u << 27 | 1u << 29;
                break;
            case 0x8000_0002 or 0x8000_0003 or 0x8000_0004:
                ReadOnlySpan<uint> words = MemoryMarshal.Cast<byte, uint>(Brand.Slice((int)(leaf - 0x8000_0002) * 16, 16));
                (eax, ebx, ecx, edx) = (words[0], words[1], words[2], words[3]);
                break;
            case 0x8000_0006:
                ecx = 0x0400_8040;
                break;
            case 0x8000_0007:
                edx = 1u << 8;
                break;
            case 0x8000_0008:
                eax = (uint)PhysicalAddressBits | (48u << 8);
                break;
        }
    }

    private void IdentifyCache(uint subleaf, int coreBits, out uint eax, out uint ebx, out uint ecx, out uint edx)
    {
        (uint type, uint level, uint ways, uint sets, int shared) = subleaf switch
        {
            0 => (1u, 1u, 8u, 64u, 0),
            1 => (2u, 1u, 8u, 64u, 0),
            2 => (3u, 2u, 16u, 1024u, 0),
            3 => (3u, 3u, 16u, 16384u, coreBits),
            _ => (0u, 0u, 0u, 0u, 0),
        };
        eax = ebx = ecx = edx = 0;
        if (type != 0)
        {
            eax = type | (level << 5) | (1 << 8) | (((1u << shared) - 1) << 14) | ((Math.Min(64u, 1u << coreBits) - 1) << 26);
            ebx = 63 | ((ways - 1) << 22);
            ecx = sets - 1;
        }
    }

    private void IdentifyTopology(uint subleaf, int coreBits, out uint eax, out uint ebx, out uint ecx)
    {
        (eax, ebx, ecx) = subleaf switch
        {
            0 => (0u, 1u, 1u << 8),
            1 => ((uint)coreBits, (uint)_coresPerSocket, 1u | (2u << 8)),
            _ => (0u, 0u, subleaf),
        };
    }

    // Extended state (SDM vol. 1, 13.2). The compacted format has the same size: there is nothing between header and AVX state.
    private void IdentifyState(uint subleaf, out uint eax, out uint ebx, out uint ecx, out uint edx)
    {
        uint enabled = (uint)ExtendedState.StandardBytesOf(State->Xcr0);
        uint all = (uint)ExtendedState.StandardBytesOf(SupportedComponents);
        (eax, ebx, ecx, edx) = subleaf switch
        {
            0 => ((uint)SupportedComponents, enabled, all, 0u),
            1 => (FeaturesState, enabled, 0u, 0u),
            2 when (SupportedComponents & ExtendedState.Avx) != 0 => ((uint)ExtendedState.AvxBytes, (uint)ExtendedState.AvxOffset, 0u, 0u),
            _ => (0u, 0u, 0u, 0u),
        };
    }
}
