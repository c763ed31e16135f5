using System.Numerics;

namespace Hypervisor.Engine.Processor;

/// <summary>XCHG, XADD and CMPXCHG at one width. XCHG with memory is locked with or without the prefix.</summary>
internal static unsafe class ExchangeHandlers<T> where T : unmanaged, IBinaryInteger<T>
{
    public static DecodedInstruction* SwapRegisters(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        T a = Width.Get<T>(s, i->Reg0);
        T b = Width.Get<T>(s, i->Reg1);
        Width.Set(s, i->Reg0, b);
        Width.Set(s, i->Reg1, a);
        return i + 1;
    }

    public static DecodedInstruction* SwapMemory(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong linear = cpu.Address(i, sizeof(T), AccessKind.Write);
        T value = Width.Get<T>(s, i->Reg1);
        while (true)
        {
            T old = cpu.BeginModify<T>(linear, out byte* host);
            if (cpu.FinishLocked(linear, host, value, old))
            {
                Width.Set(s, i->Reg1, old);
                return i + 1;
            }

            if (cpu.MustBeginAgain(i))
            {
                return null;
            }
        }
    }

    public static DecodedInstruction* AddRegisters(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        T a = Width.Get<T>(s, i->Reg0);
        T sum = AddOperation.Apply(s, a, Width.Get<T>(s, i->Reg1));
        Width.Set(s, i->Reg1, a);
        Width.Set(s, i->Reg0, sum);
        return i + 1;
    }

    public static DecodedInstruction* AddMemory(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong linear = cpu.Address(i, sizeof(T), AccessKind.Write);
        T b = Width.Get<T>(s, i->Reg1);
        while (true)
        {
            T old = cpu.BeginModify<T>(linear, out byte* host);
            if (Store(cpu, i, linear, host, unchecked(old + b), old))
            {
                AddOperation.Apply(s, old, b);
                Width.Set(s, i->Reg1, old);
                return i + 1;
            }

            if (cpu.MustBeginAgain(i))
            {
                return null;
            }
        }
    }

    public static DecodedInstruction* CompareRegisters(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        T old = Width.Get<T>(s, i->Reg0);
        T accumulator = Width.Get<T>(s, 0);
        CmpOperation.Apply(s, accumulator, old);
        if (accumulator == old)
        {
            Width.Set(s, i->Reg0, Width.Get<T>(s, i->Reg1));
        }
        else
        {
            Width.Set(s, 0, old);
        }

        return i + 1;
    }

    public static DecodedInstruction* CompareMemory(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong linear = cpu.Address(i, sizeof(T), AccessKind.Write);
        T accumulator = Width.Get<T>(s, 0);
        while (true)
        {
            T old = cpu.BeginModify<T>(linear, out byte* host);
            bool equal = accumulator == old;
            if (equal && !Store(cpu, i, linear, host, Width.Get<T>(s, i->Reg1), old))
            {
                if (cpu.MustBeginAgain(i))
                {
                    return null;
                }

                continue;
            }

            CmpOperation.Apply(s, accumulator, old);
            if (!equal)
            {
                Width.Set(s, 0, old);
            }

            return i + 1;
        }
    }

    private static bool Store(X86Processor cpu, DecodedInstruction* i, ulong linear, byte* host, T value, T old)
    {
        if ((i->Flags & InstructionFlags.Lock) != 0)
        {
            return cpu.FinishLocked(linear, host, value, old);
        }

        cpu.FinishModify(linear, host, value);
        return true;
    }
}

internal static unsafe partial class IntegerInstructions
{
    private static void RegisterExchanges(InstructionTable.Builder table)
    {
        Exchange<byte>(table, 8);
        Exchange<ushort>(table, 16);
        Exchange<uint>(table, 32);
        Exchange<ulong>(table, 64);
        table.Set(table.Named("Xchg_r16_AX"), &ExchangeHandlers<ushort>.SwapRegisters);
        table.Set(table.Named("Xchg_r32_EAX"), &ExchangeHandlers<uint>.SwapRegisters);
        table.Set(table.Named("Xchg_r64_RAX"), &ExchangeHandlers<ulong>.SwapRegisters);
        table.Set(table.Named("Cmpxchg8b_m64"), &CompareExchange8);
        table.Set(table.Named("Cmpxchg16b_m128"), &CompareExchange16);
    }

    private static void Exchange<T>(InstructionTable.Builder table, int bits) where T : unmanaged, IBinaryInteger<T>
    {
        table.Set(table.Named($"Xchg_rm{bits}_r{bits}"), &ExchangeHandlers<T>.SwapRegisters, &ExchangeHandlers<T>.SwapMemory);
        table.Set(table.Named($"Xadd_rm{bits}_r{bits}"), &ExchangeHandlers<T>.AddRegisters, &ExchangeHandlers<T>.AddMemory);
        table.Set(table.Named($"Cmpxchg_rm{bits}_r{bits}"), &ExchangeHandlers<T>.CompareRegisters, &ExchangeHandlers<T>.CompareMemory);
    }

    private static DecodedInstruction* CompareExchange8(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong linear = cpu.Address(i, 8, AccessKind.Write);
        ulong expected = (s->Gpr[2] << 32) | (uint)s->Gpr[0];
        ulong desired = (s->Gpr[1] << 32) | (uint)s->Gpr[3];
        ulong old;
        while (true)
        {
            old = cpu.BeginModify<ulong>(linear, out byte* host);
            if (old != expected || cpu.FinishLocked(linear, host, desired, old))
            {
                break;
            }

            if (cpu.MustBeginAgain(i))
            {
                return null;
            }
        }

        SetZero(s, old == expected);
        if (old != expected)
        {
            s->Gpr[0] = (uint)old;
            s->Gpr[2] = old >> 32;
        }

        return i + 1;
    }

    private static DecodedInstruction* CompareExchange16(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong linear = cpu.Address(i, 16, AccessKind.Write);
        if ((linear & 15) != 0)
        {
            cpu.RaiseGeneralProtection();
        }

        ulong* expected = stackalloc ulong[2];
        expected[0] = s->Gpr[0];
        expected[1] = s->Gpr[2];
        bool equal = cpu.CompareExchangeWide(linear, expected, s->Gpr[3], s->Gpr[1]);
        if (!equal)
        {
            s->Gpr[0] = expected[0];
            s->Gpr[2] = expected[1];
        }

        SetZero(s, equal);
        return i + 1;
    }

    private static void SetZero(CpuState* s, bool zero)
    {
        ulong flags = LazyFlags.Materialise(s);
        LazyFlags.Set(s, zero ? flags | Rflags.Zero : flags & ~Rflags.Zero);
    }
}
