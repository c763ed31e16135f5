using System.Numerics;

namespace Hypervisor.Engine.Processor;

/// <summary>ADCX and ADOX at one width: additions that touch only CF or only OF.</summary>
internal static unsafe class CarryChainHandlers<T> where T : unmanaged, IBinaryInteger<T>
{
    public static DecodedInstruction* Carry(X86Processor cpu, DecodedInstruction* i) => Add(cpu, i, Rflags.Carry);

    public static DecodedInstruction* Overflow(X86Processor cpu, DecodedInstruction* i) => Add(cpu, i, Rflags.Overflow);

    private static DecodedInstruction* Add(X86Processor cpu, DecodedInstruction* i, ulong flag)
    {
        CpuState* s = cpu.State;
        T b = (i->Flags & InstructionFlags.Memory) != 0 ? cpu.ReadOperand<T>(i) : Width.Get<T>(s, i->Reg1);
        T a = Width.Get<T>(s, i->Reg0);
        ulong flags = LazyFlags.Materialise(s);
        T carryIn = (flags & flag) != 0 ? T.One : T.Zero;
        T sum = unchecked(a + b + carryIn);
        bool carry = sum < a || (sum == a && carryIn != T.Zero && b != T.Zero);
        Width.Set(s, i->Reg0, sum);
        LazyFlags.Set(s, carry ? flags | flag : flags & ~flag);
        return i + 1;
    }
}

/// <summary>CRC32 of one operand width.</summary>
internal static unsafe class ChecksumHandlers<T> where T : unmanaged, IBinaryInteger<T>
{
    public static DecodedInstruction* Crc32(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        ulong value = Width.ZeroExtend((i->Flags & InstructionFlags.Memory) != 0 ? cpu.ReadOperand<T>(i) : Width.Get<T>(s, i->Reg1));
        uint crc = *(uint*)((byte*)s + i->Reg0);
        crc = sizeof(T) switch
        {
            1 => BitOperations.Crc32C(crc, (byte)value),
            2 => BitOperations.Crc32C(crc, (ushort)value),
            4 => BitOperations.Crc32C(crc, (uint)value),
            _ => BitOperations.Crc32C(crc, value),
        };
        *(ulong*)((byte*)s + i->Reg0) = crc;
        return i + 1;
    }
}

internal static unsafe partial class IntegerInstructions
{
    private static void RegisterBitManipulation(InstructionTable.Builder table)
    {
        table.Set(table.Named("Adcx_r32_rm32"), &CarryChainHandlers<uint>.Carry);
        table.Set(table.Named("Adcx_r64_rm64"), &CarryChainHandlers<ulong>.Carry);
        table.Set(table.Named("Adox_r32_rm32"), &CarryChainHandlers<uint>.Overflow);
        table.Set(table.Named("Adox_r64_rm64"), &CarryChainHandlers<ulong>.Overflow);
        table.Set(table.Named("Crc32_r32_rm8"), &ChecksumHandlers<byte>.Crc32);
        table.Set(table.Named("Crc32_r64_rm8"), &ChecksumHandlers<byte>.Crc32);
        table.Set(table.Named("Crc32_r32_rm16"), &ChecksumHandlers<ushort>.Crc32);
        table.Set(table.Named("Crc32_r32_rm32"), &ChecksumHandlers<uint>.Crc32);
        table.Set(table.Named("Crc32_r64_rm64"), &ChecksumHandlers<ulong>.Crc32);
    }
}
