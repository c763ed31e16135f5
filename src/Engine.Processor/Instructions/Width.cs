using System.Numerics;
using System.Runtime.CompilerServices;

namespace Hypervisor.Engine.Processor;

/// <summary>Operations that depend on an operand's width; the type is known when a handler is compiled, so that no branch is left.</summary>
internal static unsafe class Width
{
    /// <summary>Reads a general register operand.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Get<T>(CpuState* s, byte register) where T : unmanaged => *(T*)((byte*)s + register);

    /// <summary>Writes a general register operand; 32-bit results clear the upper half.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set<T>(CpuState* s, byte register, T value) where T : unmanaged
    {
        if (sizeof(T) == 4)
        {
            *(ulong*)((byte*)s + register) = Unsafe.BitCast<T, uint>(value);
        }
        else
        {
            *(T*)((byte*)s + register) = value;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static long SignExtend<T>(T value) where T : unmanaged =>
        sizeof(T) == 1 ? Unsafe.BitCast<T, sbyte>(value)
        : sizeof(T) == 2 ? Unsafe.BitCast<T, short>(value)
        : sizeof(T) == 4 ? Unsafe.BitCast<T, int>(value)
        : Unsafe.BitCast<T, long>(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong ZeroExtend<T>(T value) where T : unmanaged =>
        sizeof(T) == 1 ? Unsafe.BitCast<T, byte>(value)
        : sizeof(T) == 2 ? Unsafe.BitCast<T, ushort>(value)
        : sizeof(T) == 4 ? Unsafe.BitCast<T, uint>(value)
        : Unsafe.BitCast<T, ulong>(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Truncate<T>(ulong value) where T : unmanaged =>
        sizeof(T) == 1 ? Unsafe.BitCast<byte, T>((byte)value)
        : sizeof(T) == 2 ? Unsafe.BitCast<ushort, T>((ushort)value)
        : sizeof(T) == 4 ? Unsafe.BitCast<uint, T>((uint)value)
        : Unsafe.BitCast<ulong, T>(value);

    /// <summary>Sets the flags from a result and the vector of carries (or borrows) out of each bit.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetFlags<T>(CpuState* s, T result, T carries) where T : unmanaged
    {
        s->FlagResult = SignExtend(result);
        ulong c = ZeroExtend(carries);
        s->FlagAux = sizeof(T) == 8 ? c & 0xC000_0000_0000_0008 : (c << (64 - (sizeof(T) * 8))) | (c & 8);
    }

    /// <summary>Sets the flags of a logical operation.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetLogicFlags<T>(CpuState* s, T result) where T : unmanaged
    {
        s->FlagResult = SignExtend(result);
        s->FlagAux = 0;
    }

    /// <summary>
    /// One atomic read-modify-write step on host memory: true when memory still held <paramref name="old"/>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Exchange<T>(byte* host, T value, T old) where T : unmanaged, IBinaryInteger<T>
    {
        if (sizeof(T) == 1)
        {
            return Interlocked.CompareExchange(ref *host, Unsafe.BitCast<T, byte>(value), Unsafe.BitCast<T, byte>(old)) == Unsafe.BitCast<T, byte>(old);
        }

        if (sizeof(T) == 2)
        {
            return Interlocked.CompareExchange(ref *(ushort*)host, Unsafe.BitCast<T, ushort>(value), Unsafe.BitCast<T, ushort>(old)) == Unsafe.BitCast<T, ushort>(old);
        }

        return sizeof(T) == 4
            ? Interlocked.CompareExchange(ref *(uint*)host, Unsafe.BitCast<T, uint>(value), Unsafe.BitCast<T, uint>(old)) == Unsafe.BitCast<T, uint>(old)
            : Interlocked.CompareExchange(ref *(ulong*)host, Unsafe.BitCast<T, ulong>(value), Unsafe.BitCast<T, ulong>(old)) == Unsafe.BitCast<T, ulong>(old);
    }
}
