namespace Hypervisor.Engine.Processor;

// Decimal arithmetic of 16- and 32-bit code, and BOUND.
internal static unsafe partial class IntegerInstructions
{
    private static void RegisterDecimal(InstructionTable.Builder table)
    {
        table.Set(table.Named("Daa"), &Daa);
        table.Set(table.Named("Das"), &Das);
        table.Set(table.Named("Aaa"), &Aaa);
        table.Set(table.Named("Aas"), &Aas);
        table.Set(table.Named("Aam_imm8"), &Aam);
        table.Set(table.Named("Aad_imm8"), &Aad);
        table.Set(table.Named("Bound_r16_m1616"), &Bound16);
        table.Set(table.Named("Bound_r32_m3232"), &Bound32);
    }

    private static DecodedInstruction* Daa(X86Processor cpu, DecodedInstruction* i) => AdjustPacked(cpu, i, subtract: false);

    private static DecodedInstruction* Das(X86Processor cpu, DecodedInstruction* i) => AdjustPacked(cpu, i, subtract: true);

    private static DecodedInstruction* AdjustPacked(X86Processor cpu, DecodedInstruction* i, bool subtract)
    {
        CpuState* s = cpu.State;
        ulong flags = LazyFlags.Materialise(s);
        byte old = *(byte*)s;
        int value = old;
        bool carry = (flags & Rflags.Carry) != 0;
        bool newCarry = false;
        bool adjust = (old & 15) > 9 || (flags & Rflags.Adjust) != 0;
        if (adjust)
        {
            newCarry = carry || (subtract ? old < 6 : old > 0xF9);
            value += subtract ? -6 : 6;
        }

        if (old > 0x99 || carry)
        {
            value += subtract ? -0x60 : 0x60;
            newCarry = true;
        }

        *(byte*)s = (byte)value;
        SetAdjusted(s, (byte)value, adjust, newCarry);
        return i + 1;
    }

    private static DecodedInstruction* Aaa(X86Processor cpu, DecodedInstruction* i) => AdjustUnpacked(cpu, i, 0x106);

    private static DecodedInstruction* Aas(X86Processor cpu, DecodedInstruction* i) => AdjustUnpacked(cpu, i, -0x106);

    private static DecodedInstruction* AdjustUnpacked(X86Processor cpu, DecodedInstruction* i, int step)
    {
        CpuState* s = cpu.State;
        ushort ax = *(ushort*)s;
        bool adjust = (ax & 15) > 9 || (LazyFlags.Materialise(s) & Rflags.Adjust) != 0;
        int value = adjust ? ax + step : ax;
        *(ushort*)s = (ushort)(value & 0xFF0F);
        SetAdjusted(s, (byte)(value & 15), adjust, adjust);
        return i + 1;
    }

    private static DecodedInstruction* Aam(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        byte divisor = (byte)i->Immediate;
        if (divisor == 0)
        {
            cpu.Raise(Vector.DivideError);
        }

        byte al = *(byte*)s;
        *(ushort*)s = (ushort)((al / divisor << 8) | (al % divisor));
        SetAdjusted(s, (byte)(al % divisor), false, false);
        return i + 1;
    }

    private static DecodedInstruction* Aad(X86Processor cpu, DecodedInstruction* i)
    {
        CpuState* s = cpu.State;
        byte value = (byte)(*(byte*)s + (*((byte*)s + 1) * (byte)i->Immediate));
        *(ushort*)s = value;
        SetAdjusted(s, value, false, false);
        return i + 1;
    }

    private static void SetAdjusted(CpuState* s, byte result, bool adjust, bool carry)
    {
        LazyFlags.SetResult(s, (sbyte)result, carry ? 1ul : 0, 0);
        s->FlagAux |= adjust ? 8ul : 0;
    }

    private static DecodedInstruction* Bound16(X86Processor cpu, DecodedInstruction* i)
    {
        ulong linear = cpu.Address(i, 4, AccessKind.Read);
        short index = *(short*)((byte*)cpu.State + i->Reg0);
        if (index < cpu.Read<short>(linear) || index > cpu.Read<short>(linear + 2))
        {
            cpu.Raise(Vector.BoundRange);
        }

        return i + 1;
    }

    private static DecodedInstruction* Bound32(X86Processor cpu, DecodedInstruction* i)
    {
        ulong linear = cpu.Address(i, 8, AccessKind.Read);
        int index = *(int*)((byte*)cpu.State + i->Reg0);
        if (index < cpu.Read<int>(linear) || index > cpu.Read<int>(linear + 4))
        {
            cpu.Raise(Vector.BoundRange);
        }

        return i + 1;
    }
}
