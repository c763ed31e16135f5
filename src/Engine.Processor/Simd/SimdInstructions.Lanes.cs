using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.Simd;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// Single elements in and out of XMM registers, masks, blends under a register's control, tests.
internal static unsafe partial class SimdInstructions
{
    private static void RegisterLanes(InstructionTable.Builder table)
    {
        table.Set(Code.Pmovmskb_r32_xmm, &ByteMask<LegacyEncoding>);
        table.Set(Code.Pmovmskb_r64_xmm, &ByteMask<LegacyEncoding>);
        table.Set(Code.Movmskps_r32_xmm, &SingleMask<LegacyEncoding>);
        table.Set(Code.Movmskps_r64_xmm, &SingleMask<LegacyEncoding>);
        table.Set(Code.Movmskpd_r32_xmm, &DoubleMask<LegacyEncoding>);
        table.Set(Code.Movmskpd_r64_xmm, &DoubleMask<LegacyEncoding>);

        table.Set(Code.Pextrw_r32_xmm_imm8, &Extract<ushort, LegacyEncoding>);
        table.Set(Code.Pextrw_r64_xmm_imm8, &Extract<ushort, LegacyEncoding>);
        table.Set(Code.Pextrw_r32m16_xmm_imm8, &Extract<ushort, LegacyEncoding>);
        table.Set(Code.Pextrw_r64m16_xmm_imm8, &Extract<ushort, LegacyEncoding>);
        table.Set(Code.Pextrb_r32m8_xmm_imm8, &Extract<byte, LegacyEncoding>);
        table.Set(Code.Pextrb_r64m8_xmm_imm8, &Extract<byte, LegacyEncoding>);
        table.Set(Code.Pextrd_rm32_xmm_imm8, &Extract<uint, LegacyEncoding>);
        table.Set(Code.Pextrq_rm64_xmm_imm8, &Extract<ulong, LegacyEncoding>);
        table.Set(Code.Extractps_rm32_xmm_imm8, &Extract<uint, LegacyEncoding>);
        table.Set(Code.Extractps_r64m32_xmm_imm8, &Extract<uint, LegacyEncoding>);

        table.Set(Code.Pinsrw_xmm_r32m16_imm8, &Insert<ushort>);
        table.Set(Code.Pinsrw_xmm_r64m16_imm8, &Insert<ushort>);
        table.Set(Code.Pinsrb_xmm_r32m8_imm8, &Insert<byte>);
        table.Set(Code.Pinsrb_xmm_r64m8_imm8, &Insert<byte>);
        table.Set(Code.Pinsrd_xmm_rm32_imm8, &Insert<uint>);
        table.Set(Code.Pinsrq_xmm_rm64_imm8, &Insert<ulong>);
        table.Set(Code.Insertps_xmm_xmmm32_imm8, &InsertSingle);

        table.Set(Code.Pblendvb_xmm_xmmm128, &BlendBytes);
        table.Set(Code.Blendvps_xmm_xmmm128, &BlendSingles);
        table.Set(Code.Blendvpd_xmm_xmmm128, &BlendDoubles);
        table.Set(Code.Ptest_xmm_xmmm128, &Test<LegacyEncoding>);
    }

    private static DecodedInstruction* ByteMask<TEncoding>(X86Processor cpu, DecodedInstruction* i)
        where TEncoding : struct, IVectorEncoding
    {
        Enter<TEncoding>(cpu);
        cpu.Register<ulong>(i->Reg0) = Xmm(cpu, i->Reg1).ExtractMostSignificantBits();
        return i + 1;
    }

    private static DecodedInstruction* SingleMask<TEncoding>(X86Processor cpu, DecodedInstruction* i)
        where TEncoding : struct, IVectorEncoding
    {
        Enter<TEncoding>(cpu);
        cpu.Register<ulong>(i->Reg0) = Xmm(cpu, i->Reg1).AsUInt32().ExtractMostSignificantBits();
        return i + 1;
    }

    private static DecodedInstruction* DoubleMask<TEncoding>(X86Processor cpu, DecodedInstruction* i)
        where TEncoding : struct, IVectorEncoding
    {
        Enter<TEncoding>(cpu);
        cpu.Register<ulong>(i->Reg0) = Xmm(cpu, i->Reg1).AsUInt64().ExtractMostSignificantBits();
        return i + 1;
    }

    private static DecodedInstruction* Extract<T, TEncoding>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
        where TEncoding : struct, IVectorEncoding
    {
        Enter<TEncoding>(cpu);
        int lane = (int)i->Immediate & ((16 / sizeof(T)) - 1);
        T value = Unsafe.Add(ref Low<T>(cpu, i->Reg1), lane);
        if (HasMemory(i))
        {
            cpu.WriteOperand(i, value);
        }
        else
        {
            cpu.Register<ulong>(i->Reg0) = 0;
            cpu.Register<T>(i->Reg0) = value;
        }

        return i + 1;
    }

    private static DecodedInstruction* Insert<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        Enter(cpu);
        int lane = (int)i->Immediate & ((16 / sizeof(T)) - 1);
        T value = HasMemory(i) ? cpu.ReadOperand<T>(i) : cpu.Register<T>(i->Reg1);
        Unsafe.Add(ref Low<T>(cpu, i->Reg0), lane) = value;
        return i + 1;
    }

    private static DecodedInstruction* InsertSingle(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        int immediate = (byte)i->Immediate;
        uint value = HasMemory(i)
            ? cpu.ReadOperand<uint>(i)
            : Unsafe.Add(ref Low<uint>(cpu, i->Reg1), immediate >> 6);
        Unsafe.Add(ref Low<uint>(cpu, i->Reg0), (immediate >> 4) & 3) = value;
        ref var destination = ref Xmm(cpu, i->Reg0);
        destination = Vector128.AndNot(destination, Simd.Selection.Dwords((byte)(immediate & 15)));
        return i + 1;
    }

    private static DecodedInstruction* BlendBytes(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var source = Source(cpu, i);
        var mask = Xmm(cpu, 0).AsSByte() >> 7;
        ref var destination = ref Xmm(cpu, i->Reg0);
        destination = Vector128.ConditionalSelect(mask.AsByte(), source, destination);
        return i + 1;
    }

    private static DecodedInstruction* BlendSingles(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var source = Source(cpu, i);
        var mask = Xmm(cpu, 0).AsInt32() >> 31;
        ref var destination = ref Xmm(cpu, i->Reg0);
        destination = Vector128.ConditionalSelect(mask.AsByte(), source, destination);
        return i + 1;
    }

    private static DecodedInstruction* BlendDoubles(X86Processor cpu, DecodedInstruction* i)
    {
        Enter(cpu);
        var source = Source(cpu, i);
        var mask = Xmm(cpu, 0).AsInt64() >> 63;
        ref var destination = ref Xmm(cpu, i->Reg0);
        destination = Vector128.ConditionalSelect(mask.AsByte(), source, destination);
        return i + 1;
    }

    private static DecodedInstruction* Test<TEncoding>(X86Processor cpu, DecodedInstruction* i)
        where TEncoding : struct, IVectorEncoding
    {
        Enter<TEncoding>(cpu);
        var source = EncodedSource<TEncoding>(cpu, i);
        var destination = Xmm(cpu, i->Reg0);
        ulong flags = 0;
        if ((source & destination) == Vector128<byte>.Zero)
        {
            flags |= Rflags.Zero;
        }

        if (Vector128.AndNot(source, destination) == Vector128<byte>.Zero)
        {
            flags |= Rflags.Carry;
        }

        LazyFlags.Set(cpu.State, flags);
        return i + 1;
    }
}
