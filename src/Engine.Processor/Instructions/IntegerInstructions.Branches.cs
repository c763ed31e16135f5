using System.Numerics;
using System.Runtime.CompilerServices;

namespace Hypervisor.Engine.Processor;

/// <summary>Near branches; T is the width of RIP in this mode and operand size.</summary>
internal static unsafe class BranchHandlers<T> where T : unmanaged, IBinaryInteger<T>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Mask(ulong rip) => Width.ZeroExtend(Width.Truncate<T>(rip));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Target(X86Processor cpu, DecodedInstruction* i) => Mask(cpu.State->BlockRip + (ulong)i->Immediate);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Next(X86Processor cpu, DecodedInstruction* i) => Mask(cpu.State->BlockRip + i->Offset + i->Length);

    /// <summary>
    /// Raises #GP(0) for a target outside the code segment, or one that is no canonical address: at the branch, as Intel's processors
    /// do. A branch that is linked to its target has been here before.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Check(X86Processor cpu, ulong target)
    {
        if (sizeof(T) == 8 ? !X86Processor.IsCanonical(target) : target > cpu.CodeLimit)
        {
            cpu.RaiseGeneralProtection();
        }

        return target;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static DecodedInstruction* Go(X86Processor cpu, DecodedInstruction* i)
    {
        ulong target = Target(cpu, i);
        if (i->Link == null)
        {
            Check(cpu, target);
        }

        return cpu.Branch(i, &i->Link, target);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static DecodedInstruction* GoOn(X86Processor cpu, DecodedInstruction* i) =>
        cpu.Branch(i, (DecodedInstruction**)&i->Displacement, cpu.NextRip(i));

    public static DecodedInstruction* Jump(X86Processor cpu, DecodedInstruction* i) => Go(cpu, i);

    public static DecodedInstruction* JumpRegister(X86Processor cpu, DecodedInstruction* i) =>
        cpu.BranchIndirect(i, Check(cpu, Width.ZeroExtend(Width.Get<T>(cpu.State, i->Reg0))));

    public static DecodedInstruction* JumpMemory(X86Processor cpu, DecodedInstruction* i) =>
        cpu.BranchIndirect(i, Check(cpu, Width.ZeroExtend(cpu.ReadOperand<T>(i))));

    public static DecodedInstruction* Call(X86Processor cpu, DecodedInstruction* i)
    {
        ulong target = Target(cpu, i);
        if (i->Link == null)
        {
            Check(cpu, target);
        }

        cpu.Push(Width.Truncate<T>(Next(cpu, i)));
        return cpu.Branch(i, &i->Link, target);
    }

    public static DecodedInstruction* CallRegister(X86Processor cpu, DecodedInstruction* i)
    {
        ulong target = Check(cpu, Width.ZeroExtend(Width.Get<T>(cpu.State, i->Reg0)));
        cpu.Push(Width.Truncate<T>(Next(cpu, i)));
        return cpu.BranchIndirect(i, target);
    }

    public static DecodedInstruction* CallMemory(X86Processor cpu, DecodedInstruction* i)
    {
        ulong target = Check(cpu, Width.ZeroExtend(cpu.ReadOperand<T>(i)));
        cpu.CheckStackAddress(-sizeof(T), sizeof(T));
        cpu.Push(Width.Truncate<T>(Next(cpu, i)));
        return cpu.BranchIndirect(i, target);
    }

    public static DecodedInstruction* Return(X86Processor cpu, DecodedInstruction* i)
    {
        ulong target = Check(cpu, Width.ZeroExtend(cpu.Peek<T>()));
        cpu.MoveStack(sizeof(T));
        return cpu.BranchIndirect(i, target);
    }

    public static DecodedInstruction* ReturnRelease(X86Processor cpu, DecodedInstruction* i)
    {
        ulong target = Check(cpu, Width.ZeroExtend(cpu.Peek<T>()));
        cpu.MoveStack(sizeof(T) + (int)(i->Immediate & 0xFFFF));
        return cpu.BranchIndirect(i, target);
    }
}

/// <summary>Jcc: the link is the taken branch's, the displacement's place holds the other's.</summary>
internal static unsafe class ConditionalBranchHandlers<TCondition, T>
    where TCondition : struct, ICondition
    where T : unmanaged, IBinaryInteger<T>
{
    public static DecodedInstruction* Jump(X86Processor cpu, DecodedInstruction* i) =>
        TCondition.Holds(cpu.State) ? BranchHandlers<T>.Go(cpu, i) : BranchHandlers<T>.GoOn(cpu, i);
}

/// <summary>LOOP, LOOPE, LOOPNE and JrCXZ with a counter of width TCounter.</summary>
internal static unsafe class LoopHandlers<TCounter, T>
    where TCounter : unmanaged, IBinaryInteger<TCounter>
    where T : unmanaged, IBinaryInteger<T>
{
    private const byte CounterOffset = 8;

    public static DecodedInstruction* Loop(X86Processor cpu, DecodedInstruction* i) => Count(cpu, i, true);

    public static DecodedInstruction* LoopEqual(X86Processor cpu, DecodedInstruction* i) => Count(cpu, i, LazyFlags.Zero(cpu.State));

    public static DecodedInstruction* LoopNotEqual(X86Processor cpu, DecodedInstruction* i) => Count(cpu, i, !LazyFlags.Zero(cpu.State));

    public static DecodedInstruction* JumpIfZero(X86Processor cpu, DecodedInstruction* i) =>
        Width.Get<TCounter>(cpu.State, CounterOffset) == TCounter.Zero ? BranchHandlers<T>.Go(cpu, i) : BranchHandlers<T>.GoOn(cpu, i);

    private static DecodedInstruction* Count(X86Processor cpu, DecodedInstruction* i, bool holds)
    {
        TCounter count = unchecked(Width.Get<TCounter>(cpu.State, CounterOffset) - TCounter.One);
        bool taken = holds && count != TCounter.Zero;
        if (taken && i->Link == null)
        {
            // The counter is not touched by a branch that faults.
            BranchHandlers<T>.Check(cpu, BranchHandlers<T>.Target(cpu, i));
        }

        Width.Set(cpu.State, CounterOffset, count);
        return taken ? BranchHandlers<T>.Go(cpu, i) : BranchHandlers<T>.GoOn(cpu, i);
    }
}

internal static unsafe partial class IntegerInstructions
{
    private static void RegisterBranches(InstructionTable.Builder table)
    {
        table.Set(table.Named("Jmp_rel8_16"), &BranchHandlers<ushort>.Jump);
        table.Set(table.Named("Jmp_rel8_32"), &BranchHandlers<uint>.Jump);
        table.Set(table.Named("Jmp_rel8_64"), &BranchHandlers<ulong>.Jump);
        table.Set(table.Named("Jmp_rel16"), &BranchHandlers<ushort>.Jump);
        table.Set(table.Named("Jmp_rel32_32"), &BranchHandlers<uint>.Jump);
        table.Set(table.Named("Jmp_rel32_64"), &BranchHandlers<ulong>.Jump);
        table.Set(table.Named("Call_rel16"), &BranchHandlers<ushort>.Call);
        table.Set(table.Named("Call_rel32_32"), &BranchHandlers<uint>.Call);
        table.Set(table.Named("Call_rel32_64"), &BranchHandlers<ulong>.Call);
        Indirect<ushort>(table, 16, "w");
        Indirect<uint>(table, 32, "d");
        Indirect<ulong>(table, 64, "q");
        Condition<OverflowCondition>(table, "o");
        Condition<Not<OverflowCondition>>(table, "no");
        Condition<BelowCondition>(table, "b");
        Condition<Not<BelowCondition>>(table, "ae");
        Condition<EqualCondition>(table, "e");
        Condition<Not<EqualCondition>>(table, "ne");
        Condition<BelowEqualCondition>(table, "be");
        Condition<Not<BelowEqualCondition>>(table, "a");
        Condition<SignCondition>(table, "s");
        Condition<Not<SignCondition>>(table, "ns");
        Condition<ParityCondition>(table, "p");
        Condition<Not<ParityCondition>>(table, "np");
        Condition<LessCondition>(table, "l");
        Condition<Not<LessCondition>>(table, "ge");
        Condition<LessEqualCondition>(table, "le");
        Condition<Not<LessEqualCondition>>(table, "g");
        Loop<ushort, ushort>(table, "rel8_16", "CX");
        Loop<ushort, uint>(table, "rel8_32", "CX");
        Loop<uint, ushort>(table, "rel8_16", "ECX");
        Loop<uint, uint>(table, "rel8_32", "ECX");
        Loop<uint, ulong>(table, "rel8_64", "ECX");
        Loop<ulong, ulong>(table, "rel8_64", "RCX");
    }

    private static void Indirect<T>(InstructionTable.Builder table, int bits, string suffix) where T : unmanaged, IBinaryInteger<T>
    {
        table.Set(table.Named($"Jmp_rm{bits}"), &BranchHandlers<T>.JumpRegister, &BranchHandlers<T>.JumpMemory);
        table.Set(table.Named($"Call_rm{bits}"), &BranchHandlers<T>.CallRegister, &BranchHandlers<T>.CallMemory);
        table.Set(table.Named($"Retn{suffix}"), &BranchHandlers<T>.Return);
        table.Set(table.Named($"Retn{suffix}_imm16"), &BranchHandlers<T>.ReturnRelease);
    }

    private static void Condition<TCondition>(InstructionTable.Builder table, string name) where TCondition : struct, ICondition
    {
        table.Set(table.Named($"J{name}_rel8_16"), &ConditionalBranchHandlers<TCondition, ushort>.Jump);
        table.Set(table.Named($"J{name}_rel8_32"), &ConditionalBranchHandlers<TCondition, uint>.Jump);
        table.Set(table.Named($"J{name}_rel8_64"), &ConditionalBranchHandlers<TCondition, ulong>.Jump);
        table.Set(table.Named($"J{name}_rel16"), &ConditionalBranchHandlers<TCondition, ushort>.Jump);
        table.Set(table.Named($"J{name}_rel32_32"), &ConditionalBranchHandlers<TCondition, uint>.Jump);
        table.Set(table.Named($"J{name}_rel32_64"), &ConditionalBranchHandlers<TCondition, ulong>.Jump);
        table.Set(table.Named($"Set{name}_rm8"), &SetRegister<TCondition>, &SetMemory<TCondition>);
        ConditionalMove<TCondition, ushort>(table, $"Cmov{name}_r16_rm16");
        ConditionalMove<TCondition, uint>(table, $"Cmov{name}_r32_rm32");
        ConditionalMove<TCondition, ulong>(table, $"Cmov{name}_r64_rm64");
    }

    private static void ConditionalMove<TCondition, T>(InstructionTable.Builder table, string code)
        where TCondition : struct, ICondition
        where T : unmanaged, IBinaryInteger<T> =>
        table.Set(table.Named(code), &ConditionalMoveHandlers<TCondition, T>.Register, &ConditionalMoveHandlers<TCondition, T>.Memory);

    private static void Loop<TCounter, T>(InstructionTable.Builder table, string target, string counter)
        where TCounter : unmanaged, IBinaryInteger<TCounter>
        where T : unmanaged, IBinaryInteger<T>
    {
        table.Set(table.Named($"Loop_{target}_{counter}"), &LoopHandlers<TCounter, T>.Loop);
        table.Set(table.Named($"Loope_{target}_{counter}"), &LoopHandlers<TCounter, T>.LoopEqual);
        table.Set(table.Named($"Loopne_{target}_{counter}"), &LoopHandlers<TCounter, T>.LoopNotEqual);
        table.Set(table.Named($"J{counter.ToLowerInvariant()}z_{target}"), &LoopHandlers<TCounter, T>.JumpIfZero);
    }

    private static DecodedInstruction* SetRegister<TCondition>(X86Processor cpu, DecodedInstruction* i) where TCondition : struct, ICondition
    {
        *((byte*)cpu.State + i->Reg0) = TCondition.Holds(cpu.State) ? (byte)1 : (byte)0;
        return i + 1;
    }

    private static DecodedInstruction* SetMemory<TCondition>(X86Processor cpu, DecodedInstruction* i) where TCondition : struct, ICondition
    {
        cpu.WriteOperand(i, TCondition.Holds(cpu.State) ? (byte)1 : (byte)0);
        return i + 1;
    }
}
