using Iced.Intel;

namespace Hypervisor.Engine.Processor;

/// <summary>Forms of an instruction that have handlers of their own.</summary>
internal enum OperandForm
{
    /// <summary>No operand is memory.</summary>
    Register,
    /// <summary>One operand is memory.</summary>
    Memory,
    /// <summary>One operand is memory and the LOCK prefix is there.</summary>
    Locked,
}

/// <summary>The handler of every instruction that the processor knows; all others raise #UD.</summary>
internal static unsafe class InstructionTable
{
    private const int Forms = 3;

    private static readonly nint[] Handlers = Build();

    /// <summary>The handler of an instruction in a form.</summary>
    public static delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> Get(Code code, OperandForm form) =>
        (delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*>)Handlers[((int)code * Forms) + (int)form];

    /// <summary>One more than the highest value of Iced's <see cref="Code"/>.</summary>
    public static int CodeCount => Handlers.Length / Forms;

    /// <summary>The processor knows the instruction: it does not raise #UD in all its forms.</summary>
    public static bool IsKnown(Code code) =>
        Handlers[(int)code * Forms] != (nint)(delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*>)&Undefined
        || Handlers[((int)code * Forms) + 1] != (nint)(delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*>)&Undefined;

    private static nint[] Build()
    {
        var table = new Builder();
        IntegerInstructions.Register(table);
        SystemInstructions.Register(table);
        SimdInstructions.Register(table);
        X87Instructions.Register(table);
        return table.Handlers;
    }

    private static DecodedInstruction* Undefined(X86Processor cpu, DecodedInstruction* i)
    {
        if (i->Code == Code.INVALID && cpu.IsOverlong(i))
        {
            cpu.RaiseGeneralProtection();
        }

        cpu.Raise(Vector.InvalidOpcode);
        return null;
    }

    /// <summary>Collects the handlers.</summary>
    internal sealed class Builder
    {
        private readonly Dictionary<string, Code> _codes = new(StringComparer.Ordinal);

        internal Builder()
        {
            foreach (var code in Enum.GetValues<Code>())
            {
                _codes[code.ToString()] = code;
            }

            Handlers = new nint[Forms * (1 + (int)_codes.Values.Max())];
            Array.Fill(Handlers, (nint)(delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*>)&Undefined);
        }

        internal nint[] Handlers { get; }

        /// <summary>Names the handler of an instruction in all its forms.</summary>
        public void Set(Code code, delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> handler) => Set(code, handler, handler, handler);

        /// <summary>Names the handlers of an instruction without and with a memory operand.</summary>
        public void Set(
            Code code,
            delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> register,
            delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> memory) => Set(code, register, memory, memory);

        /// <summary>Names the handlers of an instruction for all forms.</summary>
        public void Set(
            Code code,
            delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> register,
            delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> memory,
            delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> locked)
        {
            int at = (int)code * Forms;
            Handlers[at] = (nint)register;
            Handlers[at + 1] = (nint)memory;
            Handlers[at + 2] = (nint)locked;
        }

        /// <summary>The code of a name: families of codes differ in one part of their names.</summary>
        /// <exception cref="KeyNotFoundException">There is no such code.</exception>
        public Code Named(string name) => _codes[name];
    }
}
