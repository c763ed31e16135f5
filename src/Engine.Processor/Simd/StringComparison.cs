using System.Numerics;
using System.Runtime.Intrinsics;

namespace Hypervisor.Engine.Processor.Simd;

/// <summary>The comparison inside PCMPESTRI and its relatives (SDM vol. 2, 4.1).</summary>
/// <param name="Mask">One bit an element of the second operand (IntRes2).</param>
/// <param name="Count">Elements of an operand: 16 or 8.</param>
internal readonly record struct StringComparison(uint Mask, int Count)
{
    /// <summary>Elements of an operand under an immediate.</summary>
    public static int CountOf(byte immediate) => (immediate & 1) != 0 ? 8 : 16;

    /// <summary>Length of an implicit-length operand: up to its first zero element.</summary>
    public static int ImplicitLength(Vector128<byte> operand, byte immediate)
    {
        uint zeros = CountOf(immediate) == 16
            ? Vector128.Equals(operand, Vector128<byte>.Zero).ExtractMostSignificantBits()
            : Vector128.Equals(operand.AsUInt16(), Vector128<ushort>.Zero).ExtractMostSignificantBits();
        return zeros == 0 ? CountOf(immediate) : BitOperations.TrailingZeroCount(zeros);
    }

    /// <summary>Length of an explicit-length operand: a register's magnitude, no more than there are elements.</summary>
    public static int ExplicitLength(long register, byte immediate)
    {
        ulong magnitude = register < 0 ? 0 - (ulong)register : (ulong)register;
        return (int)Math.Min(magnitude, (ulong)CountOf(immediate));
    }

    /// <summary>Compares.</summary>
    public static StringComparison Compare(Vector128<byte> first, int firstLength, Vector128<byte> second, int secondLength, byte immediate)
    {
        int count = CountOf(immediate);
        uint all = (1u << count) - 1;
        uint valid = (1u << secondLength) - 1;
        uint mask = ((immediate >> 2) & 3) switch
        {
            0 => EqualAny(first, firstLength, second, secondLength, immediate),
            1 => Ranges(first, firstLength, second, secondLength, immediate),
            2 => EqualEach(first, firstLength, second, secondLength, immediate),
            _ => EqualOrdered(first, firstLength, second, secondLength, immediate),
        };
        mask ^= ((immediate >> 4) & 3) switch
        {
            1 => all,
            3 => valid,
            _ => 0,
        };
        return new StringComparison(mask, count);
    }

    private static int Element(Vector128<byte> operand, int at, byte immediate) => (immediate & 3) switch
    {
        0 => operand.GetElement(at),
        1 => operand.AsUInt16().GetElement(at),
        2 => (sbyte)operand.GetElement(at),
        _ => operand.AsInt16().GetElement(at),
    };

    private static uint EqualAny(Vector128<byte> first, int firstLength, Vector128<byte> second, int secondLength, byte immediate)
    {
        uint mask = 0;
        for (int j = 0; j < secondLength; j++)
        {
            int wanted = Element(second, j, immediate);
            for (int i = 0; i < firstLength; i++)
            {
                if (Element(first, i, immediate) == wanted)
                {
                    mask |= 1u << j;
                    break;
                }
            }
        }

        return mask;
    }

    private static uint Ranges(Vector128<byte> first, int firstLength, Vector128<byte> second, int secondLength, byte immediate)
    {
        uint mask = 0;
        for (int j = 0; j < secondLength; j++)
        {
            int value = Element(second, j, immediate);
            for (int i = 0; i + 1 < firstLength; i += 2)
            {
                if (value >= Element(first, i, immediate) && value <= Element(first, i + 1, immediate))
                {
                    mask |= 1u << j;
                    break;
                }
            }
        }

        return mask;
    }

    private static uint EqualEach(Vector128<byte> first, int firstLength, Vector128<byte> second, int secondLength, byte immediate)
    {
        uint mask = 0;
        for (int j = 0; j < CountOf(immediate); j++)
        {
            bool equal = j < firstLength && j < secondLength
                ? Element(first, j, immediate) == Element(second, j, immediate)
                : j >= firstLength && j >= secondLength;
            mask |= equal ? 1u << j : 0;
        }

        return mask;
    }

    // The first operand at offset j of the second; what lies beyond the second's last element does not count against it.
    private static uint EqualOrdered(Vector128<byte> first, int firstLength, Vector128<byte> second, int secondLength, byte immediate)
    {
        uint mask = 0;
        int count = CountOf(immediate);
        for (int j = 0; j < count; j++)
        {
            bool equal = true;
            for (int i = 0; equal && i < firstLength && i + j < count; i++)
            {
                equal = i + j < secondLength && Element(first, i, immediate) == Element(second, i + j, immediate);
            }

            mask |= equal ? 1u << j : 0;
        }

        return mask;
    }
}
