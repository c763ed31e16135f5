using System.Runtime.Intrinsics;
using V = System.Runtime.Intrinsics.Vector128<byte>;

namespace Hypervisor.Engine.Processor.Simd;

// SHA-1 and SHA-256 rounds and message schedules (FIPS 180-4; SDM vol. 2, SHA1RNDS4 and following). In SHA-1 the first word of a
// group lies in the highest element, in SHA-256 in the lowest.
internal readonly struct Sha1nexte : IVectorBinary
{
    public static V Apply(V a, V b)
    {
        var words = b.AsUInt32();
        return words.WithElement(3, words.GetElement(3) + uint.RotateLeft(a.AsUInt32().GetElement(3), 30)).AsByte();
    }
}

internal readonly struct Sha1msg1 : IVectorBinary
{
    public static V Apply(V a, V b) => Vector128.Create(b.GetUpper(), a.GetLower()) ^ a;
}

internal readonly struct Sha1msg2 : IVectorBinary
{
    public static V Apply(V a, V b)
    {
        var x = a.AsUInt32();
        var y = b.AsUInt32();
        uint w16 = uint.RotateLeft(x.GetElement(3) ^ y.GetElement(2), 1);
        uint w17 = uint.RotateLeft(x.GetElement(2) ^ y.GetElement(1), 1);
        uint w18 = uint.RotateLeft(x.GetElement(1) ^ y.GetElement(0), 1);
        uint w19 = uint.RotateLeft(x.GetElement(0) ^ w16, 1);
        return Vector128.Create(w19, w18, w17, w16).AsByte();
    }
}

/// <summary>Four rounds; the immediate chooses function and constant.</summary>
internal readonly struct Sha1rnds4 : IVectorImmediate
{
    private static ReadOnlySpan<uint> Constants => [0x5A82_7999, 0x6ED9_EBA1, 0x8F1B_BCDC, 0xCA62_C1D6];

    public static V Apply(V state, V words, byte immediate)
    {
        int stage = immediate & 3;
        uint a = state.AsUInt32().GetElement(3);
        uint b = state.AsUInt32().GetElement(2);
        uint c = state.AsUInt32().GetElement(1);
        uint d = state.AsUInt32().GetElement(0);

        // E of the first round is in the words already (SHA1NEXTE added it).
        uint e = 0;
        for (int round = 0; round < 4; round++)
        {
            uint mixed = stage switch
            {
                0 => (b & c) ^ (~b & d),
                2 => (b & c) ^ (b & d) ^ (c & d),
                _ => b ^ c ^ d,
            };
            uint next = mixed + uint.RotateLeft(a, 5) + words.AsUInt32().GetElement(3 - round) + e + Constants[stage];
            (a, b, c, d, e) = (next, a, uint.RotateLeft(b, 30), c, d);
        }

        return Vector128.Create(d, c, b, a).AsByte();
    }
}

internal readonly struct Sha256msg1 : IVectorBinary
{
    public static V Apply(V a, V b)
    {
        var words = a.AsUInt32();
        var next = Vector128.Create(words.GetElement(1), words.GetElement(2), words.GetElement(3), b.AsUInt32().ToScalar());
        return (words + (Sha256.Rotate(next, 7) ^ Sha256.Rotate(next, 18) ^ (next >>> 3))).AsByte();
    }
}

internal readonly struct Sha256msg2 : IVectorBinary
{
    public static V Apply(V a, V b)
    {
        var x = a.AsUInt32();
        uint w16 = x.GetElement(0) + Spread(b.AsUInt32().GetElement(2));
        uint w17 = x.GetElement(1) + Spread(b.AsUInt32().GetElement(3));
        return Vector128.Create(w16, w17, x.GetElement(2) + Spread(w16), x.GetElement(3) + Spread(w17)).AsByte();
    }

    private static uint Spread(uint word) => uint.RotateRight(word, 17) ^ uint.RotateRight(word, 19) ^ (word >> 10);
}

/// <summary>Two rounds of SHA-256.</summary>
internal static class Sha256
{
    /// <summary>The new A, B, E and F.</summary>
    /// <param name="cdgh">C, D, G, H from the highest element down.</param>
    /// <param name="abef">A, B, E, F.</param>
    /// <param name="words">Message words with their constants added, in the two lowest elements.</param>
    public static V TwoRounds(V cdgh, V abef, V words)
    {
        uint a = abef.AsUInt32().GetElement(3);
        uint b = abef.AsUInt32().GetElement(2);
        uint c = cdgh.AsUInt32().GetElement(3);
        uint d = cdgh.AsUInt32().GetElement(2);
        uint e = abef.AsUInt32().GetElement(1);
        uint f = abef.AsUInt32().GetElement(0);
        uint g = cdgh.AsUInt32().GetElement(1);
        uint h = cdgh.AsUInt32().GetElement(0);
        for (int round = 0; round < 2; round++)
        {
            uint choice = (e & f) ^ (~e & g);
            uint sumE = uint.RotateRight(e, 6) ^ uint.RotateRight(e, 11) ^ uint.RotateRight(e, 25);
            uint first = choice + sumE + words.AsUInt32().GetElement(round) + h;
            uint majority = (a & b) ^ (a & c) ^ (b & c);
            uint sumA = uint.RotateRight(a, 2) ^ uint.RotateRight(a, 13) ^ uint.RotateRight(a, 22);
            (a, b, c, d, e, f, g, h) = (first + majority + sumA, a, b, c, first + d, e, f, g);
        }

        return Vector128.Create(f, e, b, a).AsByte();
    }

    public static Vector128<uint> Rotate(Vector128<uint> words, int count) => (words >>> count) | (words << (32 - count));
}
