using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.Simd;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// Moves in the VEX encoding.
internal static unsafe partial class SimdInstructions
{
    private static void RegisterVexMoves(InstructionTable.Builder table)
    {
        foreach (string name in new[] { "Movaps", "Movapd", "Movdqa" })
        {
            table.Set(table.Named($"{Vex(name)}_xmm_xmmm128"), &VexLoad<Length128, Aligned>);
            table.Set(table.Named($"{Vex(name)}_ymm_ymmm256"), &VexLoad<Length256, Aligned>);
            table.Set(table.Named($"{Vex(name)}_xmmm128_xmm"), &VexStore<Length128, Aligned>);
            table.Set(table.Named($"{Vex(name)}_ymmm256_ymm"), &VexStore<Length256, Aligned>);
        }

        foreach (string name in new[] { "Movups", "Movupd", "Movdqu" })
        {
            table.Set(table.Named($"{Vex(name)}_xmm_xmmm128"), &VexLoad<Length128, Unaligned>);
            table.Set(table.Named($"{Vex(name)}_ymm_ymmm256"), &VexLoad<Length256, Unaligned>);
            table.Set(table.Named($"{Vex(name)}_xmmm128_xmm"), &VexStore<Length128, Unaligned>);
            table.Set(table.Named($"{Vex(name)}_ymmm256_ymm"), &VexStore<Length256, Unaligned>);
        }

        foreach (string name in new[] { "Movntps", "Movntpd", "Movntdq" })
        {
            table.Set(table.Named($"{Vex(name)}_m128_xmm"), &VexStore<Length128, Aligned>);
            table.Set(table.Named($"{Vex(name)}_m256_ymm"), &VexStore<Length256, Aligned>);
        }

        table.Set(Code.VEX_Vmovntdqa_xmm_m128, &VexLoad<Length128, Aligned>);
        table.Set(Code.VEX_Vmovntdqa_ymm_m256, &VexLoad<Length256, Aligned>);
        table.Set(Code.VEX_Vlddqu_xmm_m128, &VexLoad<Length128, Unaligned>);
        table.Set(Code.VEX_Vlddqu_ymm_m256, &VexLoad<Length256, Unaligned>);

        table.Set(Code.VEX_Vmovq_xmm_xmmm64, &VexLoadLow<ulong>);
        table.Set(Code.VEX_Vmovss_xmm_m32, &VexLoadLow<uint>);
        table.Set(Code.VEX_Vmovsd_xmm_m64, &VexLoadLow<ulong>);
        table.Set(Code.VEX_Vmovss_m32_xmm, &VexStoreLow<uint>);
        table.Set(Code.VEX_Vmovsd_m64_xmm, &VexStoreLow<ulong>);
        table.Set(Code.VEX_Vmovq_xmmm64_xmm, &VexStoreLow<ulong>);
        table.Set(Code.VEX_Vmovd_xmm_rm32, &VexLoadGeneral<uint>);
        table.Set(Code.VEX_Vmovq_xmm_rm64, &VexLoadGeneral<ulong>);
        table.Set(Code.VEX_Vmovd_rm32_xmm, &StoreGeneral<uint, VexEncoding>);
        table.Set(Code.VEX_Vmovq_rm64_xmm, &StoreGeneral<ulong, VexEncoding>);
        table.Set(Code.VEX_Vmovss_xmm_xmm_xmm, &VexMerge<uint>);
        table.Set(Code.VEX_Vmovss_xmm_xmm_xmm_0F11, &VexMerge<uint>);
        table.Set(Code.VEX_Vmovsd_xmm_xmm_xmm, &VexMerge<ulong>);
        table.Set(Code.VEX_Vmovsd_xmm_xmm_xmm_0F11, &VexMerge<ulong>);

        table.Set(Code.VEX_Vmovlps_xmm_xmm_m64, &VexLoadHalf<LowHalf>);
        table.Set(Code.VEX_Vmovlpd_xmm_xmm_m64, &VexLoadHalf<LowHalf>);
        table.Set(Code.VEX_Vmovhps_xmm_xmm_m64, &VexLoadHalf<HighHalf>);
        table.Set(Code.VEX_Vmovhpd_xmm_xmm_m64, &VexLoadHalf<HighHalf>);
        table.Set(Code.VEX_Vmovlps_m64_xmm, &StoreHalf<LowHalf, VexEncoding>);
        table.Set(Code.VEX_Vmovlpd_m64_xmm, &StoreHalf<LowHalf, VexEncoding>);
        table.Set(Code.VEX_Vmovhps_m64_xmm, &StoreHalf<HighHalf, VexEncoding>);
        table.Set(Code.VEX_Vmovhpd_m64_xmm, &StoreHalf<HighHalf, VexEncoding>);
        table.Set(Code.VEX_Vmovhlps_xmm_xmm_xmm, &VexMoveHighToLow);
        table.Set(Code.VEX_Vmovlhps_xmm_xmm_xmm, &VexBinary<Punpcklqdq, Length128>);
        table.Set(Code.VEX_Vmaskmovdqu_rDI_xmm_xmm, &MaskedStore<VexEncoding>);
        table.Set(Code.VEX_Vzeroupper, &ZeroUpper);
        table.Set(Code.VEX_Vzeroall, &ZeroAll);
    }

    private readonly struct Aligned : IChoice
    {
        public static bool Value => true;
    }

    private readonly struct Unaligned : IChoice
    {
        public static bool Value => false;
    }

    /// <summary>The address of a whole vector; those moves that have "aligned" in their names raise #GP when it is not.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong VectorAddress<TLength, TAligned>(X86Processor cpu, DecodedInstruction* i, AccessKind kind)
        where TLength : struct, IVectorLength
        where TAligned : struct, IChoice
    {
        int size = TLength.IsWide ? 32 : 16;
        ulong address = cpu.Address(i, size, kind);
        if (TAligned.Value && (address & (ulong)(size - 1)) != 0)
        {
            cpu.RaiseGeneralProtection();
        }

        return address;
    }

    private static DecodedInstruction* VexLoad<TLength, TAligned>(X86Processor cpu, DecodedInstruction* i)
        where TLength : struct, IVectorLength
        where TAligned : struct, IChoice
    {
        EnterVex(cpu);
        Vector256<byte> value;
        if (!HasMemory(i))
        {
            value = Ymm(cpu, i->Reg1);
        }
        else
        {
            ulong address = VectorAddress<TLength, TAligned>(cpu, i, AccessKind.Read);
            value = TLength.IsWide ? cpu.Read<Vector256<byte>>(address) : cpu.Read<Vector128<byte>>(address).ToVector256();
        }

        Store<TLength>(cpu, i->Reg0, value);
        return i + 1;
    }

    private static DecodedInstruction* VexStore<TLength, TAligned>(X86Processor cpu, DecodedInstruction* i)
        where TLength : struct, IVectorLength
        where TAligned : struct, IChoice
    {
        EnterVex(cpu);
        if (!HasMemory(i))
        {
            Store<TLength>(cpu, i->Reg0, Ymm(cpu, i->Reg1));
            return i + 1;
        }

        ulong address = VectorAddress<TLength, TAligned>(cpu, i, AccessKind.Write);
        if (TLength.IsWide)
        {
            cpu.Write(address, Ymm(cpu, i->Reg1));
        }
        else
        {
            cpu.Write(address, Xmm(cpu, i->Reg1));
        }

        return i + 1;
    }

    private static DecodedInstruction* VexLoadLow<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        EnterVex(cpu);
        SetXmm(cpu, i->Reg0, Vector128.CreateScalar(Element<T>(cpu, i)).AsByte());
        return i + 1;
    }

    private static DecodedInstruction* VexStoreLow<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        EnterVex(cpu);
        T value = Low<T>(cpu, i->Reg1);
        if (HasMemory(i))
        {
            cpu.WriteOperand(i, value);
        }
        else
        {
            SetXmm(cpu, i->Reg0, Vector128.CreateScalar(value).AsByte());
        }

        return i + 1;
    }

    private static DecodedInstruction* VexLoadGeneral<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        EnterVex(cpu);
        T value = HasMemory(i) ? cpu.ReadOperand<T>(i) : cpu.Register<T>(i->Reg1);
        SetXmm(cpu, i->Reg0, Vector128.CreateScalar(value).AsByte());
        return i + 1;
    }

    /// <summary>Writes the lowest element over a copy of operand 1, the upper half cleared.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void SetMerged<T>(X86Processor cpu, DecodedInstruction* i, T value)
        where T : unmanaged
    {
        var merged = Xmm(cpu, i->Reg1);
        Unsafe.As<Vector128<byte>, T>(ref merged) = value;
        SetXmm(cpu, i->Reg0, merged);
    }

    private static DecodedInstruction* VexMerge<T>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
    {
        EnterVex(cpu);
        SetMerged(cpu, i, Low<T>(cpu, i->Reg2));
        return i + 1;
    }

    private static DecodedInstruction* VexLoadHalf<THalf>(X86Processor cpu, DecodedInstruction* i)
        where THalf : struct, IHalf
    {
        EnterVex(cpu);
        ulong value = cpu.ReadOperand<ulong>(i);
        SetXmm(cpu, i->Reg0, Xmm(cpu, i->Reg1).AsUInt64().WithElement(THalf.Index, value).AsByte());
        return i + 1;
    }

    private static DecodedInstruction* VexMoveHighToLow(X86Processor cpu, DecodedInstruction* i)
    {
        EnterVex(cpu);
        SetXmm(cpu, i->Reg0, Vector128.Create(Xmm(cpu, i->Reg2).GetUpper(), Xmm(cpu, i->Reg1).GetUpper()));
        return i + 1;
    }

    // Outside 64-bit mode the upper eight registers stay as they are (SDM vol. 2C, VZEROALL).
    private static DecodedInstruction* ZeroUpper(X86Processor cpu, DecodedInstruction* i)
    {
        EnterVex(cpu);
        for (int number = 0; number < RegisterCount(cpu); number++)
        {
            SetXmm(cpu, number, Xmm(cpu, number));
        }

        return i + 1;
    }

    private static DecodedInstruction* ZeroAll(X86Processor cpu, DecodedInstruction* i)
    {
        EnterVex(cpu);
        for (int number = 0; number < RegisterCount(cpu); number++)
        {
            Ymm(cpu, number) = Vector256<byte>.Zero;
        }

        return i + 1;
    }
}
