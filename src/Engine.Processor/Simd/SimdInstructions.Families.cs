using Hypervisor.Engine.Processor.Simd;

namespace Hypervisor.Engine.Processor;

// An operation written once serves the legacy encoding and both VEX lengths: the codes of a family differ in their names' ends.
internal static unsafe partial class SimdInstructions
{
    // "Paddb" is "VEX_Vpaddb" there.
    private static string Vex(string name) => $"VEX_V{char.ToLowerInvariant(name[0])}{name[1..]}";

    private static void Packed<TOp>(InstructionTable.Builder table, string name)
        where TOp : struct, IVectorBinary
    {
        PackedNarrow<TOp>(table, name);
        table.Set(table.Named($"{Vex(name)}_ymm_ymm_ymmm256"), &VexBinary<TOp, Length256>);
    }

    private static void PackedNarrow<TOp>(InstructionTable.Builder table, string name)
        where TOp : struct, IVectorBinary
    {
        table.Set(table.Named($"{name}_xmm_xmmm128"), &Binary<TOp>);
        table.Set(table.Named($"{Vex(name)}_xmm_xmm_xmmm128"), &VexBinary<TOp, Length128>);
    }

    private static void Unary<TOp>(InstructionTable.Builder table, string name)
        where TOp : struct, IVectorBinary
    {
        UnaryNarrow<TOp>(table, name);
        table.Set(table.Named($"{Vex(name)}_ymm_ymmm256"), &VexUnary<TOp, Length256>);
    }

    private static void UnaryNarrow<TOp>(InstructionTable.Builder table, string name)
        where TOp : struct, IVectorBinary
    {
        table.Set(table.Named($"{name}_xmm_xmmm128"), &Binary<TOp>);
        table.Set(table.Named($"{Vex(name)}_xmm_xmmm128"), &VexUnary<TOp, Length128>);
    }

    private static void Widening<TOp, T, TWide>(InstructionTable.Builder table, string name, int bits)
        where TOp : struct, IVectorBinary
        where T : unmanaged
        where TWide : unmanaged
    {
        table.Set(table.Named($"{name}_xmm_xmmm{bits}"), &Widen<TOp, T>);
        table.Set(table.Named($"{Vex(name)}_xmm_xmmm{bits}"), &VexWiden<TOp, T>);
        table.Set(table.Named($"{Vex(name)}_ymm_xmmm{2 * bits}"), &VexWidenBoth<TOp, TWide>);
    }

    private static void Selected<TOp>(InstructionTable.Builder table, string name)
        where TOp : struct, IVectorImmediate
    {
        SelectedNarrow<TOp>(table, name);
        table.Set(table.Named($"{Vex(name)}_ymm_ymm_ymmm256_imm8"), &VexImmediate<TOp, Length256>);
    }

    private static void SelectedNarrow<TOp>(InstructionTable.Builder table, string name)
        where TOp : struct, IVectorImmediate
    {
        table.Set(table.Named($"{name}_xmm_xmmm128_imm8"), &Immediate<TOp>);
        table.Set(table.Named($"{Vex(name)}_xmm_xmm_xmmm128_imm8"), &VexImmediate<TOp, Length128>);
    }

    private static void UnarySelected<TOp>(InstructionTable.Builder table, string name)
        where TOp : struct, IVectorImmediate
    {
        table.Set(table.Named($"{name}_xmm_xmmm128_imm8"), &Immediate<TOp>);
        table.Set(table.Named($"{Vex(name)}_xmm_xmmm128_imm8"), &VexUnaryImmediate<TOp, Length128>);
        table.Set(table.Named($"{Vex(name)}_ymm_ymmm256_imm8"), &VexUnaryImmediate<TOp, Length256>);
    }

    private static void Shift<TOp>(InstructionTable.Builder table, string name)
        where TOp : struct, IVectorShift
    {
        table.Set(table.Named($"{name}_xmm_xmmm128"), &ShiftByRegister<TOp>);
        table.Set(table.Named($"{Vex(name)}_xmm_xmm_xmmm128"), &VexShiftByRegister<TOp, Length128>);
        table.Set(table.Named($"{Vex(name)}_ymm_ymm_xmmm128"), &VexShiftByRegister<TOp, Length256>);
        ShiftImmediate<TOp>(table, name);
    }

    private static void ShiftImmediate<TOp>(InstructionTable.Builder table, string name)
        where TOp : struct, IVectorShift
    {
        table.Set(table.Named($"{name}_xmm_imm8"), &ShiftByImmediate<TOp>);
        table.Set(table.Named($"{Vex(name)}_xmm_xmm_imm8"), &VexShiftByImmediate<TOp, Length128>);
        table.Set(table.Named($"{Vex(name)}_ymm_ymm_imm8"), &VexShiftByImmediate<TOp, Length256>);
    }
}
