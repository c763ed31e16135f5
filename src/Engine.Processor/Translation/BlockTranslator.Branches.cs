using Iced.Intel;

namespace Hypervisor.Engine.Processor.Translation;

// Near branches of the mode's width, and how code goes from block to block. Within a page a jump is patched once its target is
// translated: wherever the page is mapped, both ends are. Everywhere else the target's linear address is looked up.
internal sealed unsafe partial class BlockTranslator
{
    private const int LongestInstruction = 15;

    private bool TryEmitBranch(in Instruction instruction)
    {
        if (instruction.Op0Kind == OpKind.NearBranch64 && (long)instruction.NearBranchTarget != (int)instruction.NearBranchTarget)
        {
            return false;
        }

        if (_wide ? instruction.Op0Kind == OpKind.NearBranch32 : instruction.Op0Kind == OpKind.NearBranch64)
        {
            return false;
        }

        _site->IsBranch = true;
        switch (instruction.Code)
        {
            case Code.Jmp_rel8_64 or Code.Jmp_rel32_64 or Code.Jmp_rel8_32 or Code.Jmp_rel32_32:
                EmitPollIfBackward(instruction);
                EmitGoTo(TargetOf(instruction));
                return true;
            case Code.Call_rel32_64 or Code.Call_rel32_32:
                EmitPollIfBackward(instruction);
                EmitPushCheck();
                EmitReturnAddress(instruction);
                EmitGoTo(TargetOf(instruction), -_slot);
                return true;
            case Code.Jmp_rm64 or Code.Call_rm64 when _wide:
                return TryEmitIndirect(instruction, instruction.Code == Code.Call_rm64);
            case Code.Jmp_rm32 or Code.Call_rm32 when !_wide:
                return TryEmitIndirect(instruction, instruction.Code == Code.Call_rm32);
            case Code.Retnq or Code.Retnq_imm16 when _wide:
                EmitReturn(instruction.Code == Code.Retnq_imm16 ? instruction.Immediate16 : 0);
                return true;
            case Code.Retnd or Code.Retnd_imm16 when !_wide:
                EmitReturn(instruction.Code == Code.Retnd_imm16 ? instruction.Immediate16 : 0);
                return true;
            case Code.Jrcxz_rel8_64 or Code.Jecxz_rel8_64 or Code.Loop_rel8_64_RCX or Code.Loop_rel8_64_ECX or Code.Jecxz_rel8_32 or Code.Loop_rel8_32_ECX:
                return TryEmitLoop(instruction);
            default:
                return instruction.IsJccShortOrNear && TryEmitCondition(instruction);
        }
    }

    private bool TryEmitCondition(in Instruction instruction)
    {
        if (instruction.Op0Kind != (_wide ? OpKind.NearBranch64 : OpKind.NearBranch32))
        {
            return false;
        }

        int condition = Conditions[(int)instruction.ConditionCode];
        long target = TargetOf(instruction);
        if (IsInPage(target) && !IsBackward(instruction))
        {
            byte* taken = _code.JumpCondition(condition);
            AddLink(taken, (int)target);
            EmitGoTo((long)instruction.NextIP);
            return true;
        }

        // Taken out of line: with a poll, or with a look-up.
        byte* away = _code.JumpCondition(condition);
        EmitGoTo((long)instruction.NextIP);
        HostAssembler.Patch(away, _code.Position);
        EmitPollIfBackward(instruction);
        EmitGoTo(target);
        return true;
    }

    // In the order of Iced's ConditionCode: none, o, no, b, ae, e, ne, be, a, s, ns, p, np, l, ge, le, g.
    private static ReadOnlySpan<byte> Conditions => [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    private bool TryEmitIndirect(in Instruction instruction, bool call)
    {
        if (instruction.Op0Kind == OpKind.Register)
        {
            int guest = NumberOf(instruction.Op0Register);
            int home = HostRegister.Home(guest);
            int from = home == HostRegister.None ? HostRegister.Address : home;
            if (home == HostRegister.None)
            {
                _code.LoadState(HostRegister.Address, StateLayout.Register(guest));
            }

            if (!_wide)
            {
                _code.Move32(HostRegister.Address, from);
                from = HostRegister.Address;
            }

            if (call)
            {
                _code.StoreState(StateLayout.Temporary, from);
            }
            else if (from != HostRegister.Address)
            {
                _code.Move(HostRegister.Address, from);
            }
        }
        else
        {
            if (!TryEmitAddress(instruction, out int address))
            {
                return false;
            }

            EmitCheck(address, _slot, write: false, aligned: false);
            _site->Size = (byte)_slot;
            _site->Access = TranslatedAccess.Read;
            _code.Load(HostRegister.Address, address, HostRegister.Translation, _wide);
            if (call)
            {
                _code.StoreState(StateLayout.Temporary, HostRegister.Address);
            }
        }

        if (call)
        {
            bool twice = _site->Access == TranslatedAccess.Read;
            EmitPushCheck();
            if (twice)
            {
                _site->Size = 0;
                _site->Access = TranslatedAccess.None;
            }

            EmitReturnAddress(instruction);
            _code.LoadState(HostRegister.Address, StateLayout.Temporary);
        }

        EmitPoll();
        EmitJumpTo(call ? -_slot : 0);
        return true;
    }

    private void EmitReturn(int released)
    {
        int from = EmitPopCheck();
        _code.Load(HostRegister.Address, from, HostRegister.Translation, _wide);
        EmitPoll();
        EmitJumpTo(_slot + released);
    }

    private bool TryEmitLoop(in Instruction instruction)
    {
        bool wide = instruction.Code is Code.Jrcxz_rel8_64 or Code.Loop_rel8_64_RCX;
        bool counts = instruction.Code is Code.Loop_rel8_64_RCX or Code.Loop_rel8_64_ECX or Code.Loop_rel8_32_ECX;
        if (counts && !(IsInPage(TargetOf(instruction)) && IsInPage((long)instruction.NextIP)))
        {
            // A look-up that misses does the whole instruction again, and would count twice.
            return false;
        }

        EmitPollIfBackward(instruction);
        if (counts)
        {
            _code.Lea(HostRegister.GuestCount, HostRegister.GuestCount, HostRegister.None, 0, -1, wide);
            _code.Move(HostRegister.Count, HostRegister.GuestCount);
            byte* done = _code.JumpIfCountZero();
            byte* again = _code.JumpLater();
            _code.Land(done);
            EmitGoTo((long)instruction.NextIP);
            HostAssembler.Patch(again, _code.Position);
            EmitGoTo(TargetOf(instruction));
            return true;
        }

        if (wide)
        {
            _code.Move(HostRegister.Count, HostRegister.GuestCount);
        }
        else
        {
            _code.Move32(HostRegister.Count, HostRegister.GuestCount);
        }

        byte* zero = _code.JumpIfCountZero();
        byte* other = _code.JumpLater();
        _code.Land(zero);
        EmitGoTo(TargetOf(instruction));
        HostAssembler.Patch(other, _code.Position);
        EmitGoTo((long)instruction.NextIP);
        return true;
    }

    // Stores the return address where the push was checked.
    private void EmitReturnAddress(in Instruction instruction)
    {
        _code.LoadState(HostRegister.Count, StateLayout.PageRip);
        _code.Lea(HostRegister.Count, HostRegister.Count, HostRegister.None, 0, (int)instruction.NextIP, _wide);
        EmitPushed(HostRegister.Count);
    }

    // Relative to the page's start.
    private long TargetOf(in Instruction instruction) => _wide ? (long)instruction.NearBranchTarget : (int)instruction.NearBranch32;

    // An instruction that begins near the page's end may lie in two pages: that is looked up.
    private static bool IsInPage(long target) => (ulong)target <= TranslationBuffer.PageBytes - LongestInstruction;

    private bool IsBackward(in Instruction instruction) => TargetOf(instruction) <= (long)instruction.IP;

    // A guest that runs for ever runs backwards, to another page, or to where a register or memory says: there it looks up. The branch
    // itself is then the interpreter's, which sees what demands attention.
    private void EmitPollIfBackward(in Instruction instruction)
    {
        if (IsBackward(instruction) && IsInPage(TargetOf(instruction)))
        {
            EmitPoll();
        }
    }

    private void EmitPoll()
    {
        _code.LoadState32(HostRegister.Count, StateLayout.Attention);
        byte* quiet = _code.JumpIfCountZero();
        _code.Call(_slow);
        _code.Land(quiet);
    }

    /// <summary>Goes on at a place relative to the page's start, the stack pointer moved at last.</summary>
    private void EmitGoTo(long target, int stackChange = 0)
    {
        if (IsInPage(target))
        {
            EmitStackChange(stackChange);
            AddLink(_code.JumpLater(), (int)target);
            return;
        }

        // Forwards, too: a page can be mapped behind itself tens of thousands of times, and the table of targets knows them all.
        EmitPoll();
        _code.LoadState(HostRegister.Address, StateLayout.PageRip);
        _code.Lea(HostRegister.Address, HostRegister.Address, HostRegister.None, 0, (int)target, _wide);
        EmitJumpTo(stackChange);
    }

    // Goes on at the linear address in the address scratch. Where that is not known, the interpreter does the whole branch again:
    // nothing of it can be seen yet, so that a target that may not be branched to faults here.
    private void EmitJumpTo(int stackChange)
    {
        int table = _targets + (TargetTable.Number(_set, _wide) * TargetTable.TableBytes);

        // The sum of the two low parts; twice that, times 8: pairs of 16 bytes.
        _code.RotateRight(HostRegister.Translation, HostRegister.Address, TargetTable.RotatedBits);
        _code.Lea(HostRegister.Translation, HostRegister.Translation, HostRegister.Address, 0, 0, wide: false);
        _code.ZeroExtendWord(HostRegister.Translation, HostRegister.Translation);
        _code.Lea(HostRegister.Translation, HostRegister.Translation, HostRegister.Translation, 0, 0, wide: false);
        _code.LoadTable(HostRegister.Count, table, HostRegister.Translation, 3);
        _code.Lea(HostRegister.Count, HostRegister.Count, HostRegister.Address, 0, 0);
        byte* known = _code.JumpIfCountZero();
        _code.Call(_slow);
        _code.Land(known);
        EmitStackChange(stackChange);
        _code.JumpTable(table + sizeof(ulong), HostRegister.Translation, 3);
    }

    private void EmitStackChange(int change)
    {
        if (change != 0)
        {
            _code.Lea(HostRegister.GuestStack, HostRegister.GuestStack, HostRegister.None, 0, change, _wide);
        }
    }

    private void AddLink(byte* place, int target)
    {
        _links[_linkCount++] = new PendingLink { Place = place, Target = target };
    }

    // Behind the block: what unlinked jumps go to.
    private void EmitLinkThunks(ref byte* records)
    {
        for (int n = 0; n < _linkCount; n++)
        {
            var link = (TranslatedLink*)records;
            records += sizeof(TranslatedLink);
            link->From = _block;
            link->Place = _links[n].Place + _toExecutable;
            link->Target = _links[n].Target;
            link->Set = _set;
            HostAssembler.Patch(_links[n].Place, _code.Position);
            _code.MoveImmediate(HostRegister.Count, (ulong)link);
            _code.Jump(_stubs.Link - _toExecutable);
        }
    }
}
