using System.Numerics;
using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.Simd;
using Iced.Intel;
using StringComparison = Hypervisor.Engine.Processor.Simd.StringComparison;

namespace Hypervisor.Engine.Processor;

// PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SSE4.2).
internal static unsafe partial class SimdInstructions
{
    private const int Rax = 0, Rcx = 1, Rdx = 2;

    private static void RegisterStrings(InstructionTable.Builder table)
    {
        table.Set(Code.Pcmpestri_xmm_xmmm128_imm8, &CompareExplicit<int, IndexResult, LegacyEncoding>);
        table.Set(Code.VEX_Vpcmpestri_xmm_xmmm128_imm8, &CompareExplicit<int, IndexResult, VexEncoding>);
        table.Set(Code.Pcmpestri64_xmm_xmmm128_imm8, &CompareExplicit<long, IndexResult, LegacyEncoding>);
        table.Set(Code.VEX_Vpcmpestri64_xmm_xmmm128_imm8, &CompareExplicit<long, IndexResult, VexEncoding>);
        table.Set(Code.Pcmpestrm_xmm_xmmm128_imm8, &CompareExplicit<int, MaskResult, LegacyEncoding>);
        table.Set(Code.VEX_Vpcmpestrm_xmm_xmmm128_imm8, &CompareExplicit<int, MaskResult, VexEncoding>);
        table.Set(Code.Pcmpestrm64_xmm_xmmm128_imm8, &CompareExplicit<long, MaskResult, LegacyEncoding>);
        table.Set(Code.VEX_Vpcmpestrm64_xmm_xmmm128_imm8, &CompareExplicit<long, MaskResult, VexEncoding>);
        table.Set(Code.Pcmpistri_xmm_xmmm128_imm8, &CompareImplicit<IndexResult, LegacyEncoding>);
        table.Set(Code.VEX_Vpcmpistri_xmm_xmmm128_imm8, &CompareImplicit<IndexResult, VexEncoding>);
        table.Set(Code.Pcmpistrm_xmm_xmmm128_imm8, &CompareImplicit<MaskResult, LegacyEncoding>);
        table.Set(Code.VEX_Vpcmpistrm_xmm_xmmm128_imm8, &CompareImplicit<MaskResult, VexEncoding>);
    }

    private readonly struct IndexResult : IChoice
    {
        public static bool Value => false;
    }

    private readonly struct MaskResult : IChoice
    {
        public static bool Value => true;
    }

    private static DecodedInstruction* CompareExplicit<TLength, TMask, TEncoding>(X86Processor cpu, DecodedInstruction* i)
        where TLength : unmanaged
        where TMask : struct, IChoice
        where TEncoding : struct, IVectorEncoding
    {
        Enter<TEncoding>(cpu);
        var second = HasMemory(i) ? cpu.ReadOperand<Vector128<byte>>(i) : Xmm(cpu, i->Reg1);
        byte immediate = (byte)i->Immediate;
        long a = (long)cpu.State->Gpr[Rax];
        long d = (long)cpu.State->Gpr[Rdx];
        int firstLength = StringComparison.ExplicitLength(sizeof(TLength) == 4 ? (int)a : a, immediate);
        int secondLength = StringComparison.ExplicitLength(sizeof(TLength) == 4 ? (int)d : d, immediate);
        Report<TMask, TEncoding>(cpu, Xmm(cpu, i->Reg0), firstLength, second, secondLength, immediate);
        return i + 1;
    }

    private static DecodedInstruction* CompareImplicit<TMask, TEncoding>(X86Processor cpu, DecodedInstruction* i)
        where TMask : struct, IChoice
        where TEncoding : struct, IVectorEncoding
    {
        Enter<TEncoding>(cpu);
        var second = HasMemory(i) ? cpu.ReadOperand<Vector128<byte>>(i) : Xmm(cpu, i->Reg1);
        byte immediate = (byte)i->Immediate;
        var first = Xmm(cpu, i->Reg0);
        int firstLength = StringComparison.ImplicitLength(first, immediate);
        int secondLength = StringComparison.ImplicitLength(second, immediate);
        Report<TMask, TEncoding>(cpu, first, firstLength, second, secondLength, immediate);
        return i + 1;
    }

    private static void Report<TMask, TEncoding>(
        X86Processor cpu, Vector128<byte> first, int firstLength, Vector128<byte> second, int secondLength, byte immediate)
        where TMask : struct, IChoice
        where TEncoding : struct, IVectorEncoding
    {
        var (mask, count) = StringComparison.Compare(first, firstLength, second, secondLength, immediate);
        bool high = (immediate & 0x40) != 0;
        if (!TMask.Value)
        {
            cpu.State->Gpr[Rcx] = mask == 0 ? (uint)count
                : high ? (uint)BitOperations.Log2(mask)
                : (uint)BitOperations.TrailingZeroCount(mask);
        }
        else
        {
            var result = !high ? Vector128.CreateScalar(mask).AsByte()
                : count == 8 ? Selection.Words((byte)mask)
                : Selection.Bytes((ushort)mask);
            Ymm(cpu, 0) = TEncoding.IsVex ? result.ToVector256() : Ymm(cpu, 0).WithLower(result);
        }

        LazyFlags.Set(
            cpu.State,
            (mask != 0 ? Rflags.Carry : 0) | (secondLength < count ? Rflags.Zero : 0) | (firstLength < count ? Rflags.Sign : 0)
            | ((mask & 1) != 0 ? Rflags.Overflow : 0));
    }
}
