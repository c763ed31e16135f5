using System.Numerics;
using System.Runtime.CompilerServices;

namespace Hypervisor.Engine.Processor;

/// <summary>Bits of RFLAGS.</summary>
internal static class Rflags
{
    public const ulong Carry = 1, Fixed = 2, Parity = 4, Adjust = 0x10, Zero = 0x40, Sign = 0x80, Trap = 0x100, Interrupt = 0x200,
        Direction = 0x400, Overflow = 0x800, IoPrivilege = 0x3000, NestedTask = 0x4000, Resume = 0x10000, Virtual8086 = 0x20000,
        AlignmentCheck = 0x40000, VirtualInterrupt = 0x80000, VirtualInterruptPending = 0x100000, Identification = 0x200000;

    public const ulong Arithmetic = Carry | Parity | Adjust | Zero | Sign | Overflow;
    public const ulong All = Arithmetic | Trap | Interrupt | Direction | IoPrivilege | NestedTask | Resume | Virtual8086
        | AlignmentCheck | VirtualInterrupt | VirtualInterruptPending | Identification;
}

/// <summary>
/// The arithmetic flags, kept so that setting them is a few operations without a branch and reading one needs no knowledge of what
/// set it. <see cref="CpuState.FlagResult"/> is the result, sign-extended to 64 bits: ZF, SF and PF follow from it.
/// <see cref="CpuState.FlagAux"/> holds the carry out of the top bit (63), the carry into it (62; OF is the two bits' exclusive
/// or), the carry out of bit 3 (bit 3: AF), and corrections for combinations that no result has: bit 0 inverts SF, bits 8–15 are
/// exclusive-ored into the byte whose parity is PF.
/// </summary>
internal static unsafe class LazyFlags
{
    private const ulong CarryOut = 1ul << 63, CarryIn = 1ul << 62, AdjustBit = 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Carry(CpuState* s) => (long)s->FlagAux < 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong CarryBit(CpuState* s) => s->FlagAux >> 63;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Zero(CpuState* s) => s->FlagResult == 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Sign(CpuState* s) => ((((ulong)s->FlagResult >> 63) ^ s->FlagAux) & 1) != 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Overflow(CpuState* s) => (long)(s->FlagAux ^ (s->FlagAux << 1)) < 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Less(CpuState* s) => (long)((ulong)s->FlagResult ^ (s->FlagAux << 63) ^ s->FlagAux ^ (s->FlagAux << 1)) < 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Parity(CpuState* s) => (BitOperations.PopCount((uint)(byte)((ulong)s->FlagResult ^ (s->FlagAux >> 8))) & 1) == 0;

    /// <summary>All six flags in their places in RFLAGS.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong Materialise(CpuState* s)
    {
        ulong aux = s->FlagAux;
        return (aux >> 63)
            | (Parity(s) ? Rflags.Parity : 0)
            | ((aux & AdjustBit) << 1)
            | (s->FlagResult == 0 ? Rflags.Zero : 0)
            | (Sign(s) ? Rflags.Sign : 0)
            | (Overflow(s) ? Rflags.Overflow : 0);
    }

    /// <summary>Sets all six from their places in RFLAGS; other bits are ignored.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Set(CpuState* s, ulong flags)
    {
        // With ZF the result is 0 (SF 0, PF 1), without it 1 (SF 0, PF 0): the deltas do the rest.
        bool zero = (flags & Rflags.Zero) != 0;
        bool parity = (flags & Rflags.Parity) != 0;
        ulong carry = flags & Rflags.Carry;
        ulong overflow = (flags / Rflags.Overflow) & 1;
        s->FlagResult = zero ? 0 : 1;
        s->FlagAux = (carry << 63) | ((carry ^ overflow) << 62) | ((flags & Rflags.Adjust) >> 1)
            | ((flags & Rflags.Sign) >> 7) | (parity != zero ? 1ul << 8 : 0);
    }

    /// <summary>Replaces CF, leaving the others (CLC, STC, CMC, BT).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetCarry(CpuState* s, bool carry)
    {
        ulong aux = s->FlagAux;
        // OF is the difference of the two carries: flipping CF must flip both.
        if ((long)aux < 0 != carry)
        {
            s->FlagAux = aux ^ (CarryOut | CarryIn);
        }
    }

    /// <summary>Sets the flags from a result, CF and OF; AF is cleared.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetResult(CpuState* s, long signExtended, ulong carry, ulong overflow)
    {
        s->FlagResult = signExtended;
        s->FlagAux = (carry << 63) | ((carry ^ overflow) << 62);
    }
}
