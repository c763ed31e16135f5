using System.Buffers.Binary;
using Iced.Intel;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

// FXSAVE, FXRSTOR, XSAVE and XRSTOR of x87 and SSE state.
internal sealed partial class CaseGenerator
{
    private const int ImageAt = 0x400;
    private const int HeaderAt = 512;

    /// <summary>The instructions that <see cref="MakeImage"/> takes.</summary>
    public static Code[] ImageInstructions { get; } =
        [Code.Fxsave_m512byte, Code.Fxsave64_m512byte, Code.Fxrstor_m512byte, Code.Fxrstor64_m512byte, Code.Xsave_mem, Code.Xsave64_mem,
            Code.Xrstor_mem, Code.Xrstor64_mem];

    /// <summary>Makes one case with an image in memory that is right, or wrong in one of the ways that raise #GP.</summary>
    public OracleCase MakeImage(Code code)
    {
        bool aligned = _random.Next(16) != 0;
        Pin(Register.RBX, OracleLayout.Data + ImageAt + (aligned ? 0 : (ulong)_random.Next(64)));
        Pin(Register.RAX, (ulong)_random.Next(4));
        Pin(Register.RDX, 0);
        var instruction = Instruction.Create(code, new MemoryOperand(Register.RBX));
        if (!Encode(instruction))
        {
            throw new InvalidOperationException($"{code} has no encoding.");
        }

        byte[] data = MakeData();
        var image = data.AsSpan(ImageAt, HeaderAt);
        image.Clear();
        MakeFx(image);
        if (_random.Next(16) == 0)
        {
            // A reserved bit of MXCSR.
            image[26] |= 1;
        }

        var header = data.AsSpan(ImageAt + HeaderAt, 64);
        header.Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(header, (uint)_random.Next(4) | (_random.Next(16) == 0 ? 1ul << 62 : 0ul));
        header[_random.Next(8, 24)] = (byte)(_random.Next(16) == 0 ? 1 : 0);
        return new OracleCase
        {
            Code = [.. _code],
            Data = data,
            Initial = MakeState(),
            UndefinedFlags = 0,
            EverUndefinedFlags = 0,

            // MXCSR_MASK: AMD's processors have a bit of their own.
            IgnoredData = (int)(_pinned[Register.RBX] - OracleLayout.Data) + 28,
        };
    }
}
