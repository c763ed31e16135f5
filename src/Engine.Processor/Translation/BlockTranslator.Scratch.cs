using Iced.Intel;

namespace Hypervisor.Engine.Processor.Translation;

// Guest registers that live in memory stay in scratch registers over runs of instructions that cannot leave: they are loaded at
// their first use, and stored before anything that can. Such a run begins with nothing, so that the interpreter's return and the
// other version may lead to the instruction behind it.
internal sealed unsafe partial class BlockTranslator
{
    private const int Scratches = 3, CountPlace = 1, TranslationPlace = 2;

    // The last one is taken last: it may hold a window's distance.
    private static readonly int[] ScratchHosts = [HostRegister.Address, HostRegister.Count, HostRegister.Translation];

    private readonly Scratch[] _scratch = new Scratch[Scratches];
    private readonly Scratch[] _scratchBefore = new Scratch[Scratches];
    private int _nextVictim;

    // The instruction at hand cannot leave, and finds its registers here.
    private bool _isPlainWork;

    // Instructions on registers only, and LEA: none of them exits.
    private static bool IsPlainWork(in Instruction instruction)
    {
        if (instruction.FlowControl != FlowControl.Next)
        {
            return false;
        }

        switch (instruction.Mnemonic)
        {
            case Mnemonic.Nop or Mnemonic.Endbr64 or Mnemonic.Endbr32 or Mnemonic.Prefetcht0 or Mnemonic.Prefetcht1 or Mnemonic.Prefetcht2
                or Mnemonic.Prefetchnta or Mnemonic.Prefetchw:
                return true;
            case Mnemonic.Lea:
                return IsPlainLea(instruction);
            case Mnemonic.Pcmpestri or Mnemonic.Pcmpestri64 or Mnemonic.Pcmpistri or Mnemonic.Vpcmpestri or Mnemonic.Vpcmpestri64
                or Mnemonic.Vpcmpistri:
                // Their result comes in a scratch register.
                return false;
        }

        if (!TranslatableInstructions.IsCopied(instruction.Code))
        {
            return false;
        }

        for (int n = 0; n < instruction.OpCount; n++)
        {
            if (instruction.GetOpKind(n) == OpKind.Memory)
            {
                return false;
            }

            if (instruction.GetOpKind(n) == OpKind.Register)
            {
                var register = instruction.GetOpRegister(n);
                bool general = RegisterExtensions.IsGPR(register) && register is not (>= Register.AH and <= Register.BH);
                if (!general && !RegisterExtensions.IsXMM(register) && !RegisterExtensions.IsYMM(register))
                {
                    return false;
                }
            }
        }

        return true;
    }

    private static bool IsPlainLea(in Instruction instruction)
    {
        int displacement = (int)instruction.MemoryDisplacement64;
        if (instruction.SegmentPrefix is Register.FS or Register.GS || instruction.Op0Register.GetSize() < 4)
        {
            return false;
        }

        if (instruction.IsIPRelativeMemoryOperand)
        {
            return instruction.MemoryBase == Register.RIP && (long)instruction.MemoryDisplacement64 == displacement;
        }

        return (instruction.MemoryBase == Register.None || IsAddressPart(instruction.MemoryBase))
            && (instruction.MemoryIndex == Register.None || IsAddressPart(instruction.MemoryIndex))
            && (instruction.MemoryBase != Register.None || instruction.MemoryIndex != Register.None);
    }

    // Not of 16-bit addresses.
    private static bool IsAddressPart(Register register) => RegisterExtensions.IsGPR64(register) || RegisterExtensions.IsGPR32(register);

    private void ForgetScratch()
    {
        for (int n = 0; n < Scratches; n++)
        {
            _scratch[n] = new Scratch { Guest = HostRegister.None };
        }
    }

    /// <summary>Stores what was changed, and begins anew.</summary>
    private void FlushScratch()
    {
        for (int n = 0; n < Scratches; n++)
        {
            Evict(n);
        }
    }

    private void Evict(int place)
    {
        ref var scratch = ref _scratch[place];
        if (scratch.IsChanged)
        {
            _code.StoreState(StateLayout.Register(scratch.Guest), ScratchHosts[place]);
        }

        scratch = new Scratch { Guest = HostRegister.None };
    }

    // Finds host registers for all of the instruction's registers that have no home, before anything is emitted for it.
    private void AcquireOperands(in Instruction instruction, ref InstructionInfo information, bool countInUse)
    {
        _substituteCount = 0;
        for (int n = 0; n < instruction.OpCount; n++)
        {
            if (instruction.GetOpKind(n) != OpKind.Register || !RegisterExtensions.IsGPR(instruction.GetOpRegister(n))
                || HostRegister.Home(NumberOf(instruction.GetOpRegister(n))) != HostRegister.None)
            {
                continue;
            }

            var access = information.GetOpAccess(n);
            int guest = NumberOf(instruction.GetOpRegister(n)), found = 0;
            while (found < _substituteCount && _substitutes[found].Guest != guest)
            {
                found++;
            }

            if (found == _substituteCount)
            {
                _substitutes[_substituteCount++] = new Substitute { Guest = guest, IsKept = true };
            }

            _substitutes[found].Write |= access is OpAccess.Write or OpAccess.CondWrite or OpAccess.ReadWrite or OpAccess.ReadCondWrite;
            _substitutes[found].Read |= access != OpAccess.Write || instruction.GetOpRegister(n).GetSize() < 4;
        }

        uint inUse = 0;
        if (countInUse)
        {
            Evict(CountPlace);
            inUse = 1u << CountPlace;
        }

        for (int n = 0; n < _substituteCount; n++)
        {
            _substitutes[n].Host = Acquire(_substitutes[n].Guest, _substitutes[n].Read, _substitutes[n].Write, ref inUse);
        }
    }

    // The scratch register that holds a guest's for this instruction; there are as many as an instruction can name.
    private int Acquire(int guest, bool read, bool write, ref uint inUse)
    {
        int place = FindScratch(guest, inUse);
        inUse |= 1u << place;
        ref var scratch = ref _scratch[place];
        if (scratch.Guest != guest)
        {
            Evict(place);
            scratch.Guest = guest;
            if (read)
            {
                _code.LoadState(ScratchHosts[place], StateLayout.Register(guest));
            }
        }

        scratch.IsChanged |= write;
        return ScratchHosts[place];
    }

    private int FindScratch(int guest, uint inUse)
    {
        int empty = HostRegister.None;
        for (int n = Scratches - 1; n >= 0; n--)
        {
            if (_scratch[n].Guest == guest)
            {
                return n;
            }

            empty = _scratch[n].Guest == HostRegister.None && (inUse & (1u << n)) == 0 ? n : empty;
        }

        if (empty != HostRegister.None)
        {
            return empty;
        }

        do
        {
            _nextVictim = (_nextVictim + 1) % Scratches;
        }
        while ((inUse & (1u << _nextVictim)) != 0);
        return _nextVictim;
    }

    // What the translation scratch held of a window is still there.
    private void KeepHeldWindow() =>
        _heldAfter = _scratch[TranslationPlace].Guest == HostRegister.None ? _heldBefore : WindowAnalysis.None;

    private void EmitPlainLea(in Instruction instruction)
    {
        int guest = NumberOf(instruction.Op0Register), home = HostRegister.Home(guest);
        uint inUse = 0;
        int displacement = (int)instruction.MemoryDisplacement64;
        if (instruction.IsIPRelativeMemoryOperand)
        {
            // Iced counted from the page's start.
            int at = home != HostRegister.None ? home : Acquire(guest, read: false, write: true, ref inUse);
            _code.LoadState(at, StateLayout.PageRip);
            _code.Lea(at, at, HostRegister.None, 0, displacement, wide: instruction.Op0Register.GetSize() == 8);
            KeepHeldWindow();
            return;
        }

        int basis = AcquireAddressPart(instruction.MemoryBase, ref inUse), index = AcquireAddressPart(instruction.MemoryIndex, ref inUse);
        int to = home != HostRegister.None ? home : Acquire(guest, read: false, write: true, ref inUse);

        // Addresses and results of 32 bits are cut alike.
        bool wide = instruction.Op0Register.GetSize() == 8
            && !RegisterExtensions.IsGPR32(instruction.MemoryBase) && !RegisterExtensions.IsGPR32(instruction.MemoryIndex);
        int scale = int.TrailingZeroCount(instruction.MemoryIndexScale);
        if (basis == HostRegister.None)
        {
            _code.LeaScaled(to, index, scale, displacement, wide);
        }
        else
        {
            _code.Lea(to, basis, index, scale, displacement, wide);
        }

        KeepHeldWindow();
    }

    private int AcquireAddressPart(Register register, ref uint inUse)
    {
        if (register == Register.None)
        {
            return HostRegister.None;
        }

        int guest = NumberOf(register), home = HostRegister.Home(guest);
        return home != HostRegister.None ? home : Acquire(guest, read: true, write: false, ref inUse);
    }

    private struct Scratch
    {
        public int Guest;
        public bool IsChanged;
    }
}
