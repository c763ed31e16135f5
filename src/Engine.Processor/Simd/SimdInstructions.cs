using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Hypervisor.Engine.Processor;

/// <summary>MMX, SSE to SSE4.2 and AVX, and the instructions that save and load their state.</summary>
internal static unsafe partial class SimdInstructions
{
    private const ulong VectorAlignment = 15;

    public static void Register(InstructionTable.Builder table)
    {
        RegisterInteger(table);
        RegisterMoves(table);
        RegisterLanes(table);
        RegisterFloat(table);
        RegisterConversions(table);
        RegisterMmx(table);
        RegisterStrings(table);
        RegisterState(table);
        RegisterVex(table);
    }

    /// <summary>Raises what keeps an SSE instruction from running (SDM vol. 3A, 15.1: CR0.EM, CR4.OSFXSR, CR0.TS).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Enter(X86Processor cpu)
    {
        var state = cpu.State;
        if (((state->Cr0 & (X86Processor.Cr0Em | X86Processor.Cr0Ts)) | (~state->Cr4 & X86Processor.Cr4Osfxsr)) != 0)
        {
            RaiseUnavailable(cpu);
        }
    }

    private static void RaiseUnavailable(X86Processor cpu)
    {
        var state = cpu.State;
        bool undefined = (state->Cr0 & X86Processor.Cr0Em) != 0 || (state->Cr4 & X86Processor.Cr4Osfxsr) == 0;
        cpu.Raise(undefined ? Vector.InvalidOpcode : Vector.DeviceNotAvailable);
    }

    /// <summary>An XMM register by its number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ref Vector128<byte> Xmm(X86Processor cpu, int number) =>
        ref ((Vector128<byte>*)&cpu.State->Vectors)[2 * number];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool HasMemory(DecodedInstruction* i) => (i->Flags & InstructionFlags.Memory) != 0;

    /// <summary>The address of a 16-byte operand, which legacy SSE wants aligned.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong AlignedAddress(X86Processor cpu, DecodedInstruction* i, AccessKind kind)
    {
        ulong address = cpu.Address(i, 16, kind);
        if ((address & VectorAlignment) != 0)
        {
            cpu.RaiseGeneralProtection();
        }

        return address;
    }

    /// <summary>Operand 1: a whole register or 16 aligned bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> Source(X86Processor cpu, DecodedInstruction* i) => HasMemory(i)
        ? cpu.Read<Vector128<byte>>(AlignedAddress(cpu, i, AccessKind.Read))
        : Xmm(cpu, i->Reg1);

    /// <summary>Operand 1: a whole register, or sizeof(T) bytes of memory and zeros above.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> Source<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        if (!HasMemory(i))
        {
            return Xmm(cpu, i->Reg1);
        }

        return Vector128.CreateScalar(cpu.ReadOperand<T>(i)).AsByte();
    }

    /// <summary>Operand 1 as its lowest element.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Element<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged => HasMemory(i) ? cpu.ReadOperand<T>(i) : Unsafe.As<Vector128<byte>, T>(ref Xmm(cpu, i->Reg1));

    /// <summary>The lowest element of a register, as a place.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ref T Low<T>(X86Processor cpu, int number)
        where T : unmanaged => ref Unsafe.As<Vector128<byte>, T>(ref Xmm(cpu, number));
}
