using System.Diagnostics;
using System.Runtime.CompilerServices;
using Hypervisor.Engine.Processor.Translation;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// The second tier: blocks that ran often are translated, and run until something is for the interpreter.
public sealed unsafe partial class X86Processor
{
    private const uint MaskedExceptions = 0x1F80;

    private readonly BlockTranslator? _translator;
    private readonly int _translationThreshold;
    private readonly TargetTable[] _targets;

    // Counts a block's runs in the interpreter, as its first instruction; leaves when it is warm.
    private static DecodedInstruction* Warm(X86Processor cpu, DecodedInstruction* i)
    {
        Block* block = (Block*)i - 1;
        if (block->Warmth == 0 || !cpu.MayTranslate)
        {
            return i + 1;
        }

        if (block->Warmth > 1)
        {
            block->Warmth--;
            return i + 1;
        }

        cpu.State->Rip = cpu.State->BlockRip;
        return null;
    }

    private void InitialiseTranslatedState()
    {
        State->IndexMask = TranslationBuffer.IndexMask << TranslationBuffer.PageBits;
        State->HostMxcsr = MaskedExceptions;
        State->SseAbsent = State->AvxAbsent = 1;
        State->BitIndex32 = 31;
        State->BitIndex64 = 63;
        State->FlagsMask = Rflags.Arithmetic;
        for (int n = 0; n < 256; n++)
        {
            State->WithoutInterrupt[n] = (byte)(n & ~(int)(Rflags.Interrupt >> 8));
            State->Downwards[n] = (byte)(n & (int)(Rflags.Direction >> 8));
            State->Misaligned16[n] = n % 16 == 0 ? (byte)0 : (byte)1;
            State->Misaligned32[n] = n % 32 == 0 ? (byte)0 : (byte)1;
        }
    }

    // Runs a block that is warm or on its way there. False: an exception is pending.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool RunWarm(Block* block, DecodedInstruction* first)
    {
        if (MustInterpret || State->Cpl is 1 or 2 || !MayTranslate)
        {
            // Translated code takes CPL 0 for granted where it is not 3, and flat segments.
            Execute(first + 1);
            return true;
        }

        int set = CurrentSet;
        TranslatedBlock* translation = *Block.Translation(block, set);
        if (translation == null)
        {
            if (block->Warmth > 1)
            {
                Execute(first);
                return true;
            }

            translation = Translate(block, set);
            if (translation == null)
            {
                Execute(first + 1);
                return true;
            }
        }

        CurrentTargets.Enter(State->BlockRip, translation->Entry);
        State->PageRip = State->BlockRip & ~PageMask;
        State->SystemFlags &= ~Rflags.Resume;
        return RunTranslated(translation->Direct);
    }

    private TargetTable CurrentTargets => _targets[TargetTable.Number(CurrentSet, _is64Bit)];

    private int CurrentSet => (int)((State->Tlb - _tlb) / TranslationBuffer.SetLength);

    private TranslatedBlock* Translate(Block* block, int set)
    {
        byte* records = _blocks.ReserveRecords(BlockTranslator.RecordBytes(block));
        if (records == null || !_translator!.HasRoom)
        {
            // Full: the oldest are forgotten before the next block.
            SetAttention(Attention.EvictBlocks);
            return null;
        }

        byte* bytes = stackalloc byte[BlockTranslator.MaximumBytes];
        if (!TryCopyBlock(block, bytes, out int count))
        {
            block->Warmth = 0;
            return null;
        }

        long start = Stopwatch.GetTimestamp();
        TranslatedBlock* translation = _translator.Translate(block, set, _is64Bit, (State->Cr4 & Cr4Smap) != 0, bytes, count, records, out int used);
        _translationTicks += Stopwatch.GetTimestamp() - start;
        if (translation == null)
        {
            block->Warmth = 0;
            return null;
        }

        _translatedBlocks++;
        _blocks.Keep(records, used);
        *Block.Translation(block, set) = translation;
        return translation;
    }

    // The block's bytes, from one page or two, at one moment: other processors may be storing to them.
    private bool TryCopyBlock(Block* block, byte* bytes, out int count)
    {
        int offset = (int)(block->Key & PageMask);
        count = Block.First(block)[block->Count - 1].Offset;
        int first = Math.Min(count, (int)PageMask + 1 - offset);
        byte* page = count > BlockTranslator.MaximumBytes ? null : PhysicalPage(block->Page << 12, forWriting: false, out _);
        if (page == null)
        {
            return false;
        }

        new Span<byte>(page + offset, first).CopyTo(new Span<byte>(bytes, count));
        if (first == count)
        {
            return true;
        }

        page = PhysicalPage(block->SecondPage << 12, forWriting: false, out _);
        if (page == null)
        {
            return false;
        }

        new Span<byte>(page, count - first).CopyTo(new Span<byte>(bytes + first, count - first));
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool RunTranslated(byte* target)
    {
        bool vectors = false;
        CpuState* state = State;
        TranslationStubs stubs = _translator!.Stubs;

        // The flags as translated code left them: most instructions do not change them, and their native form stands.
        state->NativeFlags = PackFlags(LazyFlags.Materialise(state));
        long result = state->FlagResult;
        ulong aux = state->FlagAux;
        while (true)
        {
            _entries++;
            state->EntryTarget = target;
            if (state->FlagResult != result || state->FlagAux != aux)
            {
                state->NativeFlags = PackFlags(LazyFlags.Materialise(state));
            }

            DeriveVectorUse(vectors);
            if (!_is64Bit)
            {
                DeriveBasedSegments();
            }

            byte* enter = vectors ? stubs.EnterWithVectors : stubs.Enter;
            _tier = ProcessorTier.Translated;
            // SAFETY: code emitted by the translator; it touches guest memory through the translation buffer, and the state.
            ((delegate* unmanaged<CpuState*, void>)enter)(state);
            _tier = ProcessorTier.Interpreted;
            LazyFlags.Set(state, UnpackFlags(state->NativeFlags));
            result = state->FlagResult;
            aux = state->FlagAux;
            if (state->ExitKind == (int)TranslatedExit.Link)
            {
                target = FollowLink((TranslatedLink*)state->ExitRecord);
                vectors = false;
                if (target == null)
                {
                    return true;
                }
            }
            else if (state->ExitKind == (int)TranslatedExit.Retired)
            {
                CurrentTargets.Remove(state->Rip);
                return true;
            }
            else
            {
                target = Interpret((TranslatedBlock*)state->ExitRecord, out vectors, out bool faulted);
                if (faulted)
                {
                    return false;
                }

                if (target == null)
                {
                    target = FindTarget();
                    vectors = false;
                    if (target == null)
                    {
                        return true;
                    }
                }
            }
        }
    }

    // The translation of RIP, if it is known and nothing else is to be looked at first.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private byte* FindTarget()
    {
        CpuState* state = State;
        if (state->Attention != 0 || MustInterpret || state->Cpl is 1 or 2 || !MayTranslate)
        {
            return null;
        }

        byte* target = CurrentTargets.Find(state->Rip);
        if (target != null)
        {
            // A link that waits for RIP to be found waits no longer.
            _linkSlot = null;
            state->SystemFlags &= ~Rflags.Resume;
        }

        return target;
    }

    // A jump within the page: where to go on, or null with RIP set.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private byte* FollowLink(TranslatedLink* link)
    {
        CpuState* state = State;
        ulong rip = state->PageRip + (uint)link->Target;
        state->Rip = rip;
        Block* from = link->From->Block;
        Block* block = _blocks.Find((from->Key & ~PageMask) | (uint)link->Target);
        if (block == null || block->CrossesPage || from->Key == Block.Dropped || state->Attention != 0)
        {
            return null;
        }

        TranslatedBlock* translation = *Block.Translation(block, link->Set);
        if (translation == null)
        {
            return null;
        }

        _links++;
        _translator!.Patch(link->Place, translation->Direct);
        return translation->Direct;
    }

    // An instruction for the interpreter, and those behind it that always are: where to go on, or null with RIP set.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private byte* Interpret(TranslatedBlock* translation, out bool vectors, out bool faulted)
    {
        CpuState* state = State;
        vectors = translation->UsesVectors;
        faulted = false;
        Block* block = translation->Block;
        TranslatedSite* sites = TranslatedBlock.Sites(translation);
        int index = FindSite(translation, sites, (int)(state->ExitAddress - translation->Entry) - 1);
        state->BlockRip = state->PageRip + (block->Key & PageMask);
        DecodedInstruction* first = Block.First(block);
        DecodedInstruction* i = first + index;
        state->Current = i;
        _exitsByCode[i->CodeValue]++;
        if (sites[index].IsBranch)
        {
            _lookups++;
        }
        else if (sites[index].IsInterpreted)
        {
            _interpreterExits++;
        }
        else
        {
            _accessMisses++;
        }

        if (sites[index].Size != 0 && !TryTouch(sites + index, i))
        {
            faulted = true;
            return null;
        }

        while (true)
        {
            DecodedInstruction* next = i->Handler(this, i);
            if (next == null)
            {
                return null;
            }

            if (next != i + 1 || block->Key == Block.Dropped || CurrentSet != translation->Set || !MayTranslate)
            {
                Execute(next);
                return null;
            }

            i = next;
            index++;
            state->Current = i;
            if (!sites[index].IsInterpreted)
            {
                break;
            }
        }

        if (vectors && !MayUseVectors(translation))
        {
            Execute(i);
            return null;
        }

        // The closing instruction has no site of its own when the last one branches.
        if (sites[index].Resume == 0)
        {
            Execute(i);
            return null;
        }

        return translation->Entry + sites[index].Resume;
    }

    // Fills the translation buffer for an access; false when it raises an exception, which saves the throwing of one.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool TryTouch(TranslatedSite* site, DecodedInstruction* i)
    {
        var kind = site->Access is TranslatedAccess.Write or TranslatedAccess.Push ? AccessKind.Write : AccessKind.Read;
        ulong linear = site->Access switch
        {
            TranslatedAccess.Push => State->Gpr[4] - site->Size,
            TranslatedAccess.Pop => State->Gpr[4],
            _ => Address(i, site->Size, kind),
        };
        if (site->IsAligned && (linear & (site->Size - 1u)) != 0)
        {
            return true;
        }

        if (!_is64Bit)
        {
            linear = (uint)linear;
            if (linear + site->Size - 1 > uint.MaxValue)
            {
                // Beyond the segment's end.
                return true;
            }
        }
        else if (site->IsBranch && site->Access == TranslatedAccess.Push && !IsCanonical(CallTarget(i)))
        {
            // The branch is looked at first: the stack is not touched.
            return true;
        }

        ulong last = linear + site->Size - 1;
        return (IsTranslated(linear, kind) || TryTranslate(linear, kind, out _))
            && (((linear ^ last) & ~PageMask) == 0 || IsTranslated(last, kind) || TryTranslate(last & ~PageMask, kind, out _));
    }

    // Of a CALL whose target is not in memory.
    private ulong CallTarget(DecodedInstruction* i) =>
        i->CodeValue == (ushort)Code.Call_rel32_64 ? State->BlockRip + (ulong)i->Immediate : *(ulong*)((byte*)State + i->Reg0);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int FindSite(TranslatedBlock* translation, TranslatedSite* sites, int offset)
    {
        // No exit is at offset 0.
        if (translation->LeftAt != offset)
        {
            translation->LeftFor = SearchSite(translation, sites, offset);
            translation->LeftAt = offset;
        }

        return translation->LeftFor;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int SearchSite(TranslatedBlock* translation, TranslatedSite* sites, int offset)
    {
        // In the version without windows, if there are two and it is behind the other.
        bool plain = offset >= sites[1].Resume;
        int low = 1, high = translation->Count - 1;
        if (sites[high].Resume == 0)
        {
            high--;
        }

        while (low < high)
        {
            int middle = (low + high + 1) >> 1;
            if ((plain ? sites[middle].Resume : sites[middle].Offset) <= offset)
            {
                low = middle;
            }
            else
            {
                high = middle - 1;
            }
        }

        return low;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void DeriveVectorUse(bool vectors)
    {
        bool sse = (State->Cr0 & (Cr0Em | Cr0Ts)) == 0 && (State->Cr4 & Cr4Osfxsr) != 0 && (State->Mxcsr & MaskedExceptions) == MaskedExceptions;
        bool avx = sse && (State->Cr4 & Cr4Osxsave) != 0 && (State->Xcr0 & 6) == 6;
        State->SseAllowed = sse ? (byte)1 : (byte)0;
        State->AvxAllowed = avx ? (byte)1 : (byte)0;
        if (vectors)
        {
            State->SseAbsent = 0;
            State->AvxAbsent = avx ? (byte)0 : (byte)1;
        }
    }

    private bool MayUseVectors(TranslatedBlock* translation)
    {
        DeriveVectorUse(vectors: false);
        return translation->UsesAvx ? State->AvxAllowed != 0 : State->SseAllowed != 0;
    }

    // LAHF's byte in AH, OF in AL.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong PackFlags(ulong flags) => ((flags & 0xD5) << 8) | ((flags >> 11) & 1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong UnpackFlags(ulong packed) => ((packed >> 8) & 0xD5) | ((packed & 1) << 11);
}
