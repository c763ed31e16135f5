using System.Numerics;

namespace Hypervisor.Engine.Processor;

/// <summary>What BT, BTS, BTR and BTC do with the bit.</summary>
internal interface IBitOperation
{
    static abstract bool Stores { get; }

    static abstract ulong Apply(ulong value, ulong bit);
}

internal readonly struct BitTest : IBitOperation
{
    public static bool Stores => false;

    public static ulong Apply(ulong value, ulong bit) => value;
}

internal readonly struct BitSet : IBitOperation
{
    public static bool Stores => true;

    public static ulong Apply(ulong value, ulong bit) => value | bit;
}

internal readonly struct BitReset : IBitOperation
{
    public static bool Stores => true;

    public static ulong Apply(ulong value, ulong bit) => value & ~bit;
}

internal readonly struct BitComplement : IBitOperation
{
    public static bool Stores => true;

    public static ulong Apply(ulong value, ulong bit) => value ^ bit;
}

/// <summary>BT and its kin at one width.</summary>
internal static unsafe class BitHandlers<TOperation, T>
    where TOperation : struct, IBitOperation
    where T : unmanaged, IBinaryInteger<T>
{
    private static int IndexMask => (sizeof(T) * 8) - 1;

    public static DecodedInstruction* RegisterImmediate(X86Processor cpu, DecodedInstruction* i) => OnRegister(cpu, i, (int)i->Immediate & IndexMask);

    public static DecodedInstruction* RegisterRegister(X86Processor cpu, DecodedInstruction* i) =>
        OnRegister(cpu, i, (int)Width.ZeroExtend(Width.Get<T>(cpu.State, i->Reg1)) & IndexMask);

    public static DecodedInstruction* MemoryImmediate(X86Processor cpu, DecodedInstruction* i) =>
        OnMemory(cpu, i, cpu.Address(i, sizeof(T), Access), (int)i->Immediate & IndexMask);

    public static DecodedInstruction* MemoryRegister(X86Processor cpu, DecodedInstruction* i)
    {
        // The register counts bits from the operand's address, in either direction (Intel SDM vol. 2, BT).
        long index = Width.SignExtend(Width.Get<T>(cpu.State, i->Reg1));
        long displacement = (index >> BitOperations.Log2((uint)(sizeof(T) * 8))) * sizeof(T);
        ulong offset = cpu.RawOffset(i) + (ulong)displacement;
        offset = (i->Flags & InstructionFlags.Address32) != 0 ? (uint)offset
            : (i->Flags & InstructionFlags.Address16) != 0 ? (ushort)offset : offset;
        ulong linear = (i->Flags & InstructionFlags.SimpleAddress) != 0 ? offset
            : cpu.SegmentedAddress((SegmentName)i->Segment, offset, (uint)sizeof(T), Access);
        return OnMemory(cpu, i, linear, (int)index & IndexMask);
    }

    private static AccessKind Access => TOperation.Stores ? AccessKind.Write : AccessKind.Read;

    private static DecodedInstruction* OnRegister(X86Processor cpu, DecodedInstruction* i, int index)
    {
        CpuState* s = cpu.State;
        ulong value = Width.ZeroExtend(Width.Get<T>(s, i->Reg0));
        LazyFlags.SetCarry(s, ((value >> index) & 1) != 0);
        if (TOperation.Stores)
        {
            Width.Set(s, i->Reg0, Width.Truncate<T>(TOperation.Apply(value, 1ul << index)));
        }

        return i + 1;
    }

    private static DecodedInstruction* OnMemory(X86Processor cpu, DecodedInstruction* i, ulong linear, int index)
    {
        CpuState* s = cpu.State;
        if (!TOperation.Stores)
        {
            LazyFlags.SetCarry(s, ((Width.ZeroExtend(cpu.Read<T>(linear)) >> index) & 1) != 0);
            return i + 1;
        }

        while (true)
        {
            T old = cpu.BeginModify<T>(linear, out byte* host);
            ulong value = Width.ZeroExtend(old);
            T result = Width.Truncate<T>(TOperation.Apply(value, 1ul << index));
            if ((i->Flags & InstructionFlags.Lock) == 0)
            {
                cpu.FinishModify(linear, host, result);
            }
            else if (!cpu.FinishLocked(linear, host, result, old))
            {
                if (cpu.MustBeginAgain(i))
                {
                    return null;
                }

                continue;
            }

            LazyFlags.SetCarry(s, ((value >> index) & 1) != 0);
            return i + 1;
        }
    }
}

/// <summary>BSF, BSR, TZCNT, LZCNT and POPCNT at one width.</summary>
internal static unsafe class BitScanHandlers<T> where T : unmanaged, IBinaryInteger<T>
{
    private static T Source(X86Processor cpu, DecodedInstruction* i) =>
        (i->Flags & InstructionFlags.Memory) != 0 ? cpu.ReadOperand<T>(i) : Width.Get<T>(cpu.State, i->Reg1);

    private static int Leading(ulong value) => BitOperations.LeadingZeroCount(value) - (64 - (sizeof(T) * 8));

    public static DecodedInstruction* Forward(X86Processor cpu, DecodedInstruction* i)
    {
        ulong value = Width.ZeroExtend(Source(cpu, i));
        return Scan(cpu, i, value, BitOperations.TrailingZeroCount(value));
    }

    public static DecodedInstruction* Reverse(X86Processor cpu, DecodedInstruction* i)
    {
        ulong value = Width.ZeroExtend(Source(cpu, i));
        return Scan(cpu, i, value, 63 - BitOperations.LeadingZeroCount(value));
    }

    public static DecodedInstruction* CountTrailing(X86Processor cpu, DecodedInstruction* i)
    {
        ulong value = Width.ZeroExtend(Source(cpu, i));
        return Count(cpu, i, value == 0 ? sizeof(T) * 8 : BitOperations.TrailingZeroCount(value), value == 0);
    }

    public static DecodedInstruction* CountLeading(X86Processor cpu, DecodedInstruction* i)
    {
        ulong value = Width.ZeroExtend(Source(cpu, i));
        return Count(cpu, i, Leading(value), value == 0);
    }

    public static DecodedInstruction* CountOnes(X86Processor cpu, DecodedInstruction* i)
    {
        int count = BitOperations.PopCount(Width.ZeroExtend(Source(cpu, i)));
        Width.Set(cpu.State, i->Reg0, Width.Truncate<T>((ulong)count));
        // ZF alone follows the source; all others are cleared.
        LazyFlags.Set(cpu.State, count == 0 ? Rflags.Zero : 0);
        return i + 1;
    }

    private static DecodedInstruction* Scan(X86Processor cpu, DecodedInstruction* i, ulong value, int index)
    {
        CpuState* s = cpu.State;
        // With a source of zero the destination stays, as both makers' processors do it.
        if (value != 0)
        {
            Width.Set(s, i->Reg0, Width.Truncate<T>((ulong)index));
        }

        s->FlagResult = (long)value;
        s->FlagAux = value != 0 && (long)value < 0 ? 1ul : 0;
        return i + 1;
    }

    private static DecodedInstruction* Count(X86Processor cpu, DecodedInstruction* i, int count, bool carry)
    {
        Width.Set(cpu.State, i->Reg0, Width.Truncate<T>((ulong)count));
        LazyFlags.Set(cpu.State, (carry ? Rflags.Carry : 0) | (count == 0 ? Rflags.Zero : 0));
        return i + 1;
    }
}

internal static unsafe partial class IntegerInstructions
{
    private static void RegisterBits(InstructionTable.Builder table)
    {
        Bits<ushort>(table, 16);
        Bits<uint>(table, 32);
        Bits<ulong>(table, 64);
    }

    private static void Bits<T>(InstructionTable.Builder table, int bits) where T : unmanaged, IBinaryInteger<T>
    {
        Bit<BitTest, T>(table, $"Bt_rm{bits}", bits);
        Bit<BitSet, T>(table, $"Bts_rm{bits}", bits);
        Bit<BitReset, T>(table, $"Btr_rm{bits}", bits);
        Bit<BitComplement, T>(table, $"Btc_rm{bits}", bits);
        table.Set(table.Named($"Bsf_r{bits}_rm{bits}"), &BitScanHandlers<T>.Forward);
        table.Set(table.Named($"Bsr_r{bits}_rm{bits}"), &BitScanHandlers<T>.Reverse);
        table.Set(table.Named($"Tzcnt_r{bits}_rm{bits}"), &BitScanHandlers<T>.CountTrailing);
        table.Set(table.Named($"Lzcnt_r{bits}_rm{bits}"), &BitScanHandlers<T>.CountLeading);
        table.Set(table.Named($"Popcnt_r{bits}_rm{bits}"), &BitScanHandlers<T>.CountOnes);
    }

    private static void Bit<TOperation, T>(InstructionTable.Builder table, string code, int bits)
        where TOperation : struct, IBitOperation
        where T : unmanaged, IBinaryInteger<T>
    {
        table.Set(table.Named($"{code}_r{bits}"), &BitHandlers<TOperation, T>.RegisterRegister, &BitHandlers<TOperation, T>.MemoryRegister);
        table.Set(table.Named($"{code}_imm8"), &BitHandlers<TOperation, T>.RegisterImmediate, &BitHandlers<TOperation, T>.MemoryImmediate);
    }
}
