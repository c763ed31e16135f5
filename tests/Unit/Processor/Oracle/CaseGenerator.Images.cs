using System.Buffers.Binary;
using Iced.Intel;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

// FXSAVE, FXRSTOR, LDMXCSR and the XSAVE family on x87, SSE and AVX state.
internal sealed partial class CaseGenerator
{
    private const int ImageAt = 0x400;
    private const int HeaderAt = 512;
    private const int UpperAt = 576;
    private const ulong Compacted = 1ul << 63;

    /// <summary>The instructions that <see cref="MakeImage"/> takes.</summary>
    public static Code[] ImageInstructions { get; } =
        [Code.Fxsave_m512byte, Code.Fxsave64_m512byte, Code.Fxrstor_m512byte, Code.Fxrstor64_m512byte, Code.Xsave_mem, Code.Xsave64_mem,
            Code.Xrstor_mem, Code.Xrstor64_mem, Code.Xsavec_mem, Code.Xsavec64_mem, Code.Xsaveopt_mem, Code.Xsaveopt64_mem,
            Code.Ldmxcsr_m32, Code.VEX_Vldmxcsr_m32];

    /// <summary>Makes one case with an image in memory that is right, or wrong in one of the ways that raise #GP.</summary>
    public unsafe OracleCase MakeImage(Code code)
    {
        bool aligned = _random.Next(16) != 0;
        Pin(Register.RBX, OracleLayout.Data + ImageAt + (aligned ? 0 : (ulong)_random.Next(64)));
        int components = HostProcessor.HasAvx ? 8 : 4;
        Pin(Register.RAX, (ulong)_random.Next(components));
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

        if (code is Code.Ldmxcsr_m32 or Code.VEX_Vldmxcsr_m32)
        {
            // The image's MXCSR at the operand's address, with or without a bit that no maker has.
            uint mxcsr = BinaryPrimitives.ReadUInt32LittleEndian(image[24..]) & 0xFFFF;
            BinaryPrimitives.WriteUInt32LittleEndian(
                data.AsSpan((int)(_pinned[Register.RBX] - OracleLayout.Data)), mxcsr | (_random.Next(8) == 0 ? 1u << _random.Next(18, 32) : 0));
        }

        var header = data.AsSpan(ImageAt + HeaderAt, 64);
        header.Clear();
        uint present = (uint)_random.Next(components);
        BinaryPrimitives.WriteUInt64LittleEndian(header, present | (_random.Next(16) == 0 ? 1ul << 62 : 0ul));
        if (_random.Next(2) == 0)
        {
            // Now and then without a component that is present, or with one that cannot be.
            ulong format = _random.Next(8) == 0 ? (uint)_random.Next(16) : present | (uint)_random.Next(components);
            BinaryPrimitives.WriteUInt64LittleEndian(header[8..], Compacted | format);
        }

        if (_random.Next(16) == 0)
        {
            header[_random.Next(8, 24)] |= 1;
        }

        for (int n = 0; n < 16; n++)
        {
            OperandValues.Vector(_random, data.AsSpan(ImageAt + UpperAt + (16 * n), 16));
        }

        // A processor may or may not notice that registers which hold zeros are in their initial state.
        var initial = MakeState();
        initial.Upper[0] |= 1;
        initial.Fx[160] |= 1;
        return new OracleCase
        {
            Code = [.. _code],
            Data = data,
            Initial = initial,
            UndefinedFlags = 0,
            EverUndefinedFlags = 0,

            // MXCSR_MASK: AMD's processors have a bit of their own.
            IgnoredData = (int)(_pinned[Register.RBX] - OracleLayout.Data) + 28,
        };
    }
}
