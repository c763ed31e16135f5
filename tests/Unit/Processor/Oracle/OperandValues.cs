using System.Buffers.Binary;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>Random values with a liking for the edges.</summary>
internal static class OperandValues
{
    private static readonly ulong[] Edges =
    [
        0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000,
        0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FF80, 0xFFFF_FFFF_8000_0000,
    ];

    public static ulong Integer(Random random) => random.Next(6) switch
    {
        0 => Edges[random.Next(Edges.Length)],
        1 => (ulong)random.Next(-70, 70),
        2 => (uint)random.NextInt64(),
        3 => 1ul << random.Next(64),
        _ => Bits(random),
    };

    public static ulong Bits(Random random) => (ulong)random.NextInt64() ^ ((ulong)random.NextInt64() << 1);

    /// <summary>The bits of a double: every class, exponents mostly close to one another.</summary>
    public static ulong Double(Random random)
    {
        ulong sign = (ulong)random.Next(2) << 63;
        ulong fraction = Bits(random) & 0xF_FFFF_FFFF_FFFF;
        fraction = random.Next(3) == 0 ? fraction & (ulong.MaxValue << random.Next(53)) : fraction;
        return sign | (random.Next(20) switch
        {
            0 => 0ul,
            1 => fraction,
            2 => 1ul + (ulong)random.Next(3),
            3 => 0x7FFul << 52,
            4 => (0x7FFul << 52) | fraction | (1ul << 51),
            5 => (0x7FFul << 52) | (fraction & ~(1ul << 51)) | 1,
            6 => 0x7FEF_FFFF_FFFF_FFFF,
            7 => 1ul << 52,
            8 => (Bits(random) & 0x7FFul << 52) | fraction,
            9 => ((ulong)random.Next(1, 60) << 52) | fraction,
            10 => ((ulong)random.Next(2000, 2047) << 52) | fraction,
            11 or 12 => BitConverter.DoubleToUInt64Bits(random.Next(100)),
            13 => BitConverter.DoubleToUInt64Bits(random.Next(100) + 0.5),
            _ => ((ulong)random.Next(1023 - 40, 1023 + 70) << 52) | fraction,
        });
    }

    /// <summary>The bits of a single.</summary>
    public static uint Single(Random random)
    {
        uint sign = (uint)random.Next(2) << 31;
        uint fraction = (uint)random.Next() & 0x7F_FFFF;
        fraction = random.Next(3) == 0 ? fraction & (uint.MaxValue << random.Next(24)) : fraction;
        return sign | (random.Next(20) switch
        {
            0 => 0u,
            1 => fraction,
            2 => 1u + (uint)random.Next(3),
            3 => 0xFFu << 23,
            4 => (0xFFu << 23) | fraction | (1u << 22),
            5 => (0xFFu << 23) | (fraction & ~(1u << 22)) | 1,
            6 => 0x7F7F_FFFF,
            7 => 1u << 23,
            8 => ((uint)random.Next(1, 255) << 23) | fraction,
            9 => ((uint)random.Next(1, 30) << 23) | fraction,
            10 => ((uint)random.Next(230, 255) << 23) | fraction,
            11 or 12 => BitConverter.SingleToUInt32Bits(random.Next(100)),
            13 => BitConverter.SingleToUInt32Bits(random.Next(100) + 0.5f),
            _ => ((uint)random.Next(127 - 20, 127 + 40) << 23) | fraction,
        });
    }

    /// <summary>Ten bytes of the x87's own format.</summary>
    public static void Extended(Random random, Span<byte> destination)
    {
        const ulong integer = 1ul << 63;
        ulong fraction = Bits(random) & ~integer;
        fraction = random.Next(3) == 0 ? fraction & (ulong.MaxValue << random.Next(64)) : fraction;
        var (exponent, significand) = random.Next(24) switch
        {
            0 => (0, 0ul),
            1 => (0, fraction),
            2 => (0, 1ul),
            3 => (0x7FFF, integer),
            4 => (0x7FFF, integer | (1ul << 62) | fraction),
            5 => (0x7FFF, integer | (fraction & ~(1ul << 62)) | 1),
            6 => (0x7FFE, ulong.MaxValue),
            7 => (1, integer | fraction),
            8 => (random.Next(1, 0x7FFF), integer | fraction),
            9 => (random.Next(1, 80), integer | fraction),
            10 => (random.Next(0x7FA0, 0x7FFF), integer | fraction),
            11 => (random.Next(0x8000), fraction),
            12 => (0, integer | fraction),
            13 => (0x3FFF, integer),
            14 or 15 => (0x3FFF + random.Next(8), integer | (fraction & (0xFFul << 55))),
            16 => (0x3FFF + random.Next(-1100, 1100), integer | fraction),
            _ => (0x3FFF + random.Next(-40, 70), integer | fraction),
        };
        BinaryPrimitives.WriteUInt64LittleEndian(destination, significand);
        BinaryPrimitives.WriteUInt16LittleEndian(destination[8..], (ushort)(exponent | (random.Next(2) << 15)));
    }

    /// <summary>Sixteen bytes: singles, doubles, integers or noise.</summary>
    public static void Vector(Random random, Span<byte> destination)
    {
        switch (random.Next(5))
        {
            case 0:
                random.NextBytes(destination[..16]);
                break;
            case 1:
                BinaryPrimitives.WriteUInt64LittleEndian(destination, Integer(random));
                BinaryPrimitives.WriteUInt64LittleEndian(destination[8..], Integer(random));
                break;
            case 2:
                BinaryPrimitives.WriteUInt64LittleEndian(destination, Double(random));
                BinaryPrimitives.WriteUInt64LittleEndian(destination[8..], Double(random));
                break;
            default:
                for (int lane = 0; lane < 4; lane++)
                {
                    BinaryPrimitives.WriteUInt32LittleEndian(destination[(4 * lane)..], Single(random));
                }

                break;
        }
    }
}
