using System.Numerics;

namespace Hypervisor.Engine.Processor;

/// <summary>Handlers of a two-operand operation at one width, one for each shape of operands.</summary>
internal static unsafe class BinaryHandlers<TOperation, T>
    where TOperation : struct, IBinaryOperation
    where T : unmanaged, IBinaryInteger<T>
{
    public static DecodedInstruction* RegisterRegister(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        T r = TOperation.Apply(s, Width.Get<T>(s, i->Reg0), Width.Get<T>(s, i->Reg1));
        if (TOperation.Stores)
        {
            Width.Set(s, i->Reg0, r);
        }

        return i + 1;
    }

    public static DecodedInstruction* RegisterImmediate(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        T r = TOperation.Apply(s, Width.Get<T>(s, i->Reg0), Width.Truncate<T>((ulong)i->Immediate));
        if (TOperation.Stores)
        {
            Width.Set(s, i->Reg0, r);
        }

        return i + 1;
    }

    public static DecodedInstruction* RegisterMemory(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        T b = cpu.ReadOperand<T>(i);
        T r = TOperation.Apply(s, Width.Get<T>(s, i->Reg0), b);
        if (TOperation.Stores)
        {
            Width.Set(s, i->Reg0, r);
        }

        return i + 1;
    }

    public static DecodedInstruction* MemoryRegister(X86Processor cpu, DecodedInstruction* i) =>
        ToMemory(cpu, i, Width.Get<T>(cpu.State, i->Reg1));

    public static DecodedInstruction* MemoryImmediate(X86Processor cpu, DecodedInstruction* i) =>
        ToMemory(cpu, i, Width.Truncate<T>((ulong)i->Immediate));

    public static DecodedInstruction* LockedRegister(X86Processor cpu, DecodedInstruction* i) =>
        ToLocked(cpu, i, Width.Get<T>(cpu.State, i->Reg1));

    public static DecodedInstruction* LockedImmediate(X86Processor cpu, DecodedInstruction* i) =>
        ToLocked(cpu, i, Width.Truncate<T>((ulong)i->Immediate));

    [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.AggressiveInlining)]
    private static DecodedInstruction* ToMemory(X86Processor cpu, DecodedInstruction* i, T b)
    {
        if (TOperation.Stores)
        {
            ulong linear = cpu.Address(i, sizeof(T), AccessKind.Write);
            T a = cpu.BeginModify<T>(linear, out byte* host);
            cpu.FinishModify(linear, host, TOperation.Apply(cpu.State, a, b));
        }
        else
        {
            TOperation.Apply(cpu.State, cpu.ReadOperand<T>(i), b);
        }

        return i + 1;
    }

    private static DecodedInstruction* ToLocked(X86Processor cpu, DecodedInstruction* i, T b)
    {
        CpuState* s = cpu.State;
        ulong linear = cpu.Address(i, sizeof(T), AccessKind.Write);
        // ADC and SBB read CF, which a failed attempt has changed.
        long result = s->FlagResult;
        ulong aux = s->FlagAux;
        while (true)
        {
            T a = cpu.BeginModify<T>(linear, out byte* host);
            if (cpu.FinishLocked(linear, host, TOperation.Apply(s, a, b), a))
            {
                return i + 1;
            }

            s->FlagResult = result;
            s->FlagAux = aux;
            if (cpu.MustBeginAgain(i))
            {
                return null;
            }
        }
    }
}

/// <summary>Handlers of a one-operand operation at one width.</summary>
internal static unsafe class UnaryHandlers<TOperation, T>
    where TOperation : struct, IUnaryOperation
    where T : unmanaged, IBinaryInteger<T>
{
    public static DecodedInstruction* Register(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        Width.Set(s, i->Reg0, TOperation.Apply(s, Width.Get<T>(s, i->Reg0)));
        return i + 1;
    }

    public static DecodedInstruction* Memory(X86Processor cpu, DecodedInstruction* i)
    {
        ulong linear = cpu.Address(i, sizeof(T), AccessKind.Write);
        T a = cpu.BeginModify<T>(linear, out byte* host);
        cpu.FinishModify(linear, host, TOperation.Apply(cpu.State, a));
        return i + 1;
    }

    public static DecodedInstruction* Locked(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong linear = cpu.Address(i, sizeof(T), AccessKind.Write);
        long result = s->FlagResult;
        ulong aux = s->FlagAux;
        while (true)
        {
            T a = cpu.BeginModify<T>(linear, out byte* host);
            if (cpu.FinishLocked(linear, host, TOperation.Apply(s, a), a))
            {
                return i + 1;
            }

            s->FlagResult = result;
            s->FlagAux = aux;
            if (cpu.MustBeginAgain(i))
            {
                return null;
            }
        }
    }
}
