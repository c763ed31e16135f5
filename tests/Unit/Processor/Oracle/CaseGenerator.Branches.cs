using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

// Control transfers, in patterns that stay inside the block.
internal sealed partial class CaseGenerator
{
    private static readonly AssemblerRegister64[] General =
        [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15];

    /// <summary>The instructions that <see cref="MakeTransfer"/> takes.</summary>
    public static Code[] TransferInstructions { get; } =
        [Code.Call_rel32_64, Code.Call_rm64, Code.Retnq, Code.Retnq_imm16, Code.Jmp_rel8_64, Code.Jmp_rm64, Code.Popfq, Code.Popfw];

    /// <summary>Makes one case of a call and return, an indirect jump, or flags taken from the stack.</summary>
    public OracleCase MakeTransfer()
    {
        Pin(Register.RSP, OracleLayout.Data + 0x1000 + (8 * (ulong)_random.Next(-16, 16)));
        var assembler = new Assembler(64);
        int number = _random.Next(16);
        var register = number == 4 ? r11 : General[number];
        switch (_random.Next(5))
        {
            case 0:
                EmitCallAndReturn(assembler, (ushort)(_random.Next(2) * _random.Next(0x100)));
                break;
            case 1:
                EmitJump(assembler, register);
                break;
            case 2:
                EmitIndirectCall(assembler, register);
                break;
            case 3:
                // Trap, alignment check and nested task stay clear: they would act on the code around the test.
                assembler.push((int)OperandValues.Integer(_random) & 0x20_0ED5);
                assembler.popfq();
                assembler.pushfq();
                break;
            default:
                assembler.push((short)((short)OperandValues.Integer(_random) & 0x0ED5));
                assembler.popf();
                assembler.pushf();
                break;
        }

        using var stream = new MemoryStream();
        assembler.Assemble(new StreamCodeWriter(stream), Next);
        _code.AddRange(stream.ToArray());
        return new OracleCase
        {
            Code = [.. _code],
            Data = MakeData(),
            Initial = MakeState(),
            UndefinedFlags = 0,
            EverUndefinedFlags = 0,
        };
    }

    private static void EmitCallAndReturn(Assembler a, ushort released)
    {
        var function = a.CreateLabel();
        var end = a.CreateLabel();
        a.call(function);
        a.lea(r14, __[r14 + 1]);
        a.jmp(end);
        a.Label(ref function);
        a.lea(r15, __[r15 + 2]);
        if (released == 0)
        {
            a.ret();
        }
        else
        {
            a.ret((short)released);
        }

        a.Label(ref end);
        a.nop();
    }

    private static void EmitJump(Assembler a, AssemblerRegister64 register)
    {
        var target = a.CreateLabel();
        a.lea(register, __[target]);
        a.jmp(register);
        a.lea(r14, __[r14 + 1]);
        a.Label(ref target);
        a.nop();
    }

    private static void EmitIndirectCall(Assembler a, AssemblerRegister64 register)
    {
        var function = a.CreateLabel();
        var end = a.CreateLabel();
        a.lea(register, __[function]);
        a.push(register);
        a.call(__qword_ptr[rsp]);
        a.jmp(end);
        a.Label(ref function);
        a.ret();
        a.Label(ref end);
        a.nop();
    }
}
