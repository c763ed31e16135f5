using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Hypervisor.Engine.Native;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// From RIP to decoded instructions: the jump cache, the block cache, decoding, and the links between blocks of a page.
public sealed unsafe partial class X86Processor
{
    private const int JumpEntries = 4096;

    // Neither an empty entry's stamp nor that of any mode.
    private const ulong NoStamp = 1;
    private const int FetchEntries = 256;
    private const int FetchedPageBits = 1 << 14;
    private const int MaximumInstructions = 64;
    private const int MaximumInstructionBytes = 15;

    private readonly BlockCache _blocks;
    private readonly FetchBuffer _fetch = new();
    private Decoder? _decoder16, _decoder32, _decoder64;

    private readonly AnonymousMemory _tables;
    private readonly JumpEntry* _jumps;
    private readonly FetchEntry* _fetches;
    private readonly DecodedInstruction* _fetchMarker;

    // The last instruction executed, when the memory that it was in is given back.
    private readonly DecodedInstruction* _kept;

    // Linear pages from which something was fetched since all was forgotten last: a bit for each hash, and one for each 1 GB region
    // in which the page was a large one.
    private readonly ulong[] _fetchedPages = new ulong[FetchedPageBits / 64];
    private ulong _fetchedLargeRegions;

    // A jump entry holds only with the stamp of now: generation in the high bits, mode in the low ones. User and supervisor code
    // have generations of their own, because a load of CR3 leaves global pages alone.
    private ulong _stamp;

    // The same for branches that go on without the loop; no entry has it where blocks must be compared with the segment's limit.
    private ulong _inlineStamp;
    private ulong _userGeneration = 1, _supervisorGeneration = 1;
    private bool _supervisorFetchedLocal;

    // The link to fill once the block that a branch wants is found; null for none.
    private DecodedInstruction** _linkSlot;
    private ulong _linkRip;

    [StructLayout(LayoutKind.Sequential)]
    private struct JumpEntry
    {
        public ulong Linear, Stamp;
        public DecodedInstruction* First;

        // The block's key, so that an entry outlives a flush of translations that did not concern it; all ones where a block lies
        // in two pages.
        public ulong Key;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct FetchEntry
    {
        public ulong Linear, Physical;
        public uint Mode;
        public PageKind Kind;
    }

    private void FlushFetchTranslations(bool keepGlobal)
    {
        for (int n = 0; n < FetchEntries; n++)
        {
            if (!keepGlobal || (_fetches[n].Kind & PageKind.Global) == 0)
            {
                _fetches[n].Linear = NoPage;
            }
        }

        _userGeneration++;
        ClearTargets(TranslationSet.User);
        if (!keepGlobal || _supervisorFetchedLocal)
        {
            ForgetSupervisorTargets();
        }

        if (!keepGlobal)
        {
            Array.Clear(_fetchedPages);
            _fetchedLargeRegions = 0;
        }

        RefreshStamp();
    }

    private void FlushFetchTranslation(ulong linear)
    {
        bool large = (_fetchedLargeRegions & RegionBit(linear)) != 0;
        if (!large && (_fetchedPages[FetchedPage(linear) >> 6] & (1ul << (FetchedPage(linear) & 63))) == 0)
        {
            return;
        }

        for (int n = 0; n < FetchEntries; n++)
        {
            PageKind kind = _fetches[n].Kind;
            int shift = (kind & PageKind.Huge) != 0 ? 30 : (kind & PageKind.Large) != 0 ? 22 : 12;
            if ((_fetches[n].Linear ^ linear) >> shift == 0)
            {
                _fetches[n].Linear = NoPage;
            }
        }

        _userGeneration++;
        _supervisorGeneration++;
        foreach (var targets in _targets)
        {
            if (large)
            {
                targets.Clear();
            }
            else
            {
                // And what begins in the page before and ends in this one.
                targets.RemovePage(linear);
                targets.RemovePage(linear - TranslationBuffer.PageBytes);
                if (linear == 0)
                {
                    // Where 32-bit code runs over the end of its address space.
                    targets.RemovePage((uint)(linear - TranslationBuffer.PageBytes));
                }
            }
        }

        RefreshStamp();
    }

    private void ForgetSupervisorTargets()
    {
        _supervisorGeneration++;
        _supervisorFetchedLocal = false;
        ClearTargets(TranslationSet.Supervisor);
        ClearTargets(TranslationSet.SupervisorUser);
    }

    private void ClearTargets(TranslationSet set)
    {
        _targets[TargetTable.Number((int)set, is64Bit: true)].Clear();
        _targets[TargetTable.Number((int)set, is64Bit: false)].Clear();
    }

    private static int FetchedPage(ulong linear) => (int)((linear >> 12) & (FetchedPageBits - 1));

    private void FlushBlocks()
    {
        _cacheFlushes++;
        _mostCacheBytes = MostCacheBytes;
        _blocks.Clear();
        _translator?.Clear();
        ForgetBlocks();
    }

    private void ReleaseBlocks()
    {
        _cacheFlushes++;
        if (State->Current != null && State->Current != _kept)
        {
            *_kept = *State->Current;
            State->Current = _kept;
        }

        long most = MostCacheBytes;
        bool released = _blocks.Release() & (_translator?.Release() ?? true);
        _mostCacheBytes = released ? 0 : most;
        ForgetBlocks();
    }

    // The cache is full. Whole regions of it make room, so that this costs little for each block.
    private void EvictBlocks()
    {
        _cacheEvictions++;
        _mostCacheBytes = MostCacheBytes;
        _blocks.Advance(&Stale);
        _translator?.Advance();
        ForgetBlocks();
    }

    private void ForgetBlocks()
    {
        ForgetJumps();
        foreach (var targets in _targets)
        {
            targets.Clear();
        }
    }

    private void DropCodePage(ulong page)
    {
        if (_blocks.DropPage(page, &Stale, _translator))
        {
            ForgetJumps();
        }
    }

    private void ForgetJumps()
    {
        new Span<byte>(_jumps, JumpEntries * sizeof(JumpEntry)).Clear();
        _linkSlot = null;
    }

    // Mode bits: how bytes decode (and stepping), then what fetching may touch.
    private ulong DecodeMode => (ulong)((_is64Bit ? 2 : CodeBits == 32 ? 1 : 0) | (OneInstruction ? 4 : 0));

    // Blocks of one instruction, which are not translated: for single steps and breakpoints, for the instruction in the shadow of STI with
    // an interrupt behind it, and for the last ones before a segment's limit.
    private bool OneInstruction => (State->SystemFlags & Rflags.Trap) != 0 || _watchesCode || _watchesData || _watchesPorts || _inShadow || _nearLimit;

    internal void RefreshStamp()
    {
        _stamp = (State->Cpl == 3 ? (_userGeneration << 8) | 8 : _supervisorGeneration << 8) | DecodeMode | 128;
        _inlineStamp = _limitsFetch ? NoStamp : _stamp;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ulong LinearRip(ulong rip) => _is64Bit ? rip : (uint)(rip + State->Segments[(int)SegmentName.Cs].Base);

    private ulong WrapLinear(ulong linear) => _is64Bit ? linear : (uint)linear;

    /// <summary>
    /// Goes on at RIP, with no attention to anything: only directly after it was given. Null when fetching there raises an exception,
    /// which is then pending.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private DecodedInstruction* NextBlock(ulong rip)
    {
        ulong linear = LinearRip(rip);
        if (_mustInterpret)
        {
            State->BlockRip = rip;
            State->Current = _fetchMarker;
            if (!BeginWatched(linear))
            {
                return null;
            }
        }

        if ((_limitsFetch || _nearLimit) && !BeginLimited(rip))
        {
            return null;
        }

        JumpEntry* entry = _jumps + JumpIndex(linear);
        DecodedInstruction* first = entry->First;
        if (entry->Linear != linear || entry->Stamp != _stamp)
        {
            first = FindBlock(rip, linear, entry);
            if (first == null)
            {
                return null;
            }
        }

        if (_linkSlot != null)
        {
            if (_linkRip == rip && !((Block*)first - 1)->CrossesPage)
            {
                *_linkSlot = first;
            }

            _linkSlot = null;
        }

        State->BlockRip = rip;
        return _limitsFetch ? WithinLimit(rip, first) : first;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong JumpIndex(ulong linear) => (linear ^ (linear >> 12)) & (JumpEntries - 1);

    /// <summary>
    /// Ends a block with a branch to RIP: on to the decoded target if it is known and nothing demands attention.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal DecodedInstruction* Branch(DecodedInstruction* i, DecodedInstruction** link, ulong rip)
    {
        CpuState* state = State;
        state->Retired += i->Ordinal;
        DecodedInstruction* target = *link;
        if (target != null && state->Attention == 0)
        {
            state->BlockRip = rip;
            return target;
        }

        return BranchSlow(link, rip);
    }

    /// <summary>Ends a block with a branch that has no fixed target.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal DecodedInstruction* BranchIndirect(DecodedInstruction* i, ulong rip)
    {
        CpuState* state = State;
        state->Retired += i->Ordinal;
        ulong linear = LinearRip(rip);
        JumpEntry* entry = _jumps + JumpIndex(linear);
        if (entry->Linear == linear && entry->Stamp == _inlineStamp && state->Attention == 0)
        {
            state->BlockRip = rip;
            return entry->First;
        }

        state->Rip = rip;
        return null;
    }

    /// <summary>Ends a block after something that changed what the processor is: the loop looks at everything anew.</summary>
    internal DecodedInstruction* Leave(DecodedInstruction* i, ulong rip)
    {
        State->Retired += i->Ordinal;
        State->Rip = rip;
        return null;
    }

    /// <summary>Ends a block so that the next instruction is fetched anew.</summary>
    internal DecodedInstruction* LeaveToNext(DecodedInstruction* i) => Leave(i, NextRip(i));

    /// <summary>RIP of the next instruction.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ulong NextRip(DecodedInstruction* i)
    {
        ulong rip = State->BlockRip + i->Offset + i->Length;
        return _is64Bit ? rip : (uint)rip;
    }

    private DecodedInstruction* BranchSlow(DecodedInstruction** link, ulong rip)
    {
        CpuState* state = State;
        ulong linear = LinearRip(rip);
        JumpEntry* entry = _jumps + JumpIndex(linear);
        bool samePage = _is64Bit && ((rip ^ state->BlockRip) & ~PageMask) == 0;
        if (entry->Linear == linear && entry->Stamp == _inlineStamp && state->Attention == 0)
        {
            if (samePage && !((Block*)entry->First - 1)->CrossesPage)
            {
                *link = entry->First;
            }

            state->BlockRip = rip;
            return entry->First;
        }

        _linkSlot = samePage ? link : null;
        _linkRip = rip;
        state->Rip = rip;
        return null;
    }

    private static DecodedInstruction* Stale(X86Processor cpu, DecodedInstruction* i)
    {
        cpu.State->Retired += (ulong)(i->Ordinal - 1);
        cpu.State->Rip = cpu.InstructionPointer(i);
        return null;
    }

    // Closes a block that does not end with a branch.
    private static DecodedInstruction* FallThrough(X86Processor cpu, DecodedInstruction* i) =>
        cpu.Branch(i, &i->Link, cpu._is64Bit ? cpu.State->BlockRip + i->Offset : (uint)(cpu.State->BlockRip + i->Offset));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private DecodedInstruction* FindBlock(ulong rip, ulong linear, JumpEntry* entry)
    {
        // What the fetch raises is raised at this instruction.
        State->BlockRip = rip;
        State->Current = _fetchMarker;
        if (!TryTranslateFetch(linear, out ulong physical))
        {
            return null;
        }

        ulong key = physical | (DecodeMode << 56);
        if (entry->Linear == linear && entry->Key == key && entry->First != null)
        {
            // An empty entry has the key of 16-bit code at physical address 0.
            entry->Stamp = _stamp;
            return entry->First;
        }

        Block* block = _blocks.Find(key);
        if (block != null && block->CrossesPage)
        {
            if (!TryTranslateFetch(WrapLinear((linear & ~PageMask) + 4096), out ulong second))
            {
                return null;
            }

            block = second >> 12 == block->SecondPage ? block : null;
        }

        if (block == null)
        {
            block = Decode(key, physical, linear);
            if (block == null)
            {
                return null;
            }
        }

        entry->Linear = linear;
        entry->Stamp = _stamp;
        entry->Key = block->CrossesPage ? ulong.MaxValue : key;
        entry->First = Block.First(block);
        return entry->First;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool TryTranslateFetch(ulong linear, out ulong physical)
    {
        FetchEntry* entry = _fetches + ((linear >> 12) & (FetchEntries - 1));
        ulong page = linear & ~PageMask;
        uint mode = (uint)_stamp & 0xFF;
        if (entry->Linear != page || entry->Mode != mode)
        {
            if (!TryTranslate(linear, AccessKind.Execute, out physical))
            {
                return false;
            }

            // To run blocks that were decoded long ago is a use of the page, too.
            PhysicalPage(physical, forWriting: false, out _);

            entry->Physical = physical & ~PageMask;
            entry->Linear = page;
            entry->Mode = mode;
            entry->Kind = _walked;
            _fetchedPages[FetchedPage(linear) >> 6] |= 1ul << (FetchedPage(linear) & 63);
            if ((_walked & (PageKind.Large | PageKind.Huge)) != 0)
            {
                _fetchedLargeRegions |= RegionBit(linear);
            }

            _supervisorFetchedLocal |= State->Cpl != 3 && (_walked & PageKind.Global) == 0;
        }

        physical = entry->Physical | (linear & PageMask);
        return true;
    }

    private Block* Decode(ulong key, ulong physical, ulong linear)
    {
        Block* block = _blocks.Reserve(MaximumInstructions + 2);
        if (block == null)
        {
            EvictBlocks();
            block = _blocks.Reserve(MaximumInstructions + 2);
        }

        block->Key = key;
        block->Page = block->SecondPage = physical >> 12;
        block->Count = 0;
        block->ClearTranslations(_translator != null && CodeBits >= 32 && !OneInstruction ? _translationThreshold : 0);
        MarkCode(block->Page);
        Decoder decoder = SelectDecoder();
        byte* page = PhysicalPage(physical, forWriting: false, out _);
        int room = (int)(4096 - (physical & PageMask));
        int limit = OneInstruction ? 1 : MaximumInstructions;
        if (page != null)
        {
            _fetch.Set(page + (physical & PageMask), room);
            DecodeRun(block, decoder, limit);
        }

        if (block->Count == 0
            && !TryDecodeAcrossPages(block, decoder, page == null ? null : page + (physical & PageMask), Math.Min(room, MaximumInstructionBytes), linear))
        {
            return null;
        }

        _decodedBlocks++;
        _blocks.Commit(block);
        return block;
    }

    // Decodes whole instructions up to a branch, the limit or the end of the window.
    private void DecodeRun(Block* block, Decoder decoder, int limit)
    {
        DecodedInstruction* to = Block.First(block);
        if (block->Warmth != 0)
        {
            *to = default;
            to->Handler = &Warm;
            to->Ordinal = 1;
            to++;
        }

        decoder.IP = 0;
        int offset = 0;
        bool ends = false;
        int ordinal = 0;
        while (ordinal < limit && !ends)
        {
            decoder.Decode(out Instruction instruction);
            if (instruction.IsInvalid && (decoder.LastError == DecoderError.NoMoreBytes || instruction.Length == 0))
            {
                break;
            }

            ordinal++;
            InstructionTranslator.Translate(instruction, to, _is64Bit, offset, ordinal);
            offset += instruction.Length;
            to++;
            ends = EndsBlock(instruction);
            if (SystemInstructions.AccessesPort(instruction.Code))
            {
                // What a device does about it (an interrupt, a stop) is looked at before the next instruction.
                break;
            }
        }

        if (ordinal == 0)
        {
            return;
        }

        // After a branch, too: whatever a handler returns, the block's end is met by something.
        *to = default;
        to->Handler = &FallThrough;
        to->Offset = (ushort)offset;
        to->Ordinal = (ushort)ordinal;
        block->Count = (int)(to - Block.First(block)) + 1;
    }

    // One instruction whose bytes lie in two pages, or outside memory (there everything reads as all ones).
    private bool TryDecodeAcrossPages(Block* block, Decoder decoder, byte* first, int firstCount, ulong linear)
    {
        block->Warmth = first == null ? 0 : block->Warmth;
        byte* bytes = stackalloc byte[MaximumInstructionBytes];
        new Span<byte>(bytes, MaximumInstructionBytes).Fill(0xFF);
        if (first != null)
        {
            new Span<byte>(first, firstCount).CopyTo(new Span<byte>(bytes, MaximumInstructionBytes));
        }

        if (firstCount < MaximumInstructionBytes)
        {
            if (!TryTranslateFetch(WrapLinear(linear + (ulong)firstCount), out ulong second))
            {
                return false;
            }

            block->SecondPage = second >> 12;
            MarkCode(block->SecondPage);
            byte* page = PhysicalPage(second, forWriting: false, out _);
            if (page != null)
            {
                new Span<byte>(page, MaximumInstructionBytes - firstCount).CopyTo(new Span<byte>(bytes + firstCount, MaximumInstructionBytes - firstCount));
            }
        }

        _fetch.Set(bytes, MaximumInstructionBytes);
        DecodeRun(block, decoder, 1);
        if (block->Count == 0)
        {
            // Fifteen bytes of prefixes: longer than any instruction may be.
            block->Warmth = 0;
            DecodedInstruction* to = Block.First(block);
            *to = default;
            to->Handler = InstructionTable.Get(Code.INVALID, OperandForm.Register);
            to->Ordinal = 1;
            block->Count = 1;
        }

        return true;
    }

    private Decoder SelectDecoder()
    {
        if (_is64Bit)
        {
            return _decoder64 ??= Decoder.Create(64, _fetch);
        }

        return CodeBits == 32 ? _decoder32 ??= Decoder.Create(32, _fetch) : _decoder16 ??= Decoder.Create(16, _fetch);
    }

    private static bool EndsBlock(in Instruction instruction) =>
        instruction.FlowControl is not FlowControl.Next || SystemInstructions.EndsBlock(instruction.Code);
}
