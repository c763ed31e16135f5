using System.Numerics;
using System.Runtime.CompilerServices;

namespace Hypervisor.Engine.Processor;

/// <summary>A two-operand operation that sets flags.</summary>
internal unsafe interface IBinaryOperation
{
    /// <summary>False for CMP and TEST.</summary>
    static abstract bool Stores { get; }

    static abstract T Apply<T>(CpuState* s, T a, T b) where T : unmanaged, IBinaryInteger<T>;
}

/// <summary>A one-operand operation.</summary>
internal unsafe interface IUnaryOperation
{
    static abstract T Apply<T>(CpuState* s, T a) where T : unmanaged, IBinaryInteger<T>;
}

internal readonly unsafe struct AddOperation : IBinaryOperation
{
    public static bool Stores => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply<T>(CpuState* s, T a, T b) where T : unmanaged, IBinaryInteger<T>
    {
        T r = unchecked(a + b);
        Width.SetFlags(s, r, (a & b) | ((a | b) & ~r));
        return r;
    }
}

internal readonly unsafe struct AdcOperation : IBinaryOperation
{
    public static bool Stores => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply<T>(CpuState* s, T a, T b) where T : unmanaged, IBinaryInteger<T>
    {
        T r = unchecked(a + b + Width.Truncate<T>(LazyFlags.CarryBit(s)));
        Width.SetFlags(s, r, (a & b) | ((a | b) & ~r));
        return r;
    }
}

internal readonly unsafe struct SubOperation : IBinaryOperation
{
    public static bool Stores => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply<T>(CpuState* s, T a, T b) where T : unmanaged, IBinaryInteger<T>
    {
        T r = unchecked(a - b);
        Width.SetFlags(s, r, (~a & b) | (~(a ^ b) & r));
        return r;
    }
}

internal readonly unsafe struct SbbOperation : IBinaryOperation
{
    public static bool Stores => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply<T>(CpuState* s, T a, T b) where T : unmanaged, IBinaryInteger<T>
    {
        T r = unchecked(a - b - Width.Truncate<T>(LazyFlags.CarryBit(s)));
        Width.SetFlags(s, r, (~a & b) | (~(a ^ b) & r));
        return r;
    }
}

internal readonly unsafe struct CmpOperation : IBinaryOperation
{
    public static bool Stores => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply<T>(CpuState* s, T a, T b) where T : unmanaged, IBinaryInteger<T> => SubOperation.Apply(s, a, b);
}

internal readonly unsafe struct AndOperation : IBinaryOperation
{
    public static bool Stores => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply<T>(CpuState* s, T a, T b) where T : unmanaged, IBinaryInteger<T>
    {
        T r = a & b;
        Width.SetLogicFlags(s, r);
        return r;
    }
}

internal readonly unsafe struct TestOperation : IBinaryOperation
{
    public static bool Stores => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply<T>(CpuState* s, T a, T b) where T : unmanaged, IBinaryInteger<T> => AndOperation.Apply(s, a, b);
}

internal readonly unsafe struct OrOperation : IBinaryOperation
{
    public static bool Stores => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply<T>(CpuState* s, T a, T b) where T : unmanaged, IBinaryInteger<T>
    {
        T r = a | b;
        Width.SetLogicFlags(s, r);
        return r;
    }
}

internal readonly unsafe struct XorOperation : IBinaryOperation
{
    public static bool Stores => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply<T>(CpuState* s, T a, T b) where T : unmanaged, IBinaryInteger<T>
    {
        T r = a ^ b;
        Width.SetLogicFlags(s, r);
        return r;
    }
}

internal readonly unsafe struct IncOperation : IUnaryOperation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply<T>(CpuState* s, T a) where T : unmanaged, IBinaryInteger<T>
    {
        T r = unchecked(a + T.One);
        StepFlags.Set(s, r, a & ~r);
        return r;
    }
}

internal readonly unsafe struct DecOperation : IUnaryOperation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply<T>(CpuState* s, T a) where T : unmanaged, IBinaryInteger<T>
    {
        T r = unchecked(a - T.One);
        StepFlags.Set(s, r, ~a & r);
        return r;
    }
}

internal readonly unsafe struct NegOperation : IUnaryOperation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply<T>(CpuState* s, T a) where T : unmanaged, IBinaryInteger<T> => SubOperation.Apply(s, T.Zero, a);
}

internal readonly unsafe struct NotOperation : IUnaryOperation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply<T>(CpuState* s, T a) where T : unmanaged, IBinaryInteger<T> => ~a;
}

/// <summary>Flags of INC and DEC: CF stays.</summary>
internal static unsafe class StepFlags
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set<T>(CpuState* s, T result, T carries) where T : unmanaged, IBinaryInteger<T>
    {
        ulong old = s->FlagAux & (1ul << 63);
        Width.SetFlags(s, result, carries);
        ulong aux = s->FlagAux;
        ulong overflow = (aux ^ (aux << 1)) & (1ul << 63);
        s->FlagAux = (aux & 8) | old | ((old ^ overflow) >> 1);
    }
}
