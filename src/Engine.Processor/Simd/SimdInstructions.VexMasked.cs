using System.Runtime.Intrinsics;
using Hypervisor.Engine.Processor.Simd;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// VMASKMOV and VPMASKMOV: elements whose mask has its sign bit set are moved; the others touch no memory and raise nothing.
internal static unsafe partial class SimdInstructions
{
    private static void RegisterVexMasked(InstructionTable.Builder table)
    {
        foreach (string name in new[] { "Vmaskmovps", "Vpmaskmovd" })
        {
            table.Set(table.Named($"VEX_{name}_xmm_xmm_m128"), &MaskedLoad<uint, Length128>);
            table.Set(table.Named($"VEX_{name}_ymm_ymm_m256"), &MaskedLoad<uint, Length256>);
            table.Set(table.Named($"VEX_{name}_m128_xmm_xmm"), &MaskedElementStore<uint, Length128>);
            table.Set(table.Named($"VEX_{name}_m256_ymm_ymm"), &MaskedElementStore<uint, Length256>);
        }

        foreach (string name in new[] { "Vmaskmovpd", "Vpmaskmovq" })
        {
            table.Set(table.Named($"VEX_{name}_xmm_xmm_m128"), &MaskedLoad<ulong, Length128>);
            table.Set(table.Named($"VEX_{name}_ymm_ymm_m256"), &MaskedLoad<ulong, Length256>);
            table.Set(table.Named($"VEX_{name}_m128_xmm_xmm"), &MaskedElementStore<ulong, Length128>);
            table.Set(table.Named($"VEX_{name}_m256_ymm_ymm"), &MaskedElementStore<ulong, Length256>);
        }
    }

    private static uint ElementMask<T, TLength>(X86Processor cpu, int register)
        where T : unmanaged
        where TLength : struct, IVectorLength => TLength.IsWide
            ? Ymm(cpu, register).As<byte, T>().ExtractMostSignificantBits()
            : Xmm(cpu, register).As<byte, T>().ExtractMostSignificantBits();

    /// <summary>The linear address of one element, its segment checked for no more than that element.</summary>
    private static ulong ElementAddress(X86Processor cpu, DecodedInstruction* i, ulong offset, int size, AccessKind kind)
    {
        offset = TruncateOffset(i, offset);
        return (i->Flags & InstructionFlags.SimpleAddress) != 0
            ? offset
            : cpu.SegmentedAddress((SegmentName)i->Segment, offset, (uint)size, kind);
    }

    private static ulong TruncateOffset(DecodedInstruction* i, ulong offset) =>
        (i->Flags & InstructionFlags.Address16) != 0 ? (ushort)offset
        : (i->Flags & InstructionFlags.Address32) != 0 || (i->Flags & InstructionFlags.LongMode) == 0 ? (uint)offset
        : offset;

    private static DecodedInstruction* MaskedLoad<T, TLength>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        uint mask = ElementMask<T, TLength>(cpu, i->Reg1);
        ulong offset = cpu.RawOffset(i);
        var result = Vector256<byte>.Zero;
        T* elements = (T*)&result;
        for (; mask != 0; mask &= mask - 1)
        {
            int at = int.TrailingZeroCount((int)mask);
            elements[at] = cpu.Read<T>(ElementAddress(cpu, i, offset + ((uint)at * (uint)sizeof(T)), sizeof(T), AccessKind.Read));
        }

        Store<TLength>(cpu, i->Reg0, result);
        return i + 1;
    }

    private static DecodedInstruction* MaskedElementStore<T, TLength>(X86Processor cpu, DecodedInstruction* i)
        where T : unmanaged
        where TLength : struct, IVectorLength
    {
        EnterVex(cpu);
        uint all = ElementMask<T, TLength>(cpu, i->Reg1);
        ulong offset = cpu.RawOffset(i);
        var value = Ymm(cpu, i->Reg2);
        T* elements = (T*)&value;
        ulong* addresses = stackalloc ulong[8];

        // All that could fault does so before the first element is stored.
        for (uint mask = all; mask != 0; mask &= mask - 1)
        {
            int at = int.TrailingZeroCount((int)mask);
            addresses[at] = ElementAddress(cpu, i, offset + ((uint)at * (uint)sizeof(T)), sizeof(T), AccessKind.Write);
            cpu.ProbeRange(addresses[at], sizeof(T), AccessKind.Write);
        }

        for (uint mask = all; mask != 0; mask &= mask - 1)
        {
            int at = int.TrailingZeroCount((int)mask);
            cpu.Write(addresses[at], elements[at]);
        }

        return i + 1;
    }
}
