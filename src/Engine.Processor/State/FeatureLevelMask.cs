namespace Hypervisor.Engine.Processor;

/// <summary>What CPUID hides when it may show no more than a level of the x86-64 psABI (section 3.1.1).</summary>
internal readonly struct FeatureLevelMask
{
    /// <summary>
    /// Family 6, model 3Dh (Broadwell), stepping 4. Dispatchers that go by the model alone, such as the resolvers GCC makes for
    /// <c>target_clones("arch=…")</c>, run what that model has whatever the feature bits say: of this one all user-mode instructions
    /// are there. A later one would imply AVX-512, or mitigations that its own bugs need.
    /// </summary>
    private const uint Broadwell = 0x0003_06D4;

    /// <summary>Family 6, model 5Fh (Goldmont D), stepping 1, which never had AVX.</summary>
    private const uint Goldmont = 0x0005_06F1;

    // What v2 has beyond v1: SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT; LAHF in 64-bit mode.
    private const uint Level2Leaf1C = 1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23;
    private const uint Level2ExtendedC = 1;

    // And v3: FMA, AVX, F16C; BMI1, AVX2, BMI2; LZCNT. (MOVBE and OSXSAVE stand apart from the vector units.) SHA goes with them.
    private const uint Level3Leaf1C = 1u << 12 | 1u << 28 | 1u << 29;
    private const uint Level3Leaf7B = 1u << 3 | 1u << 5 | 1u << 8 | 1u << 29;
    private const uint Level3ExtendedC = 1u << 5;

    /// <summary>The mask of a level.</summary>
    /// <param name="level">1 to 3; 0 hides nothing.</param>
    public FeatureLevelMask(int level)
    {
        bool hides2 = level == 1;
        bool hides3 = level is 1 or 2;
        Hidden1C = (hides2 ? Level2Leaf1C : 0) | (hides3 ? Level3Leaf1C : 0);
        Hidden7B = hides3 ? Level3Leaf7B : 0;
        HiddenExtendedC = (hides2 ? Level2ExtendedC : 0) | (hides3 ? Level3ExtendedC : 0);
        Signature = hides3 ? Goldmont : Broadwell;
        Components = ExtendedState.X87 | ExtendedState.Sse | (hides3 ? 0 : ExtendedState.Avx);
    }

    /// <summary>Leaf 1, EAX.</summary>
    public uint Signature { get; }

    /// <summary>Bits hidden in leaf 1, ECX.</summary>
    public uint Hidden1C { get; }

    /// <summary>Bits hidden in leaf 7, EBX.</summary>
    public uint Hidden7B { get; }

    /// <summary>Bits hidden in leaf 8000_0001h, ECX.</summary>
    public uint HiddenExtendedC { get; }

    /// <summary>Components of extended state that XCR0 may enable.</summary>
    public ulong Components { get; }
}
