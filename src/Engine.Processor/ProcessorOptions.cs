namespace Hypervisor.Engine.Processor;

/// <summary>What a processor is connected to and how it presents itself.</summary>
public sealed record ProcessorOptions
{
    /// <summary>Default of <see cref="TranslationThreshold"/>.</summary>
    public const int DefaultTranslationThreshold = 16;

    /// <summary>Index in the machine and local APIC id, from 0; 0 is the bootstrap processor.</summary>
    public required int Index { get; init; }

    /// <summary>Processors of the machine, for the topology leaves of CPUID.</summary>
    public required int ProcessorCount { get; init; }

    /// <summary>Memory and memory-mapped devices.</summary>
    public required IMemoryBus Memory { get; init; }

    /// <summary>I/O ports.</summary>
    public required IPortBus Ports { get; init; }

    /// <summary>The time-stamp counter, shared by the machine's processors.</summary>
    public required TimestampCounter Timestamp { get; init; }

    /// <summary>
    /// The lock of the machine's bus, to be shared by its processors: it is taken for locked operands that no atomic operation of the
    /// host covers, such as those that lie in two pages.
    /// </summary>
    public Lock BusLock { get; init; } = new();

    /// <summary>A lock to be shared by the machine's processors: whoever marks a page as code holds it until the others have taken notice.</summary>
    public Lock CodeLock { get; init; } = new();

    /// <summary>Physical address bits shown by CPUID, 36 to 52.</summary>
    public int PhysicalAddressBits { get; init; } = 40;

    /// <summary>Cores of a socket, for the topology leaves of CPUID; 0 puts all processors into one.</summary>
    public int CoresPerSocket { get; init; }

    /// <summary>
    /// Bytes for decoded and translated code together, a multiple of 16384, from 1 MB; when they are used up all of it is forgotten.
    /// </summary>
    public int CodeCacheBytes { get; init; } = 64 << 20;

    /// <summary>Translate what runs often into the host's code, where the host can (see <see cref="TranslationSupport"/>); otherwise all is interpreted.</summary>
    public bool Translate { get; init; } = true;

    /// <summary>Runs in the interpreter before a block is translated, from 1 (translated when it is met first).</summary>
    public int TranslationThreshold { get; init; } = DefaultTranslationThreshold;

    /// <summary>The level of the x86-64 psABI that CPUID shows at most (1: SSE2, 2: SSE4.2, 3: AVX2); 0 shows all there is.</summary>
    public int FeatureLevel { get; init; }
}
