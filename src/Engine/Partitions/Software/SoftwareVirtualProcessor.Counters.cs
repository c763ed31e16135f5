using Hypervisor.Engine.Processor;

namespace Hypervisor.Engine.Partitions.Software;

// What it tells about itself.
internal sealed partial class SoftwareVirtualProcessor
{
    /// <inheritdoc/>
    public VirtualProcessorCounters? GetCounters()
    {
        ProcessorStatistics now = _processor.GetStatistics();
        return new VirtualProcessorCounters
        {
            Index = Index,
            Backend = BackendKind.Software,
            DecodedBlocks = now.DecodedBlocks,
            TranslatedBlocks = now.TranslatedBlocks,
            CopiedInstructions = now.CopiedInstructions,
            LeftInstructions = now.LeftInstructions,
            TranslationTime = now.TranslationTime,
            InterpretedTime = now.InterpretedTime,
            TranslatedTime = now.TranslatedTime,
            Entries = now.Entries,
            Links = now.Links,
            Lookups = now.Lookups,
            AccessMisses = now.AccessMisses,
            InterpreterExits = now.InterpreterExits,
            ExitsByInstruction = [.. now.ExitsByInstruction.Select(static exits => new InstructionExits(exits.Key, exits.Value))],
            Exceptions = now.Exceptions,
            Interrupts = now.Interrupts,
            TranslationFlushes = now.TranslationFlushes,
            PageInvalidations = now.PageInvalidations,
            CacheFlushes = now.CacheFlushes,
            CacheEvictions = now.CacheEvictions,
            CodeBytes = now.CodeBytes,
            RecordBytes = now.RecordBytes,
            CacheLimit = now.CacheLimit,
        };
    }

    /// <inheritdoc/>
    public IReadOnlyList<GuestTranslationLine>? DescribeTranslation(ulong? address) =>
        [.. _processor.DescribeTranslation(address).Select(static line => new GuestTranslationLine(line.Address, line.Offset, line.Guest, line.Host))];
}
