namespace Hypervisor.Engine.Processor;

/// <summary>A line of what <see cref="X86Processor.DescribeTranslation"/> lists.</summary>
/// <param name="Address">Linear address of the guest's instruction that the line belongs to; of the block in its heading.</param>
/// <param name="Offset">Bytes from the start of the block's host code; null without host code.</param>
/// <param name="Guest">The guest's instruction, in the first line of those that belong to it; in a block's heading, what the block is.</param>
/// <param name="Host">The host's instruction; empty without one.</param>
public sealed record TranslationLine(ulong Address, int? Offset, string Guest, string Host);
