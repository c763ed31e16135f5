using System.Buffers.Binary;
using Iced.Intel;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

// Operands with a vector of indices.
internal sealed partial class CaseGenerator
{
    private const int GatherReach = 32;
    private const int StrayFrom = 0x1_0000, StrayTo = 0x1C_0000;

    // The index register's contents are chosen: elements in the scratch memory, now and then one that is not.
    private bool TryGather(ref Instruction instruction, int at, OpCodeOperandKind kind)
    {
        SetKind(ref instruction, at, OpKind.Memory);
        int number = _random.Next(16);
        if (_pinnedVectors.ContainsKey(number) || _written.Contains(Register.ZMM0 + number))
        {
            return false;
        }

        // Without a base the displacement is all there is, with addresses of 64 bits or, by prefix, of 32.
        bool based = _random.Next(4) != 0;
        bool narrow = !based && _random.Next(2) == 0;
        var basis = Register.RAX + _random.Next(16);
        long displacement = _random.Next(3) switch
        {
            0 => 0,
            1 => _random.Next(-128, 128),
            _ => _random.Next(-0x10_0000, 0x10_0000),
        };
        ulong target = OracleLayout.Data + (ulong)_random.Next(RedZone, OracleLayout.DataBytes - RedZone);
        if (!based)
        {
            displacement = (long)target;
        }
        else if (!TryPin(basis, target - (ulong)displacement))
        {
            return false;
        }

        int scale = 1 << _random.Next(4);
        bool wide = kind is OpCodeOperandKind.mem_vsib32y or OpCodeOperandKind.mem_vsib64y;
        bool quads = kind is OpCodeOperandKind.mem_vsib64x or OpCodeOperandKind.mem_vsib64y;
        byte[] indices = new byte[32];
        bool strays = _random.Next(4) == 0;
        for (int element = 0; element < (quads ? 4 : 8); element++)
        {
            // Below the scratch memory lie, natively, the stubs; above it nothing.
            int index = strays && _random.Next(4) == 0
                ? _random.Next(StrayFrom, StrayTo) / scale
                : _random.Next(-GatherReach, GatherReach);
            if (quads)
            {
                // What an address of 32 bits has no room for does not matter.
                long beyond = narrow ? _random.NextInt64() & ~0xFFFF_FFFFL : 0;
                BinaryPrimitives.WriteInt64LittleEndian(indices.AsSpan(8 * element), index ^ beyond);
            }
            else
            {
                BinaryPrimitives.WriteInt32LittleEndian(indices.AsSpan(4 * element), index);
            }
        }

        _pinnedVectors[number] = indices;
        instruction.MemoryBase = based ? basis : Register.None;
        instruction.MemoryIndex = (wide ? Register.YMM0 : Register.XMM0) + number;
        instruction.MemoryIndexScale = scale;
        instruction.MemoryDisplacement64 = (ulong)displacement;
        instruction.MemoryDisplSize = !based ? narrow ? 4 : 8 : displacement == 0 ? 0 : displacement is >= -128 and <= 127 ? 1 : 8;
        return true;
    }
}
