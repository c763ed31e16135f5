using Iced.Intel;

namespace Hypervisor.Engine.Processor.Translation;

// Linear addresses of memory operands, and the look-up in the translation buffer that precedes every access.
internal sealed unsafe partial class BlockTranslator
{
    // The index is the low bits of the page number: shifted to the top, then down.
    private const int IndexUp = 64 - TranslationBuffer.PageBits - TranslationBuffer.IndexBits, IndexDown = 64 - TranslationBuffer.IndexBits;

    /// <summary>
    /// Emits the linear address of the memory operand and names the host register it is in: the address scratch, or a guest's own.
    /// False where it is a form that the interpreter does.
    /// </summary>
    private bool TryEmitAddress(in Instruction instruction, out int address)
    {
        address = HostRegister.Address;
        int displacement = (int)instruction.MemoryDisplacement64;
        bool based = instruction.MemorySegment is Register.FS or Register.GS;
        if (!_wide)
        {
            return TryEmitAddress32(instruction, based);
        }

        if (instruction.IsIPRelativeMemoryOperand)
        {
            if (instruction.MemoryBase != Register.RIP || (long)instruction.MemoryDisplacement64 != displacement)
            {
                return false;
            }

            // Iced counted from the page's start.
            _code.LoadState(HostRegister.Address, StateLayout.PageRip);
            _code.Lea(HostRegister.Address, HostRegister.Address, displacement);
            if (based)
            {
                EmitSegmentBase(instruction);
            }

            return true;
        }

        var basis = instruction.MemoryBase;
        var index = instruction.MemoryIndex;
        bool narrow = RegisterExtensions.IsGPR32(basis) || RegisterExtensions.IsGPR32(index);
        bool wide = RegisterExtensions.IsGPR64(basis) || RegisterExtensions.IsGPR64(index);
        if (!wide && !narrow)
        {
            if (basis != Register.None || index != Register.None || (long)instruction.MemoryDisplacement64 != displacement)
            {
                return false;
            }

            if (based)
            {
                _code.LoadState(HostRegister.Address, StateLayout.SegmentBase(SegmentOf(instruction)));
                _code.Lea(HostRegister.Address, HostRegister.Address, displacement);
            }
            else
            {
                _code.MoveImmediate(HostRegister.Address, (ulong)(long)displacement);
            }

            return true;
        }

        int baseRegister = LoadAddressPart(basis, HostRegister.Address);
        int indexRegister = LoadAddressPart(index, HostRegister.Translation);
        int scale = int.TrailingZeroCount(instruction.MemoryIndexScale);
        if (wide && !based && indexRegister == HostRegister.None && displacement == 0)
        {
            address = baseRegister;
            return true;
        }

        if (baseRegister == HostRegister.None)
        {
            _code.LeaScaled(HostRegister.Address, indexRegister, scale, displacement, wide);
        }
        else
        {
            _code.Lea(HostRegister.Address, baseRegister, indexRegister, scale, displacement, wide);
        }

        if (based)
        {
            EmitSegmentBase(instruction);
        }

        return true;
    }

    // Everything is cut to 32 bits, as often as something is added: an address and what is looked up are the same number. Code segments
    // cannot be stored to, so that accesses by CS are the interpreter's.
    private bool TryEmitAddress32(in Instruction instruction, bool based)
    {
        int displacement = (int)instruction.MemoryDisplacement64;
        var basis = instruction.MemoryBase;
        var index = instruction.MemoryIndex;
        if (instruction.MemorySegment == Register.CS || (basis != Register.None && !RegisterExtensions.IsGPR32(basis))
            || (index != Register.None && !RegisterExtensions.IsGPR32(index))
            || (basis == Register.None && index == Register.None && instruction.MemoryDisplSize != sizeof(uint)))
        {
            return false;
        }

        if (based)
        {
            _code.LoadStateByte(HostRegister.Count, SegmentOf(instruction) == SegmentName.Fs ? StateLayout.FsUnusable : StateLayout.GsUnusable);
            EmitLeaveUnlessZero();
        }

        int scale = int.TrailingZeroCount(instruction.MemoryIndexScale);
        if (basis != Register.None)
        {
            int indexRegister = index == Register.None ? HostRegister.None : HostRegister.Home(RegisterExtensions.GetNumber(index));
            _code.Lea(HostRegister.Address, HostRegister.Home(RegisterExtensions.GetNumber(basis)), indexRegister, scale, displacement, wide: false);
        }
        else if (index != Register.None)
        {
            _code.LeaScaled(HostRegister.Address, HostRegister.Home(RegisterExtensions.GetNumber(index)), scale, displacement, wide: false);
        }
        else
        {
            _code.MoveImmediate32(HostRegister.Address, displacement);
        }

        if (based)
        {
            EmitSegmentBase(instruction);
        }

        return true;
    }

    private void EmitSegmentBase(in Instruction instruction)
    {
        _code.LoadState(HostRegister.Translation, StateLayout.SegmentBase(SegmentOf(instruction)));
        _code.Lea(HostRegister.Address, HostRegister.Address, HostRegister.Translation, 0, 0, _wide);
    }

    /// <summary>
    /// Emits the look-up. Afterwards the operand is at the address plus <see cref="HostRegister.Translation"/>; an access that the
    /// buffer does not allow has left to the interpreter. RCX is lost.
    /// </summary>
    private void EmitCheck(int address, int size, bool write, bool aligned)
    {
        if (aligned && size == 16)
        {
            // The offset's low four bits go to the top, where they must be zero like those above the page; the others are dropped.
            EmitTag(address, write);
            _code.Lea(HostRegister.Count, HostRegister.Count, address, 0, 0);
            _code.RotateRight(HostRegister.Count, HostRegister.Count, 4);
            _code.ClearLowCount();
        }
        else
        {
            EmitLookup(address, size, write);
        }

        byte* hit = _code.JumpIfCountZero();
        _code.Call(_slow);
        _code.Land(hit);
        if (aligned && size == 32)
        {
            _code.ZeroExtendByte(HostRegister.Count, address);
            _code.LoadTableByte(HostRegister.Count, StateLayout.Misaligned32, HostRegister.Count);
            byte* straight = _code.JumpIfCountZero();
            _code.Call(_slow);
            _code.Land(straight);
        }

        EmitDistance();
    }

    // Leaves the tag in RCX and the entry's index in the translation scratch.
    private void EmitTag(int address, bool write)
    {
        if (HostFeatures.HasFastExtract)
        {
            _code.Extract(HostRegister.Translation, address, StateLayout.IndexMask);
        }
        else
        {
            _code.MoveImmediate32(HostRegister.Count, IndexUp);
            _code.ShiftLeft(HostRegister.Translation, address, HostRegister.Count);
            _code.MoveImmediate32(HostRegister.Count, IndexDown);
            _code.ShiftRight(HostRegister.Translation, HostRegister.Translation, HostRegister.Count);
        }

        _code.LoadTable(HostRegister.Count, SetBuffers + (write ? TranslationBuffer.WriteTags * sizeof(ulong) : 0), HostRegister.Translation, 3);
    }

    // Leaves zero in RCX if the whole range may be accessed: with the last byte's offset, so that one over the page's end misses.
    // RSP's low bits shift by a page.
    private void EmitLookup(int address, int size, bool write)
    {
        EmitTag(address, write);
        _code.Lea(HostRegister.Count, HostRegister.Count, address, 0, size - 1);
        _code.ShiftRight(HostRegister.Count, HostRegister.Count, HostRegister.Rsp);
    }

    private void EmitDistance() => _code.LoadTable(HostRegister.Translation, Distances, HostRegister.Translation, 3);

    private int Distances => SetBuffers + (TranslationBuffer.Addends * sizeof(ulong));

    private int SetBuffers => _buffers + (_set * TranslationBuffer.SetLength * sizeof(ulong));

    private static SegmentName SegmentOf(in Instruction instruction) =>
        instruction.MemorySegment == Register.FS ? SegmentName.Fs : SegmentName.Gs;

    private int LoadAddressPart(Register register, int scratch)
    {
        if (register == Register.None)
        {
            return HostRegister.None;
        }

        int guest = RegisterExtensions.GetNumber(register);
        int home = HostRegister.Home(guest);
        if (home == HostRegister.None)
        {
            _code.LoadState(scratch, StateLayout.Register(guest));
            return scratch;
        }

        return home;
    }
}
