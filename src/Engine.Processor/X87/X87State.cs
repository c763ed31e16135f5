using System.Runtime.CompilerServices;
using Hypervisor.Engine.Processor.FloatingPoint;

namespace Hypervisor.Engine.Processor;

/// <summary>The x87 register stack and its control, status and tag words (SDM vol. 1, 8.1).</summary>
internal static unsafe class X87State
{
    public const ushort InitialControl = 0x37F;

    public const int C0 = 1 << 8, C1 = 1 << 9, C2 = 1 << 10, C3 = 1 << 14;
    public const int StackFault = 1 << 6, ErrorSummary = 1 << 7, Busy = 1 << 15;

    private const int TopShift = 11;
    private const int TopMask = 7 << TopShift;
    private const int ControlMask = 0x1F7F;

    public static int Top(CpuState* state) => (state->X87Status >> TopShift) & 7;

    public static void SetTop(CpuState* state, int top) =>
        state->X87Status = (ushort)((state->X87Status & ~TopMask) | ((top & 7) << TopShift));

    /// <summary>Physical number of ST(n).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Physical(CpuState* state, int n) => ((state->X87Status >> TopShift) + n) & 7;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsEmpty(CpuState* state, int n) => (state->X87Valid >> Physical(state, n) & 1) == 0;

    public static void Free(CpuState* state, int n) => state->X87Valid &= (ushort)~(1 << Physical(state, n));

    public static Float80 Get(CpuState* state, int n)
    {
        ref var register = ref state->X87[Physical(state, n)];
        return new Float80(register.Mantissa, register.SignExponent);
    }

    /// <summary>Writes ST(n) and marks it in use.</summary>
    public static void Set(CpuState* state, int n, Float80 value)
    {
        int physical = Physical(state, n);
        ref var register = ref state->X87[physical];
        register.Mantissa = value.Significand;
        register.SignExponent = value.SignExponent;
        state->X87Valid |= (ushort)(1 << physical);
    }

    public static void Pop(CpuState* state)
    {
        Free(state, 0);
        SetTop(state, Top(state) + 1);
    }

    /// <summary>FNINIT: the registers keep their contents but are all empty.</summary>
    public static void Initialize(CpuState* state)
    {
        state->X87Control = InitialControl;
        state->X87Status = 0;
        state->X87Valid = 0;
        state->X87Opcode = 0;
        state->X87InstructionPointer = 0;
        state->X87DataPointer = 0;
    }

    public static void SetControl(CpuState* state, ushort value)
    {
        // Bit 6 always reads as one; bit 12 (infinity control) only keeps its value.
        state->X87Control = (ushort)((value & ControlMask) | 0x40);
        UpdateSummary(state);
    }

    /// <summary>ES and B say that an unmasked exception is pending.</summary>
    public static void UpdateSummary(CpuState* state)
    {
        uint pending = state->X87Status & ~(uint)state->X87Control & (uint)FloatExceptions.All;
        state->X87Status = (ushort)((state->X87Status & ~(ErrorSummary | Busy)) | (pending != 0 ? ErrorSummary | Busy : 0));
    }

    /// <summary>The tag word with two bits a physical register: valid, zero, special, empty.</summary>
    public static ushort FullTags(CpuState* state)
    {
        int tags = 0;
        for (int physical = 0; physical < 8; physical++)
        {
            int tag = 3;
            if ((state->X87Valid >> physical & 1) != 0)
            {
                ref var register = ref state->X87[physical];
                int exponent = register.SignExponent & 0x7FFF;
                bool integerBit = register.Mantissa >> 63 != 0;
                tag = exponent == 0 && register.Mantissa == 0 ? 1
                    : exponent == 0 || exponent == 0x7FFF || !integerBit ? 2
                    : 0;
            }

            tags |= tag << (2 * physical);
        }

        return (ushort)tags;
    }

    public static void SetFullTags(CpuState* state, ushort tags)
    {
        int valid = 0;
        for (int physical = 0; physical < 8; physical++)
        {
            valid |= (tags >> (2 * physical) & 3) != 3 ? 1 << physical : 0;
        }

        state->X87Valid = (ushort)valid;
    }
}
