namespace Hypervisor.Engine.Processor;

/// <summary>Reasons for the processor to look up between two blocks.</summary>
[Flags]
internal enum Attention
{
    None = 0,
    /// <summary>Run is to return.</summary>
    Stop = 1,
    /// <summary>The local APIC may have an interrupt, or IF may have become 1.</summary>
    Interrupt = 2,
    Nmi = 4,
    Init = 8,
    Startup = 16,
    /// <summary>Other processors wrote pages from which code was decoded.</summary>
    CodeInvalidation = 32,
    /// <summary>Host addresses of pages changed.</summary>
    FlushMappings = 64,
    /// <summary>TF is set.</summary>
    SingleStep = 128,
    /// <summary>The block cache is to be emptied.</summary>
    FlushBlocks = 256,
    /// <summary>Host addresses of pages are to be forgotten, and somebody waits for it.</summary>
    Orders = 512,
    /// <summary>The oldest part of the block cache is to be emptied.</summary>
    EvictBlocks = 1024,
    /// <summary>The block cache is to be emptied, and its memory given back.</summary>
    ReleaseBlocks = 2048,
}
