using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using System.Security.Cryptography;
using Hypervisor.Engine.Native;

namespace Hypervisor.Engine.Memory.Stores;

/// <summary>
/// What is asked of a page's content: is it all zero, is it equal to another's, what is its hash. Pointers are to 4096 bytes,
/// aligned to 8.
/// </summary>
/// <remarks>
/// The hash is keyed with random bytes of this process. Content is absorbed by sums of products of keyed words, carry-less (CLNH of
/// Lemire and Kaser, "Faster 64-bit universal hashing using carry-less multiplications", 2015) or modulo 2^128 (NH of RFC 4418 with
/// words of 64 bits), then folded by a strongly universal multiply-shift. Two different pages collide with a probability of at most
/// 2^-63 over the keys, whatever the pages are: a guest that does not know the key cannot make pages that collide.
/// </remarks>
internal static unsafe class PageContent
{
    /// <summary>Bytes of a page.</summary>
    public const int Size = 4096;

    private const int Words = Size / sizeof(ulong);

    // The words of the products, then two multipliers of 128 bits and an addend of 128 bits.
    private const int KeyWords = Words + 6;

    private static readonly ulong* Key = CreateKey();

    /// <summary>The hash of the page that is all zero.</summary>
    public static ulong ZeroHash { get; } = HashOfZero();

    /// <summary>A hash of 64 bits, valid in this process only.</summary>
    public static ulong Hash(byte* page) => Pclmulqdq.IsSupported ? HashCarryless(page) : HashPortable(page);

    /// <summary>The hash by integer multiplication, for processors without PCLMULQDQ; its values are others than <see cref="HashCarryless"/>'s.</summary>
    public static ulong HashPortable(byte* page)
    {
        var words = (ulong*)page;
        ulong* key = Key;
        ulong low = 0, high = 0;
        for (int i = 0; i < Words; i += 2)
        {
            ulong upper = Math.BigMul(words[i] + key[i], words[i + 1] + key[i + 1], out ulong lower);
            low += lower;
            high += upper + (low < lower ? 1ul : 0);
        }

        return Fold(low, high);
    }

    /// <summary>The hash by carry-less multiplication.</summary>
    public static ulong HashCarryless(byte* page)
    {
        byte* key = (byte*)Key;
        Vector128<ulong> sum;
        if (Pclmulqdq.V512.IsSupported)
        {
            Vector512<ulong> a = default, b = default;
            for (int i = 0; i < Size; i += 128)
            {
                var x = Vector512.Load((ulong*)(page + i)) ^ Vector512.Load((ulong*)(key + i));
                var y = Vector512.Load((ulong*)(page + i + 64)) ^ Vector512.Load((ulong*)(key + i + 64));
                a ^= Pclmulqdq.V512.CarrylessMultiply(x, x, 0x10);
                b ^= Pclmulqdq.V512.CarrylessMultiply(y, y, 0x10);
            }

            a ^= b;
            var half = a.GetLower() ^ a.GetUpper();
            sum = half.GetLower() ^ half.GetUpper();
        }
        else
        {
            Vector128<ulong> a = default, b = default, c = default, d = default;
            for (int i = 0; i < Size; i += 64)
            {
                var v = Vector128.Load((ulong*)(page + i)) ^ Vector128.Load((ulong*)(key + i));
                var w = Vector128.Load((ulong*)(page + i + 16)) ^ Vector128.Load((ulong*)(key + i + 16));
                var x = Vector128.Load((ulong*)(page + i + 32)) ^ Vector128.Load((ulong*)(key + i + 32));
                var y = Vector128.Load((ulong*)(page + i + 48)) ^ Vector128.Load((ulong*)(key + i + 48));
                a ^= Pclmulqdq.CarrylessMultiply(v, v, 0x10);
                b ^= Pclmulqdq.CarrylessMultiply(w, w, 0x10);
                c ^= Pclmulqdq.CarrylessMultiply(x, x, 0x10);
                d ^= Pclmulqdq.CarrylessMultiply(y, y, 0x10);
            }

            sum = a ^ b ^ c ^ d;
        }

        return Fold(sum.GetElement(0), sum.GetElement(1));
    }

    /// <summary>True when every byte is 0. Content that is not is mostly found so within the first bytes.</summary>
    public static bool IsZero(byte* page)
    {
        if (*(ulong*)page != 0)
        {
            return false;
        }

        for (int i = 0; i < Size; i += 256)
        {
            var a = Vector512.Load(page + i) | Vector512.Load(page + i + 64);
            var b = Vector512.Load(page + i + 128) | Vector512.Load(page + i + 192);
            if ((a | b) != Vector512<byte>.Zero)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>True when two pages have the same bytes.</summary>
    public static bool Equal(byte* left, byte* right) => new ReadOnlySpan<byte>(left, Size).SequenceEqual(new ReadOnlySpan<byte>(right, Size));

    /// <summary>Copies a page.</summary>
    public static void Copy(byte* source, byte* destination) => Unsafe.CopyBlock(destination, source, Size);

    private static ulong Fold(ulong low, ulong high)
    {
        // Dietzfelbinger's multiply-shift over two words: (a1*x1 + a2*x2 + b) mod 2^128, of which the upper half is taken.
        ulong* key = Key + Words;
        UInt128 sum = new UInt128(key[0], key[1]) * low + new UInt128(key[2], key[3]) * high + new UInt128(key[4], key[5]);
        return (ulong)(sum >> 64);
    }

    private static ulong* CreateKey()
    {
        // SAFETY: the memory is as long as the span and is never given back.
        var key = (ulong*)AnonymousMemoryForever((nuint)(KeyWords * sizeof(ulong)));
        RandomNumberGenerator.Fill(new Span<byte>(key, KeyWords * sizeof(ulong)));
        return key;
    }

    private static ulong HashOfZero()
    {
        var zero = stackalloc ulong[Words];
        new Span<ulong>(zero, Words).Clear();
        return Hash((byte*)zero);
    }

    private static void* AnonymousMemoryForever(nuint bytes) =>
        System.Runtime.InteropServices.NativeMemory.AlignedAlloc(bytes, 64);
}
