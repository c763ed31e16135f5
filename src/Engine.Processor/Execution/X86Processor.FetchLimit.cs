namespace Hypervisor.Engine.Processor;

// Code that runs on to the end of its segment: an instruction whose last byte lies beyond the limit raises #GP(0) before it is
// executed (Intel SDM vol. 3A, 5.3).
public sealed unsafe partial class X86Processor
{
    // The next block is cut down to one instruction, because the whole one reaches over the limit.
    private bool _nearLimit;

    // Before a block is looked for: false where its first byte lies beyond the limit, with #GP(0) pending.
    private bool BeginLimited(ulong rip)
    {
        if (_nearLimit)
        {
            // It was for the instruction before this one.
            _nearLimit = false;
            RefreshStamp();
        }

        return rip <= _codeLimit || FaultAtLimit(rip);
    }

    // The block, or in its place one of a single instruction; null where that, too, reaches over the limit, with #GP(0) pending.
    private DecodedInstruction* WithinLimit(ulong rip, DecodedInstruction* first)
    {
        if (Reaches(rip, first) <= _codeLimit)
        {
            return first;
        }

        _nearLimit = true;
        RefreshStamp();
        DecodedInstruction* single = FindBlock(rip, LinearRip(rip), _jumps + JumpIndex(LinearRip(rip)));
        if (single != null && Reaches(rip, single) > _codeLimit)
        {
            FaultAtLimit(rip);
            return null;
        }

        State->BlockRip = rip;
        return single;
    }

    private bool FaultAtLimit(ulong rip)
    {
        State->BlockRip = rip;
        State->Current = _fetchMarker;
        return Pend(Vector.GeneralProtection, 0);
    }

    // The address of a block's last byte within its segment.
    private static ulong Reaches(ulong rip, DecodedInstruction* first)
    {
        Block* block = (Block*)first - 1;
        DecodedInstruction* last = first + block->Count - 1;
        // Only what is too long to be an instruction stands alone.
        ulong length = block->Count == 1 ? (uint)MaximumInstructionBytes : last->Offset;
        return rip + length - 1;
    }
}
