using System.Runtime.Intrinsics;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// VGATHER and VPGATHER (AVX2). Elements are loaded from the lowest up; each that was loaded clears its mask, so that a fault leaves
// a state from which the instruction goes on (SDM vol. 2C, VGATHERDPS).
internal static unsafe partial class SimdInstructions
{
    private static void RegisterVexGathers(InstructionTable.Builder table)
    {
        table.Set(Code.VEX_Vgatherdps_xmm_vm32x_xmm, &Gather<int, uint, Count4>);
        table.Set(Code.VEX_Vgatherdps_ymm_vm32y_ymm, &Gather<int, uint, Count8>);
        table.Set(Code.VEX_Vgatherdpd_xmm_vm32x_xmm, &Gather<int, ulong, Count2>);
        table.Set(Code.VEX_Vgatherdpd_ymm_vm32x_ymm, &Gather<int, ulong, Count4>);
        table.Set(Code.VEX_Vgatherqps_xmm_vm64x_xmm, &Gather<long, uint, Count2>);
        table.Set(Code.VEX_Vgatherqps_xmm_vm64y_xmm, &Gather<long, uint, Count4>);
        table.Set(Code.VEX_Vgatherqpd_xmm_vm64x_xmm, &Gather<long, ulong, Count2>);
        table.Set(Code.VEX_Vgatherqpd_ymm_vm64y_ymm, &Gather<long, ulong, Count4>);
        table.Set(Code.VEX_Vpgatherdd_xmm_vm32x_xmm, &Gather<int, uint, Count4>);
        table.Set(Code.VEX_Vpgatherdd_ymm_vm32y_ymm, &Gather<int, uint, Count8>);
        table.Set(Code.VEX_Vpgatherdq_xmm_vm32x_xmm, &Gather<int, ulong, Count2>);
        table.Set(Code.VEX_Vpgatherdq_ymm_vm32x_ymm, &Gather<int, ulong, Count4>);
        table.Set(Code.VEX_Vpgatherqd_xmm_vm64x_xmm, &Gather<long, uint, Count2>);
        table.Set(Code.VEX_Vpgatherqd_xmm_vm64y_xmm, &Gather<long, uint, Count4>);
        table.Set(Code.VEX_Vpgatherqq_xmm_vm64x_xmm, &Gather<long, ulong, Count2>);
        table.Set(Code.VEX_Vpgatherqq_ymm_vm64y_ymm, &Gather<long, ulong, Count4>);
    }

    /// <summary>Elements that are gathered.</summary>
    private interface ICount
    {
        static abstract int Value { get; }
    }

    private readonly struct Count2 : ICount
    {
        public static int Value => 2;
    }

    private readonly struct Count4 : ICount
    {
        public static int Value => 4;
    }

    private readonly struct Count8 : ICount
    {
        public static int Value => 8;
    }

    private static DecodedInstruction* Gather<TIndex, T, TCount>(X86Processor cpu, DecodedInstruction* i)
        where TIndex : unmanaged
        where T : unmanaged
        where TCount : struct, ICount
    {
        EnterVex(cpu);
        var state = cpu.State;
        ulong origin = *(ulong*)((byte*)state + i->Base) + (ulong)i->Displacement;

        // SAFETY: the register file is native memory; numbers are below 16 and lanes below 32 bytes.
        var indices = (TIndex*)((Vector256<byte>*)&state->Vectors + i->Index);
        T* destination = (T*)((Vector256<byte>*)&state->Vectors + i->Reg0);
        T* mask = (T*)((Vector256<byte>*)&state->Vectors + i->Reg2);
        for (int at = 0; at < TCount.Value; at++)
        {
            bool wanted = sizeof(T) == 4 ? ((int*)mask)[at] < 0 : ((long*)mask)[at] < 0;
            if (wanted)
            {
                long index = sizeof(TIndex) == 4 ? ((int*)indices)[at] : ((long*)indices)[at];
                destination[at] = cpu.Read<T>(ElementAddress(cpu, i, origin + ((ulong)index << i->Scale), sizeof(T), AccessKind.Read));
            }

            mask[at] = default;
        }

        // What lies above the elements is cleared in both.
        for (int at = TCount.Value; at < 32 / sizeof(T); at++)
        {
            destination[at] = default;
            mask[at] = default;
        }

        return i + 1;
    }
}
