using System.Numerics;

namespace Hypervisor.Engine.Processor;

/// <summary>General-purpose instructions (Intel SDM vol. 2), registered family by family.</summary>
internal static unsafe partial class IntegerInstructions
{
    public static void Register(InstructionTable.Builder table)
    {
        RegisterArithmetic(table);
        RegisterShifts(table);
        RegisterMoves(table);
        RegisterStack(table);
        RegisterBranches(table);
        RegisterMultiply(table);
        RegisterBits(table);
        RegisterExchanges(table);
        RegisterStrings(table);
        RegisterDecimal(table);
        RegisterFlags(table);
        RegisterBitManipulation(table);
        RegisterBmi(table);
    }

    private static void RegisterArithmetic(InstructionTable.Builder table)
    {
        Binary<AddOperation>(table, "Add");
        Binary<OrOperation>(table, "Or");
        Binary<AdcOperation>(table, "Adc");
        Binary<SbbOperation>(table, "Sbb");
        Binary<AndOperation>(table, "And");
        Binary<SubOperation>(table, "Sub");
        Binary<XorOperation>(table, "Xor");
        Binary<CmpOperation>(table, "Cmp");
        Test<byte>(table, 8, "AL", "imm8");
        Test<ushort>(table, 16, "AX", "imm16");
        Test<uint>(table, 32, "EAX", "imm32");
        Test<ulong>(table, 64, "RAX", "imm32");
        Unary<IncOperation>(table, "Inc");
        Unary<DecOperation>(table, "Dec");
        Unary<NegOperation>(table, "Neg");
        Unary<NotOperation>(table, "Not");
        table.Set(table.Named("Inc_r16"), &UnaryHandlers<IncOperation, ushort>.Register);
        table.Set(table.Named("Inc_r32"), &UnaryHandlers<IncOperation, uint>.Register);
        table.Set(table.Named("Dec_r16"), &UnaryHandlers<DecOperation, ushort>.Register);
        table.Set(table.Named("Dec_r32"), &UnaryHandlers<DecOperation, uint>.Register);
    }

    private static void Binary<TOperation>(InstructionTable.Builder table, string name) where TOperation : struct, IBinaryOperation
    {
        Binary<TOperation, byte>(table, name, 8, "AL", "imm8");
        Binary<TOperation, ushort>(table, name, 16, "AX", "imm16");
        Binary<TOperation, uint>(table, name, 32, "EAX", "imm32");
        Binary<TOperation, ulong>(table, name, 64, "RAX", "imm32");
        table.Set(
            table.Named($"{name}_rm8_imm8_82"),
            &BinaryHandlers<TOperation, byte>.RegisterImmediate,
            &BinaryHandlers<TOperation, byte>.MemoryImmediate,
            &BinaryHandlers<TOperation, byte>.LockedImmediate);
    }

    private static void Binary<TOperation, T>(InstructionTable.Builder table, string name, int bits, string accumulator, string immediate)
        where TOperation : struct, IBinaryOperation
        where T : unmanaged, IBinaryInteger<T>
    {
        table.Set(
            table.Named($"{name}_rm{bits}_r{bits}"),
            &BinaryHandlers<TOperation, T>.RegisterRegister,
            &BinaryHandlers<TOperation, T>.MemoryRegister,
            &BinaryHandlers<TOperation, T>.LockedRegister);
        table.Set(
            table.Named($"{name}_r{bits}_rm{bits}"),
            &BinaryHandlers<TOperation, T>.RegisterRegister,
            &BinaryHandlers<TOperation, T>.RegisterMemory);
        table.Set(table.Named($"{name}_{accumulator}_{immediate}"), &BinaryHandlers<TOperation, T>.RegisterImmediate);
        Immediate<TOperation, T>(table, $"{name}_rm{bits}_{immediate}");
        if (bits != 8)
        {
            Immediate<TOperation, T>(table, $"{name}_rm{bits}_imm8");
        }
    }

    private static void Immediate<TOperation, T>(InstructionTable.Builder table, string code)
        where TOperation : struct, IBinaryOperation
        where T : unmanaged, IBinaryInteger<T> =>
        table.Set(
            table.Named(code),
            &BinaryHandlers<TOperation, T>.RegisterImmediate,
            &BinaryHandlers<TOperation, T>.MemoryImmediate,
            &BinaryHandlers<TOperation, T>.LockedImmediate);

    private static void Test<T>(InstructionTable.Builder table, int bits, string accumulator, string immediate)
        where T : unmanaged, IBinaryInteger<T>
    {
        table.Set(
            table.Named($"Test_rm{bits}_r{bits}"),
            &BinaryHandlers<TestOperation, T>.RegisterRegister,
            &BinaryHandlers<TestOperation, T>.MemoryRegister);
        table.Set(table.Named($"Test_{accumulator}_{immediate}"), &BinaryHandlers<TestOperation, T>.RegisterImmediate);
        Immediate<TestOperation, T>(table, $"Test_rm{bits}_{immediate}");
        Immediate<TestOperation, T>(table, $"Test_rm{bits}_{immediate}_F{(bits == 8 ? 6 : 7)}r1");
    }

    private static void Unary<TOperation>(InstructionTable.Builder table, string name) where TOperation : struct, IUnaryOperation
    {
        Unary<TOperation, byte>(table, $"{name}_rm8");
        Unary<TOperation, ushort>(table, $"{name}_rm16");
        Unary<TOperation, uint>(table, $"{name}_rm32");
        Unary<TOperation, ulong>(table, $"{name}_rm64");
    }

    private static void Unary<TOperation, T>(InstructionTable.Builder table, string code)
        where TOperation : struct, IUnaryOperation
        where T : unmanaged, IBinaryInteger<T> =>
        table.Set(
            table.Named(code),
            &UnaryHandlers<TOperation, T>.Register,
            &UnaryHandlers<TOperation, T>.Memory,
            &UnaryHandlers<TOperation, T>.Locked);
}
