using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using V = System.Runtime.Intrinsics.Vector128<byte>;

namespace Hypervisor.Engine.Processor.Simd;

// Operations that an immediate selects.
internal readonly struct Shufps : IVectorImmediate
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b, byte immediate) => Vector128.Create(a.AsUInt32().GetElement(immediate & 3), a.AsUInt32().GetElement((immediate >> 2) & 3), b.AsUInt32().GetElement((immediate >> 4) & 3), b.AsUInt32().GetElement(immediate >> 6)).AsByte();
}

internal readonly struct Shufpd : IVectorImmediate
{
    public static byte Upper(byte immediate) => (byte)(immediate >> 2);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b, byte immediate) => Vector128.Create(a.AsUInt64().GetElement(immediate & 1), b.AsUInt64().GetElement((immediate >> 1) & 1)).AsByte();
}

internal readonly struct Pshufd : IVectorImmediate
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b, byte immediate) => Vector128.Shuffle(b.AsUInt32(), Vector128.Create((uint)immediate & 3, ((uint)immediate >> 2) & 3, ((uint)immediate >> 4) & 3, (uint)immediate >> 6)).AsByte();
}

internal readonly struct Pshuflw : IVectorImmediate
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b, byte immediate) => b.WithLower(Words.Shuffle(b.GetLower(), immediate));
}

internal readonly struct Pshufhw : IVectorImmediate
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b, byte immediate) => b.WithUpper(Words.Shuffle(b.GetUpper(), immediate));
}

internal readonly struct Pblendw : IVectorImmediate
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b, byte immediate) => Vector128.ConditionalSelect(Selection.Words(immediate), b, a);
}

internal readonly struct Blendps : IVectorImmediate
{
    public static byte Upper(byte immediate) => (byte)(immediate >> 4);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b, byte immediate) => Vector128.ConditionalSelect(Selection.Dwords(immediate), b, a);
}

internal readonly struct Blendpd : IVectorImmediate
{
    public static byte Upper(byte immediate) => (byte)(immediate >> 2);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V a, V b, byte immediate) => Vector128.ConditionalSelect(Selection.Qwords(immediate), b, a);
}

/// <summary>The 16 bytes from an offset in the pair a:b.</summary>
internal readonly struct Palignr : IVectorImmediate
{
    public static V Apply(V a, V b, byte immediate) => immediate >= 16
        ? Psrldq.Apply(a, (ulong)immediate - 16)
        : Psrldq.Apply(b, immediate) | Pslldq.Apply(a, 16u - immediate);
}

/// <summary>Eight sums of absolute differences of four bytes each, at sliding offsets.</summary>
internal readonly struct Mpsadbw : IVectorImmediate
{
    public static byte Upper(byte immediate) => (byte)(immediate >> 3);

    public static V Apply(V a, V b, byte immediate)
    {
        int blockA = (immediate & 4) != 0 ? 4 : 0;
        int blockB = (immediate & 3) * 4;
        var sums = Vector128<ushort>.Zero;
        for (int lane = 0; lane < 8; lane++)
        {
            int sum = 0;
            for (int at = 0; at < 4; at++)
            {
                sum += Math.Abs(a.GetElement(blockA + lane + at) - b.GetElement(blockB + at));
            }

            sums = sums.WithElement(lane, (ushort)sum);
        }

        return sums.AsByte();
    }
}

/// <summary>Shuffles of four words.</summary>
internal static class Words
{
    public static Vector64<byte> Shuffle(Vector64<byte> words, byte immediate)
    {
        ulong bits = words.AsUInt64().ToScalar();
        ulong result = (ushort)(bits >> ((immediate & 3) * 16));
        result |= (ulong)(ushort)(bits >> (((immediate >> 2) & 3) * 16)) << 16;
        result |= (ulong)(ushort)(bits >> (((immediate >> 4) & 3) * 16)) << 32;
        result |= (ulong)(ushort)(bits >> ((immediate >> 6) * 16)) << 48;
        return Vector64.CreateScalar(result).AsByte();
    }
}

/// <summary>Element masks from the bits of an immediate.</summary>
internal static class Selection
{
    public static V Bytes(ushort immediate)
    {
        var bits = Vector128.Create(0x8040_2010_0804_0201ul).AsByte();
        var spread = Vector128.Create(Vector64.Create((byte)immediate), Vector64.Create((byte)(immediate >> 8)));
        return Vector128.Equals(spread & bits, bits);
    }

    public static V Words(byte immediate)
    {
        var bits = Vector128.Create((ushort)1, 2, 4, 8, 16, 32, 64, 128);
        return Vector128.Equals(Vector128.Create((ushort)immediate) & bits, bits).AsByte();
    }

    public static V Dwords(byte immediate)
    {
        var bits = Vector128.Create(1u, 2, 4, 8);
        return Vector128.Equals(Vector128.Create((uint)immediate) & bits, bits).AsByte();
    }

    public static V Qwords(byte immediate)
    {
        var bits = Vector128.Create(1ul, 2);
        return Vector128.Equals(Vector128.Create((ulong)immediate) & bits, bits).AsByte();
    }
}
