using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// Instructions of more than fifteen bytes. The decoder calls them invalid; the processor raises #GP(0) for them, and #UD for what is
// invalid at any length (Intel SDM vol. 2, 2.3.11).
public sealed unsafe partial class X86Processor
{
    private const int LongestDistinct = 32;

    /// <summary>A byte of code, read as a fetch is; all ones where there is no memory.</summary>
    internal byte FetchByte(ulong linear)
    {
        byte* page = PhysicalPage(Translate(_is64Bit ? linear : (uint)linear, AccessKind.Execute), forWriting: false, out _);
        return page != null ? page[linear & PageMask] : byte.MaxValue;
    }

    /// <summary>Whether an invalid instruction is one only by its length.</summary>
    internal bool IsOverlong(DecodedInstruction* i)
    {
        if (i->Length < MaximumInstructionBytes)
        {
            return i->Length == 0;
        }

        // Without the prefixes that are repeated it would be shorter: is it an instruction then, and how long is it with them?
        byte[] distinct = new byte[LongestDistinct];
        int kept = 0;
        int at = 0;
        ulong linear = LinearRip(InstructionPointer(i));
        byte rex = 0;
        for (; at < MaximumInstructionBytes; at++)
        {
            byte value = FetchByte(linear + (ulong)at);
            bool isRex = _is64Bit && value is >= 0x40 and <= 0x4F;
            if (!isRex && value is not (0x26 or 0x2E or 0x36 or 0x3E or 0x64 or 0x65 or 0x66 or 0x67 or 0xF0 or 0xF2 or 0xF3))
            {
                break;
            }

            rex = isRex ? value : (byte)0;
            if (!isRex && Array.IndexOf(distinct, value, 0, kept) < 0)
            {
                distinct[kept++] = value;
            }
        }

        int prefixes = at;
        if (rex != 0)
        {
            distinct[kept++] = rex;
        }

        int start = kept;
        for (; at < MaximumInstructionBytes; at++)
        {
            // What lies beyond the fifteenth byte does not matter any more: zeros stand for it.
            distinct[kept++] = FetchByte(linear + (ulong)at);
        }

        var decoder = Decoder.Create(_is64Bit ? 64 : CodeBits, distinct);
        decoder.Decode(out Instruction instruction);
        return prefixes == MaximumInstructionBytes || (!instruction.IsInvalid && prefixes + instruction.Length - start > MaximumInstructionBytes);
    }
}
