using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using V = System.Runtime.Intrinsics.Vector128<byte>;

namespace Hypervisor.Engine.Processor.Simd;

// AES rounds (FIPS 197) and carry-less multiplication; on the host's own instructions where it has them.
internal readonly struct Aesenc : IVectorBinary
{
    public static V Apply(V a, V b) => Aes.IsSupported ? Aes.Encrypt(a, b)
        : AesRounds.MixColumns(AesRounds.Substitute(AesRounds.ShiftRows(a))) ^ b;
}

internal readonly struct Aesenclast : IVectorBinary
{
    public static V Apply(V a, V b) => Aes.IsSupported ? Aes.EncryptLast(a, b)
        : AesRounds.Substitute(AesRounds.ShiftRows(a)) ^ b;
}

internal readonly struct Aesdec : IVectorBinary
{
    public static V Apply(V a, V b) => Aes.IsSupported ? Aes.Decrypt(a, b)
        : AesRounds.InverseMixColumns(AesRounds.InverseSubstitute(AesRounds.InverseShiftRows(a))) ^ b;
}

internal readonly struct Aesdeclast : IVectorBinary
{
    public static V Apply(V a, V b) => Aes.IsSupported ? Aes.DecryptLast(a, b)
        : AesRounds.InverseSubstitute(AesRounds.InverseShiftRows(a)) ^ b;
}

internal readonly struct Aesimc : IVectorBinary
{
    public static V Apply(V a, V b) => Aes.IsSupported ? Aes.InverseMixColumns(b) : AesRounds.InverseMixColumns(b);
}

internal readonly struct Aeskeygenassist : IVectorImmediate
{
    public static V Apply(V a, V b, byte immediate)
    {
        var words = AesRounds.Substitute(b).AsUInt32();
        uint one = words.GetElement(1);
        uint three = words.GetElement(3);
        uint round = immediate;
        return Vector128.Create(
            one, uint.RotateRight(one, 8) ^ round, three, uint.RotateRight(three, 8) ^ round).AsByte();
    }
}

internal readonly struct Pclmulqdq : IVectorImmediate
{
    public static V Apply(V a, V b, byte immediate)
    {
        ulong x = a.AsUInt64().GetElement(immediate & 1);
        ulong y = b.AsUInt64().GetElement((immediate >> 4) & 1);
        if (System.Runtime.Intrinsics.X86.Pclmulqdq.IsSupported)
        {
            return System.Runtime.Intrinsics.X86.Pclmulqdq.CarrylessMultiply(
                Vector128.CreateScalar(x), Vector128.CreateScalar(y), 0).AsByte();
        }

        UInt128 product = 0;
        for (int bit = 0; bit < 64; bit++)
        {
            if ((y >> bit & 1) != 0)
            {
                product ^= (UInt128)x << bit;
            }
        }

        return Vector128.Create((ulong)product, (ulong)(product >> 64)).AsByte();
    }
}

/// <summary>The steps of an AES round on a state of sixteen bytes in column order.</summary>
internal static class AesRounds
{
    private static readonly byte[] Box = MakeBox();
    private static readonly byte[] InverseBox = Invert(Box);

    public static V Substitute(V state) => Look(Box, state);

    public static V InverseSubstitute(V state) => Look(InverseBox, state);

    public static V ShiftRows(V state) =>
        Vector128.Shuffle(state, Vector128.Create((byte)0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11));

    public static V InverseShiftRows(V state) =>
        Vector128.Shuffle(state, Vector128.Create((byte)0, 13, 10, 7, 4, 1, 14, 11, 8, 5, 2, 15, 12, 9, 6, 3));

    public static V MixColumns(V state)
    {
        var next = Rotate(state, 8);
        return Double(state ^ next) ^ next ^ Rotate(state, 16) ^ Rotate(state, 24);
    }

    public static V InverseMixColumns(V state)
    {
        // The inverse is the forward step after adding 4 × (a ^ a rotated by two rows) to every row.
        var twice = Double(Double(state ^ Rotate(state, 16)));
        return MixColumns(state ^ twice);
    }

    private static V Rotate(V state, int bits) =>
        ((state.AsUInt32() >>> bits) | (state.AsUInt32() << (32 - bits))).AsByte();

    private static V Double(V state)
    {
        var overflow = (state.AsSByte() >> 7).AsByte() & Vector128.Create((byte)0x1B);
        return (state + state) ^ overflow;
    }

    private static V Look(byte[] box, V state)
    {
        var result = state;
        for (int at = 0; at < 16; at++)
        {
            result = result.WithElement(at, box[state.GetElement(at)]);
        }

        return result;
    }

    // FIPS 197, 5.1.1: the inverse in GF(2^8), then an affine map.
    private static byte[] MakeBox()
    {
        byte[] box = new byte[256];
        byte p = 1;
        byte q = 1;
        do
        {
            // p runs through the powers of 3, q through those of its inverse.
            p = (byte)(p ^ (p << 1) ^ ((p & 0x80) != 0 ? 0x1B : 0));
            q ^= (byte)(q << 1);
            q ^= (byte)(q << 2);
            q ^= (byte)(q << 4);
            q ^= (q & 0x80) != 0 ? (byte)0x09 : (byte)0;
            box[p] = (byte)(q ^ byte.RotateLeft(q, 1) ^ byte.RotateLeft(q, 2) ^ byte.RotateLeft(q, 3) ^ byte.RotateLeft(q, 4) ^ 0x63);
        }
        while (p != 1);
        box[0] = 0x63;
        return box;
    }

    private static byte[] Invert(byte[] box)
    {
        byte[] inverse = new byte[256];
        for (int at = 0; at < 256; at++)
        {
            inverse[box[at]] = (byte)at;
        }

        return inverse;
    }
}
