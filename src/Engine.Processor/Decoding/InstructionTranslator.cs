using Iced.Intel;

namespace Hypervisor.Engine.Processor;

/// <summary>Turns Iced's instruction into the compact form that handlers work on.</summary>
internal static unsafe class InstructionTranslator
{
    private const byte ZeroOffset = 16 * 8;
    private const byte BlockRipOffset = 17 * 8;

    /// <summary>Fills a decoded instruction, its handler included. Iced's IP counts from the block's start.</summary>
    public static void Translate(in Instruction from, DecodedInstruction* to, bool longMode, int offset, int ordinal)
    {
        *to = default;
        to->Base = to->Index = ZeroOffset;
        to->Offset = (ushort)offset;
        to->Length = (byte)from.Length;
        to->CodeValue = (ushort)from.Code;
        to->Ordinal = (ushort)ordinal;
        var flags = longMode ? InstructionFlags.LongMode : InstructionFlags.None;
        flags |= from.HasLockPrefix ? InstructionFlags.Lock : 0;
        flags |= from.HasRepPrefix ? InstructionFlags.Rep : 0;
        flags |= from.HasRepnePrefix ? InstructionFlags.Repne : 0;
        bool immediate = false;
        byte* registers = &to->Reg0;
        for (int n = 0; n < from.OpCount; n++)
        {
            var kind = from.GetOpKind(n);
            switch (kind)
            {
                case OpKind.Register:
                    if (n < 4)
                    {
                        registers[n] = RegisterNumber(from.GetOpRegister(n));
                    }

                    break;
                case OpKind.NearBranch16:
                    to->Immediate = (short)from.NearBranch16;
                    break;
                case OpKind.NearBranch32:
                    to->Immediate = (int)from.NearBranch32;
                    break;
                case OpKind.NearBranch64:
                    to->Immediate = (long)from.NearBranch64;
                    break;
                case OpKind.FarBranch16:
                    to->Immediate = from.FarBranch16;
                    to->Displacement = from.FarBranchSelector;
                    break;
                case OpKind.FarBranch32:
                    to->Immediate = from.FarBranch32;
                    to->Displacement = from.FarBranchSelector;
                    break;
                case OpKind.Memory:
                    flags |= InstructionFlags.Memory | TranslateMemory(from, to, longMode);
                    break;
                case OpKind.MemorySegSI or OpKind.MemorySegDI or OpKind.MemoryESDI:
                    flags |= InstructionFlags.Memory | InstructionFlags.Address16;
                    to->Segment = SegmentNumber(from.MemorySegment);
                    break;
                case OpKind.MemorySegESI or OpKind.MemorySegEDI or OpKind.MemoryESEDI:
                    flags |= InstructionFlags.Memory | InstructionFlags.Address32;
                    to->Segment = SegmentNumber(from.MemorySegment);
                    break;
                case OpKind.MemorySegRSI or OpKind.MemorySegRDI or OpKind.MemoryESRDI:
                    flags |= InstructionFlags.Memory;
                    to->Segment = SegmentNumber(from.MemorySegment);
                    break;
                default:
                    if (immediate)
                    {
                        // The second immediate, of ENTER, finds the displacement free.
                        to->Displacement = (long)from.GetImmediate(n);
                    }
                    else
                    {
                        to->Immediate = (long)from.GetImmediate(n);
                        immediate = true;
                    }

                    break;
            }
        }

        if ((flags & InstructionFlags.Memory) == 0 && from.IsStackInstruction)
        {
            // What PUSH, CALL and their kin raise for an address that is not canonical (Intel SDM vol. 3A, 6.15, #SS).
            to->Segment = (byte)SegmentName.Ss;
        }

        to->Flags = flags;
        var form = (flags & InstructionFlags.Memory) == 0 ? OperandForm.Register
            : (flags & InstructionFlags.Lock) != 0 ? OperandForm.Locked : OperandForm.Memory;
        to->Handler = InstructionTable.Get(from.Code, form);
    }

    private static InstructionFlags TranslateMemory(in Instruction from, DecodedInstruction* to, bool longMode)
    {
        to->Segment = SegmentNumber(from.MemorySegment);
        to->Displacement = (long)from.MemoryDisplacement64;
        var flags = InstructionFlags.None;
        if (from.IsIPRelativeMemoryOperand)
        {
            // Iced gives the target with IP 0 at the block's start: what is left to add is the block's RIP.
            to->Base = BlockRipOffset;
            flags = from.MemoryBase == Iced.Intel.Register.EIP ? InstructionFlags.Address32 : 0;
        }
        else
        {
            var basis = from.MemoryBase;
            var index = from.MemoryIndex;
            if (basis != Iced.Intel.Register.None)
            {
                to->Base = RegisterNumber(basis);
            }

            if (index != Iced.Intel.Register.None)
            {
                to->Index = RegisterNumber(index);
                to->Scale = (byte)int.TrailingZeroCount(from.MemoryIndexScale);
            }

            // Without a register the displacement is the whole address, extended already.
            bool absolute = longMode && basis == Iced.Intel.Register.None && index == Iced.Intel.Register.None;
            int size = absolute ? 8
                : basis != Iced.Intel.Register.None ? RegisterExtensions.GetSize(basis)
                : RegisterExtensions.IsGPR(index) ? RegisterExtensions.GetSize(index)
                : index != Iced.Intel.Register.None ? from.MemoryDisplSize
                : from.MemoryDisplSize == 2 ? 2 : 4;
            flags = size == 2 ? InstructionFlags.Address16 : size == 4 ? InstructionFlags.Address32 : 0;
        }

        bool based = to->Segment >= (byte)SegmentName.Fs;
        return longMode && !based && flags == 0 ? InstructionFlags.SimpleAddress : flags;
    }

    private static byte SegmentNumber(Iced.Intel.Register register) => register switch
    {
        Iced.Intel.Register.ES => 0,
        Iced.Intel.Register.CS => 1,
        Iced.Intel.Register.SS => 2,
        Iced.Intel.Register.FS => 4,
        Iced.Intel.Register.GS => 5,
        _ => 3,
    };

    private static byte RegisterNumber(Iced.Intel.Register register)
    {
        if (register is >= Iced.Intel.Register.AH and <= Iced.Intel.Register.BH)
        {
            return (byte)(((register - Iced.Intel.Register.AH) * 8) + 1);
        }

        int number = RegisterExtensions.GetNumber(register);
        if (register is >= Iced.Intel.Register.SPL and <= Iced.Intel.Register.R15L)
        {
            return (byte)((4 + register - Iced.Intel.Register.SPL) * 8);
        }

        return (byte)(RegisterExtensions.IsGPR(register) ? number * 8 : number);
    }
}
