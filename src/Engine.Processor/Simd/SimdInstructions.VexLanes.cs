using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.Simd;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// Single elements, sign masks, blends under a register's control and tests in the VEX encoding.
internal static unsafe partial class SimdInstructions
{
    private static void RegisterVexLanes(InstructionTable.Builder table)
    {
        foreach (int bits in new[] { 32, 64 })
        {
            table.Set(table.Named($"VEX_Vpmovmskb_r{bits}_xmm"), &ByteMask<VexEncoding>);
            table.Set(table.Named($"VEX_Vmovmskps_r{bits}_xmm"), &SingleMask<VexEncoding>);
            table.Set(table.Named($"VEX_Vmovmskpd_r{bits}_xmm"), &DoubleMask<VexEncoding>);
            table.Set(table.Named($"VEX_Vpmovmskb_r{bits}_ymm"), &WideMask<byte>);
            table.Set(table.Named($"VEX_Vmovmskps_r{bits}_ymm"), &WideMask<uint>);
            table.Set(table.Named($"VEX_Vmovmskpd_r{bits}_ymm"), &WideMask<ulong>);
            table.Set(table.Named($"VEX_Vpextrw_r{bits}_xmm_imm8"), &Extract<ushort, VexEncoding>);
            table.Set(table.Named($"VEX_Vpextrw_r{bits}m16_xmm_imm8"), &Extract<ushort, VexEncoding>);
            table.Set(table.Named($"VEX_Vpextrb_r{bits}m8_xmm_imm8"), &Extract<byte, VexEncoding>);
            table.Set(table.Named($"VEX_Vpinsrw_xmm_xmm_r{bits}m16_imm8"), &VexInsert<ushort>);
            table.Set(table.Named($"VEX_Vpinsrb_xmm_xmm_r{bits}m8_imm8"), &VexInsert<byte>);
        }

        table.Set(Code.VEX_Vpextrd_rm32_xmm_imm8, &Extract<uint, VexEncoding>);
        table.Set(Code.VEX_Vpextrq_rm64_xmm_imm8, &Extract<ulong, VexEncoding>);
        table.Set(Code.VEX_Vextractps_rm32_xmm_imm8, &Extract<uint, VexEncoding>);
        table.Set(Code.VEX_Vextractps_r64m32_xmm_imm8, &Extract<uint, VexEncoding>);
        table.Set(Code.VEX_Vpinsrd_xmm_xmm_rm32_imm8, &VexInsert<uint>);
        table.Set(Code.VEX_Vpinsrq_xmm_xmm_rm64_imm8, &VexInsert<ulong>);
        table.Set(Code.VEX_Vinsertps_xmm_xmm_xmmm32_imm8, &VexInsertSingle);

        table.Set(Code.VEX_Vpblendvb_xmm_xmm_xmmm128_xmm, &VexBlend<ByteSigns, Length128>);
        table.Set(Code.VEX_Vpblendvb_ymm_ymm_ymmm256_ymm, &VexBlend<ByteSigns, Length256>);
        table.Set(Code.VEX_Vblendvps_xmm_xmm_xmmm128_xmm, &VexBlend<SingleSigns, Length128>);
        table.Set(Code.VEX_Vblendvps_ymm_ymm_ymmm256_ymm, &VexBlend<SingleSigns, Length256>);
        table.Set(Code.VEX_Vblendvpd_xmm_xmm_xmmm128_xmm, &VexBlend<DoubleSigns, Length128>);
        table.Set(Code.VEX_Vblendvpd_ymm_ymm_ymmm256_ymm, &VexBlend<DoubleSigns, Length256>);
        table.Set(Code.VEX_Vpblendd_xmm_xmm_xmmm128_imm8, &VexImmediate<Blendps, Length128>);
        table.Set(Code.VEX_Vpblendd_ymm_ymm_ymmm256_imm8, &VexImmediate<Blendps, Length256>);

        table.Set(Code.VEX_Vptest_xmm_xmmm128, &Test<VexEncoding>);
        table.Set(Code.VEX_Vptest_ymm_ymmm256, &VexTest<WholeElements, Length256>);
        table.Set(Code.VEX_Vtestps_xmm_xmmm128, &VexTest<SingleSigns, Length128>);
        table.Set(Code.VEX_Vtestps_ymm_ymmm256, &VexTest<SingleSigns, Length256>);
        table.Set(Code.VEX_Vtestpd_xmm_xmmm128, &VexTest<DoubleSigns, Length128>);
        table.Set(Code.VEX_Vtestpd_ymm_ymmm256, &VexTest<DoubleSigns, Length256>);
    }

    /// <summary>Spreads the sign of each element over all of it; all of a register for whole tests.</summary>
    private interface ISigns
    {
        static abstract Vector256<byte> Spread(Vector256<byte> value);
    }

    private readonly struct ByteSigns : ISigns
    {
        public static Vector256<byte> Spread(Vector256<byte> value) => (value.AsSByte() >> 7).AsByte();
    }

    private readonly struct SingleSigns : ISigns
    {
        public static Vector256<byte> Spread(Vector256<byte> value) => (value.AsInt32() >> 31).AsByte();
    }

    private readonly struct DoubleSigns : ISigns
    {
        public static Vector256<byte> Spread(Vector256<byte> value) => (value.AsInt64() >> 63).AsByte();
    }

    private readonly struct WholeElements : ISigns
    {
        public static Vector256<byte> Spread(Vector256<byte> value) => value;
    }

    private static DecodedInstruction* WideMask<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        EnterVex(cpu);
        cpu.Register<ulong>(i->Reg0) = Ymm(cpu, i->Reg1).As<byte, T>().ExtractMostSignificantBits();
        return i + 1;
    }

    private static DecodedInstruction* VexInsert<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        EnterVex(cpu);
        int lane = (int)i->Immediate & ((16 / sizeof(T)) - 1);
        T value = HasMemory(i) ? cpu.ReadOperand<T>(i) : cpu.Register<T>(i->Reg2);
        var result = Xmm(cpu, i->Reg1);
        Unsafe.Add(ref Unsafe.As<Vector128<byte>, T>(ref result), lane) = value;
        SetXmm(cpu, i->Reg0, result);
        return i + 1;
    }

    private static DecodedInstruction* VexInsertSingle(X86Processor cpu, DecodedInstruction* i)
    {
        EnterVex(cpu);
        int immediate = (byte)i->Immediate;
        uint value = HasMemory(i)
            ? cpu.ReadOperand<uint>(i)
            : Unsafe.Add(ref Low<uint>(cpu, i->Reg2), immediate >> 6);
        var result = Xmm(cpu, i->Reg1).AsUInt32().WithElement((immediate >> 4) & 3, value).AsByte();
        SetXmm(cpu, i->Reg0, Vector128.AndNot(result, Selection.Dwords((byte)(immediate & 15))));
        return i + 1;
    }

    private static DecodedInstruction* VexBlend<TSigns, TLength>(X86Processor cpu, DecodedInstruction* i)
        where TSigns : struct, ISigns
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        var second = Operand<TLength>(cpu, i, i->Reg2);
        var mask = TSigns.Spread(Ymm(cpu, i->Reg3));
        Store<TLength>(cpu, i->Reg0, Vector256.ConditionalSelect(mask, second, Ymm(cpu, i->Reg1)));
        return i + 1;
    }

    private static DecodedInstruction* VexTest<TSigns, TLength>(X86Processor cpu, DecodedInstruction* i)
        where TSigns : struct, ISigns
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        var source = Operand<TLength>(cpu, i, i->Reg1);
        var destination = TLength.IsWide ? Ymm(cpu, i->Reg0) : Xmm(cpu, i->Reg0).ToVector256();
        ulong flags = TSigns.Spread(source & destination) == Vector256<byte>.Zero ? Rflags.Zero : 0;
        flags |= TSigns.Spread(Vector256.AndNot(source, destination)) == Vector256<byte>.Zero ? Rflags.Carry : 0;
        LazyFlags.Set(cpu.State, flags);
        return i + 1;
    }
}
