using Hypervisor.Engine.Processor.Translation;

namespace Hypervisor.Engine.Processor;

// For whoever debugs: what was made of the guest's code.
public sealed unsafe partial class X86Processor
{
    /// <summary>
    /// Lists the guest's instructions at an address beside the host's code of each block that holds them: a heading a block, then its
    /// lines. Only while the processor is not run, or on the thread that runs it, between two calls of <see cref="Run"/>. Changes
    /// nothing that the guest could notice.
    /// </summary>
    /// <param name="linear">Linear address, which need not be a block's first; null takes the place where the processor goes on.</param>
    public IReadOnlyList<TranslationLine> DescribeTranslation(ulong? linear = null)
    {
        ObjectDisposedException.ThrowIf(State == null, this);
        EnterGuest();
        try
        {
            return Describe(linear);
        }
        finally
        {
            LeaveGuest();
        }
    }

    private IReadOnlyList<TranslationLine> Describe(ulong? linear)
    {
        ulong address = linear ?? LinearRip(State->Rip);
        if (!TryProbe(address, out ulong physical))
        {
            return [new TranslationLine(address, null, $"; nothing is mapped at 0x{address:x}", "")];
        }

        var found = new List<nint>();
        _blocks.CollectPage(physical >> 12, found);
        found.RemoveAll(block => !Holds((Block*)block, (int)(physical & PageMask)));
        if (found.Count == 0)
        {
            return DescribeUndecoded(address, physical);
        }

        // The nearest start first: where the address itself was branched to.
        found.Sort(static (a, b) => ((Block*)b)->Key.CompareTo(((Block*)a)->Key));
        var listing = new TranslationListing(_native, _translator?.Stubs);
        byte* bytes = stackalloc byte[BlockTranslator.MaximumBytes];
        foreach (nint at in found)
        {
            var block = (Block*)at;
            ulong start = (address & ~PageMask) | (block->Key & PageMask);
            int count = TryCopyBlock(block, bytes, out int length) ? length : 0;
            listing.Begin(block, start, BitsOf(block->Key), bytes, count);
            bool translated = false;
            for (int set = 0; set < TranslationBuffer.Sets; set++)
            {
                TranslatedBlock* translation = *Block.Translation(block, set);
                if (translation != null)
                {
                    translated = true;
                    listing.AddTranslated(translation);
                }
            }

            if (!translated)
            {
                listing.AddInterpreted();
            }
        }

        return listing.Lines;
    }

    private List<TranslationLine> DescribeUndecoded(ulong address, ulong physical)
    {
        byte* page = PhysicalPage(physical, forWriting: false, out _);
        if (page == null)
        {
            return [new TranslationLine(address, null, $"; there is no memory at 0x{address:x} (physical 0x{physical:x})", "")];
        }

        int offset = (int)(physical & PageMask);
        byte* bytes = stackalloc byte[BlockTranslator.MaximumBytes];
        int count = Math.Min(BlockTranslator.MaximumBytes, (int)PageMask + 1 - offset);
        new Span<byte>(page + offset, count).CopyTo(new Span<byte>(bytes, count));
        return TranslationListing.Undecoded(address, _is64Bit ? 64 : CodeBits, bytes, count, MaximumInstructions);
    }

    private static bool Holds(Block* block, int pageOffset)
    {
        DecodedInstruction* first = Block.First(block);
        int start = (int)(block->Key & PageMask), end = start + Math.Max(1, (int)first[block->Count - 1].Offset);
        return pageOffset >= start && pageOffset < end;
    }

    // See DecodeMode.
    private static int BitsOf(ulong key) => ((key >> 56) & 3) switch
    {
        2 => 64,
        1 => 32,
        _ => 16,
    };
}
