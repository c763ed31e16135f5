using System.Runtime.CompilerServices;

namespace Hypervisor.Engine.Processor;

/// <summary>A condition of Jcc, SETcc and CMOVcc.</summary>
internal unsafe interface ICondition
{
    static abstract bool Holds(CpuState* s);
}

/// <summary>The opposite of a condition.</summary>
internal readonly unsafe struct Not<TCondition> : ICondition where TCondition : struct, ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(CpuState* s) => !TCondition.Holds(s);
}

internal readonly unsafe struct OverflowCondition : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(CpuState* s) => LazyFlags.Overflow(s);
}

internal readonly unsafe struct BelowCondition : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(CpuState* s) => LazyFlags.Carry(s);
}

internal readonly unsafe struct EqualCondition : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(CpuState* s) => LazyFlags.Zero(s);
}

internal readonly unsafe struct BelowEqualCondition : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(CpuState* s) => LazyFlags.Carry(s) || LazyFlags.Zero(s);
}

internal readonly unsafe struct SignCondition : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(CpuState* s) => LazyFlags.Sign(s);
}

internal readonly unsafe struct ParityCondition : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(CpuState* s) => LazyFlags.Parity(s);
}

internal readonly unsafe struct LessCondition : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(CpuState* s) => LazyFlags.Less(s);
}

internal readonly unsafe struct LessEqualCondition : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(CpuState* s) => LazyFlags.Zero(s) || LazyFlags.Less(s);
}
