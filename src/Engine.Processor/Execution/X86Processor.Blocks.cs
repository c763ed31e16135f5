using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// From RIP to decoded instructions: the jump cache, the block cache, decoding, and the links between blocks of a page.
public sealed unsafe partial class X86Processor
{
    private const int JumpEntries = 4096;
    private const int FetchEntries = 256;
    private const int MaximumInstructions = 32;
    private const int MaximumInstructionBytes = 15;

    private readonly BlockCache _blocks = new();
    private readonly FetchBuffer _fetch = new();
    private Decoder? _decoder16, _decoder32, _decoder64;

    private readonly JumpEntry* _jumps = AllocateJumps();
    private readonly FetchEntry* _fetches = AllocateFetches();
    private readonly DecodedInstruction* _fetchMarker = AllocateMarker();

    // A jump entry holds only with the stamp of now: generation in the high bits, mode in the low ones.
    private ulong _stamp;
    private ulong _generation = 1;

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

    // SAFETY: native memory of these tables is freed in FreeBlocks; indexes are masked.
    private static JumpEntry* AllocateJumps() => (JumpEntry*)NativeMemory.AllocZeroed(JumpEntries, (nuint)sizeof(JumpEntry));

    private static FetchEntry* AllocateFetches() => (FetchEntry*)NativeMemory.AllocZeroed(FetchEntries, (nuint)sizeof(FetchEntry));

    private static DecodedInstruction* AllocateMarker() => (DecodedInstruction*)NativeMemory.AllocZeroed(1, (nuint)sizeof(DecodedInstruction));

    private void FreeBlocks()
    {
        NativeMemory.Free(_jumps);
        NativeMemory.Free(_fetches);
        NativeMemory.Free(_fetchMarker);
        _blocks.Dispose();
    }

    private void FlushFetchTranslations(bool keepGlobal)
    {
        for (int n = 0; n < FetchEntries; n++)
        {
            if (!keepGlobal || (_fetches[n].Kind & PageKind.Global) == 0)
            {
                _fetches[n].Linear = TlbEntry.Invalid;
            }
        }

        _generation++;
        RefreshStamp();
    }

    private void FlushBlocks()
    {
        _blocks.Clear();
        ForgetJumps();
    }

    private void DropCodePage(ulong page)
    {
        if (_blocks.DropPage(page, &Stale))
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

    // Blocks of one instruction: for single steps, and for the instruction in the shadow of STI with an interrupt behind it.
    private bool OneInstruction => (State->SystemFlags & Rflags.Trap) != 0 || _inShadow;

    internal void RefreshStamp() => _stamp = (_generation << 8) | DecodeMode | (State->Cpl == 3 ? 8ul : 0) | 128;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ulong LinearRip(ulong rip) => _is64Bit ? rip : (uint)(rip + State->Segments[(int)SegmentName.Cs].Base);

    /// <summary>Goes on at RIP, with no attention to anything: only directly after it was given.</summary>
    private DecodedInstruction* NextBlock(ulong rip)
    {
        ulong linear = LinearRip(rip);
        JumpEntry* entry = _jumps + JumpIndex(linear);
        DecodedInstruction* first = entry->First;
        if (entry->Linear != linear || entry->Stamp != _stamp)
        {
            first = FindBlock(rip, linear, entry);
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
        if ((State->SystemFlags & Rflags.Trap) != 0)
        {
            _stepArmed = true;
            SetAttention(Attention.SingleStep);
        }

        return first;
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
        if (entry->Linear == linear && entry->Stamp == _stamp && state->Attention == 0)
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
        if (entry->Linear == linear && entry->Stamp == _stamp && state->Attention == 0)
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

    private DecodedInstruction* FindBlock(ulong rip, ulong linear, JumpEntry* entry)
    {
        // What the fetch raises is raised at this instruction.
        State->BlockRip = rip;
        State->Current = _fetchMarker;
        ulong physical = TranslateFetch(linear);
        ulong key = physical | (DecodeMode << 56);
        if (entry->Linear == linear && entry->Key == key && entry->First != null)
        {
            // An empty entry has the key of 16-bit code at physical address 0.
            entry->Stamp = _stamp;
            return entry->First;
        }

        Block* block = _blocks.Find(key);
        if (block != null && block->CrossesPage && TranslateFetch((linear & ~PageMask) + 4096) >> 12 != block->SecondPage)
        {
            block = null;
        }

        if (block == null)
        {
            block = Decode(key, physical, linear);
        }

        entry->Linear = linear;
        entry->Stamp = _stamp;
        entry->Key = block->CrossesPage ? ulong.MaxValue : key;
        entry->First = Block.First(block);
        return entry->First;
    }

    private ulong TranslateFetch(ulong linear)
    {
        FetchEntry* entry = _fetches + ((linear >> 12) & (FetchEntries - 1));
        ulong page = linear & ~PageMask;
        uint mode = (uint)_stamp & 0xFF;
        if (entry->Linear != page || entry->Mode != mode)
        {
            entry->Physical = Translate(linear, AccessKind.Execute) & ~PageMask;
            entry->Linear = page;
            entry->Mode = mode;
            entry->Kind = _walked;
        }

        return entry->Physical | (linear & PageMask);
    }

    private Block* Decode(ulong key, ulong physical, ulong linear)
    {
        Block* block = _blocks.Reserve(MaximumInstructions + 1);
        if (block == null)
        {
            FlushBlocks();
            block = _blocks.Reserve(MaximumInstructions + 1);
        }

        block->Key = key;
        block->Page = block->SecondPage = physical >> 12;
        block->Count = 0;
        MarkCode(block->Page);
        Decoder decoder = SelectDecoder();
        byte* page = PhysicalPage(physical, out _);
        int room = (int)(4096 - (physical & PageMask));
        int limit = OneInstruction ? 1 : MaximumInstructions;
        if (page != null)
        {
            _fetch.Set(page + (physical & PageMask), room);
            DecodeRun(block, decoder, limit);
        }

        if (block->Count == 0)
        {
            DecodeAcrossPages(block, decoder, page == null ? null : page + (physical & PageMask), Math.Min(room, MaximumInstructionBytes), linear);
        }

        _blocks.Commit(block);
        return block;
    }

    // Decodes whole instructions up to a branch, the limit or the end of the window.
    private void DecodeRun(Block* block, Decoder decoder, int limit)
    {
        DecodedInstruction* to = Block.First(block);
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
        block->Count = ordinal + 1;
    }

    // One instruction whose bytes lie in two pages, or outside memory (there everything reads as all ones).
    private void DecodeAcrossPages(Block* block, Decoder decoder, byte* first, int firstCount, ulong linear)
    {
        byte* bytes = stackalloc byte[MaximumInstructionBytes];
        new Span<byte>(bytes, MaximumInstructionBytes).Fill(0xFF);
        if (first != null)
        {
            new Span<byte>(first, firstCount).CopyTo(new Span<byte>(bytes, MaximumInstructionBytes));
        }

        if (firstCount < MaximumInstructionBytes)
        {
            ulong second = TranslateFetch(linear + (ulong)firstCount);
            block->SecondPage = second >> 12;
            MarkCode(block->SecondPage);
            byte* page = PhysicalPage(second, out _);
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
            DecodedInstruction* to = Block.First(block);
            *to = default;
            to->Handler = InstructionTable.Get(Code.INVALID, OperandForm.Register);
            to->Ordinal = 1;
            block->Count = 1;
        }
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

    private void MarkCode(ulong page)
    {
        if (page >= _memory.PageAttributeCount)
        {
            return;
        }

        ref byte attributes = ref _memory.PageAttributeTable[page];
        byte old = Volatile.Read(ref attributes);
        while ((old & (byte)PageAttributes.Code) == 0)
        {
            byte seen = Interlocked.CompareExchange(ref attributes, (byte)(old | (byte)PageAttributes.Code), old);
            if (seen == old)
            {
                break;
            }

            old = seen;
        }
    }
}
