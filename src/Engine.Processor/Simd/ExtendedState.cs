using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.FloatingPoint;

namespace Hypervisor.Engine.Processor;

/// <summary>The memory image of x87, SSE and AVX state (SDM vol. 1, 10.5.1 and 13.4), and how it is filled and taken apart.</summary>
internal static unsafe class ExtendedState
{
    /// <summary>State components (bits of XCR0).</summary>
    public const ulong X87 = 1, Sse = 2, Avx = 4;

    /// <summary>XCOMP_BV bit 63: the compacted format.</summary>
    public const ulong Compacted = 1ul << 63;

    public const int LegacyBytes = 512;
    public const int MxcsrOffset = 24;
    public const int X87Offset = 32;
    public const int XmmOffset = 160;
    public const int HeaderOffset = 512;

    // Also where XSAVEC puts it, since no component lies between.
    public const int AvxOffset = 576;
    public const int AvxBytes = 256;
    public const int StandardBytes = AvxOffset + AvxBytes;

    /// <summary>Bytes of an area that holds these components.</summary>
    public static int StandardBytesOf(ulong components) => (components & Avx) != 0 ? StandardBytes : AvxOffset;

    /// <summary>Components that are not in their initial configuration (XINUSE). MXCSR does not count.</summary>
    public static ulong InUse(CpuState* state)
    {
        ulong inUse = 0;
        if (state->X87Control != X87State.InitialControl || state->X87Status != 0 || state->X87Valid != 0 || state->X87Opcode != 0
            || state->X87InstructionPointer != 0 || state->X87DataPointer != 0 || HasX87Contents(state))
        {
            inUse |= X87;
        }

        var vectors = (Vector128<byte>*)&state->Vectors;
        var low = Vector128<byte>.Zero;
        var high = Vector128<byte>.Zero;
        for (int number = 0; number < 16; number++)
        {
            low |= vectors[2 * number];
            high |= vectors[(2 * number) + 1];
        }

        return inUse | (low != Vector128<byte>.Zero ? Sse : 0) | (high != Vector128<byte>.Zero ? Avx : 0);
    }

    /// <summary>FNINIT and cleared registers.</summary>
    public static void ResetX87(CpuState* state)
    {
        X87State.Initialize(state);
        state->X87 = default;
    }

    /// <summary>Fills bytes 0–23 and 32–159.</summary>
    /// <param name="state">The processor.</param>
    /// <param name="area">A legacy area.</param>
    /// <param name="wide">64-bit pointers; else 32 bits and selectors, which are stored as zero (CPUID 7.EBX[13]).</param>
    public static void StoreX87(CpuState* state, byte* area, bool wide)
    {
        *(ushort*)area = state->X87Control;
        *(ushort*)(area + 2) = state->X87Status;
        *(ushort*)(area + 4) = (byte)state->X87Valid;
        *(ushort*)(area + 6) = state->X87Opcode;
        *(ulong*)(area + 8) = wide ? state->X87InstructionPointer : (uint)state->X87InstructionPointer;
        *(ulong*)(area + 16) = wide ? state->X87DataPointer : (uint)state->X87DataPointer;
        int top = (state->X87Status >> 11) & 7;
        for (int number = 0; number < 8; number++)
        {
            ref var register = ref state->X87[(top + number) & 7];
            *(ulong*)(area + X87Offset + (number * 16)) = register.Mantissa;
            *(ulong*)(area + X87Offset + (number * 16) + 8) = register.SignExponent;
        }
    }

    /// <summary>Takes bytes 0–23 and 32–159.</summary>
    public static void LoadX87(CpuState* state, byte* area, bool wide)
    {
        state->X87Status = *(ushort*)(area + 2);
        X87State.SetControl(state, *(ushort*)area);
        state->X87Valid = area[4];
        state->X87Opcode = (ushort)(*(ushort*)(area + 6) & 0x7FF);
        state->X87InstructionPointer = wide ? *(ulong*)(area + 8) : *(uint*)(area + 8);
        state->X87DataPointer = wide ? *(ulong*)(area + 16) : *(uint*)(area + 16);
        int top = (state->X87Status >> 11) & 7;
        for (int number = 0; number < 8; number++)
        {
            ref var register = ref state->X87[(top + number) & 7];
            register.Mantissa = *(ulong*)(area + X87Offset + (number * 16));
            register.SignExponent = *(ushort*)(area + X87Offset + (number * 16) + 8);
        }
    }

    /// <summary>Fills MXCSR and its mask of valid bits.</summary>
    public static void StoreMxcsr(CpuState* state, byte* area)
    {
        *(uint*)(area + MxcsrOffset) = state->Mxcsr;
        *(uint*)(area + MxcsrOffset + 4) = Mxcsr.Valid;
    }

    public static void StoreXmm(CpuState* state, byte* area, int count)
    {
        var vectors = (Vector128<byte>*)&state->Vectors;
        for (int number = 0; number < count; number++)
        {
            *(Vector128<byte>*)(area + XmmOffset + (number * 16)) = vectors[2 * number];
        }
    }

    public static void LoadXmm(CpuState* state, byte* area, int count)
    {
        var vectors = (Vector128<byte>*)&state->Vectors;
        for (int number = 0; number < count; number++)
        {
            vectors[2 * number] = *(Vector128<byte>*)(area + XmmOffset + (number * 16));
        }
    }

    /// <summary>Fills the AVX component: the upper halves.</summary>
    public static void StoreUpper(CpuState* state, byte* component, int count)
    {
        var vectors = (Vector128<byte>*)&state->Vectors;
        for (int number = 0; number < count; number++)
        {
            *(Vector128<byte>*)(component + (number * 16)) = vectors[(2 * number) + 1];
        }
    }

    public static void LoadUpper(CpuState* state, byte* component, int count)
    {
        var vectors = (Vector128<byte>*)&state->Vectors;
        for (int number = 0; number < count; number++)
        {
            vectors[(2 * number) + 1] = *(Vector128<byte>*)(component + (number * 16));
        }
    }

    private static bool HasX87Contents(CpuState* state)
    {
        ulong bits = 0;
        for (int number = 0; number < 8; number++)
        {
            bits |= state->X87[number].Mantissa | state->X87[number].SignExponent;
        }

        return bits != 0;
    }
}
