using System.Numerics;
using System.Runtime.CompilerServices;

namespace Hypervisor.Engine.Processor;

/// <summary>
/// String instructions at one width. Each repetition is complete in itself: a fault or an interrupt finds the counter and the
/// pointers where the next one begins.
/// </summary>
internal static unsafe class StringHandlers<T> where T : unmanaged, IBinaryInteger<T>
{
    private const int Rcx = 1, Rsi = 6, Rdi = 7;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong AddressMask(DecodedInstruction* i) =>
        (i->Flags & (InstructionFlags.Address32 | InstructionFlags.Address16)) == 0 ? ulong.MaxValue
        : (i->Flags & InstructionFlags.Address32) != 0 ? 0xFFFF_FFFF : 0xFFFFul;

    private static bool Repeats(DecodedInstruction* i) => (i->Flags & (InstructionFlags.Rep | InstructionFlags.Repne)) != 0;

    private static long Step(X86Processor cpu) => (cpu.State->SystemFlags & Rflags.Direction) != 0 ? -sizeof(T) : sizeof(T);

    // With 16-bit addresses only the low half-word moves; a 32-bit one clears the upper half.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Set(CpuState* s, int register, ulong value, ulong mask) =>
        s->Gpr[register] = mask == 0xFFFF ? (s->Gpr[register] & ~mask) | (value & mask) : value & mask;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Source(X86Processor cpu, DecodedInstruction* i, ulong mask, AccessKind kind) =>
        cpu.SegmentedAddress((SegmentName)i->Segment, cpu.State->Gpr[Rsi] & mask, (uint)sizeof(T), kind);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Destination(X86Processor cpu, ulong mask, AccessKind kind) =>
        cpu.SegmentedAddress(SegmentName.Es, cpu.State->Gpr[Rdi] & mask, (uint)sizeof(T), kind);

    // After a repetition, which may have been a page of memory or a slow device: either goes on, or leaves with RIP on this instruction so
    // that what is pending is served. Traps come between repetitions, too.
    private static bool MustLeave(X86Processor cpu, DecodedInstruction* i)
    {
        if ((!cpu.MustInterpret && cpu.State->Attention == 0) || (cpu.State->Gpr[Rcx] & AddressMask(i)) == 0)
        {
            return false;
        }

        cpu.LeaveRepeated();
        cpu.State->Rip = cpu.InstructionPointer(i);
        return true;
    }

    public static DecodedInstruction* Move(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong mask = AddressMask(i);
        long step = Step(cpu);
        if (!Repeats(i))
        {
            MoveOne(cpu, i, mask, step);
            return i + 1;
        }

        while ((s->Gpr[Rcx] & mask) != 0)
        {
            ulong moved = step > 0 && !cpu.MustInterpret ? MoveSpan(cpu, i, mask) : 0;
            if (moved == 0)
            {
                MoveOne(cpu, i, mask, step);
                moved = 1;
            }

            Set(s, Rcx, s->Gpr[Rcx] - moved, mask);
            if (MustLeave(cpu, i))
            {
                return null;
            }
        }

        return i + 1;
    }

    private static void MoveOne(X86Processor cpu, DecodedInstruction* i, ulong mask, long step)
    {
        CpuState* s = cpu.State;
        T value = cpu.Read<T>(Source(cpu, i, mask, AccessKind.Read));
        cpu.Write(Destination(cpu, mask, AccessKind.Write), value);
        Set(s, Rsi, s->Gpr[Rsi] + (ulong)step, mask);
        Set(s, Rdi, s->Gpr[Rdi] + (ulong)step, mask);
    }

    // As many elements as lie in one page on both sides; 0 when they must go one by one.
    private static ulong MoveSpan(X86Processor cpu, DecodedInstruction* i, ulong mask)
    {
        CpuState* s = cpu.State;
        ulong count = s->Gpr[Rcx] & mask;
        if (count < 4 || !cpu.TrySpan((SegmentName)i->Segment, s->Gpr[Rsi] & mask, mask, AccessKind.Read, ref count, sizeof(T), out byte* from))
        {
            return 0;
        }

        // Between a safe point and this one, both addresses are good; otherwise an element goes by itself, and a span is tried again.
        uint safePoints = cpu.SafePointCount;
        if (!cpu.TrySpan(SegmentName.Es, s->Gpr[Rdi] & mask, mask, AccessKind.Write, ref count, sizeof(T), out byte* to)
            || cpu.SafePointCount != safePoints)
        {
            return 0;
        }

        ulong bytes = count * (ulong)sizeof(T);
        if (to > from && to < from + bytes)
        {
            // The source is overwritten before it is read: element by element has a meaning of its own (fills with a pattern).
            for (ulong n = 0; n < count; n++)
            {
                ((T*)to)[n] = ((T*)from)[n];
            }
        }
        else
        {
            Buffer.MemoryCopy(from, to, bytes, bytes);
        }

        Set(s, Rsi, s->Gpr[Rsi] + bytes, mask);
        Set(s, Rdi, s->Gpr[Rdi] + bytes, mask);
        return count;
    }

    public static DecodedInstruction* Store(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong mask = AddressMask(i);
        long step = Step(cpu);
        T value = Width.Get<T>(s, 0);
        if (!Repeats(i))
        {
            cpu.Write(Destination(cpu, mask, AccessKind.Write), value);
            Set(s, Rdi, s->Gpr[Rdi] + (ulong)step, mask);
            return i + 1;
        }

        while ((s->Gpr[Rcx] & mask) != 0)
        {
            ulong count = s->Gpr[Rcx] & mask;
            if (step > 0 && count >= 4 && !cpu.MustInterpret
                && cpu.TrySpan(SegmentName.Es, s->Gpr[Rdi] & mask, mask, AccessKind.Write, ref count, sizeof(T), out byte* to))
            {
                new Span<T>(to, (int)count).Fill(value);
                Set(s, Rdi, s->Gpr[Rdi] + (count * (ulong)sizeof(T)), mask);
            }
            else
            {
                cpu.Write(Destination(cpu, mask, AccessKind.Write), value);
                Set(s, Rdi, s->Gpr[Rdi] + (ulong)step, mask);
                count = 1;
            }

            Set(s, Rcx, s->Gpr[Rcx] - count, mask);
            if (MustLeave(cpu, i))
            {
                return null;
            }
        }

        return i + 1;
    }

    public static DecodedInstruction* Load(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong mask = AddressMask(i);
        long step = Step(cpu);
        bool repeats = Repeats(i);
        while (!repeats || (s->Gpr[Rcx] & mask) != 0)
        {
            T value = cpu.Read<T>(Source(cpu, i, mask, AccessKind.Read));
            Width.Set(s, 0, value);
            Set(s, Rsi, s->Gpr[Rsi] + (ulong)step, mask);
            if (!repeats)
            {
                break;
            }

            Set(s, Rcx, s->Gpr[Rcx] - 1, mask);
            if (MustLeave(cpu, i))
            {
                return null;
            }
        }

        return i + 1;
    }

    public static DecodedInstruction* Compare(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong mask = AddressMask(i);
        long step = Step(cpu);
        bool repeats = Repeats(i);
        bool whileEqual = (i->Flags & InstructionFlags.Repne) == 0;
        while (!repeats || (s->Gpr[Rcx] & mask) != 0)
        {
            T a = cpu.Read<T>(Source(cpu, i, mask, AccessKind.Read));
            T b = cpu.Read<T>(Destination(cpu, mask, AccessKind.Read));
            Set(s, Rsi, s->Gpr[Rsi] + (ulong)step, mask);
            Set(s, Rdi, s->Gpr[Rdi] + (ulong)step, mask);
            CmpOperation.Apply(s, a, b);
            if (!repeats)
            {
                break;
            }

            Set(s, Rcx, s->Gpr[Rcx] - 1, mask);
            if (a == b != whileEqual)
            {
                break;
            }

            if (MustLeave(cpu, i))
            {
                return null;
            }
        }

        return i + 1;
    }

    public static DecodedInstruction* Scan(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong mask = AddressMask(i);
        long step = Step(cpu);
        bool repeats = Repeats(i);
        bool whileEqual = (i->Flags & InstructionFlags.Repne) == 0;
        T a = Width.Get<T>(s, 0);
        while (!repeats || (s->Gpr[Rcx] & mask) != 0)
        {
            T b = cpu.Read<T>(Destination(cpu, mask, AccessKind.Read));
            Set(s, Rdi, s->Gpr[Rdi] + (ulong)step, mask);
            CmpOperation.Apply(s, a, b);
            if (!repeats)
            {
                break;
            }

            Set(s, Rcx, s->Gpr[Rcx] - 1, mask);
            if (a == b != whileEqual)
            {
                break;
            }

            if (MustLeave(cpu, i))
            {
                return null;
            }
        }

        return i + 1;
    }

    public static DecodedInstruction* Input(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong mask = AddressMask(i);
        long step = Step(cpu);
        bool repeats = Repeats(i);
        ushort port = (ushort)s->Gpr[2];
        cpu.CheckPort(port, sizeof(T));
        while (!repeats || (s->Gpr[Rcx] & mask) != 0)
        {
            ulong linear = Destination(cpu, mask, AccessKind.Write);
            // The port must not be read if the store is going to fault.
            cpu.PrepareStore(linear, sizeof(T));
            cpu.StorePrepared(linear, Width.Truncate<T>(cpu.ReadPort(port, sizeof(T))));
            Set(s, Rdi, s->Gpr[Rdi] + (ulong)step, mask);
            if (!repeats)
            {
                break;
            }

            Set(s, Rcx, s->Gpr[Rcx] - 1, mask);
            if (MustLeave(cpu, i))
            {
                return null;
            }
        }

        return i + 1;
    }

    public static DecodedInstruction* Output(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong mask = AddressMask(i);
        long step = Step(cpu);
        bool repeats = Repeats(i);
        ushort port = (ushort)s->Gpr[2];
        cpu.CheckPort(port, sizeof(T));
        while (!repeats || (s->Gpr[Rcx] & mask) != 0)
        {
            T value = cpu.Read<T>(Source(cpu, i, mask, AccessKind.Read));
            Set(s, Rsi, s->Gpr[Rsi] + (ulong)step, mask);
            if (repeats)
            {
                Set(s, Rcx, s->Gpr[Rcx] - 1, mask);
            }

            cpu.WritePort(port, sizeof(T), (uint)Width.ZeroExtend(value));
            if (!repeats)
            {
                break;
            }

            if (MustLeave(cpu, i))
            {
                return null;
            }
        }

        return i + 1;
    }
}

internal static unsafe partial class IntegerInstructions
{
    private static void RegisterStrings(InstructionTable.Builder table)
    {
        String<byte>(table, "b", "m8", "AL");
        String<ushort>(table, "w", "m16", "AX");
        String<uint>(table, "d", "m32", "EAX");
        String<ulong>(table, "q", "m64", "RAX");
        Ports<byte>(table, "b_m8", "b_DX_m8");
        Ports<ushort>(table, "w_m16", "w_DX_m16");
        Ports<uint>(table, "d_m32", "d_DX_m32");
    }

    private static void String<T>(InstructionTable.Builder table, string suffix, string memory, string accumulator)
        where T : unmanaged, IBinaryInteger<T>
    {
        table.Set(table.Named($"Movs{suffix}_{memory}_{memory}"), &StringHandlers<T>.Move);
        table.Set(table.Named($"Stos{suffix}_{memory}_{accumulator}"), &StringHandlers<T>.Store);
        table.Set(table.Named($"Lods{suffix}_{accumulator}_{memory}"), &StringHandlers<T>.Load);
        table.Set(table.Named($"Cmps{suffix}_{memory}_{memory}"), &StringHandlers<T>.Compare);
        table.Set(table.Named($"Scas{suffix}_{accumulator}_{memory}"), &StringHandlers<T>.Scan);
    }

    private static void Ports<T>(InstructionTable.Builder table, string input, string output) where T : unmanaged, IBinaryInteger<T>
    {
        table.Set(table.Named($"Ins{input}_DX"), &StringHandlers<T>.Input);
        table.Set(table.Named($"Outs{output}"), &StringHandlers<T>.Output);
    }
}
