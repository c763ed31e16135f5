using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.Simd;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// Broadcasts, permutations, 128-bit halves and shifts by a vector of counts (AVX and AVX2).
internal static unsafe partial class SimdInstructions
{
    private static void RegisterVexPermutes(InstructionTable.Builder table)
    {
        table.Set(Code.VEX_Vbroadcastss_xmm_m32, &Broadcast<uint, Length128>);
        table.Set(Code.VEX_Vbroadcastss_ymm_m32, &Broadcast<uint, Length256>);
        table.Set(Code.VEX_Vbroadcastsd_ymm_m64, &Broadcast<ulong, Length256>);
        table.Set(Code.VEX_Vbroadcastss_xmm_xmm, &Broadcast<uint, Length128>);
        table.Set(Code.VEX_Vbroadcastss_ymm_xmm, &Broadcast<uint, Length256>);
        table.Set(Code.VEX_Vbroadcastsd_ymm_xmm, &Broadcast<ulong, Length256>);
        table.Set(Code.VEX_Vbroadcastf128_ymm_m128, &BroadcastHalf);
        table.Set(Code.VEX_Vbroadcasti128_ymm_m128, &BroadcastHalf);
        table.Set(Code.VEX_Vpbroadcastb_xmm_xmmm8, &Broadcast<byte, Length128>);
        table.Set(Code.VEX_Vpbroadcastb_ymm_xmmm8, &Broadcast<byte, Length256>);
        table.Set(Code.VEX_Vpbroadcastw_xmm_xmmm16, &Broadcast<ushort, Length128>);
        table.Set(Code.VEX_Vpbroadcastw_ymm_xmmm16, &Broadcast<ushort, Length256>);
        table.Set(Code.VEX_Vpbroadcastd_xmm_xmmm32, &Broadcast<uint, Length128>);
        table.Set(Code.VEX_Vpbroadcastd_ymm_xmmm32, &Broadcast<uint, Length256>);
        table.Set(Code.VEX_Vpbroadcastq_xmm_xmmm64, &Broadcast<ulong, Length128>);
        table.Set(Code.VEX_Vpbroadcastq_ymm_xmmm64, &Broadcast<ulong, Length256>);

        table.Set(Code.VEX_Vpermilps_xmm_xmm_xmmm128, &VexBinary<Permilps, Length128>);
        table.Set(Code.VEX_Vpermilps_ymm_ymm_ymmm256, &VexBinary<Permilps, Length256>);
        table.Set(Code.VEX_Vpermilpd_xmm_xmm_xmmm128, &VexBinary<Permilpd, Length128>);
        table.Set(Code.VEX_Vpermilpd_ymm_ymm_ymmm256, &VexBinary<Permilpd, Length256>);
        table.Set(Code.VEX_Vpermilps_xmm_xmmm128_imm8, &VexUnaryImmediate<Pshufd, Length128>);
        table.Set(Code.VEX_Vpermilps_ymm_ymmm256_imm8, &VexUnaryImmediate<Pshufd, Length256>);
        table.Set(Code.VEX_Vpermilpd_xmm_xmmm128_imm8, &VexUnaryImmediate<Shufpd, Length128>);
        table.Set(Code.VEX_Vpermilpd_ymm_ymmm256_imm8, &VexUnaryImmediate<Shufpd, Length256>);
        table.Set(Code.VEX_Vpermd_ymm_ymm_ymmm256, &PermuteDwords);
        table.Set(Code.VEX_Vpermps_ymm_ymm_ymmm256, &PermuteDwords);
        table.Set(Code.VEX_Vpermq_ymm_ymmm256_imm8, &PermuteQwords);
        table.Set(Code.VEX_Vpermpd_ymm_ymmm256_imm8, &PermuteQwords);
        table.Set(Code.VEX_Vperm2f128_ymm_ymm_ymmm256_imm8, &PermuteHalves);
        table.Set(Code.VEX_Vperm2i128_ymm_ymm_ymmm256_imm8, &PermuteHalves);
        table.Set(Code.VEX_Vinsertf128_ymm_ymm_xmmm128_imm8, &InsertHalf);
        table.Set(Code.VEX_Vinserti128_ymm_ymm_xmmm128_imm8, &InsertHalf);
        table.Set(Code.VEX_Vextractf128_xmmm128_ymm_imm8, &ExtractHalf);
        table.Set(Code.VEX_Vextracti128_xmmm128_ymm_imm8, &ExtractHalf);

        table.Set(Code.VEX_Vpsllvd_xmm_xmm_xmmm128, &VexBinary<Psllvd, Length128>);
        table.Set(Code.VEX_Vpsllvd_ymm_ymm_ymmm256, &VexBinary<Psllvd, Length256>);
        table.Set(Code.VEX_Vpsllvq_xmm_xmm_xmmm128, &VexBinary<Psllvq, Length128>);
        table.Set(Code.VEX_Vpsllvq_ymm_ymm_ymmm256, &VexBinary<Psllvq, Length256>);
        table.Set(Code.VEX_Vpsrlvd_xmm_xmm_xmmm128, &VexBinary<Psrlvd, Length128>);
        table.Set(Code.VEX_Vpsrlvd_ymm_ymm_ymmm256, &VexBinary<Psrlvd, Length256>);
        table.Set(Code.VEX_Vpsrlvq_xmm_xmm_xmmm128, &VexBinary<Psrlvq, Length128>);
        table.Set(Code.VEX_Vpsrlvq_ymm_ymm_ymmm256, &VexBinary<Psrlvq, Length256>);
        table.Set(Code.VEX_Vpsravd_xmm_xmm_xmmm128, &VexBinary<Psravd, Length128>);
        table.Set(Code.VEX_Vpsravd_ymm_ymm_ymmm256, &VexBinary<Psravd, Length256>);
    }

    private static DecodedInstruction* Broadcast<T, TLength>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        Store<TLength>(cpu, i->Reg0, Vector256.Create(Element<T>(cpu, i)).As<T, byte>());
        return i + 1;
    }

    private static DecodedInstruction* BroadcastHalf(X86Processor cpu, DecodedInstruction* i)
    {
        EnterVex(cpu);
        var half = cpu.ReadOperand<Vector128<byte>>(i);
        Ymm(cpu, i->Reg0) = Vector256.Create(half, half);
        return i + 1;
    }

    // The indices are operand 1, the data operand 2.
    private static DecodedInstruction* PermuteDwords(X86Processor cpu, DecodedInstruction* i)
    {
        EnterVex(cpu);
        var data = Operand<Length256>(cpu, i, i->Reg2).AsUInt32();
        var indices = Ymm(cpu, i->Reg1).AsUInt32() & Vector256.Create(7u);
        Ymm(cpu, i->Reg0) = Vector256.Shuffle(data, indices).AsByte();
        return i + 1;
    }

    private static DecodedInstruction* PermuteQwords(X86Processor cpu, DecodedInstruction* i)
    {
        EnterVex(cpu);
        var data = Operand<Length256>(cpu, i, i->Reg1).AsUInt64();
        ulong control = (ulong)i->Immediate;
        var indices = Vector256.Create(control & 3, (control >> 2) & 3, (control >> 4) & 3, (control >> 6) & 3);
        Ymm(cpu, i->Reg0) = Vector256.Shuffle(data, indices).AsByte();
        return i + 1;
    }

    private static DecodedInstruction* PermuteHalves(X86Processor cpu, DecodedInstruction* i)
    {
        EnterVex(cpu);
        var second = Operand<Length256>(cpu, i, i->Reg2);
        var first = Ymm(cpu, i->Reg1);
        int control = (int)i->Immediate;
        Ymm(cpu, i->Reg0) = Vector256.Create(Half(first, second, control), Half(first, second, control >> 4));
        return i + 1;
    }

    // Bit 3 clears the half.
    private static Vector128<byte> Half(Vector256<byte> first, Vector256<byte> second, int control)
    {
        var source = (control & 2) != 0 ? second : first;
        return (control & 8) != 0 ? Vector128<byte>.Zero : (control & 1) != 0 ? source.GetUpper() : source.GetLower();
    }

    private static DecodedInstruction* InsertHalf(X86Processor cpu, DecodedInstruction* i)
    {
        EnterVex(cpu);
        var half = Operand128(cpu, i, i->Reg2);
        var first = Ymm(cpu, i->Reg1);
        Ymm(cpu, i->Reg0) = (i->Immediate & 1) != 0 ? first.WithUpper(half) : first.WithLower(half);
        return i + 1;
    }

    private static DecodedInstruction* ExtractHalf(X86Processor cpu, DecodedInstruction* i)
    {
        EnterVex(cpu);
        var source = Ymm(cpu, i->Reg1);
        var half = (i->Immediate & 1) != 0 ? source.GetUpper() : source.GetLower();
        if (HasMemory(i))
        {
            cpu.WriteOperand(i, half);
        }
        else
        {
            SetXmm(cpu, i->Reg0, half);
        }

        return i + 1;
    }
}
