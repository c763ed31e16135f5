using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.Simd;

namespace Hypervisor.Engine.Processor;

// What the VEX-encoded forms (AVX, AVX2, FMA) have in common: a separate destination, operands without alignment, 256 bits or a
// cleared upper half.
internal static unsafe partial class SimdInstructions
{
    /// <summary>Components of XCR0 that the VEX encodings need: SSE and AVX state.</summary>
    private const ulong VexState = ExtendedState.Sse | ExtendedState.Avx;

    private static void RegisterVex(InstructionTable.Builder table)
    {
        RegisterVexMoves(table);
        RegisterVexLanes(table);
        RegisterVexPermutes(table);
        RegisterVexMasked(table);
        RegisterVexGathers(table);
        RegisterVexFloat(table);
        RegisterVexConversions(table);
        RegisterFused(table);
    }

    /// <summary>Raises what keeps a VEX-encoded vector instruction from running (SDM vol. 2A, 2.4).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void EnterVex(X86Processor cpu)
    {
        var state = cpu.State;
        if (((state->Cr0 & X86Processor.Cr0Ts) | (~state->Cr4 & X86Processor.Cr4Osxsave) | (~state->Xcr0 & VexState)) != 0
            || cpu.IsRealOrVirtual8086)
        {
            RaiseVexUnavailable(cpu);
        }
    }

    private static void RaiseVexUnavailable(X86Processor cpu)
    {
        var state = cpu.State;
        bool undefined = ((~state->Cr4 & X86Processor.Cr4Osxsave) | (~state->Xcr0 & VexState)) != 0 || cpu.IsRealOrVirtual8086;
        cpu.Raise(undefined ? Vector.InvalidOpcode : Vector.DeviceNotAvailable);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Enter<TEncoding>(X86Processor cpu)
        where TEncoding : struct, IVectorEncoding
    {
        if (TEncoding.IsVex)
        {
            EnterVex(cpu);
        }
        else
        {
            Enter(cpu);
        }
    }

    /// <summary>Operand 1 of 16 bytes: aligned memory in the legacy encoding, any in VEX.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> EncodedSource<TEncoding>(X86Processor cpu, DecodedInstruction* i)
        where TEncoding : struct, IVectorEncoding => TEncoding.IsVex ? Operand128(cpu, i, i->Reg1) : Source(cpu, i);

    /// <summary>A YMM register by its number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ref Vector256<byte> Ymm(X86Processor cpu, int number) => ref ((Vector256<byte>*)&cpu.State->Vectors)[number];

    /// <summary>Writes an XMM register and clears what lies above it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void SetXmm(X86Processor cpu, int number, Vector128<byte> value) => Ymm(cpu, number) = value.ToVector256();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> Operand128(X86Processor cpu, DecodedInstruction* i, int register) => HasMemory(i)
        ? cpu.ReadOperand<Vector128<byte>>(i)
        : Xmm(cpu, register);

    /// <summary>Memory or a register, as long as the instruction's vectors are; what lies above is zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> Operand<TLength>(X86Processor cpu, DecodedInstruction* i, int register)
        where TLength : struct, IVectorLength
    {
        if (!TLength.IsWide)
        {
            return Operand128(cpu, i, register).ToVector256();
        }

        return HasMemory(i) ? cpu.ReadOperand<Vector256<byte>>(i) : Ymm(cpu, register);
    }

    /// <summary>Writes the destination; what lies above the instruction's length is cleared.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<TLength>(X86Processor cpu, int register, Vector256<byte> value)
        where TLength : struct, IVectorLength =>
        Ymm(cpu, register) = TLength.IsWide ? value : value.GetLower().ToVector256();

    /// <summary>An operation on both halves, or on the lower alone.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> Halves<TOp, TLength>(Vector256<byte> a, Vector256<byte> b)
        where TOp : struct, IVectorBinary
        where TLength : struct, IVectorLength
    {
        var low = TOp.Apply(a.GetLower(), b.GetLower());
        return TLength.IsWide ? Vector256.Create(low, TOp.Apply(a.GetUpper(), b.GetUpper())) : low.ToVector256();
    }

    /// <inheritdoc cref="Halves{TOp, TLength}(Vector256{byte}, Vector256{byte})"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> Halves<TOp, TLength>(Vector256<byte> a, Vector256<byte> b, byte immediate)
        where TOp : struct, IVectorImmediate
        where TLength : struct, IVectorLength
    {
        var low = TOp.Apply(a.GetLower(), b.GetLower(), immediate);
        return TLength.IsWide
            ? Vector256.Create(low, TOp.Apply(a.GetUpper(), b.GetUpper(), TOp.Upper(immediate)))
            : low.ToVector256();
    }

    private static DecodedInstruction* VexBinary<TOp, TLength>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorBinary
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        var second = Operand<TLength>(cpu, i, i->Reg2);
        Store<TLength>(cpu, i->Reg0, Halves<TOp, TLength>(Ymm(cpu, i->Reg1), second));
        return i + 1;
    }

    private static DecodedInstruction* VexUnary<TOp, TLength>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorBinary
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        var source = Operand<TLength>(cpu, i, i->Reg1);
        Store<TLength>(cpu, i->Reg0, Halves<TOp, TLength>(source, source));
        return i + 1;
    }

    private static DecodedInstruction* VexImmediate<TOp, TLength>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorImmediate
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        var second = Operand<TLength>(cpu, i, i->Reg2);
        Store<TLength>(cpu, i->Reg0, Halves<TOp, TLength>(Ymm(cpu, i->Reg1), second, (byte)i->Immediate));
        return i + 1;
    }

    private static DecodedInstruction* VexUnaryImmediate<TOp, TLength>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorImmediate
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        var source = Operand<TLength>(cpu, i, i->Reg1);
        Store<TLength>(cpu, i->Reg0, Halves<TOp, TLength>(source, source, (byte)i->Immediate));
        return i + 1;
    }

    // The register shifted is named by VEX.vvvv with an immediate count, but that is the destination: operand 1 is the source.
    private static DecodedInstruction* VexShiftByImmediate<TOp, TLength>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorShift
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        ShiftHalves<TOp, TLength>(cpu, i, (byte)i->Immediate);
        return i + 1;
    }

    // The count is 64 of 128 bits whatever the length.
    private static DecodedInstruction* VexShiftByRegister<TOp, TLength>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorShift
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        ShiftHalves<TOp, TLength>(cpu, i, Operand128(cpu, i, i->Reg2).AsUInt64().ToScalar());
        return i + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void ShiftHalves<TOp, TLength>(X86Processor cpu, DecodedInstruction* i, ulong count)
        where TOp : struct, IVectorShift
        where TLength : struct, IVectorLength
    {
        var source = Ymm(cpu, i->Reg1);
        var low = TOp.Apply(source.GetLower(), count);
        Ymm(cpu, i->Reg0) = TLength.IsWide ? Vector256.Create(low, TOp.Apply(source.GetUpper(), count)) : low.ToVector256();
    }

    private static DecodedInstruction* VexWiden<TOp, T>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorBinary
        where T : unmanaged
    {
        EnterVex(cpu);
        var source = Source<T>(cpu, i);
        SetXmm(cpu, i->Reg0, TOp.Apply(source, source));
        return i + 1;
    }

    // The source is sizeof(T) bytes; each half widens one half of it.
    private static DecodedInstruction* VexWidenBoth<TOp, T>(X86Processor cpu, DecodedInstruction* i)
        where TOp : struct, IVectorBinary
        where T : unmanaged
    {
        EnterVex(cpu);
        var source = sizeof(T) == 16 ? Operand128(cpu, i, i->Reg1) : Source<T>(cpu, i);
        var upper = Psrldq.Apply(source, (ulong)sizeof(T) / 2);
        Ymm(cpu, i->Reg0) = Vector256.Create(TOp.Apply(source, source), TOp.Apply(upper, upper));
        return i + 1;
    }
}
